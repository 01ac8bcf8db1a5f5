# make demo: the main job, end to end.  make test: the tests.  Both set everything up by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := runs/demo

.PHONY: setup gl demo test lint bench clean

setup: $(STAMP) gl

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "dr_env needs Python 3.11 to 3.13; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "no venv module; install it, on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing into $(VENV), a minute or two ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# OpenGL is for pictures only: physics and training work without it, so this never fails
gl:
	@sh scripts/install_gl.sh

demo: setup
	@rm -rf $(DEMO)
	$(BIN)/dr-env train half_cheetah --randomization none --out $(DEMO)/plain
	$(BIN)/dr-env train half_cheetah --randomization default --out $(DEMO)/randomized
	$(BIN)/dr-env evaluate $(DEMO)/plain $(DEMO)/randomized --out $(DEMO)/report

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/dr-env bench vector
	$(BIN)/dr-env bench reset
	$(BIN)/dr-env bench memory
	$(BIN)/dr-env bench train

clean:
	rm -rf $(VENV) runs build dist

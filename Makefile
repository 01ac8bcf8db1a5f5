# make demo: the main job, end to end.  make test: the tests.  Both set everything up by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := runs/demo
EXPORT := $(BIN)/dr-env export --task tabletop --width 96 --height 72 --quiet

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
	@echo "two policies learn at once, one a core: one without randomization, and one with, whose progress is shown:"
	@$(BIN)/dr-env train half_cheetah --randomization none --threads 1 --quiet --out $(DEMO)/plain & plain=$$!; \
		trap 'kill $$plain 2>/dev/null' INT TERM EXIT; \
		$(BIN)/dr-env train half_cheetah --randomization default --threads 1 --out $(DEMO)/randomized && wait $$plain
	$(BIN)/dr-env export --task tabletop --frames 64 --width 320 --height 240 --format bop,coco --out $(DEMO)/frames \
		|| test ! -e $(DEMO)/frames/index.html  # without OpenGL there are no pictures, and the rest stands
	@if test -e $(DEMO)/frames/index.html; then \
		echo "a model of positions learns from 600 small images, and is judged in the training world and in a shifted one:" && \
		$(EXPORT) --spec examples/realism/training.yaml --frames 600 --out $(DEMO)/learned && \
		$(BIN)/dr-env vision train --data $(DEMO)/learned --model position --steps 200 --augment light --out $(DEMO)/position && \
		{ $(EXPORT) --spec examples/realism/training.yaml --frames 60 --seed 1 --out $(DEMO)/fresh & fresh=$$!; \
		$(EXPORT) --spec examples/realism/shifted.yaml --frames 60 --seed 1 --out $(DEMO)/shifted && wait $$fresh; } && \
		$(BIN)/dr-env vision evaluate $(DEMO)/position --data $(DEMO)/fresh --out $(DEMO)/pose/training_world && \
		$(BIN)/dr-env vision evaluate $(DEMO)/position --data $(DEMO)/shifted --out $(DEMO)/pose/shifted_world; fi
	$(BIN)/dr-env tune record cartpole --out $(DEMO)/logs --seconds 4 --noise 0.002
	$(BIN)/dr-env tune fit --model cartpole --spec tasks/cartpole/randomization.yaml --log $(DEMO)/logs/logs.yaml \
		--window 0.3 --but "[3]" --set screen=0 --out $(DEMO)/tuned.yaml --report $(DEMO)/tuned
	@echo "on a recording that the fit never saw, the untuned and the tuned ranges:"
	$(BIN)/dr-env tune score --model cartpole --spec tasks/cartpole/randomization.yaml --log $(DEMO)/logs/logs.yaml \
		--window 0.3 --only "[3]"
	$(BIN)/dr-env tune score --model cartpole --spec $(DEMO)/tuned.yaml --log $(DEMO)/logs/logs.yaml --window 0.3 --only "[3]"
	$(BIN)/dr-env evaluate $(DEMO)/plain $(DEMO)/randomized --out $(DEMO)/report \
		--link $(DEMO)/tuned/report.html $$(ls $(DEMO)/frames/index.html 2>/dev/null) \
		$$(test ! -e $(DEMO)/pose || echo --scores $(DEMO)/pose/training_world $(DEMO)/pose/shifted_world)

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
	$(BIN)/dr-env bench tune
	$(BIN)/dr-env bench render
	$(BIN)/dr-env bench vision

clean:
	rm -rf $(VENV) runs build dist

"""The code that the documentation shows runs."""

from __future__ import annotations

import contextlib
import functools
import io
import re
from pathlib import Path

import pytest

from dr_env import Spec
from dr_env.cli.main import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(language, code, id=f"{page.name}-{i}")
    for page in PAGES
    for i, (language, code) in enumerate(re.findall(r"```(python|yaml)\n(.*?)```", page.read_text(), re.S))
]

SHOWN = [*PAGES, *ROOT.glob("tasks/*/README.md"), *ROOT.glob("examples/*/README.md"), ROOT / "Makefile"]
GROUPS = {"spec", "tune", "vision"}  # commands that have commands


@pytest.mark.parametrize(("language", "code"), BLOCKS)
def test_code_blocks_run(language: str, code: str) -> None:
    if language == "yaml":
        assert Spec.from_yaml(code).entries
    else:
        exec(compile(code, "block", "exec"), {})


def test_links_lead_somewhere() -> None:
    for page in SHOWN:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@functools.cache
def _help(*command: str) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0, f"dr-env {' '.join(command)}: no such command"
    return text.getvalue()


def test_commands_have_the_options_that_pages_show() -> None:
    shown = 0
    for page in SHOWN:
        for words in re.findall(r"dr-env((?: [^\s`;|#)]+| \\\n)+)", re.sub(r" +", " ", page.read_text())):
            command = words.split()
            if not re.fullmatch(r"[a-z]+", command[0]) or (command[0] in GROUPS and len(command) == 1):
                continue
            text = _help(*command[: 2 if command[0] in GROUPS else 1])
            for option in (word.split("=")[0] for word in command if word.startswith("--")):
                assert re.search(rf"{option}\b", text), f"{page.name}: dr-env{words}: no option {option}"
                shown += 1
    assert shown > 200

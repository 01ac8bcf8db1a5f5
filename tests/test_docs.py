"""The code that the documentation shows runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dr_env import Spec

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(language, code, id=f"{page.name}-{i}")
    for page in PAGES
    for i, (language, code) in enumerate(re.findall(r"```(python|yaml)\n(.*?)```", page.read_text(), re.S))
]


@pytest.mark.parametrize(("language", "code"), BLOCKS)
def test_code_blocks_run(language: str, code: str) -> None:
    if language == "yaml":
        assert Spec.from_yaml(code).entries
    else:
        exec(compile(code, "block", "exec"), {})


def test_links_lead_somewhere() -> None:
    for page in [*PAGES, *(ROOT / "tasks").glob("*/README.md"), *(ROOT / "examples").glob("*/README.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"

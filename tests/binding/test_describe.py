"""The field table in the documentation is the one in the code."""

from __future__ import annotations

from pathlib import Path

from dr_env.binding import FIELDS, describe_fields

PAGE = Path(__file__).parents[2] / "docs" / "fields.md"


def test_the_page_has_the_table() -> None:
    """`dr-env inspect` without a model prints what belongs there."""
    assert describe_fields().strip() in PAGE.read_text()


def test_every_row_is_described() -> None:
    text = describe_fields()
    for field in FIELDS:
        section = text.split(f"## `{field.kind}`\n")[1].split("\n## ")[0]
        assert f"| `{field.name}" in section
        assert field.note in section

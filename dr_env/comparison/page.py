"""The comparison's files: a table, plain data, and one self-contained HTML page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dr_env.comparison import figures
from dr_env.comparison.summary import FEW, markdown, recovered, transferred
from dr_env.comparison.transfer import JUDGED
from dr_env.files import write_text
from dr_env.records import versions

_TEMPLATE = Path(__file__).parent / "report.html.j2"


def write_page(results: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Writes `table.md`, `report.json` and `report.html` into `folder`; returns the page's path."""
    import jinja2

    pooled, scored = recovered(results), transferred(results)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        count=len(results),
        recovered=pooled,
        scored=scored,
        conditions=sorted({row.condition for row in pooled}),
        pictures=figures.pictures(results, scored),
        colours=figures.colours([row.method for row in pooled]),
        judged=JUDGED,
        few=FEW,
        versions=versions("dr-env", "mujoco", "numpy"),
    )
    rows: dict[str, Sequence[Any]] = {
        "recovered": pooled,
        "by_task": recovered(results, pooled=False),
        "transferred": scored,
    }
    form = {key: [dataclasses.asdict(row) for row in found] for key, found in rows.items()}
    write_text(folder / "report.json", json.dumps({"format": "dr_env/comparison/1", **form}, indent=1) + "\n")
    write_text(folder / "table.md", markdown(results))
    write_text(folder / "report.html", page)
    return folder / "report.html"

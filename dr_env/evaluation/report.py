"""The transfer report: one self-contained HTML file and one JSON file."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation import plots, plots_coverage, plots_effects
from dr_env.evaluation.coverage import target_in_words
from dr_env.evaluation.estimators import EstimatorScore
from dr_env.evaluation.explanation import Explanation
from dr_env.evaluation.figures import COLOURS, data_uri
from dr_env.evaluation.transfer import Comparison
from dr_env.files import write_text

_TEMPLATE = Path(__file__).parent / "report.html.j2"


def encode_video(frames: list[NDArray[np.uint8]], fps: int) -> bytes:
    """Frames (height, width, 3) as H.264 in MP4, which browsers play."""
    import imageio.v3 as iio

    buffer = io.BytesIO()
    iio.imwrite(
        buffer, np.stack(frames), extension=".mp4", fps=fps, codec="libx264", quality=7, macro_block_size=2,
        ffmpeg_log_level="error",
    )  # fmt: skip
    return buffer.getvalue()


def write_report(
    comparison: Comparison,
    explanation: Explanation,
    folder: Path,
    videos: dict[str, bytes],
    notes: list[str],
    versions: dict[str, str],
    links: Mapping[str, str] | None = None,
    estimators: Sequence[EstimatorScore] = (),
) -> Path:
    """Writes `report.html` and `report.json` into `folder`, and Draws that diverged into its folder `failures`.

    Args:
        comparison: what was measured.
        explanation: what it means.
        folder: where the files go.
        videos: MP4 by arm name.
        notes: things a reader should know, such as why there is no video.
        versions: package versions.
        links: other pages, where they are -> what they are called.
        estimators: scores of pose estimators, each in one world.

    Returns:
        The path of the HTML file.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        comparison=comparison,
        estimates={arm.name: {world: arm.estimate(world) for world in comparison.worlds} for arm in comparison.arms},
        explanation=explanation,
        curves=plots.learning_curves(comparison),
        distributions=plots.return_distributions(comparison),
        shares=plots_effects.shares(explanation),
        effects=plots_effects.curves(explanation),
        marginals=plots_coverage.marginals(explanation),
        target_in_words=target_in_words,
        failures=_write_failures(comparison, folder),
        videos={name: data_uri(content, "video/mp4") for name, content in videos.items()},
        notes=notes,
        versions=versions,
        links=links or {},
        estimators=[(score, os.path.relpath(score.page, folder)) for score in estimators],
        colours=dict(zip([arm.name for arm in comparison.arms], cycle(COLOURS), strict=False)),
    )
    found = {**comparison.to_dict(), **explanation.to_dict(), "versions": versions}
    write_text(folder / "report.json", json.dumps(found, indent=1))
    write_text(folder / "report.html", page)
    return folder / "report.html"


def _write_failures(comparison: Comparison, folder: Path) -> list[tuple[str, str, str]]:
    """Writes the Draws that made simulations diverge; returns world, run and file of each."""
    rows = []
    for arm in comparison.arms:
        for world in comparison.worlds:
            for run, draws in arm.failures(world).items():
                for draw in draws:
                    name = f"failures/{world}_{draw.digest()}.json"
                    write_text(folder / name, draw.to_json() + "\n")
                    rows.append((world, Path(run).name, name))
    return rows

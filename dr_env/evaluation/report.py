"""The transfer report: one self-contained HTML file and one JSON file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation import plots
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
    comparison: Comparison, folder: Path, videos: dict[str, bytes], notes: list[str], versions: dict[str, str]
) -> Path:
    """Writes `report.html` and `report.json` into `folder`.

    Args:
        comparison: what was measured.
        folder: where the files go.
        videos: MP4 by arm name.
        notes: things a reader should know, such as why there is no video.
        versions: package versions.

    Returns:
        The path of the HTML file.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(_TEMPLATE.read_text()).render(
        comparison=comparison,
        estimates={arm.name: {world: arm.estimate(world) for world in comparison.worlds} for arm in comparison.arms},
        curves=plots.learning_curves(comparison),
        distributions=plots.return_distributions(comparison),
        sensitivity=plots.sensitivity(comparison),
        videos={name: plots.data_uri(content, "video/mp4") for name, content in videos.items()},
        notes=notes,
        versions=versions,
        colours=dict(zip([arm.name for arm in comparison.arms], plots.COLOURS, strict=False)),
    )
    write_text(folder / "report.json", json.dumps({**comparison.to_dict(), "versions": versions}, indent=1))
    write_text(folder / "report.html", page)
    return folder / "report.html"

"""A dataset's page, which a browser opens from disk, and its card, which hosts of datasets show."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.encode import decode_image
from dr_env.export.example import Record
from dr_env.export.manifest import Manifest
from dr_env.export.overlay import class_colour, draw_labels
from dr_env.export.statistics import QUANTITIES, Statistics
from dr_env.export.store import Store
from dr_env.export.writers.tar import member
from dr_env.files import atomic_path, write_text

PAGE = "index.html"
CARD = "README.md"
_THUMBNAILS = "thumbnails"
_TEMPLATES = Path(__file__).parent / "templates"
_MOST = 240  # frames that a page shows
_WIDTH = 320  # of a thumbnail, in pixels
_QUALITY = 82


def write_page(root: Path) -> Path:
    """Writes `index.html` with its `thumbnails`, and the card `README.md`, into a complete dataset's folder.

    The page has thumbnails with and without labels, to be filtered by class and visibility, and histograms. Of a large
    dataset it shows frames at equal intervals. Its bytes depend on the dataset alone.

    Returns:
        The path of the page.

    Raises:
        DREnvError: the dataset is not complete, or damaged.
    """
    manifest = Manifest.load(root)
    if not manifest.complete:
        raise DREnvError(f"{root}: the dataset is not complete; run the export again, it goes on")
    layout = manifest.request.layout
    store = Store(root, layout)
    statistics = Statistics.of(store, layout)
    shown = set(np.linspace(0, layout.frames - 1, min(_MOST, layout.frames)).round().astype(int).tolist())
    tiles = [_tile(root, manifest, record) for record in store if record["frame"] in shown]
    facts = {
        "name": Path(manifest.request.source.task).stem,
        "manifest": manifest,
        "result": manifest.result,
        "statistics": statistics,
        "formats": manifest.request.formats,
        "summaries": _summaries(statistics),
        "provenance": {**manifest.versions, **manifest.provenance},
        "command": _wrapped(manifest.command),
    }
    bars = [_bars("class", statistics.classes)] + [_histogram(statistics, name) for name in QUANTITIES]
    colours = {row["name"]: "#" + bytes(class_colour(row["id"])).hex() for row in (manifest.result or {})["classes"]}
    write_text(root / PAGE, _render("page.html.j2", **facts, tiles=tiles, bars=bars, colours=colours, most=_MOST))
    write_text(root / CARD, _render("card.md.j2", **facts, page=PAGE))
    return root / PAGE


def _render(template: str, **facts: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=template.endswith(".html.j2"), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string((_TEMPLATES / template).read_text(encoding="utf-8")).render(**facts)


# thumbnails


def read_rgb(root: Path, manifest: Manifest, frame: int) -> tuple[NDArray[np.uint8], str]:
    """A frame's colour image, of the first format that has one, and its file's path; empty for a tar file's."""
    layout = manifest.request.layout
    split, (shard, place) = layout.split_of(frame), layout.place(frame)
    files = {
        "bop": f"{split}/{shard:06d}/rgb/{place:06d}{layout.suffix}",
        "coco": f"images/{split}/{frame:012d}{layout.suffix}",
        "yolo": f"images/{split}/{frame:09d}{layout.suffix}",
    }
    for name in manifest.request.formats:
        kind = "yolo" if name.startswith("yolo") else name
        if kind in files:
            path = f"{name}/{files[kind]}"
            return _decoded((root / path).read_bytes(), path), path
    for name in manifest.request.formats:
        key = f"{shard:06d}_{place:06d}" if name == "bop-webdataset" else f"{frame:09d}"
        tar = root / name / split / f"shard-{shard:06d}.tar"
        return _decoded(member(tar, f"{key}.rgb{layout.suffix}"), str(tar)), ""
    raise DREnvError(f"{root}: no format has images")


def _decoded(data: bytes, source: str) -> NDArray[np.uint8]:
    return np.asarray(decode_image(data, source), np.uint8)


def _tile(root: Path, manifest: Manifest, record: Record) -> dict[str, Any]:
    """Writes a frame's two thumbnails; what the page says of it."""
    frame = record["frame"]
    rgb, path = read_rgb(root, manifest, frame)
    scale = _WIDTH / rgb.shape[1]
    plain = cv2.resize(rgb, (_WIDTH, round(rgb.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    names = f"{_THUMBNAILS}/{frame:09d}.jpg", f"{_THUMBNAILS}/{frame:09d}_labels.jpg"
    for name, image in zip(names, (plain, draw_labels(rgb, record, scale)), strict=True):
        _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        with atomic_path(root / name) as target:
            target.write_bytes(data.tobytes())
    seen = [view for view in record["objects"] if view["pixels_visible"]]
    return {
        "frame": frame,
        "plain": names[0],
        "labels": names[1],
        "image": path,
        "split": manifest.request.layout.split_of(frame),
        "classes": sorted({view["class"] for view in seen}),
        "objects": len(seen),
        "least": min((view["visible_fraction"] for view in seen), default=0.0),
        "draw": sorted(record["draw"]["values"].items())[:12],
        "height": plain.shape[0],
    }


# figures


def _bars(title: str, counts: dict[str, int]) -> dict[str, Any]:
    top = max(counts.values(), default=1)
    rows = [{"name": name, "count": count, "share": 100 * count / top} for name, count in sorted(counts.items())]
    return {"title": title, "rows": rows, "columns": []}


def _histogram(statistics: Statistics, name: str) -> dict[str, Any]:
    counts, edges = statistics.histogram(name)
    quantity = QUANTITIES[name]
    top = max(int(counts.max(initial=0)), 1)
    columns = [
        {"height": round(100 * int(count) / top, 2), "text": f"{low:.3g} to {high:.3g}: {count}"}
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True)
    ]
    title = quantity.title + (f" ({quantity.unit})" if quantity.unit else "")
    ends = {"low": f"{edges[0]:.3g}", "high": f"{edges[-1]:.3g}"}
    return {"title": title, "rows": [], "columns": columns, **ends, "top": top}


def _summaries(statistics: Statistics) -> list[tuple[str, str, list[str]]]:
    """Each quantity's 5th, 50th and 95th percentile."""
    rows = []
    for name, quantity in QUANTITIES.items():
        values = statistics.values.get(name, [])
        if values:
            rows.append((quantity.title, quantity.unit, [f"{x:.3g}" for x in np.percentile(values, (5, 50, 95))]))
    return rows


def _wrapped(command: str) -> str:
    """A command over several lines, an option each."""
    lines: list[str] = []
    for word in shlex.split(command):
        quoted = shlex.quote(word)
        if lines and not word.startswith("--"):
            lines[-1] += f" {quoted}"
        else:
            lines.append(quoted)
    return " \\\n    ".join(lines)

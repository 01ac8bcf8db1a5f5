"""The page of a dataset, its card and the labels drawn on its thumbnails."""

from __future__ import annotations

import dataclasses
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.export import ExportRequest, Layout, Manifest
from dr_env.export.example import Example, Record
from dr_env.export.overlay import class_colour, draw_labels
from dr_env.export.page import read_rgb, write_page
from dr_env.export.source import SourceRequest
from dr_env.export.statistics import QUANTITIES, Statistics
from dr_env.export.store import Store
from dr_env.export.writers import make_writers
from tests.export.boxes import CAMERA, NAMES, box_classes, box_frame

FORMATS = ("bop-webdataset", "webdataset", "coco", "yolo", "bop")


def _dataset(root: Path, formats: tuple[str, ...], frames: int = 4) -> tuple[Manifest, list[Record]]:
    """A complete dataset of frames that need no renderer."""
    layout = Layout(frames, CAMERA.width, CAMERA.height, shard=2, every=2)
    store, writers = Store(root, layout), make_writers(formats, layout, box_classes())
    records = []
    for k in range(frames):
        example = Example(box_frame(k), layout)
        store.add(example, {**example.record, "attempt": 0, "met": True, "target": {}}, writers)
        records.append(example.record)
    for shard in range(layout.shards):
        store.seal(shard, writers)
    for writer in writers:
        writer.finish(store, root / writer.name)
    source = SourceRequest("boxes.xml", Spec().to_yaml(), "none", 0, CAMERA.width, CAMERA.height)
    manifest = Manifest(ExportRequest(source, layout, formats), {"renderer": "rays <&>"})
    rows = [{"id": k, "name": kind.name, "keypoints": list(kind.keypoints)} for k, kind in box_classes().items()]
    manifest.result = {"classes": rows, "acceptance": {"candidates": 4, "rate": 1.0, "missed": []}, "coverage": {}}
    manifest.save(root)
    return manifest, records


class _Links(HTMLParser):
    """Collects what a page links to, and checks that what is opened is closed."""

    VOID = ("meta", "img", "input", "br", "link")

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.tiles = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in (*self.VOID, "option"):
            self.open.append(tag)
        named = dict(attrs)
        self.links += [link for key in ("src", "href") if (link := named.get(key))]
        self.tiles += named.get("class") == "tile"

    def handle_endtag(self, tag: str) -> None:
        if tag != "option":
            assert self.open.pop() == tag


def test_the_page_is_whole(tmp_path: Path) -> None:
    _dataset(tmp_path, FORMATS)
    page = write_page(tmp_path)
    text = page.read_text()
    parser = _Links()
    parser.feed(text)
    assert not parser.open and parser.tiles == 4
    assert len([link for link in parser.links if link.startswith("thumbnails/")]) == 8
    for link in parser.links:
        assert (tmp_path / link).is_file(), link
    assert "http" not in text.replace("http-equiv", ""), "the page asks nothing of any host"
    assert "rays &lt;&amp;&gt;" in text
    for name in NAMES.values():
        assert name in text
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_page(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_card_has_the_numbers(tmp_path: Path) -> None:
    _, records = _dataset(tmp_path, ("coco",))
    write_page(tmp_path)
    card = (tmp_path / "README.md").read_text()
    visible = [view for record in records for view in record["objects"] if view["pixels_visible"]]
    assert f"with {len(visible)} visible objects of 3 classes" in card
    assert f"| 1 | brick | {sum(view['class'] == 'brick' for view in visible)} | 2 |" in card
    assert "| distance from the camera | m |" in card
    assert str(tmp_path) not in card + (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("form", FORMATS)
def test_images_are_found_in_every_format(tmp_path: Path, form: str) -> None:
    manifest, _ = _dataset(tmp_path, (form,))
    for k in (0, 3):
        rgb, path = read_rgb(tmp_path, manifest, k)
        frame = box_frame(k)
        assert (rgb == frame.sensed_rgb).all()
        assert not path or (tmp_path / path).is_file()


def test_statistics_count_visible_objects(tmp_path: Path) -> None:
    manifest, records = _dataset(tmp_path, ("coco",))
    layout = manifest.request.layout
    found = Statistics.of(records, layout)
    visible = [view for record in records for view in record["objects"] if view["pixels_visible"]]
    assert found.objects == len(visible) == sum(found.classes.values())
    assert found.frames == 4 and len(found.per_frame) == 4
    for name, quantity in QUANTITIES.items():
        counts, edges = found.histogram(name)
        assert counts.sum() == len(visible), name
        assert quantity.range is None or (edges[0], edges[-1]) == quantity.range
    positions = [np.reshape(view["camera_from_object"], (4, 4))[:3, 3] for view in visible]
    np.testing.assert_allclose(found.values["distance"], np.linalg.norm(positions, axis=1))
    empty = Statistics.of([], layout)
    assert empty.objects == 0 and all(empty.histogram(name)[0].sum() == 0 for name in QUANTITIES)


def test_labels_are_drawn_where_they_are() -> None:
    layout = Layout(1, CAMERA.width, CAMERA.height)
    frame = box_frame(1)
    record = Example(frame, layout).record
    drawn = draw_labels(frame.rgb, record)
    assert drawn.shape == frame.rgb.shape and (frame.rgb == box_frame(1).rgb).all()
    for view in record["objects"]:
        if view["pixels_visible"]:
            x, y, w, h = view["box_visible"]
            border = np.concatenate([drawn[y, x : x + w], drawn[y + h - 1, x : x + w]])
            assert (border == class_colour(view["class_id"])).all(-1).mean() > 0.3
    far = np.ones(frame.instance.shape, bool)
    for view in record["objects"]:
        if view["box_amodal"]:
            x, y, w, h = view["box_amodal"]
            far[max(y - 15, 0) : max(y + h + 15, 0), max(x - 15, 0) : max(x + w + 15, 0)] = False
    assert (drawn[far] == frame.rgb[far]).all()
    assert draw_labels(frame.rgb, record, 0.5).shape == (36, 48, 3)
    nothing = {**record, "objects": []}
    assert (draw_labels(frame.rgb, nothing) == frame.rgb).all()


def test_an_incomplete_dataset_has_no_page(tmp_path: Path) -> None:
    manifest, _ = _dataset(tmp_path, ("coco",))
    dataclasses.replace(manifest, result=None).save(tmp_path)
    with pytest.raises(DREnvError, match="not complete"):
        write_page(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["complete"] is False

"""Images rendered on demand are those that an export writes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.cli.main import main
from dr_env.cli.vision_data import Render, training_images
from dr_env.export import ExportRequest, Layout, SourceRequest, export
from dr_env.vision.bank import Bank
from dr_env.vision.images import check_alike, open_images
from dr_env.vision.rendered import RenderedImages
from tests.rendering.scenes import why_not
from tests.vision.plain_estimator import PlainEstimator

REASON = why_not("classic")
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "OpenGL works")

SPEC = """
format: dr_env/1
scene:
  objects: {cone: {shape: cone}, brick: {shape: rectangular_prism}}
  areas: {top: {count: 2}}
entries:
  noise:
    select: {image: "*"}
    field: full_well
    operation: set
    distribution: {type: uniform, low: 300, high: 900}
  bend:
    select: {image: "*"}
    field: brown_conrady[0]
    operation: set
    distribution: {type: uniform, low: -0.2, high: 0.1}
"""


def _request(frames: int = 6, **changes: Any) -> ExportRequest:
    source = SourceRequest("tabletop", SPEC, "spec.yaml", **{"seed": 4, "width": 64, "height": 48, **changes})
    return ExportRequest(source, Layout(frames, source.width, source.height, shard=4, every=3), ("bop",))


def test_they_are_what_an_export_writes(tmp_path: Path) -> None:
    export(_request(), tmp_path / "export")
    written = open_images(tmp_path / "export")
    rendered = pickle.loads(pickle.dumps(RenderedImages(_request())))
    check_alike([rendered, rendered])
    assert len(rendered) == len(written) == 6 and rendered.models.keys() == written.models.keys()
    for class_id, model in rendered.models.items():
        other = written.models[class_id]
        assert model.name == other.name and model.diameter == pytest.approx(other.diameter, rel=1e-6)
        assert np.allclose(model.vertices, other.vertices, atol=1e-8) and np.array_equal(model.faces, other.faces)
        assert np.allclose(model.discrete, other.discrete, atol=1e-9)
        assert np.allclose(model.continuous, other.continuous, atol=1e-9)
    known = {sample.name: (sample, written.masks(k)) for k, sample in enumerate(written)}
    for k in (5, 0, 3):
        sample, (other, masks) = rendered[k], known[rendered[k].name]
        assert np.array_equal(sample.image, other.image)
        assert sample.intrinsics == other.intrinsics and (sample.scene_id, sample.image_id) == divmod(k, 4)
        assert np.array_equal(sample.camera_from_world, other.camera_from_world)
        assert len(sample.annotations) == len(other.annotations) > 0
        for a, b in zip(sample.annotations, other.annotations, strict=True):
            assert (a.class_id, a.box_visible) == (b.class_id, b.box_visible)
            assert np.allclose(a.box_amodal, b.box_amodal, atol=1e-4)  # of meshes that were written in single precision
            assert np.allclose(a.camera_from_object, b.camera_from_object, atol=1e-12)
        assert all(np.array_equal(a, b) for a, b in zip(rendered.masks(k), masks, strict=True))
    rendered.close()
    clean, truth = RenderedImages(_request(), "clean"), open_images(tmp_path / "export", image="clean")
    assert np.array_equal(clean[2].image, next(s.image for s in truth if s.name == clean[2].name))
    clean.close()
    assert clean.identity != rendered.identity == RenderedImages(_request()).identity
    assert RenderedImages(_request(seed=5)).identity != rendered.identity


def test_a_bank_renders_in_its_workers_while_it_is_read(tmp_path: Path) -> None:
    images = RenderedImages(_request(8))
    estimator = PlainEstimator(images.models)
    with Bank(estimator, [images], tmp_path / "two", held_out=0.2, workers=1) as bank:
        made = list(bank.batches(3, 0, 12))
    alone = Bank(estimator, [images], tmp_path / "one", held_out=0.2, workers=0)
    images.close()
    for ours, theirs in zip(made, alone.batches(3, 0, 12), strict=True):
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_what_cannot_be_rendered_is_refused_before_training() -> None:
    with pytest.raises(DREnvError, match="no camera 'eye'"):
        RenderedImages(_request(camera="eye"))


def test_training_takes_datasets_or_a_spec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "scene.yaml"
    spec.write_text(SPEC)
    with pytest.raises(DREnvError, match="got 1 folders and 5 frames, expected datasets, or how many"):
        training_images((tmp_path,), None, "sensed", Render(frames=5))
    with pytest.raises(DREnvError, match="got 0 folders and 0 frames"):
        training_images((), None, "sensed", Render())
    run = ["vision", "train", "--out", str(tmp_path / "run"), "--render.frames", "8", "--render.spec", str(spec)]
    main([*run, "--steps", "2", "--batch", "2", "--size", "32", "--width", "8", "--threads", "1", "--quiet"])
    assert "held-out error" in capsys.readouterr().out
    card = json.loads((tmp_path / "run/card.json").read_text())
    assert card["training"]["images"] == 8 and not list((tmp_path / "run").rglob("*.npy"))

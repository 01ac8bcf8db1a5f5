"""The shifted simulators of the tabletop: the same objects, and only the difference that each names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dr_env import Spec
from dr_env.scene import Scenes
from tasks import tabletop

FOLDER = Path(tabletop.__file__).parent
TARGETS = sorted((FOLDER / "targets").glob("*.yaml"))


def _plain(path: Path) -> dict[str, Any]:
    form: dict[str, Any] = yaml.safe_load(path.read_text())
    arm = form["scene"]["arm"]
    arm["file"] = (path.parent / arm["file"]).resolve()
    return form


def _without(form: dict[str, Any], *parts: str) -> dict[str, Any]:
    """The Spec without these keys, such as "textures" or "entries.lamp_key"."""
    for part in parts:
        *way, last = part.split(".")
        inner = form
        for key in way:
            inner = inner[key]
        inner.pop(last, None)
    return form


@pytest.mark.parametrize("path", TARGETS, ids=lambda path: path.stem)
def test_the_objects_are_those_that_training_labels(path: Path) -> None:
    trained = Scenes(Spec.load(FOLDER / "randomization.yaml"), 0).classes
    shifted = Scenes(Spec.load(path), 5).classes
    assert [each.name for each in shifted] == [each.name for each in trained]
    for one, other in zip(shifted, trained, strict=True):
        assert one.class_id == other.class_id
        np.testing.assert_array_equal(one.mesh.vertices, other.mesh.vertices)
        np.testing.assert_array_equal(one.keypoints, other.keypoints)


@pytest.mark.parametrize("path", TARGETS, ids=lambda path: path.stem)
def test_scenes_come_out_as_asked(path: Path) -> None:
    spec = Spec.load(path)
    assert spec.scene is not None
    small = spec.scene.model_copy(update={"frames_per_build": 20})
    textures = None if spec.textures is None else spec.textures.model_copy(update={"size": 8})
    scenes = Scenes(spec.model_copy(update={"scene": small, "textures": textures}), 1)
    shown = [{each.class_name for each in scenes.scene(k).labelled} for k in range(6)]
    assert all("cube" in names for names in shown)
    assert scenes.acceptance_rate > 0.3


def test_single_causes_differ_in_nothing_else() -> None:
    trained = FOLDER / "randomization.yaml"
    camera = [f"entries.{name}" for name in _plain(FOLDER / "targets/camera.yaml")["entries"]]
    own = [name for name in camera if name.removeprefix("entries.") not in _plain(trained)["entries"]]
    views = [f"entries.camera_{name}" for name in ("azimuth", "elevation", "distance", "target", "fovy")]
    causes = {
        "renderer": ("entries.lamp_key", "entries.lamp_fill"),
        "textures": ("textures",),
        "clutter": ("scene.distractors",),
        "camera": ("scene.camera", *own, *views),
    }
    assert {path.stem for path in TARGETS} == {"filament", *causes}
    for name, parts in causes.items():
        shifted, usual = _plain(FOLDER / f"targets/{name}.yaml"), _plain(trained)
        assert shifted != usual
        assert _without(shifted, *parts) == _without(usual, *parts), name


def test_texture_families_are_not_those_of_training() -> None:
    trained = Spec.load(FOLDER / "randomization.yaml").textures
    for name in ("filament", "textures"):
        shifted = Spec.load(FOLDER / f"targets/{name}.yaml").textures
        assert shifted is not None and trained is not None
        assert not set(shifted.families) & set(trained.families)

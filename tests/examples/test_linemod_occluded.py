"""The example's Specs make labelled frames of duck and driller."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh

from dr_env import Spec
from dr_env.export import ExportRequest, Layout, SourceRequest, export
from dr_env.export.bop_read import BopDataset
from dr_env.export.validate import validate

EXAMPLE = Path(__file__).parents[2] / "examples" / "linemod_occluded"
MODELS = Path(__file__).parents[3] / "shared" / "real" / "lmo" / "models"
SIZES = {8: (229.5, 75.5, 208.0), 9: (104.4, 77.4, 85.7)}  # mm, of the driller's and the duck's box


def stand_ins(folder: Path) -> None:
    """Ellipsoids as large as the objects, in millimetres, with coloured vertices."""
    folder.mkdir(parents=True)
    for number, size in SIZES.items():
        mesh = trimesh.creation.icosphere(subdivisions=2)
        mesh.apply_scale(np.array(size) / 2)
        colours = np.where(mesh.vertices[:, 2:] > 0, [[220, 190, 30, 255]], [[40, 60, 50, 255]])
        mesh.visual.vertex_colors = colours.astype(np.uint8)
        mesh.export(folder / f"obj_{number:06d}.ply")


def frames(spec: Path, out: Path, frames: int = 2) -> BopDataset:
    source = SourceRequest("tabletop", Spec.load(spec).to_yaml(), str(spec), seed=0, width=160, height=120)
    done = export(ExportRequest(source, Layout(frames, 160, 120), ("bop",)), out)
    assert done.manifest.complete
    return BopDataset(out / "bop")


@pytest.mark.parametrize("name", ["plain", "randomized"])
def test_frames_of_stand_ins(name: str, tmp_path: Path) -> None:
    stand_ins(tmp_path / "models")
    spec = shutil.copy(EXAMPLE / f"{name}.yaml", tmp_path)
    made = frames(Path(spec), tmp_path / "out")
    assert set(made.models) == {8, 9}  # as in the dataset of photographs
    assert not any(verdict.findings for verdict in validate(tmp_path / "out"))
    (scene,) = made.scenes
    assert len(list((scene / "rgb").glob("*.png"))) == 2


@pytest.mark.skipif(not MODELS.exists(), reason="the meshes (../shared/real/lmo) are absent")
def test_frames_of_the_real_meshes(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(MODELS)
    spec = shutil.copy(EXAMPLE / "plain.yaml", tmp_path)
    made = frames(Path(spec), tmp_path / "out")
    real = BopDataset(MODELS.parent)
    for number in SIZES:  # what is learned from these frames can be judged on the photographs
        ours, theirs = made.models[number], real.models[number]
        assert np.allclose(ours.vertices, theirs.vertices, atol=1e-5) and np.array_equal(ours.faces, theirs.faces)

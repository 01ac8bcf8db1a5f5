"""What a pool of textures is made of."""

from __future__ import annotations

from pathlib import Path

import cv2
import mujoco
import numpy as np
import pytest

from dr_env import DREnvError, Spec, compile_model, propose_looks
from dr_env.binding.textures import count_textures, make_textures, procedural
from dr_env.spec import TexturePool
from dr_env.spec.textures import FAMILIES
from tests.conftest import FULL_MODEL, LOOKS_MODEL


@pytest.mark.parametrize("family", FAMILIES)
def test_a_texture_depends_on_its_key_alone(family: str) -> None:
    image = procedural(family, 32, 5, 7)
    procedural.cache_clear()
    procedural(family, 32, 5, 1)
    assert (procedural(family, 32, 5, 7) == image).all()
    assert image.shape == (32, 32, 3) and image.dtype == np.uint8
    others = [procedural(family, 32, 5, k) for k in range(8, 20)] + [procedural(family, 32, 6, 7)]
    assert all((other != image).any() for other in others)
    varied = [np.ptp(other.reshape(-1, 3), axis=0).max() > 0 for other in others]
    assert not any(varied) if family == "flat" else all(varied)


@pytest.mark.parametrize("family", ["checker", "stripes", "noise", "perlin", "wood", "bricks", "weave", "terrazzo"])
def test_it_repeats_without_a_seam(family: str) -> None:
    """A step across the border is no larger than the steps inside."""
    for number in range(1, 12):
        image = procedural(family, 64, 0, number).astype(int)
        for axis in (0, 1):
            steps = np.abs(np.diff(image, axis=axis)).mean((1 - axis, 2)).max()
            seam = np.abs(image.take(0, axis) - image.take(-1, axis)).mean()
            assert seam <= max(1.3 * steps, 1.0)


def test_two_colours_make_a_checker() -> None:
    for number in range(1, 9):
        assert len(np.unique(procedural("checker", 64, 0, number).reshape(-1, 3), axis=0)) == 2


def test_a_longer_pool_begins_as_a_shorter_one() -> None:
    short, long = make_textures(TexturePool(count=7, size=16)), make_textures(TexturePool(count=20, size=16))
    assert all((a == b).all() for a, b in zip(short, long, strict=False))


def test_images_follow_the_procedural_ones(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "b.png"), np.full((20, 40, 3), (0, 0, 200), np.uint8))
    cv2.imwrite(str(tmp_path / "A.JPG"), np.full((40, 20, 3), (0, 200, 0), np.uint8))
    pool = TexturePool(count=2, size=8, folder=str(tmp_path))
    images = make_textures(pool)
    assert len(images) == count_textures(pool) == 4
    assert images[2].shape == (8, 8, 3)
    np.testing.assert_allclose(images[2].reshape(-1, 3).mean(0), (0, 200, 0), atol=3)
    assert (images[3] == (200, 0, 0)).all()


@pytest.mark.parametrize(
    ("textures", "message"),
    [
        ({"count": 0}, r"textures.count: got 0 and no folder|got 0 and no folder"),
        ({"families": ["chequer"]}, "did you mean 'checker'"),
        ({"counts": 3}, "unknown key 'counts'; did you mean 'count'"),
        ({"count": 901}, r"textures.count: got 901"),
    ],
)
def test_one_clear_error(textures: dict[str, object], message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        Spec.from_dict({"format": "dr_env/1", "textures": textures})


def test_a_folder_without_images_is_one_error(tmp_path: Path) -> None:
    text = "format: dr_env/1\ntextures: {folder: here}\nentries: {}\n"
    looks = propose_looks(mujoco.MjModel.from_xml_string(LOOKS_MODEL)).to_dict()
    (tmp_path / "here").mkdir()
    for folder, message in (
        ("here", "has no images; expected .png"),
        ("there", "no such folder, expected one of images"),
    ):
        (tmp_path / "spec.yaml").write_text(text.replace("here", folder))
        spec = Spec.load(tmp_path / "spec.yaml")
        spec = spec.model_copy(update={"entries": Spec.from_dict(looks).entries})
        with pytest.raises(DREnvError, match=rf"spec.yaml:2 textures.*{message}"):
            compile_model(mujoco.MjSpec.from_string(LOOKS_MODEL), spec)


def test_a_pool_has_its_limits() -> None:
    looks = propose_looks(mujoco.MjModel.from_xml_string(LOOKS_MODEL), TexturePool(count=400, size=4))
    with pytest.raises(
        DREnvError, match="400 textures for 2d and cube and sky shapes make 1202, expected at most 1000"
    ):
        compile_model(mujoco.MjSpec.from_string(LOOKS_MODEL), looks)


@pytest.mark.parametrize("xml", [LOOKS_MODEL, FULL_MODEL, "<mujoco><worldbody/></mujoco>"])
def test_the_proposed_looks_fit(xml: str) -> None:
    spec = propose_looks(mujoco.MjModel.from_xml_string(xml), TexturePool(count=6, size=8))
    model = compile_model(mujoco.MjSpec.from_string(xml), spec)
    plan = spec.bind(model)
    assert plan.visual == frozenset(plan.nominal)
    for seed in range(5):
        plan.apply(model, plan.sample(np.random.default_rng(seed)))
    assert Spec.from_yaml(spec.to_yaml()) == spec


def test_print_is_ink_on_paper() -> None:
    """Dark on bright, and both without much of a colour, whatever is drawn."""
    for number in range(1, 20):
        image = procedural("print", 64, 0, number).astype(float)
        light = image.mean(-1)
        assert np.percentile(light, 95) > 180 and light.min() < 70
        paper = image[light > 180]
        assert np.ptp(paper, axis=-1).mean() < 30

"""Frames of one Spec after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.binding import limited, seen_entries
from dr_env.export import ExportRequest, Layout, SourceRequest, export
from dr_env.vision.glimpse import Glimpser
from dr_env.vision.images import open_images
from tests.vision.made_scene import PRIOR, TARGET, request


@pytest.fixture(scope="module")
def here() -> Iterator[Glimpser]:
    with Glimpser(request(), 0) as glimpse:
        yield glimpse


def moved(**numbers: float) -> Spec:
    vector = PRIOR.parameters(scene=True)
    return PRIOR.with_parameters(vector.replace({name.replace("__", "."): value for name, value in numbers.items()}))


def _strict(spec: Spec) -> Spec:
    """What accepts no scene: more objects are to be seen than there are."""
    assert spec.scene is not None
    framing = spec.scene.framing.model_copy(update={"objects": 6, "attempts": 2})
    return spec.model_copy(update={"scene": spec.scene.model_copy(update={"framing": framing})})


def test_retuned_frames_are_those_of_a_source_opened_anew(here: Glimpser) -> None:
    wider = moved(scene__areas__around__x__low=-0.5, scene__areas__around__x__high=0.5)  # needs another model
    more = moved(scene__areas__around__count__low=3, scene__areas__around__count__high=4)
    pictures = []
    for spec in (TARGET, more, wider):
        seen = here(spec, 3).images
        with Glimpser(request(spec), 0) as fresh:
            assert np.array_equal(seen, fresh(spec, 3).images)
        pictures.append(seen)
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])


def test_workers_change_no_pixel(here: Glimpser) -> None:
    with Glimpser(request(), 2) as shared:
        for spec in (TARGET, PRIOR):
            one, two = here(spec, 5, positions=True), shared(spec, 5, positions=True)
            assert np.array_equal(one.images, two.images)
            assert one.positions.keys() == two.positions.keys()
            for name, places in one.positions.items():
                assert np.array_equal(places, two.positions[name], equal_nan=True)
        assert np.array_equal(shared(PRIOR, 2, first=3).images, here(PRIOR, 5).images[3:])
        bad = moved(distance__low=1.7, distance__high=1.8)
        with pytest.raises(DREnvError, match="no scene among 2 is as the Spec asks"):
            shared(_strict(bad), 3)
        assert np.array_equal(shared(PRIOR, 3).images, here(PRIOR, 3).images), "and it goes on"


def test_positions_are_where_the_labels_say(here: Glimpser) -> None:
    seen = here(PRIOR, 4, positions=True)
    assert set(seen.positions) <= {"cube", "cone"}
    source = request().open()
    try:
        for index in range(4):
            frame = source.frame(index)
            (cube,) = (view for view in frame.objects if view.class_name == "cube")
            np.testing.assert_allclose(seen.positions["cube"][index], cube.camera_from_object[:3, 3], atol=1e-12)
            assert np.array_equal(seen.images[index], frame.rgb)
    finally:
        source.close()


def test_what_pictures_show_and_how_far_it_may_go() -> None:
    source = request().open()
    try:
        assert seen_entries(source.plan) == ("light", "distance", "gloss"), "not the mass"
        spec = limited(source.plan)
        assert spec.entries["gloss"].bounds == pytest.approx((0.2, 1.0)), (
            "what it would reach by itself, within what a field can take"
        )
        assert spec.entries["light"].bounds == (0, 2), "given ones stay"
        vector = spec.parameters(scene=True)
        corners = [vector.low, vector.high]
        for corner in corners:
            assert source.retune(spec.with_parameters(vector.replace(corner))) in (True, False)  # never refused
    finally:
        source.close()


def test_negative_workers_are_refused() -> None:
    with pytest.raises(DREnvError, match="workers: got -1"):
        Glimpser(request(), -1)


def test_models_without_a_scene_are_retuned_as_well() -> None:
    spec = Spec.from_yaml("""
format: dr_env/1
entries:
  light:
    select: option
    field: headlight_diffuse
    operation: set
    distribution: {type: uniform, low: 0.1, high: 0.2}
    bounds: [0, 1]
  mass:
    select: {body: block}
    field: mass
    operation: scale
    distribution: {type: uniform, low: 0.9, high: 1.1}
""")
    made = SourceRequest("push", spec.to_yaml(), "made", 0, 48, 36)
    bright = spec.with_parameters(spec.parameters().replace({"light.low": 0.7, "light.high": 0.8}))
    with Glimpser(made, 0) as glimpse, Glimpser(dataclasses.replace(made, spec=bright.to_yaml()), 0) as fresh:
        dark = glimpse(spec, 2).images
        assert np.array_equal(glimpse(bright, 2).images, fresh(bright, 2).images)
        assert fresh(bright, 2).images.mean() > dark.mean() + 10
        assert np.array_equal(glimpse(spec, 2).images, dark)


def test_positions_are_those_that_datasets_tell(tmp_path: Path) -> None:
    """Of the middle of a class's box, wherever its own frame is."""
    task = tmp_path / "task.xml"
    task.write_text(
        """<mujoco><statistic extent="1"/><worldbody><light pos="0 0 2"/>
        <camera name="eye" pos="0 -.6 .5" xyaxes="1 0 0 0 .64 .77"/>
        <body name="ell" pos="0 0 .05"><freejoint/><geom type="box" size=".02 .03 .05" pos=".06 0 .01"/></body>
        </worldbody></mujoco>"""
    )
    source = SourceRequest(str(task), Spec().to_yaml(), "spec", 3, 64, 48, jitter=0.05)
    export(ExportRequest(source, Layout(2, 64, 48), ("bop",)), tmp_path / "data")
    images = open_images(tmp_path / "data")
    with Glimpser(source, 0) as glimpse:
        (found,) = glimpse(Spec(), 2, positions=True).positions.values()
    told = [images[k].annotations[0].camera_from_object[:3, 3] for k in range(2)]
    assert np.allclose(found, told, atol=1e-5)

"""Pictures of models that change: they show the model as it is, whatever was drawn before."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dr_env.rendering import filament as filament_module
from tests.conftest import model_bytes
from tests.rendering.scenes import HEIGHT, WIDTH, renderer, scene, why_not

REASONS = {name: why_not(name) for name in ("classic", "filament")}
BOTH = [pytest.param(name, marks=pytest.mark.skipif(bool(why), reason=why or "works")) for name, why in REASONS.items()]


@pytest.mark.parametrize("name", BOTH)
def test_edits_of_the_model_are_seen_at_the_next_image_and_the_renderer_makes_none(name: str) -> None:
    model, data, _ = scene()
    before = model_bytes(model)
    with renderer(name, model) as made:

        def color() -> np.ndarray:
            image = made.images(model, data, "eye", ("rgb", "geom"))
            assert image.rgb is not None and image.geom is not None
            return image.rgb[image.geom == model.geom("cube").id].mean(0)

        red = color()
        assert model_bytes(model) == before
        model.mat_texid[0, 1] = model.texture("blue").id
        blue = color()
        assert red[0] > 2 * red[2] and blue[2] > 2 * blue[0]
        model.mat_texid[0, 1] = model.texture("red").id
        model.light_diffuse[:] = 0
        assert color().sum() < red.sum()


@pytest.mark.parametrize("name", BOTH)
def test_pictures_show_the_model_as_it_is_also_the_first_after_an_edit(name: str) -> None:
    model, data, objects = scene()
    cube, ball, away = (model.geom(each).id for each in ("cube", "ball", "away"))
    model.geom_group[away] = 5
    with renderer(name, model, 80, 60) as made:
        model.geom_size[cube] *= 1.7
        model.geom_group[[ball, away]] = 5, 0
        model.light_intensity[0] = 900.0
        mujoco.mj_forward(model, data)
        labels = made.images(model, data, "eye", ("geom", "depth"))  # no rgb, which begins anew by itself
        outlines = made.silhouettes(model, data, [item.geoms for item in objects], "eye")
        rgb = made.images(model, data, "eye").rgb
    with renderer(name, model, 80, 60) as fresh:
        seen = fresh.images(model, data, "eye", ("rgb", "geom", "depth"))
        expected = fresh.silhouettes(model, data, [item.geoms for item in objects], "eye")
    assert np.array_equal(labels.geom, seen.geom) and np.array_equal(labels.depth, seen.depth)
    assert np.array_equal(rgb, seen.rgb)
    assert [each.box for each in outlines] == [each.box for each in expected]


@pytest.mark.parametrize("name", BOTH)
def test_groups_and_colours_alone_upload_nothing_anew(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data, _ = scene()
    with renderer(name, model, 80, 60) as made:
        monkeypatch.setattr(filament_module, "_make_context", lambda: pytest.fail("began anew"))
        model.geom_group[model.geom("ball").id] = 5
        model.geom_rgba[model.geom("front").id] = [0.1, 0.2, 0.3, 1]
        made.images(model, data, "eye", ("rgb", "geom"))
        model.geom_group[model.geom("ball").id] = 0
        seen = made.images(model, data, "eye", ("geom",)).geom
    assert seen is not None and (seen == model.geom("ball").id).any()


@pytest.mark.parametrize("name", BOTH)
def test_what_is_wholly_transparent_is_in_no_picture(name: str) -> None:
    model, data, objects = scene()
    front, wedge, cube = (model.geom(each).id for each in ("front", "wedge", "cube"))
    model.geom_rgba[front, 3] = 0
    model.mat_rgba[0, 3] = 0  # the cube's
    with renderer(name, model, 80, 60) as made:
        clear = made.images(model, data, "eye", ("rgb", "geom", "depth"))
        outlines = made.silhouettes(model, data, [item.geoms for item in objects], "eye")
        model.geom_group[[front, cube]] = 5
        hidden = made.images(model, data, "eye", ("rgb", "geom", "depth"))
    for kind in ("rgb", "geom", "depth"):
        assert np.array_equal(getattr(clear, kind), getattr(hidden, kind)), kind
    assert clear.geom is not None and (clear.geom == wedge).any()
    assert [each.count > 0 for each in outlines] == [False, True, False, True, True, False]


@pytest.mark.parametrize("name", BOTH)
def test_an_outline_grows_with_its_object(name: str) -> None:
    model, data, objects = scene()
    model.geom_size[model.geom("ball").id] *= 1.6
    mujoco.mj_forward(model, data)
    with renderer(name, model) as made:
        outline = made.silhouettes(model, data, [objects[1].geoms], "eye")[0]
        alone = np.delete(np.arange(model.ngeom), model.geom("ball").id)
        model.geom_group[alone] = 5
        seen = made.images(model, data, "eye", ("geom",)).geom
    assert seen is not None and np.count_nonzero(outline.mask(HEIGHT, WIDTH) ^ (seen >= 0)) <= 2


TENDONS = """
<mujoco>
  <worldbody>
    <camera name="eye" pos="0 0 4"/>
    <geom name="floor" type="plane" size="3 3 .1" pos="0 0 -.1"/>
    {sites}
  </worldbody>
  <tendon><spatial width=".03"><site site="s0"/><site site="s219"/></spatial></tendon>
</mujoco>
"""


@pytest.mark.parametrize("name", BOTH)
def test_many_sites_and_tendons_are_drawn_and_are_no_geoms(name: str) -> None:
    places = [(-1 + 0.1 * (i % 20), -0.5 + 0.1 * (i // 20)) for i in range(220)]
    sites = "".join(f'<site name="s{i}" pos="{x} {y} 0" size=".02"/>' for i, (x, y) in enumerate(places))
    model = mujoco.MjModel.from_xml_string(TENDONS.format(sites=sites))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with renderer(name, model, 400, 400) as made:
        seen = made.images(model, data, "eye", ("geom",))
    assert seen.geom is not None
    points = seen.camera_from_world[:3, :3] @ np.array([*zip(*places, strict=True), [0.0] * 220])
    u, v = (seen.intrinsics.K @ (points + seen.camera_from_world[:3, 3:]))[:2] / 4
    assert (seen.geom[v.round().astype(int), u.round().astype(int)] == -1).all()

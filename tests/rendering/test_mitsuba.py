"""The path tracer: it sees what the classic renderer sees, and its light is that of the model's lamps."""

from __future__ import annotations

import builtins
from typing import Any

import cv2
import mujoco
import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.rendering import make_renderer
from dr_env.rendering.cubemaps import face_and_place, on_cube, panorama
from dr_env.rendering.surfaces import Surface, surface_of
from tests.conftest import model_bytes
from tests.rendering.scenes import renderer, scene, why_not

REASON = why_not("mitsuba")
needs_mitsuba = pytest.mark.skipif(bool(REASON), reason=REASON or "works")


@pytest.fixture(autouse=True)
def scalar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DR_ENV_MITSUBA_VARIANT", "scalar_rgb")  # which every machine has


def _glowing() -> tuple[mujoco.MjModel, mujoco.MjData, list[int]]:
    """The scene in the dark, with four geoms that shine."""
    model, data, _ = scene()
    model.vis.headlight.active = 0
    model.light_active[:] = 0
    model.mat_texid[:], model.mat_rgba[:], model.mat_emission[:] = -1, 1, 1
    shining = [model.geom(name).id for name in ("cube", "ball", "front", "edge")]
    model.geom_matid[:], model.geom_rgba[:] = -1, [0, 0, 0, 1]
    model.geom_matid[shining], model.geom_rgba[shining] = 0, 1
    return model, data, shining


@needs_mitsuba
def test_what_shines_is_where_the_labels_are() -> None:
    """Off-centre camera with pixels that are not square; half light is 188 of 255."""
    model, data, shining = _glowing()
    with renderer("mitsuba:8", model, 320, 240) as made:
        seen = made.images(model, data, "eye", ("rgb", "geom", "depth"))
    assert seen.rgb is not None and seen.geom is not None
    lit, labelled = seen.rgb[..., 1] >= 188, np.isin(seen.geom, shining)
    assert (lit & labelled).sum() / (lit | labelled).sum() >= 0.98
    for geom in shining:
        rows, columns = np.nonzero(seen.geom == geom)
        box = np.s_[rows.min() - 1 : rows.max() + 2, max(columns.min() - 1, 0) : columns.max() + 2]
        assert (lit[box] & labelled[box]).sum() / (lit[box] | labelled[box]).sum() >= 0.97


@needs_mitsuba
def test_labels_are_the_classic_renderers_and_pictures_depend_on_the_state_alone() -> None:
    model, data, objects = scene()
    before = model_bytes(model)
    with renderer("classic", model) as classic, renderer("mitsuba:2", model) as traced:
        wanted = ("rgb", "depth", "geom", "normals")
        one, other = classic.images(model, data, "eye", wanted), traced.images(model, data, "eye", wanted)
        for kind in ("depth", "geom", "normals"):
            np.testing.assert_array_equal(getattr(one, kind), getattr(other, kind))
        geoms = [each.geoms for each in objects]
        for left, right in zip(
            classic.silhouettes(model, data, geoms, "eye"), traced.silhouettes(model, data, geoms, "eye"), strict=True
        ):
            np.testing.assert_array_equal(left.mask(120, 160), right.mask(120, 160))
        model.mat_texid[0, 1] = model.texture("blue").id
        blue = traced.images(model, data, "eye").rgb
        model.mat_texid[0, 1] = model.texture("red").id
        again = traced.images(model, data, "eye").rgb
        assert one.geom is not None and other.rgb is not None and blue is not None
        np.testing.assert_array_equal(again, other.rgb)
        cube = one.geom == model.geom("cube").id
        assert other.rgb[cube].mean(0)[0] > 2 * other.rgb[cube].mean(0)[2]
        assert blue[cube].mean(0)[2] > 2 * blue[cube].mean(0)[0]
        assert traced.provenance()["renderer"] == "mitsuba" and traced.provenance()["mitsuba"]
        assert "2 samples" in traced.provenance()["gl_renderer"]
    assert model_bytes(model) == before


def _lit(light: str, rgba: str = ".5 .5 .5 1") -> np.ndarray:
    """The mean colour of a matt plane seen from above."""
    model = mujoco.MjModel.from_xml_string(f"""
    <mujoco>
      <statistic extent="1" center="0 0 0"/>
      <visual><headlight active="0"/></visual>
      <asset><material name="matt" rgba="{rgba}" specular="0" shininess="0" roughness="1"/></asset>
      <worldbody>
        {light}
        <camera name="eye" pos="0 0 1" fovy="20"/>
        <geom type="plane" size="3 3 .1" material="matt"/>
      </worldbody>
    </mujoco>""")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with renderer("mitsuba:4", model, 16, 12) as made:
        rgb = made.images(model, data, "eye").rgb
    assert rgb is not None
    return np.asarray(rgb.reshape(-1, 3).mean(0))


@needs_mitsuba
def test_a_lit_plane_has_its_colour() -> None:
    """Under light of strength 1 a matt surface shows its own colour, by whatever kind of lamp."""
    for kind in ('type="directional"', 'type="point"', 'cutoff="80" exponent="1"'):
        color = _lit(f'<light {kind} pos="0 0 2" dir="0 0 -1" diffuse="1 1 1"/>', ".6 .4 .2 1")
        np.testing.assert_allclose(color, [153, 102, 51], atol=14)
    dim, bright = (
        _lit(f'<light type="directional" dir="0 0 -1" diffuse="1 1 1" intensity="{lux}"/>')[0] for lux in (4000, 16000)
    )
    # linear light is proportional to lux: 0.214 albedo / pi * lux * exposure
    expected = [0.214 / np.pi * lux / (1.2 * 2**15) for lux in (4000, 16000)]
    encoded = [255 * (1.055 * light ** (1 / 2.4) - 0.055) for light in expected]
    np.testing.assert_allclose([dim, bright], encoded, rtol=0.12)


def test_cube_textures_are_looked_up_as_opengl_does_and_cut_at_their_edges() -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(200, 3))
    face, place = face_and_place(directions)
    major = np.abs(directions).max(1)
    assert (np.abs(directions)[np.arange(200), face // 2] == major).all()
    assert ((directions[np.arange(200), face // 2] < 0) == (face % 2 == 1)).all()
    assert (place >= 0).all() and (place <= 1).all()
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    ball = surface_of(model, int(mujoco.mjtGeom.mjGEOM_SPHERE), -1, np.full(3, 0.3))
    assert ball is not None
    cut = on_cube(ball, ball.vertices, 64)
    assert cut.uv is not None and _area(cut) == pytest.approx(_area(ball), rel=1e-6)
    assert _area(ball) == pytest.approx(4 * np.pi * 0.3**2, rel=0.01)
    outward = np.cross(*(cut.vertices[cut.faces[:, i]] - cut.vertices[cut.faces[:, 0]] for i in (1, 2)))
    assert ((outward * cut.vertices[cut.faces].mean(1)).sum(1) > -1e-9).all()
    # what a triangle's middle looks up is what its coordinates say
    middle, uv = cut.vertices[cut.faces].mean(1), cut.uv[cut.faces].mean(1)
    face, place = face_and_place(middle)
    np.testing.assert_array_equal(np.floor(uv[:, 1] * 6), face)
    assert np.abs(np.stack([uv[:, 0], uv[:, 1] * 6 - face], -1) - place).max() < 0.02


def _area(surface: Surface) -> float:
    corners = surface.vertices[surface.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(cross, axis=-1).sum() / 2)


def test_a_panorama_shows_every_face_where_it_is() -> None:
    faces = np.repeat(np.arange(6, dtype=np.uint8) * 40, 8 * 8).reshape(48, 8)[..., None].repeat(3, -1)
    picture = panorama(faces)[..., 0] // 40
    assert picture.shape == (16, 32)
    assert (picture[0] == 2).all() and (picture[-1] == 3).all()  # +y above, -y below
    assert picture[8, [8, 24, 16, 0]].tolist() == [0, 1, 4, 5]  # towards +x, -x, +z, -z


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, _ = scene()
    with pytest.raises(DREnvError, match="got 'mitsuba:many', expected a number of samples"):
        make_renderer("mitsuba:many", model, 8, 8)
    if not REASON:
        with pytest.raises(DREnvError, match="samples: got 0"):
            make_renderer("mitsuba:0", model, 8, 8)
        monkeypatch.setenv("DR_ENV_MITSUBA_VARIANT", "scalar_rbg")
        with pytest.raises(DREnvError, match="no variant 'scalar_rbg'; did you mean 'scalar_rgb'"):
            make_renderer("mitsuba", model, 8, 8)
    usual = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "mitsuba":
            raise ImportError(name)
        return usual(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DREnvError, match=r"needs Mitsuba 3; install it: pip install 'dr-env\[mitsuba\]'"):
        make_renderer("mitsuba", model, 8, 8)


def _textured(kind: str) -> mujoco.MjModel:
    """A box and a wedge, of which each pixel tells its texture's column (red), row (green) and face (blue)."""
    n, mjspec = 16, mujoco.MjSpec()
    mjspec.stat.extent, mjspec.stat.center = 1.0, [0, 0, 0]
    mjspec.visual.headlight.ambient, mjspec.visual.headlight.diffuse = [0.0] * 3, [1.0] * 3
    mjspec.visual.headlight.specular = [0.0] * 3
    cube = kind != "2d"
    texture = mjspec.add_texture(name="told", nchannel=3, width=n, height=6 * n if cube else n)
    texture.type = mujoco.mjtTexture.mjTEXTURE_CUBE if cube else mujoco.mjtTexture.mjTEXTURE_2D
    row, column = np.meshgrid(np.linspace(60, 255, n), np.linspace(60, 255, n), indexing="ij")
    faces = [np.stack([column, row, np.full_like(row, 80 + 30 * i)], -1) for i in range(6 if cube else 1)]
    texture.data = np.concatenate(faces).astype(np.uint8).tobytes()
    material = mjspec.add_material(name="told", rgba=[1, 1, 1, 1], specular=0, shininess=0)
    material.texuniform = kind == "uniform cube"
    textures = material.textures
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "told"
    material.textures = textures
    world = mjspec.worldbody
    world.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.2, 0.12, 0.1], pos=[-0.22, 0, 0], quat=[0.9, 0.1, 0.3, 0.3],
        material="told",
    )  # fmt: skip
    mjspec.add_mesh(name="wedge", uservert=np.array([0, 0, 0, 0.3, 0, 0, 0, 0.3, 0, 0, 0, 0.4]))
    world.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="wedge", pos=[0.25, 0, 0], material="told")
    world.add_camera(name="eye", pos=[0, -0.9, 0.9], quat=[0.92388, 0.38268, 0, 0], fovy=40)
    return mjspec.compile()


@needs_mitsuba
@pytest.mark.parametrize("kind", ["2d", "cube", "uniform cube"])
def test_textures_lie_where_the_classic_renderer_puts_them(kind: str) -> None:
    model = _textured(kind)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with renderer("classic", model) as classic, renderer("mitsuba:8", model) as traced:
        one = classic.images(model, data, "eye", ("rgb", "geom"))
        other = traced.images(model, data, "eye").rgb
    assert one.rgb is not None and one.geom is not None and other is not None
    for geom in range(model.ngeom):
        inside = cv2.erode((one.geom == geom).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        inside &= (one.rgb.min(-1) > 15) & (other.min(-1) > 15)
        assert inside.sum() > 200
        # ratios of colours do not depend on how a side is lit
        ratios = [np.log(picture[inside][:, :2] / picture[inside][:, 2:].astype(float)) for picture in (one.rgb, other)]
        for channel in (0, 1):
            assert np.corrcoef(ratios[0][:, channel], ratios[1][:, channel])[0, 1] > 0.95, (geom, channel)

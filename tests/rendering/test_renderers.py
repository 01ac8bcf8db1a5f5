"""Both renderers, against rays, analytic shapes and each other."""

from __future__ import annotations

import os
import subprocess
import sys
from ctypes.util import find_library

import mujoco
import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.rendering import ClassicRenderer, Renderer, capture, make_renderer
from dr_env.rendering import filament as filament_module
from dr_env.rendering.opengl import Framebuffer
from dr_env.rendering.silhouettes import pack
from dr_env.scene import shapes
from dr_env.scene.mesh import Mesh
from dr_env.scene.mesh_colours import bake
from dr_env.spatial import inverse
from tests.rendering.scenes import HEIGHT, WIDTH, renderer, scene, why_not

REASONS = {name: why_not(name) for name in ("classic", "filament")}
BOTH = [pytest.param(name, marks=pytest.mark.skipif(bool(why), reason=why or "works")) for name, why in REASONS.items()]
needs_both = pytest.mark.skipif(any(REASONS.values()), reason="; ".join(REASONS.values()) or "works")
needs_classic = pytest.mark.skipif(bool(REASONS["classic"]), reason=REASONS["classic"] or "works")

EVERYTHING = ("rgb", "depth", "geom", "normals")


@pytest.mark.parametrize("name", BOTH)
def test_ids_depth_and_normals_are_what_rays_meet(name: str) -> None:
    model, data, _ = scene()
    with renderer(name, model) as made:
        seen = made.images(model, data, "eye", EVERYTHING)
    assert seen.geom is not None and seen.depth is not None and seen.normals is not None
    world_from_camera = inverse(seen.camera_from_world)
    rays = seen.intrinsics.rays() @ world_from_camera[:3, :3].T
    hit, normal = np.zeros(1, np.int32), np.zeros(3)
    same, depth_errors, angles = [], [], []
    for row in range(0, HEIGHT, 3):
        for column in range(0, WIDTH, 3):
            ray = rays[row, column]
            along = mujoco.mj_ray(model, data, world_from_camera[:3, 3], ray, None, 1, -1, hit, normal)
            same.append(seen.geom[row, column] == hit[0])
            if same[-1] and along >= 0:
                depth_errors.append(abs(seen.depth[row, column] - along))  # the rays have z = 1
                theirs = seen.camera_from_world[:3, :3] @ normal
                angles.append(np.degrees(np.arccos(np.clip(theirs @ seen.normals[row, column], -1, 1))))
            elif same[-1]:
                assert seen.depth[row, column] == 0
    assert len(depth_errors) > 1500
    assert np.mean(same) > 0.995
    assert np.percentile(depth_errors, [50, 98]) == pytest.approx([0, 0], abs=1e-3)
    assert np.percentile(angles, [50, 95])[0] < 0.5 and np.percentile(angles, 90) < 6


@pytest.mark.parametrize("name", BOTH)
def test_intrinsics_are_the_models_and_are_read_anew(name: str) -> None:
    model, data, objects = scene()
    with renderer(name, model) as made:
        seen = made.images(model, data, "eye", ("geom",)).intrinsics
        # focal length and principal point over the sensor's size, times pixels
        assert seen.fx == pytest.approx(0.0066 / 0.0064 * WIDTH, rel=1e-6)
        assert seen.fy == pytest.approx(0.006 / 0.0048 * HEIGHT, rel=1e-6)
        before = made.silhouettes(model, data, [objects[0].geoms], "eye")[0].box
        model.cam_intrinsic[0, 2] += 0.0064 * 10 / WIDTH  # ten pixels
        moved = made.images(model, data, "eye", ("geom",)).intrinsics
        after = made.silhouettes(model, data, [objects[0].geoms], "eye")[0].box
    assert abs(moved.cx - seen.cx) == pytest.approx(10, abs=1e-3)
    assert before is not None and after is not None
    assert after[0] - before[0] == pytest.approx(moved.cx - seen.cx, abs=1.01)


@pytest.mark.parametrize("name", BOTH)
def test_silhouettes_of_spheres_are_ellipses_also_beyond_the_image(name: str) -> None:
    model, data, objects = scene()
    with renderer(name, model) as made:
        seen = made.images(model, data, "eye")
        outlines = made.silhouettes(model, data, [item.geoms for item in objects], "eye")
    camera = seen.intrinsics
    u, v = np.meshgrid(np.arange(-WIDTH, 2 * WIDTH), np.arange(-HEIGHT, 2 * HEIGHT))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], -1)
    for number, radius in ((1, 0.1), (3, 0.12)):
        center = (seen.camera_from_world @ [*data.xpos[objects[number].body], 1])[:3]
        # a ray meets a sphere when it passes its centre within the radius
        along = rays @ center / np.linalg.norm(rays, axis=-1)
        inside = center @ center - along**2 < radius**2
        outline = outlines[number]
        assert outline.count == pytest.approx(inside.sum(), rel=0.02)
        rows, columns = np.nonzero(inside)
        expected = [columns.min() - WIDTH, rows.min() - HEIGHT, np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert outline.box == pytest.approx(expected, abs=1)
    assert outlines[3].x < 0 < outlines[3].within(HEIGHT, WIDTH).sum()  # "edge" leaves the image
    assert outlines[5].box is None and outlines[5].count == 0  # "away" is behind the camera


@pytest.mark.parametrize("name", BOTH)
def test_silhouettes_know_nothing_of_other_objects_and_hold_what_is_visible(name: str) -> None:
    model, data, objects = scene()
    with renderer(name, model) as made:
        frame = capture(made, model, data, "eye", objects)
        alone = made.silhouettes(model, data, [objects[1].geoms], "eye")[0]
        again = capture(made, model, data, "eye", objects)
    ball = frame.objects[1].silhouette
    visible = frame.instance == 2
    assert 0 < visible.sum() < ball.count  # "front" hides a part
    assert np.count_nonzero(ball.mask(HEIGHT, WIDTH) ^ alone.mask(HEIGHT, WIDTH)) <= 2
    for view in frame.objects:
        assert not ((frame.instance == view.instance) & ~view.silhouette.mask(HEIGHT, WIDTH)).any()
    assert (frame.rgb == again.rgb).all() and (frame.depth == again.depth).all()  # drawing leaves no trace
    assert (np.isin(frame.instance, [1, 3, 5]) == (frame.semantic == 1)).all()


@pytest.mark.parametrize(("rows", "columns"), [(56, 80), (100, 160)])
@pytest.mark.parametrize("name", BOTH)
def test_a_fine_scan_seen_from_afar_keeps_its_colours(name: str, rows: int, columns: int) -> None:
    """Faces smaller than pixels, in the order of nobody's choice: their colours must not run into each other."""
    ball = shapes.superquadric(1.0, 1.0, rows, columns).scaled(0.2)
    faces = np.random.default_rng(0).permutation(ball.faces)
    scan = Mesh.of(ball.vertices, faces)
    left = scan.vertices[scan.faces].mean(1)[:, 0] < 0
    colours = np.where(left[:, None, None], (200.0, 20.0, 20.0), (20.0, 20.0, 200.0)) * np.ones((1, 3, 1))
    scan = bake(scan, colours)
    assert scan.texture is not None
    spec = mujoco.MjSpec.from_string(
        "<mujoco><visual><headlight ambient='1 1 1' diffuse='0 0 0' specular='0 0 0'/></visual>"
        "<worldbody><camera name='eye' pos='0 0 1' fovy='30'/></worldbody></mujoco>"
    )
    vertices, corners, normals, uv = scan.split()
    mesh = spec.add_mesh(name="scan", uservert=vertices.ravel(), userface=corners.ravel())
    mesh.usernormal, mesh.usertexcoord = normals.ravel(), uv.ravel()
    texture = spec.add_texture(name="scan", type=mujoco.mjtTexture.mjTEXTURE_2D, nchannel=3)
    texture.height, texture.width = scan.texture.shape[:2]
    texture.data = scan.texture[::-1].tobytes()
    material = spec.add_material(name="scan", rgba=[1, 1, 1, 1], specular=0)
    roles = material.textures
    roles[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "scan"
    material.textures = roles
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="scan", material="scan")
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with renderer(name, model) as made:
        seen = made.images(model, data, "eye", ("rgb", "geom"))
    assert seen.rgb is not None and seen.geom is not None
    y, x = np.nonzero(seen.geom == 0)
    assert len(y) > 1000
    for side, mine, other in ((x < x.mean() - 3, 0, 2), (x > x.mean() + 3, 2, 0)):
        pixels = seen.rgb[y[side], x[side]].astype(int)
        assert (pixels[:, other] < 0.25 * pixels[:, mine]).mean() > 0.98


COLOUR = """
<mujoco>
  <visual><headlight ambient=".4 .4 .4" diffuse=".3 .3 .3" specular="0 0 0"/></visual>
  <asset>
    {texture}
    <material name="m" {material} specular="0" shininess="0"/>
  </asset>
  <worldbody>
    <light type="directional" dir="0 0 -1" pos="0 0 2"/>
    <camera name="eye" pos="0 0 1"/>
    <geom type="box" size="2 2 .01" material="m"/>
  </worldbody>
</mujoco>
"""


@pytest.mark.parametrize("name", BOTH)
def test_a_texture_and_a_colour_of_the_same_numbers_look_the_same(name: str) -> None:
    flat = '<texture name="t" type="2d" builtin="flat" rgb1=".1 .7 .2" width="16" height="16" {}/>'
    looks = [
        COLOUR.format(texture="", material='rgba=".1 .7 .2 1"'),
        *(COLOUR.format(texture=flat.format(space), material='texture="t"') for space in ("", 'colorspace="sRGB"')),
    ]
    seen = []
    for xml in looks:
        model = mujoco.MjModel.from_xml_string(xml)
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        before = model.tex_colorspace.copy()
        with renderer(name, model, 16, 16) as made:
            rgb = made.images(model, data, "eye").rgb
        assert rgb is not None and (model.tex_colorspace == before).all()
        seen.append(rgb[8, 8].astype(int))
    for other in seen[1:]:
        assert np.abs(seen[0] - other).max() <= 2, seen


@needs_both
def test_the_renderers_agree_on_labels() -> None:
    model, data, objects = scene()
    frames = []
    for name in ("classic", "filament"):
        with renderer(name, model, 320, 240) as made:
            frames.append(capture(made, model, data, "eye", objects))
    one, other = frames
    for a, b in zip(one.objects, other.objects, strict=True):
        np.testing.assert_allclose(a.camera_from_object, b.camera_from_object, atol=1e-12)
        masks = [
            (one.instance == a.instance, other.instance == b.instance),
            (a.silhouette.mask(240, 320), b.silhouette.mask(240, 320)),
        ]
        for left, right in masks:
            if left.any():
                assert (left & right).sum() / (left | right).sum() >= 0.99
    same = one.instance == other.instance
    assert np.percentile(np.abs(one.depth - other.depth)[same], 99.9) < 1e-3
    assert np.median(np.abs(one.depth - other.depth)[same]) < 1e-5


@needs_classic
def test_ids_that_no_geom_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data, _ = scene()
    monkeypatch.setattr(Framebuffer, "colors", lambda self, w, h: np.full((h, w), 4711, np.uint32))
    with renderer("classic", model) as made, pytest.raises(DREnvError, match="a pixel holds id 4710, expected at most"):
        made.images(model, data, "eye", ("geom",))


@needs_classic
def test_what_is_asked_for_is_what_comes() -> None:
    model, data, _ = scene()
    with renderer("classic", model) as made:
        with pytest.raises(DREnvError, match="no image 'dept'; did you mean 'depth'"):
            made.images(model, data, "eye", ("dept",))
        seen = made.images(model, data, None, ("depth",))
        assert seen.rgb is None and seen.geom is None and seen.depth is not None
        made.close()
        with pytest.raises(DREnvError, match="closed"):
            made.images(model, data)


def test_unknown_renderers_and_missing_vulkan_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, _ = scene()
    with pytest.raises(DREnvError, match="no renderer 'clasic'; did you mean 'classic'"):
        make_renderer("clasic", model, 8, 8)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(filament_module.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(DREnvError, match=r"needs Vulkan.*apt-get install -y libvulkan1 mesa-vulkan-drivers"):
        make_renderer("filament", model, 8, 8)


@pytest.mark.skipif(not find_library("OSMesa"), reason="no OSMesa")
def test_osmesa_gives_the_same_labels() -> None:
    program = """
from dr_env.rendering import capture
from tests.rendering.scenes import renderer, scene
model, data, objects = scene()
with renderer("classic", model) as made:
    frame = capture(made, model, data, "eye", objects)
print(made.provenance()["gl_backend"], [(frame.instance == v.instance).sum().item() for v in frame.objects])
"""
    counts = {}
    for backend in ("osmesa", "egl" if find_library("EGL") else "osmesa"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**{k: v for k, v in os.environ.items() if k != "PYOPENGL_PLATFORM"}, "MUJOCO_GL": backend},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        name, _, counts[backend] = done.stdout.strip().partition(" ")
        assert name == backend
    assert len(set(counts.values())) == 1


def test_packing_overlaps_nothing() -> None:
    rng = np.random.default_rng(0)
    sizes = [(int(w), int(h)) for w, h in rng.integers(1, 60, (40, 2))]
    pages = pack(sizes, 100, 80)
    assert sorted(i for page in pages for i, _, _ in page) == list(range(40))
    for page in pages:
        taken = np.zeros((80, 100), int)
        for index, x, y in page:
            width, height = sizes[index]
            assert x + width <= 100 and y + height <= 80
            taken[y : y + height, x : x + width] += 1
        assert taken.max() == 1


@needs_classic
def test_both_kinds_are_renderers() -> None:
    model, _, _ = scene()
    with renderer("classic", model, 8, 8) as made:
        kept: Renderer = made
        assert isinstance(made, ClassicRenderer)
        assert kept.provenance()["renderer"] == "classic" and kept.provenance()["gl_renderer"]


@pytest.mark.skipif(bool(REASONS["filament"]), reason=REASONS["filament"] or "")
def test_filament_leaves_standard_output_to_results(capfd: pytest.CaptureFixture[str]) -> None:
    model, data, _ = scene()
    renderer = make_renderer("filament", model, WIDTH, HEIGHT)
    try:
        print("before")
        renderer.images(model, data)
    finally:
        renderer.close()
    print("after")
    assert capfd.readouterr().out == "before\nafter\n"

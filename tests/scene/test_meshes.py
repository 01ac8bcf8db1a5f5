"""Meshes of the user's: formats, units, colours, what is wrong with them, and their convex pieces."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh
from PIL import Image

from dr_env import DREnvError
from dr_env.scene import load_mesh, shapes
from dr_env.scene.mesh import Mesh
from dr_env.scene.mesh_colours import bake
from dr_env.scene.meshes import decompose


def cube_file(path: Path, scale: float = 80.0, **visual: object) -> Path:
    mesh = shapes.cube().scaled(scale)
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False, **visual).export(path)
    return path


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl"])
def test_formats_and_units(tmp_path: Path, suffix: str) -> None:
    for units, scale in (("mm", 80.0), ("cm", 8.0), ("m", 0.08)):
        mesh = load_mesh(cube_file(tmp_path / f"cube{suffix}", scale), units)
        np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), 0.08, rtol=1e-5)
        assert len(mesh.faces) == 12
        assert mesh.corner_uv is not None


def test_a_size_that_no_thing_has_is_warned_of(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"139 m in diameter, as units: m says; are its numbers in cm or mm\?"):
        load_mesh(cube_file(tmp_path / "cube.ply"), "m")


def test_bad_meshes_are_one_clear_error(tmp_path: Path) -> None:
    good = cube_file(tmp_path / "cube.ply")
    with pytest.raises(DREnvError, match=r"no unit 'inch'.*units: cm, m, mm"):
        load_mesh(good, "inch")
    with pytest.raises(DREnvError, match=r"nothing\.ply: no such file"):
        load_mesh(tmp_path / "nothing.ply", "mm")
    with pytest.raises(DREnvError, match=r"expected one of \.ply, \.obj, \.stl"):
        load_mesh(tmp_path / "cube.gltf", "mm")
    (tmp_path / "torn.ply").write_bytes(good.read_bytes()[:300])
    with pytest.raises(DREnvError, match=r"torn\.ply"):
        load_mesh(tmp_path / "torn.ply", "mm")
    points = (
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    )
    (tmp_path / "points.ply").write_text(points + "0 0 0\n1 0 0\n0 1 0\n")
    with pytest.raises(DREnvError, match=r"points\.ply: the mesh has no faces"):
        load_mesh(tmp_path / "points.ply", "mm")
    text = (tmp_path / "nan.obj").with_suffix(".obj")
    text.write_text("v 0 0 0\nv 1 0 0\nv 0 nan 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n")
    with pytest.raises(DREnvError, match=r"nan\.obj: vertex 2 is .* expected finite numbers"):
        load_mesh(text, "m")
    text.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nf 1 2 3\nf 2 3 4\n")
    with pytest.raises(DREnvError, match=r"the mesh is flat"):
        load_mesh(text, "m")


def test_vertex_colours_become_a_texture_that_shows_them(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (8, 3)).astype(np.uint8)
    mesh = load_mesh(cube_file(tmp_path / "cube.ply", vertex_colors=colours), "mm")
    assert mesh.texture is not None
    assert mesh.corner_uv is not None
    height, width = mesh.texture.shape[:2]
    texels = (mesh.corner_uv * [width, height]).astype(int)
    seen = mesh.texture[height - 1 - texels[..., 1], texels[..., 0]]
    assert np.abs(seen.astype(int) - colours[mesh.faces].astype(int)).max() <= 1


def test_colours_run_linearly_within_a_face() -> None:
    mesh = shapes.tetrahedron()
    corners = np.zeros((4, 3, 3))
    corners[:, 1, 0] = 255
    baked = bake(mesh, corners)
    assert baked.texture is not None
    assert baked.texture[0, :4, 0].tolist() == [0, 85, 170, 255]


def test_a_compiled_mesh_stays_in_the_objects_own_frame() -> None:
    """MuJoCo moves meshes to their centre of mass; the geom's pose undoes that."""
    mesh = shapes.mug().scaled(0.1).moved([0.3, -0.1, 0.2])
    spec = mujoco.MjSpec()
    vertices, faces, normals, _ = mesh.split()
    added = spec.add_mesh(name="mug", uservert=vertices.ravel(), userface=faces.ravel(), usernormal=normals.ravel())
    assert added.name == "mug"
    spec.worldbody.add_body(name="mug").add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="mug")
    model = spec.compile()
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.geom_quat[0])
    found = model.mesh_vert @ turn.reshape(3, 3).T + model.geom_pos[0]
    np.testing.assert_allclose(found, vertices, atol=1e-6)


def test_normals_keep_creases_and_smooth_what_is_round() -> None:
    cube = shapes.cube()
    a, b, c = (cube.vertices[cube.faces[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    np.testing.assert_allclose(cube.corner_normals(), np.repeat(flat[:, None], 3, axis=1), atol=1e-12)
    ball = shapes.sphere()
    outward = ball.vertices / np.linalg.norm(ball.vertices, axis=1, keepdims=True)
    assert ((ball.corner_normals() * outward[ball.faces]).sum(axis=2) > 0.99).all()
    vertices, faces, _, _ = cube.split()
    assert len(vertices) == 24
    np.testing.assert_array_equal(vertices[faces], cube.vertices[cube.faces])


def test_convex_pieces_are_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DR_ENV_CACHE", str(tmp_path))
    corner = shapes.extrusion([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]]).scaled(0.05)
    pieces = decompose(corner)
    assert 2 <= len(pieces) <= 6
    assert sum(piece.hull.volume for piece in pieces) == pytest.approx(corner.volume, rel=0.15)
    (kept,) = (tmp_path / "dr_env" / "convex").glob("*.npz")
    monkeypatch.setattr("dr_env.scene.meshes._coacd", lambda *_: pytest.fail("made again"))
    again = decompose(Mesh.of(corner.vertices, corner.faces))
    assert all(np.array_equal(a.vertices, b.vertices) for a, b in zip(pieces, again, strict=True))
    kept.write_bytes(b"half")
    with pytest.raises(pytest.fail.Exception):
        decompose(corner)


TEXTURED = """
mtllib box.mtl
{vertices}
vt 0 0
vt 1 0
vt {most} 1
{faces}
"""


def textured_box(folder: Path, materials: str, use: tuple[str, ...] = ("one",), most: float = 1) -> Path:
    box = shapes.cube().scaled(0.1)
    faces = [" ".join(f"{v + 1}/{i + 1}" for i, v in enumerate(face)) for face in box.faces]
    share = -(-len(faces) // len(use))
    lines = [
        line
        for i, name in enumerate(use)
        for line in (f"usemtl {name}", *(f"f {f}" for f in faces[i * share : (i + 1) * share]))
    ]
    vertices = "\n".join("v {} {} {}".format(*vertex) for vertex in box.vertices)
    (folder / "box.mtl").write_text(materials)
    path = folder / "box.obj"
    path.write_text(TEXTURED.format(vertices=vertices, faces="\n".join(lines), most=most))
    return path


def test_the_colour_of_a_material_is_kept(tmp_path: Path) -> None:
    mesh = load_mesh(textured_box(tmp_path, "newmtl one\nKd 1 0.2 0\n"), "m")
    assert mesh.texture is not None and (mesh.texture == (255, 51, 0)).all()


@pytest.mark.parametrize("named", ["nothing.png", "-s 1 1 1 image.png"])
def test_a_texture_that_is_not_read_is_said_to_be_so(tmp_path: Path, named: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
    with pytest.raises(DREnvError, match=rf"box\.mtl:2 got 'map_Kd {named}'"):
        load_mesh(textured_box(tmp_path, f"newmtl one\nmap_Kd {named}\n"), "m")


def test_materials_that_are_missing_are_warned_of(tmp_path: Path) -> None:
    path = textured_box(tmp_path, "")
    (tmp_path / "box.mtl").unlink()
    with pytest.warns(UserWarning, match=r"mtllib box\.mtl: no such file"):
        assert load_mesh(path, "m").texture is None


def test_repeating_textures_of_several_materials_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Image.new("RGB", (8, 8), (name == "one" and "red") or "blue").save(tmp_path / f"{name}.png")
    materials = "newmtl one\nmap_Kd one.png\nnewmtl two\nmap_Kd two.png\n"
    assert load_mesh(textured_box(tmp_path, materials, ("one", "two")), "m").texture is not None
    with pytest.raises(DREnvError, match="texture coordinates from 0 to 2 with several materials"):
        load_mesh(textured_box(tmp_path, materials, ("one", "two"), most=2), "m")


def test_sixteen_bits_of_grey_are_eight(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)).save(tmp_path / "grey.png")
    mesh = load_mesh(textured_box(tmp_path, "newmtl one\nmap_Kd grey.png\n"), "m")
    assert mesh.texture is not None and (mesh.texture == 128).all()


@pytest.mark.parametrize("turned", [slice(None), slice(0, 4)])
def test_faces_point_outwards_whatever_a_file_says(tmp_path: Path, turned: slice) -> None:
    box = shapes.cube().scaled(0.1)
    faces = box.faces.copy()
    faces[turned] = faces[turned, ::-1]
    colours = np.random.default_rng(0).integers(0, 255, (8, 3)).astype(np.uint8)
    trimesh.Trimesh(box.vertices, faces, process=False, vertex_colors=colours).export(tmp_path / "box.ply")
    mesh = load_mesh(tmp_path / "box.ply", "m")
    assert mesh.volume == pytest.approx(1e-3)
    centres = mesh.vertices[mesh.faces].mean(axis=1) - mesh.box.mean(axis=0)
    assert ((mesh.corner_normals(10.0)[:, 0] * centres).sum(axis=1) > 0).all()
    assert mesh.texture is not None and mesh.corner_uv is not None
    height, width = mesh.texture.shape[:2]
    texels = (mesh.corner_uv * [width, height]).astype(int)
    seen = mesh.texture[height - 1 - texels[..., 1], texels[..., 0]]
    assert np.abs(seen.astype(int) - colours[mesh.faces].astype(int)).max() <= 1


def test_an_open_mesh_is_warned_of(tmp_path: Path) -> None:
    box = shapes.cube().scaled(0.1)
    trimesh.Trimesh(box.vertices, box.faces[2:], process=False).export(tmp_path / "bowl.ply")
    with pytest.warns(UserWarning, match="the mesh is open"):
        load_mesh(tmp_path / "bowl.ply", "m")


def test_vertices_of_no_face_count_for_nothing(tmp_path: Path) -> None:
    mesh = shapes.cube().scaled(0.08)
    strays = np.concatenate(([[0.5, 0.5, 0.5]], mesh.vertices, [[0, 0, -0.3]]))
    colours = np.tile([[200, 10, 10, 255]], (len(strays), 1))
    body = trimesh.Trimesh(strays, mesh.faces + 1, process=False, vertex_colors=colours)
    body.export(tmp_path / "stray.ply")
    with pytest.warns(UserWarning, match="2 vertices that are of no face are left out"):
        found = load_mesh(tmp_path / "stray.ply", "m")
    np.testing.assert_allclose(found.box, mesh.box, atol=1e-7)
    np.testing.assert_allclose(found.vertices[found.faces], mesh.vertices[mesh.faces], atol=1e-7)
    assert found.texture is not None and found.texture[0, 0].tolist() == [200, 10, 10]


@pytest.mark.parametrize("size", [1e-7, 1e200])
def test_meshes_of_no_size_that_can_be_are_refused(tmp_path: Path, size: float) -> None:
    mesh = shapes.cube()
    rows = [*(f"v {x} {y} {z}" for x, y, z in mesh.vertices * size), *(f"f {a} {b} {c}" for a, b, c in mesh.faces + 1)]
    (tmp_path / "a.obj").write_text("\n".join(rows))
    with pytest.raises(DREnvError, match=r"a.obj: the mesh is 1e.* m long, expected 1e-05 to 1000 m; see its units"):
        load_mesh(tmp_path / "a.obj", "m")

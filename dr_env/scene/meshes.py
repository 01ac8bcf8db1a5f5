"""Meshes from the user's files: PLY, OBJ and STL, with colours or texture; and their convex pieces."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.files import atomic_path
from dr_env.scene.mesh import Mesh, check_mesh

Array = NDArray[np.float64]

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_FORMATS = (".ply", ".obj", ".stl")
_PLAUSIBLE = (0.005, 3.0)  # m, the diameter of something that lies on a table
_PATCH = 4  # texels along a face's square in a texture of vertex colours
_FINE = 1 / 60  # of the diameter: meshes whose edges are shorter have one colour a face
_ENGINE = "coacd-2"  # changes when the pieces of a mesh would


def load_mesh(path: str | Path, units: str) -> Mesh:
    """Reads a mesh file, in metres.

    Texture and texture coordinates are kept; colours of vertices or faces become a texture. A diameter that no thing
    on a table has gives a warning that names the unit which would make it plausible.

    Args:
        path: a PLY, OBJ or STL file.
        units: of the file's numbers: m, cm or mm.

    Raises:
        DREnvError: no such file, a format or unit not known, a mesh without faces, numbers that are not finite.
    """
    path = Path(path)
    if units not in UNITS:
        raise DREnvError(f"{path}: units: {unknown_name('unit', units, UNITS)}")
    if path.suffix.lower() not in _FORMATS:
        raise DREnvError(f"{path}: got a {path.suffix or 'nameless'} file, expected one of {', '.join(_FORMATS)}")
    if not path.exists():
        raise DREnvError(f"{path}: no such file")
    try:
        found: Any = trimesh.load(path, process=False, force="mesh", skip_materials=False)
    except Exception as error:  # each format's reader fails in its own way
        raise DREnvError(f"{path}: cannot read the mesh: {error}") from error
    if not isinstance(found, trimesh.Trimesh) or len(found.faces) == 0:
        raise DREnvError(f"{path}: the mesh has no faces, expected triangles")
    mesh = Mesh.of(np.asarray(found.vertices) * UNITS[units], found.faces)
    check_mesh(mesh, str(path))
    _check_size(mesh, str(path), units)
    return _with_colours(mesh, found)


def _check_size(mesh: Mesh, source: str, units: str) -> None:
    """Warns where the numbers fit another unit better."""
    low, high = _PLAUSIBLE
    if low <= mesh.diameter <= high:
        return
    raw = mesh.diameter / UNITS[units]
    better = [unit for unit, factor in UNITS.items() if low <= raw * factor <= high]
    guess = f"; are its numbers in {' or '.join(better)}?" if better else ""
    warnings.warn(f"{source}: {mesh.diameter:.3g} m in diameter, as units: {units} says{guess}", stacklevel=3)


def _with_colours(mesh: Mesh, found: Any) -> Mesh:
    visual = found.visual
    uv, image = getattr(visual, "uv", None), _image(visual)
    if uv is not None and image is not None:
        return dataclasses.replace(mesh, corner_uv=np.asarray(uv, np.float64)[mesh.faces], texture=image)
    if visual.kind == "vertex":
        corners = np.asarray(visual.vertex_colors)[mesh.faces][..., :3]
        return bake(mesh, corners)
    if visual.kind == "face":
        return bake(mesh, np.repeat(np.asarray(visual.face_colors)[:, None, :3], 3, axis=1))
    return mesh.with_box_uv()


def _image(visual: Any) -> NDArray[np.uint8] | None:
    material = getattr(visual, "material", None)
    picture = getattr(material, "image", None)
    if picture is None:
        picture = getattr(material, "baseColorTexture", None)
    return None if picture is None else np.ascontiguousarray(np.asarray(picture.convert("RGB")), np.uint8)


def bake(mesh: Mesh, colours: Array) -> Mesh:
    """The mesh with a texture that holds its corners' colours, since MuJoCo has none of vertices.

    Each face has a square of texels of its own, in which colours run linearly. In a finely scanned mesh, whose faces
    are smaller than an image's pixels, renderers would mix squares that are neighbours in the texture alone: there each
    face has one texel, its corners' mean, which all of it reads at the middle.

    Args:
        mesh: the mesh.
        colours: (F, 3, 3) each face's corners' colours, 0 .. 255.
    """
    edges = np.linalg.norm(mesh.vertices[mesh.faces] - mesh.vertices[np.roll(mesh.faces, 1, axis=1)], axis=-1)
    side = 1 if np.median(edges) < _FINE * mesh.diameter else _PATCH
    count = len(mesh.faces)
    across = int(np.ceil(np.sqrt(count)))
    down = -(-count // across)
    # the face's corners are the centres of the texels (0, 0), (last, 0) and (0, last) of its square
    s, t = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    weights = np.stack((1 - s - t, s, t), axis=-1) if side > 1 else np.full((1, 1, 3), 1 / 3)  # beyond the triangle too
    squares = np.einsum("yxk,fkc->fyxc", weights, np.asarray(colours, np.float64))
    grid = np.zeros((across * down, side, side, 3))
    grid[:count] = np.clip(np.rint(squares), 0, 255)
    image = grid.reshape(down, across, side, side, 3).transpose(0, 2, 1, 3, 4)
    texture = image.reshape(down * side, across * side, 3).astype(np.uint8)
    row, column = np.divmod(np.arange(count), across)
    corner = np.array([[0.5, 0.5], [side - 0.5, 0.5], [0.5, side - 0.5]])
    texels = corner[None] + side * np.column_stack((column, row))[:, None]  # (F, 3, 2) from the upper left
    uv = texels / np.array([across * side, down * side])
    uv[..., 1] = 1 - uv[..., 1]
    return dataclasses.replace(mesh, corner_uv=uv, texture=texture)


def cache_folder() -> Path:
    """Where convex pieces are kept: $DR_ENV_CACHE, else the user's cache folder."""
    given = os.environ.get("DR_ENV_CACHE") or os.environ.get("XDG_CACHE_HOME")
    base = Path(given) if given else Path.home() / ".cache"
    return base / "dr_env" / "convex"


def decompose(mesh: Mesh, threshold: float = 0.1) -> tuple[Mesh, ...]:
    """Convex pieces of a mesh (CoACD: Wei et al., "Approximate convex decomposition ...", 2022), kept by its content.

    Args:
        mesh: the mesh; need not be closed.
        threshold: the concavity that a piece may have.

    Raises:
        DREnvError: the package `coacd` is missing.
    """
    scale = mesh.diameter
    content = np.round(mesh.vertices / scale, 9).tobytes() + mesh.faces.tobytes()
    digest = hashlib.blake2b(content + f"{_ENGINE} {threshold}".encode(), digest_size=16).hexdigest()
    path = cache_folder() / f"{digest}.npz"
    try:
        with np.load(path) as kept:
            pieces = [(kept[f"v{i}"], kept[f"f{i}"]) for i in range(len(kept.files) // 2)]
    except (OSError, ValueError, KeyError):  # none yet, or one that is damaged: made again
        pieces = _coacd(mesh.vertices / scale, mesh.faces, threshold)
        arrays: dict[str, Any] = {}
        for i, (vertices, faces) in enumerate(pieces):
            arrays |= {f"v{i}": vertices, f"f{i}": faces}
        with atomic_path(path) as temporary:
            np.savez(temporary, **arrays)
    return tuple(Mesh.of(vertices * scale, faces) for vertices, faces in pieces)


def _coacd(vertices: Array, faces: NDArray[np.int32], threshold: float) -> list[tuple[Array, NDArray[np.int32]]]:
    try:
        import coacd
    except ImportError as error:
        raise DREnvError("contact: decomposition needs coacd; install it: pip install 'dr-env[meshes]'") from error
    coacd.set_log_level("error")
    # far fewer steps of its tree search than by default: a tenth of the time, and pieces that serve contact as well
    parts = coacd.run_coacd(
        coacd.Mesh(vertices, faces), threshold=threshold, seed=0,
        resolution=1000, preprocess_resolution=30, mcts_iterations=40, mcts_nodes=10, mcts_max_depth=2,
    )  # fmt: skip
    return [(np.asarray(v, np.float64), np.asarray(f, np.int32)) for v, f in parts]

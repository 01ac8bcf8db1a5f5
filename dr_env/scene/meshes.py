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
from dr_env.scene.mesh_colours import one_mesh, with_colours

Array = NDArray[np.float64]

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_FORMATS = (".ply", ".obj", ".stl")
_PLAUSIBLE = (0.005, 3.0)  # m, the diameter of something that lies on a table
_ENGINE = "coacd-2"  # changes when the pieces of a mesh would


def load_mesh(path: str | Path, units: str) -> Mesh:
    """Reads a mesh file, in metres.

    Texture and texture coordinates are kept; colours of vertices or faces become a texture. A diameter that no thing
    on a table has gives a warning that names the unit which would make it plausible. Vertices of no face are left out,
    with a warning.

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
        read: Any = trimesh.load(path, process=False, skip_materials=False)
    except Exception as error:  # each format's reader fails in its own way
        raise DREnvError(f"{path}: cannot read the mesh: {error}") from error
    found = one_mesh(read, path)
    mesh = _checked(found, units, path)
    used = np.isin(np.arange(len(mesh.vertices)), mesh.faces)
    if not used.all():  # they would count in its box, hull and mass
        warnings.warn(f"{path}: {np.count_nonzero(~used)} vertices that are of no face are left out", stacklevel=2)
        found.update_vertices(used)
        mesh = _checked(found, units, path)
    _check_size(mesh, str(path), units)
    return _outwards(with_colours(mesh, found, path), str(path))


def _checked(found: trimesh.Trimesh, units: str, path: Path) -> Mesh:
    return check_mesh(Mesh.of(np.asarray(found.vertices) * UNITS[units], found.faces), str(path))


def _check_size(mesh: Mesh, source: str, units: str) -> None:
    """Warns where the numbers fit another unit better."""
    low, high = _PLAUSIBLE
    if low <= mesh.diameter <= high:
        return
    raw = mesh.diameter / UNITS[units]
    better = [unit for unit, factor in UNITS.items() if low <= raw * factor <= high]
    guess = f"; are its numbers in {' or '.join(better)}?" if better else ""
    warnings.warn(f"{source}: {mesh.diameter:.3g} m in diameter, as units: {units} says{guess}", stacklevel=3)


def _outwards(mesh: Mesh, source: str) -> Mesh:
    """The mesh with all faces seen from outside: renderers show none from behind. Warns of one that is open."""
    places, same = np.unique(mesh.vertices.round(9), axis=0, return_inverse=True)
    body = trimesh.Trimesh(places, same.reshape(-1)[mesh.faces], process=False)
    if not body.is_watertight:
        warnings.warn(f"{source}: the mesh is open, and its faces cannot be seen from behind", stacklevel=3)
    if body.is_winding_consistent and mesh.volume > 0:
        return mesh
    before = body.faces.copy()
    trimesh.repair.fix_normals(body, multibody=True)  # type: ignore[no-untyped-call]
    turned = (body.faces[:, 0] != before[:, 0])[:, None]  # a face is turned by reading it backwards
    uv = mesh.corner_uv
    return dataclasses.replace(
        mesh,
        faces=np.ascontiguousarray(np.where(turned, mesh.faces[:, ::-1], mesh.faces)),
        corner_uv=None if uv is None else np.where(turned[..., None], uv[:, ::-1], uv),
    )


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

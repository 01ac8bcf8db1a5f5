"""Whether a BOP dataset's models are what models_info.json says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from dr_env.errors import DREnvError
from dr_env.export.catalogue import diameter
from dr_env.export.validate.findings import Findings, load_json
from dr_env.export.validate.labels import Model

_BOX = tuple(f"{kind}_{axis}" for kind in ("min", "size") for axis in "xyz")


def read_models(root: Path, findings: Findings) -> dict[int, Model]:
    """The models of a BOP dataset below `root`, by object id; what is wrong with them is noted."""
    models: dict[int, Model] = {}
    folder = next((root / name for name in ("models", "models_eval") if (root / name).is_dir()), root / "models")
    path = folder / "models_info.json"
    with findings.reading(path):
        for key, info in load_json(path).items():
            ply = folder / f"obj_{int(key):06d}.ply"
            with findings.reading(ply):
                models[int(key)] = _read(ply, info, path, findings)
    return models


def _read(ply: Path, info: dict[str, float], path: Path, findings: Findings) -> Model:
    if not ply.is_file():
        raise FileNotFoundError(2, "missing", str(ply))
    mesh = trimesh.load_mesh(ply, process=False)
    vertices = np.asarray(mesh.vertices, np.float64)
    if not len(vertices) or not len(mesh.faces) or not np.isfinite(vertices).all():
        raise DREnvError(f"got {len(vertices)} vertices and {len(mesh.faces)} faces, expected a finite mesh")
    lacking = [key for key in ("diameter", *_BOX) if not isinstance(info.get(key), int | float)]
    if lacking:
        raise DREnvError(f"models_info.json: no {', '.join(lacking)}")
    low = np.array([info[f"min_{axis}"] for axis in "xyz"])
    size = np.array([info[f"size_{axis}"] for axis in "xyz"])
    slack = 0.01 * float(info["diameter"]) + 0.01
    truth = np.concatenate([vertices.min(0), np.ptp(vertices, axis=0)])
    if np.abs(np.concatenate([low, size]) - truth).max() > slack:
        got = np.concatenate([low, size]).round(2).tolist()
        findings.add(path, "", f"object {ply.stem}: box: got {got}, expected {truth.round(2).tolist()} of its mesh")
    across = diameter(vertices)
    if abs(across - info["diameter"]) > slack:
        findings.add(path, "", f"object {ply.stem}: diameter: got {info['diameter']}, expected {across:.3f} mm")
    return Model(vertices, vertices.min(0), vertices.max(0), across)

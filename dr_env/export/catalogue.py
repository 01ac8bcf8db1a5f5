"""The classes of objects that a dataset labels, and their meshes as files of BOP's `models`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from trimesh.exchange.ply import export_ply

from dr_env import spatial

Array = NDArray[np.float64]
MM = 1000.0


@dataclass(frozen=True, eq=False)
class LabelClass:
    """A class of objects that share one mesh.

    Attributes:
        class_id: its number in labels, from 1.
        name: its name.
        vertices: (V, 3) m, in the object's own frame.
        faces: (F, 3) indices of vertices, outward normals counter-clockwise.
        keypoints: names of its keypoints.
        flip: for each keypoint the one it becomes in a mirrored image, of classes that equal their mirror image.
        discrete: rigid transforms (n, 4, 4) of its own frame, m, that change nothing to see; without the identity.
        continuous: (axis (3,), offset (3,) m) of each axis about which it may turn by any angle.
    """

    class_id: int
    name: str
    vertices: Array
    faces: NDArray[np.int32]
    keypoints: tuple[str, ...] = ()
    flip: tuple[int, ...] = ()
    discrete: Array = field(default_factory=lambda: np.zeros((0, 4, 4)))
    continuous: tuple[tuple[Array, Array], ...] = ()

    @property
    def centre(self) -> Array:
        """The middle (3,) of the box around the mesh, m: the origin of BOP's model."""
        return np.asarray((self.vertices.min(axis=0) + self.vertices.max(axis=0)) / 2)

    @property
    def middle(self) -> Array:
        """The point (3,) that its symmetries leave where it is, m: of a class without any, the centre."""
        return spatial.still(self.centre, self.discrete, self.continuous)

    def centred(self) -> LabelClass:
        """The same with BOP's origin: the middle of its box."""
        shift = spatial.transform(np.eye(3), self.centre)
        return replace(
            self,
            vertices=self.vertices - self.centre,
            discrete=spatial.inverse(shift) @ self.discrete @ shift,
            continuous=tuple((np.asarray(axis), offset - self.centre) for axis, offset in self.continuous),
        )

    def ply(self) -> bytes:
        """The mesh as binary PLY in millimetres, its box centred on the origin, with normals."""
        mesh = trimesh.Trimesh(self.centred().vertices * MM, self.faces, process=False)
        data: bytes = export_ply(mesh, encoding="binary", vertex_normal=True)
        return data

    def info(self) -> dict[str, Any]:
        """What BOP's models_info.json says of it, in millimetres and in the centred frame."""
        low, high = self.vertices.min(axis=0), self.vertices.max(axis=0)
        origin, size = (low - self.centre) * MM, (high - low) * MM
        info: dict[str, Any] = {"diameter": diameter(self.vertices) * MM}
        info |= {f"min_{axis}": float(value) for axis, value in zip("xyz", origin, strict=True)}
        info |= {f"size_{axis}": float(value) for axis, value in zip("xyz", size, strict=True)}
        centred = self.centred()
        if len(self.discrete):
            discrete = centred.discrete.copy()
            discrete[:, :3, 3] *= MM
            info["symmetries_discrete"] = [matrix.reshape(-1).tolist() for matrix in discrete]
        if self.continuous:
            info["symmetries_continuous"] = [
                {"axis": axis.tolist(), "offset": (offset * MM).tolist()} for axis, offset in centred.continuous
            ]
        return info


def diameter(vertices: Array) -> float:
    """The largest distance between two of the vertices (V, 3), which are hull vertices of their own convex hull."""
    return spatial.diameter(trimesh.convex.convex_hull(vertices).vertices)


Catalogue = dict[int, LabelClass]
"""The classes by id."""


def catalogue(classes: Iterable[LabelClass]) -> Catalogue:
    """Classes by their ids, in order."""
    return {made.class_id: made for made in sorted(classes, key=lambda made: made.class_id)}

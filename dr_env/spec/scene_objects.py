"""Classes of objects in a scene grammar: shapes, meshes, and what is told of them; pure data."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dr_env.errors import unknown_name
from dr_env.spec.quantity import Extents, Quantity

Pair = tuple[float, float]
Triple = tuple[float, float, float]
Share = Annotated[float, Field(ge=0, le=1)]

SHAPES = (
    "cone",
    "cube",
    "cylinder",
    "hexagonal_prism",
    "pyramid",
    "rectangular_prism",
    "tetrahedron",
    "triangular_prism",
    "sphere",
    "superquadric",
    "extrusion",
    "compound",
    "mug",
    "bottle",
    "can",
    "bowl",
    "plate",
    "book",
)
"""The eight of Tobin et al. 2017 first, then procedural families, then plausible things."""
TOBIN = SHAPES[:8]


MOST = 1000.0
"""m, the longest side of an object at most; larger ones are in another unit."""
_EXACT = 1e-3  # to which a rotation that somebody wrote down is one


class Part(BaseModel):
    """A part of the grammar: frozen, and refusing keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def _at_least(self, key: str, low: float, above: bool = False) -> None:
        for least, _ in self._supports(key):
            if least < low or (above and least == low):
                raise ValueError(
                    f"{key}: got values from {least:g}, expected {'above' if above else 'at least'} {low:g}"
                )

    def _at_most(self, key: str, high: float) -> None:
        for _, most in self._supports(key):
            if most > high:
                raise ValueError(f"{key}: got values up to {most:g}, expected at most {high:g}")

    def _supports(self, key: str) -> list[tuple[float, float]]:
        value = getattr(self, key)
        quantities = () if value is None else value if isinstance(value, tuple) else (value,)
        return [quantity.support() for quantity in quantities]


class ContinuousSymmetry(Part):
    """An axis around which every turn leaves the object as it was."""

    axis: Triple = Field(description="the direction, in the object's frame")
    offset: Triple = Field(default=(0, 0, 0), description="a point on the axis, m")

    @model_validator(mode="after")
    def _direction(self) -> ContinuousSymmetry:
        if not any(self.axis) or not np.isfinite(self.axis).all():
            raise ValueError(f"axis: got {list(self.axis)}, expected a direction")
        return self


class Symmetries(Part):
    """Motions that leave an object as it was."""

    discrete: tuple[tuple[float, ...], ...] = Field(
        default=(), description="rigid transforms but the identity, each 16 numbers, row by row, m"
    )
    continuous: tuple[ContinuousSymmetry, ...] = Field(default=(), description="axes of full turns")

    @model_validator(mode="after")
    def _rigid(self) -> Symmetries:
        for i, numbers in enumerate(self.discrete):
            if len(numbers) != 16:
                raise ValueError(f"discrete[{i}]: got {len(numbers)} numbers, expected 16")
            motion = np.reshape(numbers, (4, 4))
            turn = motion[:3, :3]
            if not np.allclose(motion[3], [0, 0, 0, 1], atol=1e-9):
                raise ValueError(f"discrete[{i}]: got {list(numbers[12:])} as its last row, expected 0, 0, 0, 1")
            if not np.allclose(turn @ turn.T, np.eye(3), atol=_EXACT) or np.linalg.det(turn) < 0:
                raise ValueError(
                    f"discrete[{i}]: got {turn.tolist()}, expected a rotation, which mirrors and scales nothing"
                )
        return self


class ObjectClass(Part):
    """A class of objects: a shape made procedurally, or a mesh of the user's.

    A labelled class draws its numbers once, so that a dataset has one model of it; an unlabelled one, each build.
    """

    shape: str | None = Field(default=None, description=f"one of {', '.join(SHAPES)}")
    mesh: str | None = Field(default=None, description="a PLY, OBJ or STL file, relative to the Spec")
    units: Literal["m", "cm", "mm"] | None = Field(default=None, description="the unit of the mesh file's numbers")
    size: Extents | None = Field(
        default=None, description="m: the longest side of a shape's box, or its three sides; a mesh keeps its own"
    )
    exponents: tuple[Quantity, Quantity] | None = Field(
        default=None, description="of a superquadric: roundness from pole to pole and around, 0.1 a box, 1 an ellipsoid"
    )
    outline: tuple[Pair, ...] | None = Field(
        default=None, description="of an extrusion: its outline; by default a star-shaped one is drawn"
    )
    corners: Quantity | None = Field(default=None, description="of an extrusion without outline: how many corners")
    parts: Quantity | None = Field(default=None, description="of a compound: how many shapes it is made of")
    number: int | None = Field(
        default=None, ge=1, description="its number in labels, such as a BOP dataset's; by default they count from 1"
    )
    copies: int = Field(default=1, ge=1, description="how many of it one scene may hold")
    density: float = Field(default=400.0, gt=0, description="kg/m^3; a mass entry varies what follows from it")
    friction: float = Field(default=0.6, ge=0, description="sliding friction")
    rgba: tuple[Share, Share, Share, Share] | None = Field(default=None, description="nominal colour")
    contact: Literal["hull", "decomposition"] = Field(
        default="hull", description="what collides: the convex hull, or convex pieces"
    )
    keypoints: tuple[Triple, ...] | None = Field(
        default=None, min_length=1, description="m, in the object's frame; by default the corners of its box"
    )
    symmetries: Symmetries | None = Field(default=None, description="given; by default they are found")

    @field_validator("outline")
    @classmethod
    def _simple(cls, outline: tuple[Pair, ...] | None) -> tuple[Pair, ...] | None:
        """Without the last point where it is the first again."""
        if outline is None:
            return None
        points = outline[:-1] if len(outline) > 1 and outline[0] == outline[-1] else outline
        if len(set(points)) < 3 or not np.isfinite(points).all():
            raise ValueError("expected three different points at least")
        if crossing := _crossing(np.array(points)):
            raise ValueError(f"its sides {crossing[0]} and {crossing[1]} meet, expected an outline that never does")
        return points

    @model_validator(mode="after")
    def _form(self) -> ObjectClass:
        if (self.shape is None) == (self.mesh is None):
            raise ValueError("expected either a shape or a mesh")
        if self.shape is not None and self.shape not in SHAPES:
            raise ValueError(unknown_name("shape", self.shape, SHAPES))
        if self.mesh is not None and self.units is None:
            raise ValueError("units: missing; a mesh's numbers are in m, cm or mm")
        if self.mesh is None and self.units is not None:
            raise ValueError("units: got some, expected none where there is no mesh")
        if self.size is not None and (self.mesh is not None or len(self.size) not in (1, 3)):
            raise ValueError("size: expected for a shape: one length, or three")
        self._at_least("size", 0, above=True)
        self._at_most("size", MOST)
        self._at_least("exponents", 0, above=True)
        self._at_most("exponents", 4)
        self._at_least("corners", 3)
        self._at_least("parts", 1)
        for key, shape in (("exponents", "superquadric"), ("outline", "extrusion"), ("corners", "extrusion"),
                           ("parts", "compound")):  # fmt: skip
            if getattr(self, key) is not None and self.shape != shape:
                raise ValueError(f"{key}: belongs to shape: {shape}")
        return self


def _crossing(points: NDArray[np.float64]) -> tuple[int, int] | None:
    """Two sides of a closed outline (n, 2) that meet where they should not; side i begins at point i."""
    starts, ends = points, np.roll(points, -1, axis=0)
    count = len(points)

    def side(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
        across = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
        return np.asarray(np.sign(across))

    for i in range(count):
        a, b = starts[i], ends[i]
        after = (i + 1) % count
        turn = side(a, b, ends[after])
        if turn == 0 and (b - a) @ (ends[after] - b) <= 0:  # back along itself, or a point twice
            return i, after
        others = np.array([j for j in range(i + 2, count) if (j + 1) % count != i], np.intp)
        c, d = starts[others], ends[others]
        apart = (side(a, b, c) * side(a, b, d) > 0) | (side(c, d, a) * side(c, d, b) > 0)
        low, high = np.minimum(a, b), np.maximum(a, b)
        apart |= ((np.maximum(c, d) < low) | (np.minimum(c, d) > high)).any(axis=1)
        if not apart.all():
            return i, int(others[np.argmin(apart)])
    return None

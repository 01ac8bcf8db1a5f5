"""The scene grammar: what scenes are made of, and how their objects are arranged; pure data.

A scene has a room, areas in it, and objects on these areas: scene -> areas -> objects -> attributes. Numbers are
numbers or distributions. How things look and what they weigh varies through ordinary entries.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dr_env.distributions import Constant, Distribution
from dr_env.errors import unknown_name
from dr_env.spec.quantity import Extents, Quantity

Pair = tuple[float, float]
Triple = tuple[float, float, float]
Relation = Literal["on", "beside", "aligned"]

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


class Part(BaseModel):
    """A part of the grammar: frozen, and refusing keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def _at_least(self, key: str, low: float, above: bool = False) -> None:
        value = getattr(self, key)
        if value is None:
            return
        for quantity in value if isinstance(value, tuple) else (value,):
            least = quantity.support()[0]
            if least < low or (above and least == low):
                raise ValueError(
                    f"{key}: got values from {least:g}, expected {'above' if above else 'at least'} {low:g}"
                )


class ContinuousSymmetry(Part):
    """An axis around which every turn leaves the object as it was."""

    axis: Triple = Field(description="the direction, in the object's frame")
    offset: Triple = Field(default=(0, 0, 0), description="a point on the axis, m")


class Symmetries(Part):
    """Motions that leave an object as it was."""

    discrete: tuple[tuple[float, ...], ...] = Field(
        default=(), description="rigid transforms but the identity, each 16 numbers, row by row, m"
    )
    continuous: tuple[ContinuousSymmetry, ...] = Field(default=(), description="axes of full turns")

    @model_validator(mode="after")
    def _sixteen(self) -> Symmetries:
        for i, motion in enumerate(self.discrete):
            if len(motion) != 16:
                raise ValueError(f"discrete[{i}]: got {len(motion)} numbers, expected 16")
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
    rgba: tuple[float, float, float, float] | None = Field(default=None, description="nominal colour")
    contact: Literal["hull", "decomposition"] = Field(
        default="hull", description="what collides: the convex hull, or convex pieces"
    )
    keypoints: tuple[Triple, ...] | None = Field(
        default=None, description="m, in the object's frame; by default the corners of its box"
    )
    symmetries: Symmetries | None = Field(default=None, description="given; by default they are found")

    @model_validator(mode="after")
    def _form(self) -> ObjectClass:
        if (self.shape is None) == (self.mesh is None):
            raise ValueError("expected either a shape or a mesh")
        if self.shape is not None and self.shape not in SHAPES:
            raise ValueError(unknown_name("shape", self.shape, SHAPES))
        if (self.mesh is None) != (self.units is None):
            raise ValueError("units: expected with a mesh, m, cm or mm, and with nothing else")
        if self.size is not None and (self.mesh is not None or len(self.size) not in (1, 3)):
            raise ValueError("size: expected for a shape: one length, or three")
        self._at_least("size", 0, above=True)
        self._at_least("exponents", 0, above=True)
        self._at_least("corners", 3)
        self._at_least("parts", 1)
        for key, shape in (("exponents", "superquadric"), ("outline", "extrusion"), ("corners", "extrusion"),
                           ("parts", "compound")):  # fmt: skip
            if getattr(self, key) is not None and self.shape != shape:
                raise ValueError(f"{key}: belongs to shape: {shape}")
        return self


class Area(Part):
    """A rectangle on which objects lie."""

    on: Literal["table", "floor"] = Field(default="table", description="what it is part of")
    low: Pair | None = Field(default=None, description="m: its lowest x and y; by default all of the table's top")
    high: Pair | None = Field(default=None, description="m: its highest x and y")
    count: Quantity = Field(description="how many objects, rounded to whole ones")
    classes: dict[str, float] | None = Field(
        default=None, description="which classes and their weights; by default all alike"
    )
    mode: Literal["place", "drop"] = Field(
        default="place", description="placed in poses in which they rest, or dropped and settled by physics"
    )
    pose: Literal["any", "upright"] = Field(
        default="any", description="whether placed objects rest as they may, or stand as they were made"
    )
    relations: dict[Relation, float] = Field(
        default_factory=dict, description="probabilities that an object is on, beside or aligned with an earlier one"
    )
    gap: float = Field(default=0.004, ge=0, description="m: the least distance between objects' outlines")
    height: Quantity = Field(
        default=Constant(0.03), description="m: how far above others objects are let go, for mode: drop"
    )

    @model_validator(mode="after")
    def _form(self) -> Area:
        self._at_least("count", 0)
        self._at_least("height", 0)
        if (self.low is None) != (self.high is None):
            raise ValueError("low, high: expected both, or none for all of the table's top")
        if self.on == "floor" and self.low is None:
            raise ValueError("low, high: expected for an area on the floor")
        if self.low is not None and self.high is not None and not (
            self.low[0] < self.high[0] and self.low[1] < self.high[1]
        ):  # fmt: skip
            raise ValueError(f"high: got {list(self.high)}, expected above low = {list(self.low)}")
        if min(self.relations.values(), default=0) < 0 or sum(self.relations.values()) > 1:
            raise ValueError(f"relations: got {self.relations}, expected probabilities that add up to 1 at most")
        if self.classes is not None and (min(self.classes.values(), default=0) < 0 or not any(self.classes.values())):
            raise ValueError(f"classes: got {self.classes}, expected weights, one of them above 0")
        return self


class Contextual(Part):
    """Distractors that lie among the objects as other things would."""

    count: Quantity = Field(description="how many")
    classes: dict[str, ObjectClass] = Field(description="what they may be, by name")
    area: str | None = Field(default=None, description="the area they lie on; by default the first")
    labelled: bool = Field(default=False, description="whether they have labels")

    @model_validator(mode="after")
    def _form(self) -> Contextual:
        self._at_least("count", 0)
        return self


class Flying(Part):
    """Distractors that hang in the air, anywhere in view, as in Tobin et al. 2017."""

    count: Quantity = Field(description="how many")
    pool: int = Field(default=12, ge=1, description="how many different ones a build holds")
    shapes: tuple[str, ...] = Field(default=TOBIN, description="what they may be")
    size: Quantity = Field(
        default=Distribution.from_dict({"type": "uniform", "low": 0.02, "high": 0.12}), description="m: longest side"
    )
    depth: Quantity = Field(
        default=Distribution.from_dict({"type": "uniform", "low": 0.5, "high": 1.5}),
        description="distance from the camera, in units of that of its target",
    )
    labelled: bool = Field(default=False, description="whether they have labels")

    @model_validator(mode="after")
    def _form(self) -> Flying:
        self._at_least("count", 0)
        self._at_least("size", 0, above=True)
        self._at_least("depth", 0, above=True)
        for shape in self.shapes:
            if shape not in SHAPES:
                raise ValueError(unknown_name("shape", shape, SHAPES))
        if self.count.support()[1] > self.pool:
            raise ValueError(f"pool: got {self.pool}, expected at least as many as count may be")
        return self


class Distractors(Part):
    """What is in the picture and not in the labels."""

    contextual: Contextual | None = Field(default=None, description="things that lie among the objects")
    flying: Flying | None = Field(default=None, description="things that hang in the air")


class Table(Part):
    """A box whose top is at z = 0."""

    size: tuple[Quantity, Quantity] = Field(default=(Constant(1.2), Constant(0.8)), description="m: along x and y")
    center: Pair = Field(default=(0, 0), description="m: its middle's x and y")
    thickness: Quantity = Field(default=Constant(0.04), description="m")
    height: Quantity = Field(default=Constant(0.7), description="m above the floor")

    @model_validator(mode="after")
    def _form(self) -> Table:
        for key in ("size", "thickness", "height"):
            self._at_least(key, 0, above=True)
        return self


class Walls(Part):
    """Four walls around the table's middle."""

    distance: Quantity = Field(default=Constant(2.0), description="m from the table's middle")
    height: Quantity = Field(default=Constant(2.5), description="m above the floor")

    @model_validator(mode="after")
    def _form(self) -> Walls:
        self._at_least("distance", 0, above=True)
        self._at_least("height", 0, above=True)
        return self


class Arm(Part):
    """A robot beside the objects, from an MJCF file; what its world holds beside it is left out."""

    file: str = Field(description="an MJCF file, relative to the Spec")
    joints: dict[str, Quantity] = Field(default_factory=dict, description="rad or m: positions of its joints")
    clearance: float = Field(default=0.01, ge=0, description="m that objects keep from it")


class Camera(Part):
    """The camera as it is before entries move it."""

    position: Triple = Field(default=(0.75, -0.55, 0.75), description="m")
    target: Triple = Field(default=(0, 0, 0), description="m: what it looks at")
    fovy: float = Field(default=45, gt=1, lt=170, description="vertical field of view, degrees")


class Framing(Part):
    """What must be seen of the objects; scenes in which it is not are drawn again."""

    objects: int | Literal["all"] = Field(default=1, description="how many labelled objects must be seen well enough")
    visible: float = Field(default=0.1, ge=0, le=1, description="the least share of an object's outline seen")
    visible_most: float = Field(default=1.0, gt=0, le=1, description="the largest; below 1 for objects partly hidden")
    attempts: int = Field(default=50, ge=1, description="how often a scene is drawn before giving up")

    @model_validator(mode="after")
    def _order(self) -> Framing:
        if self.visible > self.visible_most:
            raise ValueError(f"visible_most: got {self.visible_most:g}, expected at least visible = {self.visible:g}")
        return self


class SceneGrammar(Part):
    """What scenes are made of: room, arm, areas, objects, distractors, camera."""

    frames_per_build: int = Field(
        default=100,
        ge=1,
        description="frames that share one compiled model; the next draw room and unlabelled things anew",
    )
    table: Table = Field(default_factory=Table, description="the table, its top at z = 0")
    walls: Walls | None = Field(default_factory=Walls, description="walls; null for none")
    lights: int = Field(default=3, ge=1, le=8, description="how many lights; entries may turn some off")
    arm: Arm | None = Field(default=None, description="a robot beside the objects")
    objects: dict[str, ObjectClass] = Field(description="classes of labelled objects, by name")
    areas: dict[str, Area] = Field(description="where objects are, by name")
    distractors: Distractors = Field(default_factory=Distractors, description="what is seen but not labelled")
    camera: Camera = Field(default_factory=Camera, description="the camera before entries move it")
    framing: Framing = Field(default_factory=Framing, description="what must be seen of the objects")

    @model_validator(mode="after")
    def _names(self) -> SceneGrammar:
        if not self.objects:
            raise ValueError("objects: expected a class at least")
        if not self.areas:
            raise ValueError("areas: expected one at least")
        for name, area in self.areas.items():
            for known in area.classes or ():
                if known not in self.objects:
                    raise ValueError(f"areas.{name}.classes: {unknown_name('class', known, self.objects, 'classes')}")
        seen: dict[int, str] = {}
        for name, number in self.class_numbers.items():
            if seen.setdefault(number, name) != name:
                raise ValueError(f"objects: '{seen[number]}' and '{name}' both have the number {number}")
        contextual = self.distractors.contextual
        if contextual is not None:
            if contextual.area is not None and contextual.area not in self.areas:
                raise ValueError(f"distractors.contextual.area: {unknown_name('area', contextual.area, self.areas)}")
            for name in contextual.classes:
                if name in self.objects:
                    raise ValueError(f"distractors.contextual.classes.{name}: an object has this name too")
        return self

    def beside(self, folder: Path) -> SceneGrammar:
        """The grammar with relative paths found beside a file of this folder."""

        def found(path: str) -> str:
            return path if Path(path).is_absolute() else str((folder / path).resolve())

        def classes(known: dict[str, ObjectClass]) -> dict[str, ObjectClass]:
            return {
                name: each if each.mesh is None else each.model_copy(update={"mesh": found(each.mesh)})
                for name, each in known.items()
            }

        changed: dict[str, Any] = {"objects": classes(self.objects)}
        if self.arm is not None:
            changed["arm"] = self.arm.model_copy(update={"file": found(self.arm.file)})
        contextual = self.distractors.contextual
        if contextual is not None:
            others = contextual.model_copy(update={"classes": classes(contextual.classes)})
            changed["distractors"] = self.distractors.model_copy(update={"contextual": others})
        return self.model_copy(update=changed)

    @property
    def class_numbers(self) -> dict[str, int]:
        """Numbers of the labelled classes by name: their own, or their place from 1, since 0 is nothing.

        Where another class has that number, the least that is greater than all places.
        """
        contextual, flying = self.distractors.contextual, self.distractors.flying
        numbers = [each.number for each in self.objects.values()]
        names = [*self.objects]
        if contextual is not None and contextual.labelled:
            names += [*contextual.classes]
            numbers += [each.number for each in contextual.classes.values()]
        if flying is not None and flying.labelled:
            names += [f"flying_{shape}" for shape in flying.shapes]
            numbers += [None] * len(flying.shapes)
        taken = {number for number in numbers if number}
        spare = (number for number in itertools.count(len(names) + 1) if number not in taken)
        places = [number or (i if i not in taken else next(spare)) for i, number in enumerate(numbers, 1)]
        return dict(zip(names, places, strict=True))

"""The scene grammar: what scenes are made of, and how their objects are arranged; pure data.

A scene has a room, areas in it, and objects on these areas: scene -> areas -> objects -> attributes. Numbers are
numbers or distributions. How things look and what they weigh varies through ordinary entries.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from dr_env.distributions import Constant, Distribution
from dr_env.errors import unknown_name
from dr_env.spec.quantity import Quantity
from dr_env.spec.scene_objects import MOST, SHAPES, TOBIN, ObjectClass, Pair, Part, Triple

Relation = Literal["on", "beside", "aligned"]


_TAKEN = ("wall", "leg", "flying")  # beginnings of geoms' and bodies' names, before their numbers


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

    @property
    def copies(self) -> int:
        """How many there are to choose from."""
        return sum(each.copies for each in self.classes.values())


class Flying(Part):
    """Distractors that hang in the air, anywhere in view, as in Tobin et al. 2017."""

    count: Quantity = Field(description="how many")
    pool: int = Field(default=12, ge=1, description="how many different ones a build holds")
    shapes: tuple[str, ...] = Field(default=TOBIN, min_length=1, description="what they may be")
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
        self._at_most("size", MOST)
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
        self._check_reserved()
        if not self.areas:
            raise ValueError("areas: expected one at least")
        for name, area in self.areas.items():
            for known in area.classes or ():
                if known not in self.objects:
                    raise ValueError(f"areas.{name}.classes: {unknown_name('class', known, self.objects, 'classes')}")
            _check_count(f"areas.{name}", area.count, self.copies(name))
        seen: dict[int, str] = {}
        for name, number in self.class_numbers.items():
            if seen.setdefault(number, name) != name:
                raise ValueError(f"objects: '{seen[number]}' and '{name}' both have the number {number}")
        contextual = self.distractors.contextual
        if contextual is not None:
            _check_count("distractors.contextual", contextual.count, contextual.copies)
            if contextual.area is not None and contextual.area not in self.areas:
                raise ValueError(f"distractors.contextual.area: {unknown_name('area', contextual.area, self.areas)}")
            for name in contextual.classes:
                if name in self.objects:
                    raise ValueError(f"distractors.contextual.classes.{name}: an object has this name too")
        return self

    def _check_reserved(self) -> None:
        """Refuses names of classes by which a scene calls other things."""
        contextual, flying = self.distractors.contextual, self.distractors.flying
        taken = {*_TAKEN, *(f"flying_{shape}" for shape in (flying.shapes if flying is not None else ()))}
        for where, classes in (
            ("objects", self.objects),
            ("distractors.contextual.classes", contextual.classes if contextual is not None else {}),
        ):
            for name in classes:
                if name in taken:
                    raise ValueError(
                        f"{where}.{name}: a scene has things of its own that are called so, expected another name"
                    )

    def copies(self, area: str) -> int:
        """How many objects an area could have, were there no others."""
        classes = self.areas[area].classes
        return sum(each.copies for name, each in self.objects.items() if classes is None or classes.get(name, 0) > 0)

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


def _check_count(where: str, count: Distribution, copies: int) -> None:
    """Refuses counts that round to more than there are copies of classes."""
    most = count.support()[1]
    if most > copies + 0.5:
        raise ValueError(
            f"{where}.count: got values up to {most:g}, expected at most {copies}, the copies of its classes"
        )

"""From names to numbers: which elements of which model array an entry writes."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding.build import COMPILED
from dr_env.binding.derived import DERIVED
from dr_env.binding.fields import Field, find_field
from dr_env.binding.held import HELD, held_nominal, held_row
from dr_env.binding.needs import COUNTS, NEEDS
from dr_env.binding.rows import attribute
from dr_env.distributions import Distribution
from dr_env.errors import DREnvError
from dr_env.spec import Entry, Spec

Index = NDArray[np.intp]

_OBJECTS = {
    "body": (mujoco.mjtObj.mjOBJ_BODY, "nbody"),
    "geom": (mujoco.mjtObj.mjOBJ_GEOM, "ngeom"),
    "site": (mujoco.mjtObj.mjOBJ_SITE, "nsite"),
    "joint": (mujoco.mjtObj.mjOBJ_JOINT, "njnt"),
    "pair": (mujoco.mjtObj.mjOBJ_PAIR, "npair"),
    "equality": (mujoco.mjtObj.mjOBJ_EQUALITY, "neq"),
    "tendon": (mujoco.mjtObj.mjOBJ_TENDON, "ntendon"),
    "actuator": (mujoco.mjtObj.mjOBJ_ACTUATOR, "nu"),
    "action": (mujoco.mjtObj.mjOBJ_ACTUATOR, "nu"),  # an action is named after its actuator
    "sensor": (mujoco.mjtObj.mjOBJ_SENSOR, "nsensor"),
    "material": (mujoco.mjtObj.mjOBJ_MATERIAL, "nmat"),
    "light": (mujoco.mjtObj.mjOBJ_LIGHT, "nlight"),
    "camera": (mujoco.mjtObj.mjOBJ_CAMERA, "ncam"),
    "image": (mujoco.mjtObj.mjOBJ_CAMERA, "ncam"),  # an image is named after its camera
    "depth": (mujoco.mjtObj.mjOBJ_CAMERA, "ncam"),
}
JOINT_WIDTHS = {
    int(mujoco.mjtJoint.mjJNT_FREE): (7, 6),
    int(mujoco.mjtJoint.mjJNT_BALL): (4, 3),
    int(mujoco.mjtJoint.mjJNT_SLIDE): (1, 1),
    int(mujoco.mjtJoint.mjJNT_HINGE): (1, 1),
}
"""How many numbers a joint has in qpos and in qvel, by its type."""


@dataclasses.dataclass(frozen=True)
class Move:
    """Elements of another array that are multiplied by the factor of a primary element."""

    array: str
    flat: Index  # (m,) elements of the flattened array
    primary: Index  # (m,) which of the entry's elements gives the factor


@dataclasses.dataclass(frozen=True)
class BoundEntry:
    """An entry resolved against one model: frozen indices, no names left to look up."""

    name: str
    operation: str
    distribution: Distribution
    field: Field
    width: int  # values drawn: 1 where shared, else one for each match or each of its components
    shared: bool
    flat: Index  # (r,) elements of the flattened array
    component: Index  # (r,) which component of the field each element is
    value: Index  # (r,) which of the drawn values each element takes
    moves: tuple[Move, ...]
    matches: tuple[str, ...]  # names of the matched objects
    owner: Index  # (r,) which match each element belongs to

    @property
    def labels(self) -> tuple[str, ...]:
        """What each of the drawn values is of: a match, or one of its components."""
        if self.shared or self.width == len(self.matches):
            return self.matches
        places = np.arange(len(self.owner)) - np.searchsorted(self.owner, self.owner)  # of each match's own numbers
        return tuple(f"{self.matches[owner]}[{i}]" for owner, i in zip(self.owner, places, strict=True))

    @property
    def arrays(self) -> tuple[str, ...]:
        """Every array that this entry writes."""
        return (self.field.array, *(move.array for move in self.moves))


def object_names(model: mujoco.MjModel, kind: str, observations: tuple[str, ...] = ()) -> list[str]:
    """The names of a kind's objects, in the model's order; those without one are `#0`, `#1`, ..."""
    if kind == "observation":
        return list(observations)
    objtype, count = _OBJECTS[kind]
    return [mujoco.mj_id2name(model, objtype, i) or f"#{i}" for i in range(getattr(model, count))]


def literal(name: str) -> str:
    """A pattern that matches this name alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def nominal_array(model: mujoco.MjModel, name: str, observations: int) -> NDArray[np.float64]:
    """A copy of a model array, flattened."""
    name = name.removeprefix(COMPILED)
    if name.startswith(HELD):
        return held_nominal(model, name, observations)
    return np.atleast_1d(np.array(attribute(model, name), np.float64)).reshape(-1)


def _row_width(model: mujoco.MjModel, array: str) -> int:
    array = array.removeprefix(COMPILED)
    if array.startswith(("opt.", "vis.")):
        return 1
    if array in DERIVED:
        return DERIVED[array].size
    if array.startswith(HELD):
        return len(held_row(array))
    shape = getattr(model, array).shape
    return int(np.prod(shape[1:], dtype=int))


def _rows(model: mujoco.MjModel, field: Field, matched: list[int]) -> tuple[list[int], list[int]]:
    """Array rows of the matched objects, and the match that each belongs to."""
    if field.axis in ("dof", "reading"):
        rows: list[int] = []
        owners: list[int] = []
        for owner, i in enumerate(matched):
            if field.axis == "dof":
                start, count = int(model.jnt_dofadr[i]), JOINT_WIDTHS[int(model.jnt_type[i])][1]
            else:
                start, count = int(model.sensor_adr[i]), int(model.sensor_dim[i])
            rows += range(start, start + count)
            owners += [owner] * count
        return rows, owners
    if field.axis == "material":
        return [int(model.geom_matid[geom]) for geom in matched], list(range(len(matched)))
    if field.axis == "qpos":
        return [int(model.jnt_qposadr[joint]) for joint in matched], list(range(len(matched)))
    return matched, list(range(len(matched)))


def lacking(model: mujoco.MjModel, field: Field, matched: Index, names: list[str]) -> str:
    """Why one of the matched objects cannot have this field varied, or nothing."""
    if field.axis == "qpos":
        kind = model.jnt_type[matched]
        met = (kind == int(mujoco.mjtJoint.mjJNT_SLIDE)) | (kind == int(mujoco.mjtJoint.mjJNT_HINGE))
        judged = [(met, "has more than one position; only slides and hinges have a single one")]
    else:
        needs = [NEEDS[name] for name in field.needs.split(", ") if name]
        judged = [(need.met(model, matched), need.lacking) for need in needs]
    for met, reason in judged:
        if not met.all():
            return f"{field.kind} '{names[matched[np.flatnonzero(~met)[0]]]}' {reason}"
    return ""


def _moving(model: mujoco.MjModel, field: Field, rows: list[int]) -> list[bool]:
    """Which rows have other arrays' rows move with them."""
    if not field.moves_of:
        return [True] * len(rows)
    return list(NEEDS[field.moves_of].met(model, np.array(rows)).tolist())


def _frozen(values: list[int]) -> Index:
    array = np.array(values, np.intp)
    array.flags.writeable = False
    return array


def resolve(spec: Spec, name: str, entry: Entry, model: mujoco.MjModel, observations: tuple[str, ...]) -> BoundEntry:
    """Resolves one entry. Raises DREnvError naming file, line, key and the near match."""
    kind = entry.select.kind
    try:
        field = find_field(kind, entry.field_name)
    except DREnvError as error:
        raise DREnvError(f"{spec.where(name, 'field')}: {error}") from None
    if entry.trigger == "compile" and field.compile != "never":
        field = dataclasses.replace(field, array=COMPILED + field.array, needs="placed body" if kind == "body" else "")
    elif field.compile == "must":
        raise DREnvError(
            f"{spec.where(name, 'trigger')}: got {entry.trigger}, but {field.name} is fixed when the model is "
            "compiled; write `trigger: compile`"
        )
    index = entry.field_index
    if index is not None and index >= field.components:
        raise DREnvError(
            f"{spec.where(name, 'field')}: got {entry.field}, but {field.name} has "
            f"{field.components} component{'s' * (field.components > 1)}, counted from 0"
        )
    components = range(field.components) if index is None else [index]
    if kind == "option":
        names, matched = ["option"], [0]
    else:
        try:
            names = object_names(model, kind, observations)
            matched = entry.select.match(names)
        except DREnvError as error:
            raise DREnvError(f"{spec.where(name, 'select')}: {error}") from None
    unmet = lacking(model, field, np.array(matched), names)
    if unmet:
        raise DREnvError(f"{spec.where(name, 'select')}: {unmet}")
    if index is not None and field.array in COUNTS:
        counts = COUNTS[field.array](model, np.array(matched)).tolist()
        without = [(names[i], count) for i, count in zip(matched, counts, strict=True) if count <= index]
        if without:
            (one, count), *_ = without
            raise DREnvError(
                f"{spec.where(name, 'field')}: got {entry.field}, but {field.name} of {kind} '{one}' has {count} "
                f"component{'s' * (count > 1)}, counted from 0; the others have no effect"
            )
    rows, owners = _rows(model, field, matched)
    width = _row_width(model, field.array)
    columns = field.columns or (0,)
    flat = [row * width + columns[c] for row in rows for c in components]
    owner = [o for o in owners for _ in components]
    shared = entry.per == "shared"
    value = {"shared": [0] * len(flat), "element": owner, "number": list(range(len(flat)))}[entry.per]
    moves = []
    if entry.coupled:
        moving = [i for i, met in enumerate(_moving(model, field, rows)) if met]
        for array, moved in field.moves if moving else ():
            span = _row_width(model, array)
            moves.append(
                Move(
                    array,
                    _frozen([rows[i] * span + column for i in moving for column in moved]),
                    _frozen([i for i in moving for _ in moved]),
                )
            )
    return BoundEntry(
        name=name,
        operation=entry.operation,
        distribution=entry.distribution,
        field=field,
        width=1 if shared else max(value) + 1,
        shared=shared,
        flat=_frozen(flat),
        component=_frozen([c for _ in rows for c in components]),
        value=_frozen(value),
        moves=tuple(moves),
        matches=tuple(names[i] for i in matched),
        owner=_frozen(owner),
    )

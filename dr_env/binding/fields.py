"""The field table: every physical quantity that a Spec can name, and what MuJoCo needs with it.

Simulator traps live here as data. To make another quantity randomizable, add a row.
"""

from __future__ import annotations

import dataclasses
import math

import mujoco

from dr_env.errors import DREnvError, unknown_name


@dataclasses.dataclass(frozen=True)
class Field:
    """One quantity of one kind of object.

    Args:
        kind: the selector kind.
        name: its name in a Spec.
        array: the MjModel array that holds it ("opt.*" for options; "observation.*" is held by the
            environment, which passes it to the same writer).
        unit: SI unit of one component.
        columns: the columns of the array's rows that are its components; empty where the array has
            one number a row.
        low, high: the values that physics allows.
        above_low: whether `low` itself is excluded.
        axis: what a row of the array is: the object, or each of a joint's degrees of freedom.
        moves: (array, columns) multiplied by the same factor, unless the entry is not `coupled`.
        triangle: whether the three components are moments of inertia, none above the sum of the others.
        note: what a user should know.
    """

    kind: str
    name: str
    array: str
    unit: str
    columns: tuple[int, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False
    axis: str = "object"
    moves: tuple[tuple[str, tuple[int, ...]], ...] = ()
    triangle: bool = False
    note: str = ""

    @property
    def components(self) -> int:
        """How many numbers the field has for one row."""
        return max(1, len(self.columns))

    @property
    def recompute(self) -> bool:
        """Whether MuJoCo derives constants from it, which `mj_setConst` must renew."""
        return self.array.startswith("opt.") or self.array in mujoco.MjModel._setconst_inputs


_XYZ = (0, 1, 2)

FIELDS: tuple[Field, ...] = (
    Field("body", "mass", "body_mass", "kg", low=0, above_low=True, moves=(("body_inertia", _XYZ),),
          note="inertia moves with it: the same shape, denser"),
    Field("body", "inertia", "body_inertia", "kg m^2", _XYZ, low=0, above_low=True, triangle=True,
          note="principal moments, about the centre of mass"),
    Field("geom", "friction", "geom_friction", "1, m, m", _XYZ, low=0,
          note="sliding, torsional, rolling; a contact takes the larger of its two geoms', so vary both"),
    Field("joint", "damping", "dof_damping", "N s/m or N m s/rad", low=0, axis="dof"),
    Field("joint", "stiffness", "jnt_stiffness", "N/m or N m/rad", low=0),
    Field("joint", "armature", "dof_armature", "kg or kg m^2", low=0, axis="dof"),
    Field("joint", "frictionloss", "dof_frictionloss", "N or N m", low=0, axis="dof"),
    Field("actuator", "gain", "actuator_gainprm", "force per control", (0,),
          moves=(("actuator_biasprm", _XYZ),), note="a servo's bias moves with it: the actuator's strength"),
    Field("actuator", "delay", "actuator_delay", "s", low=0,
          note="0, or at least one timestep; the environment compiles the buffer in"),
    Field("option", "gravity", "opt.gravity", "m/s^2", _XYZ),
    Field("option", "wind", "opt.wind", "m/s", _XYZ, note="acts where density or viscosity is above 0"),
    Field("option", "magnetic", "opt.magnetic", "model's own", _XYZ),
    Field("option", "density", "opt.density", "kg/m^3", low=0),
    Field("option", "viscosity", "opt.viscosity", "Pa s", low=0),
    Field("option", "impratio", "opt.impratio", "1", low=0, above_low=True),
    Field("option", "o_margin", "opt.o_margin", "m", note="used with the override flag"),
    Field("option", "o_solref", "opt.o_solref", "s, 1", (0, 1), note="used with the override flag"),
    Field("option", "o_solimp", "opt.o_solimp", "1, 1, m, 1, 1", (0, 1, 2, 3, 4), low=0,
          note="used with the override flag"),
    Field("option", "o_friction", "opt.o_friction", "1, 1, m, m, m", (0, 1, 2, 3, 4), low=0,
          note="used with the override flag"),
    Field("observation", "noise", "observation.noise", "the observation's", low=0,
          note="standard deviation of Gaussian noise added at every step"),
)  # fmt: skip

_TABLE = {(field.kind, field.name): field for field in FIELDS}


def find_field(kind: str, name: str) -> Field:
    """The row for a field of a kind. Raises DREnvError naming the near match."""
    if (kind, name) not in _TABLE:
        raise DREnvError(unknown_name(f"{kind} field", name, [n for k, n in _TABLE if k == kind]))
    return _TABLE[kind, name]

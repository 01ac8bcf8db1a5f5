"""The field table: every physical quantity that a Spec can name, and what MuJoCo needs with it.

Simulator traps live here as data. To make another quantity randomizable, add a row.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.binding.fields_image import IMAGE_ROWS
from dr_env.binding.fields_looks import LOOK_ROWS, is_visual
from dr_env.errors import DREnvError, unknown_name

_INF = math.inf


@dataclasses.dataclass(frozen=True)
class Field:
    """One quantity of one kind of object.

    Args:
        kind: the selector kind.
        name: its name in a Spec.
        array: the MjModel array that holds it, "opt.*" for options; or one of `dr_env.binding.held`, which the
            environment acts on; or one of `dr_env.binding.derived`, from which several of the model's follow.
        unit: SI unit of one component.
        columns: the columns of the array's rows that are its components; empty where the array has
            one number a row.
        low, high: the values that physics allows, one for all components or one for each.
        above_low: whether `low` itself is excluded.
        keeps_sign: whether a value must keep the nominal one's sign, which tells two formats apart.
        ordered: whether its two components are a lower and an upper limit.
        triangle: whether the three components are moments of inertia, none above the sum of the others.
        allowed: the only values there are, for whole numbers.
        axis: what a row of the array is: the object, or each of a joint's degrees of freedom or positions,
            or each number that a sensor reads, or a geom's material.
        moves: (array, columns) multiplied by the same factor, unless the entry is not `coupled`.
        needs: what the selected objects must be (`dr_env.binding.needs`), separated by commas.
        compile: whether entries with `trigger: compile` are written into the model's description, before it is
            compiled: never, may (else into the model, if `needs` are met), must.
        note: what a user should know.
    """

    kind: str
    name: str
    array: str
    unit: str
    columns: tuple[int, ...] = ()
    low: float | tuple[float, ...] = -_INF
    high: float | tuple[float, ...] = _INF
    above_low: bool = False
    keeps_sign: bool = False
    ordered: bool = False
    triangle: bool = False
    allowed: tuple[int, ...] = ()
    axis: str = "object"
    moves: tuple[tuple[str, tuple[int, ...]], ...] = ()
    moves_of: str = ""
    needs: str = ""
    compile: Literal["never", "may", "must"] = "never"
    note: str = ""

    @property
    def components(self) -> int:
        """How many numbers the field has for one row."""
        return max(1, len(self.columns))

    @property
    def recompute(self) -> bool:
        """Whether MuJoCo derives constants from it, which `mj_setConst` must renew."""
        return self.array.startswith("opt.") or (
            self.array in mujoco.MjModel._setconst_inputs and not self.visual
        )

    @property
    def visual(self) -> bool:
        """Whether it is of looks alone, which physics does not feel."""
        return is_visual(self.array)

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.array in _WHOLE

    def bounds(self, component: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The least and greatest legal values of components."""
        which = np.asarray(component)
        low = np.broadcast_to(np.asarray(self.low, np.float64), self.components)[which]
        return low, np.broadcast_to(np.asarray(self.high, np.float64), self.components)[which]


_LONGEST = 60.0  # seconds of delay that a buffer is made for
_WHOLE = ("geom_condim", "geom_priority", "pair_dim", "light_active", "light_castshadow", "vis.headlight.active",
          "derived.mat_texture", "derived.sky", "image.background", "image.background_under")
_XYZ = (0, 1, 2)
_PAIR = (0, 1)
_FIVE = (0, 1, 2, 3, 4)
_CONTACT = "s, 1"
_IMPEDANCE = "1, 1, m, 1, 1"
_IMPEDANCE_LOW, _IMPEDANCE_HIGH = (0, 0, 0, 0, 1), (1, 1, _INF, 1, _INF)
_SOLREF = "time constant and damping ratio if positive, -stiffness and -damping if negative; the sign stays"
_ITS = "the observation's"
_SENSORS = "the sensor's"
_RESTS = "tendons keep their compiled rest lengths"
_DAMPED = "dampratio and springdamper keep what they compiled to"
_RATIO = "dampratio keeps the kv it compiled to"
_PUSHED = "body that moves, body that nobody places"
_CURVE = "of a polynomial all terms move alike"
_ROTATION = "a rotation vector in its own frame, nominally 0"
_OVERRIDE = "used with the override flag"

_ROWS: tuple[Field, ...] = (
    Field("body", "mass", "body_mass", "kg", low=0, above_low=True, moves=(("body_inertia", _XYZ),),
          note=f"inertia moves with it: the same shape, denser; {_DAMPED}"),
    Field("body", "inertia", "body_inertia", "kg m^2", _XYZ, low=0, above_low=True, triangle=True,
          note="principal moments, about the centre of mass"),
    Field("body", "com", "body_ipos", "m", _XYZ, needs="full body", note="centre of mass, in the body's frame"),
    Field("body", "pos", "body_pos", "m", _XYZ, needs="moving body, no free joint", compile="may",
          note=f"in the parent's frame; of a static body by trigger: compile; {_RESTS}"),
    Field("body", "rotation", "derived.body_rotation", "rad", _XYZ, needs="moving body, no free joint", compile="may",
          note=f"{_ROTATION}; of a static body by trigger: compile; {_RESTS}"),
    Field("body", "pseudo_inertia", "derived.pseudo_inertia", "1 (0 to 6), m (7 to 9)", tuple(range(10)),
          needs="full body, body with mass",
          note="alpha, d1 d2 d3, s12 s23 s13, t1 t2 t3: mass, centre and inertia together, always possible"),
    Field("body", "gravcomp", "body_gravcomp", "1", note="1 cancels gravity"),
    Field("body", "push_force", "push.force", "N", low=0, needs=_PUSHED,
          note="of each push, on the centre of mass, for its duration"),
    Field("body", "push_duration", "push.duration", "s", low=0, needs=_PUSHED,
          note="how long a push's force acts; the mean over each control step is exact"),
    Field("body", "push_impulse", "push.impulse", "N s", low=0, needs=_PUSHED,
          note="given in the control step in which a push starts, beside its force"),
    Field("body", "push_rate", "push.rate", "1/s", low=0, high=1000, needs=_PUSHED,
          note="pushes at random times"),
    Field("body", "push_interval", "push.interval", "s", low=0.001, needs=_PUSHED,
          note="pushes at regular times"),
    Field("body", "push_axes", "push.axes", "1", _XYZ, low=0, needs=_PUSHED,
          note="weights of the world's axes in a push's random direction; 1 1 0 is horizontal"),
    Field("geom", "friction", "geom_friction", "1, m, m", _XYZ, low=0,
          note="sliding, torsional, rolling; a contact takes the larger of its two geoms', so vary both"),
    Field("geom", "size", "geom_size", "m", _XYZ, low=0, needs="shaped geom",
          note="by shape, as in MJCF; masses do not follow"),
    Field("geom", "pos", "geom_pos", "m", _XYZ, note="in the body's frame"),
    Field("geom", "rotation", "derived.geom_rotation", "rad", _XYZ, note=_ROTATION),
    Field("geom", "solref", "geom_solref", _CONTACT, _PAIR, keeps_sign=True, note=_SOLREF),
    Field("geom", "solimp", "geom_solimp", _IMPEDANCE, _FIVE, low=_IMPEDANCE_LOW, high=_IMPEDANCE_HIGH),
    Field("geom", "margin", "geom_margin", "m", low=0),
    Field("geom", "gap", "geom_gap", "m", low=0, note="contacts are found this far beyond the margin, without force"),
    Field("geom", "condim", "geom_condim", "1", allowed=(1, 3, 4, 6)),
    Field("geom", "priority", "geom_priority", "1", note="the higher one's contact parameters count"),
    Field("site", "pos", "site_pos", "m", _XYZ, note=f"in the body's frame; {_RESTS}"),
    Field("site", "rotation", "derived.site_rotation", "rad", _XYZ, note=_ROTATION),
    Field("joint", "damping", "dof_damping", "N s/m or N m s/rad", low=0, axis="dof",
          moves=(("dof_dampingpoly", _PAIR),), moves_of="dof_dampingpoly", note=_CURVE),
    Field("joint", "stiffness", "jnt_stiffness", "N/m or N m/rad", low=0,
          moves=(("jnt_stiffnesspoly", _PAIR),), moves_of="jnt_stiffnesspoly", note=_CURVE),
    Field("joint", "armature", "dof_armature", "kg or kg m^2", low=0, axis="dof", note=_DAMPED),
    Field("joint", "frictionloss", "dof_frictionloss", "N or N m", low=0, axis="dof"),
    Field("joint", "range", "jnt_range", "m or rad", _PAIR, ordered=True,
          needs="limited joint, joint without a muscle", note="inheritrange keeps the ctrlrange it compiled to"),
    Field("joint", "ref", "qpos0", "m or rad", axis="qpos", note="the position at which the model is assembled"),
    Field("joint", "springref", "qpos_spring", "m or rad", axis="qpos", note=f"the spring's rest position; {_RESTS}"),
    Field("pair", "friction", "pair_friction", "1, 1, m, m, m", _FIVE, low=0),
    Field("pair", "solref", "pair_solref", _CONTACT, _PAIR, keeps_sign=True, note=_SOLREF),
    Field("pair", "solimp", "pair_solimp", _IMPEDANCE, _FIVE, low=_IMPEDANCE_LOW, high=_IMPEDANCE_HIGH),
    Field("pair", "margin", "pair_margin", "m", low=0),
    Field("pair", "gap", "pair_gap", "m", low=0, note="contacts are found this far beyond the margin, without force"),
    Field("pair", "condim", "pair_dim", "1", allowed=(1, 3, 4, 6)),
    Field("equality", "solref", "eq_solref", _CONTACT, _PAIR, keeps_sign=True, note=_SOLREF),
    Field("equality", "solimp", "eq_solimp", _IMPEDANCE, _FIVE, low=_IMPEDANCE_LOW, high=_IMPEDANCE_HIGH),
    Field("equality", "polycoef", "eq_data", "1", _FIVE, needs="joint or tendon equality"),
    Field("tendon", "stiffness", "tendon_stiffness", "N/m", low=0,
          moves=(("tendon_stiffnesspoly", _PAIR),), moves_of="tendon_stiffnesspoly", note=_CURVE),
    Field("tendon", "damping", "tendon_damping", "N s/m", low=0,
          moves=(("tendon_dampingpoly", _PAIR),), moves_of="tendon_dampingpoly", note=_CURVE),
    Field("tendon", "frictionloss", "tendon_frictionloss", "N", low=0),
    Field("tendon", "armature", "tendon_armature", "kg", low=0,
          needs="tendon without wrapping, tendon of full bodies"),
    Field("tendon", "range", "tendon_range", "m", _PAIR, ordered=True, needs="limited tendon"),
    Field("tendon", "springlength", "tendon_lengthspring", "m", _PAIR, ordered=True),
    Field("actuator", "gain", "actuator_gainprm", "force per control", (0,),
          moves=(("actuator_biasprm", _XYZ),), needs="number as gain",
          note="a servo's bias moves with it: the actuator's strength"),
    Field("actuator", "bias", "actuator_biasprm", "force; per length, per velocity", _XYZ, needs="affine bias"),
    Field("actuator", "kp", "actuator_gainprm", "force per length", (0,), low=0,
          moves=(("actuator_biasprm", (1,)),), needs="position servo", note=_RATIO),
    Field("actuator", "kv", "actuator_biasprm", "force per velocity", (2,), high=0, keeps_sign=True,
          moves=(("actuator_gainprm", (0,)),), moves_of="velocity servo",
          needs="damped servo", note="stored negative, as MuJoCo does: scale it; a velocity servo's gain moves too"),
    Field("actuator", "gear", "actuator_gear", "1", (0, 1, 2, 3, 4, 5), needs="no muscle",
          note=f"on hinges, slides and tendons only the first counts; {_RATIO}"),
    Field("actuator", "force", "actuator_gainprm", "N or N m", (2,), low=0, above_low=True,
          moves=(("actuator_biasprm", (2,)),), needs="muscle with a force", note="a muscle's peak force"),
    Field("actuator", "ctrlrange", "actuator_ctrlrange", "the control's", _PAIR, ordered=True,
          needs="limited control", note="the action space stays the nominal one; controls are clipped"),
    Field("actuator", "forcerange", "actuator_forcerange", "N or N m", _PAIR, ordered=True, needs="limited force"),
    Field("actuator", "armature", "actuator_armature", "kg or kg m^2", low=0,
          needs="actuator of joints, actuator without wrapping, actuator of full bodies"),
    Field("actuator", "damping", "actuator_damping", "N s/m or N m s/rad", low=0, needs="actuator of joints",
          moves=(("actuator_dampingpoly", _PAIR),), moves_of="actuator_dampingpoly", note=_CURVE),
    Field("actuator", "delay", "actuator_delay", "s", low=0, high=_LONGEST,
          note="the nearest whole timesteps; the environment compiles the buffer in"),
    Field("sensor", "noise", "sensor.noise", _SENSORS, low=0, axis="reading",
          note="standard deviation of Gaussian noise"),
    Field("sensor", "uniform_noise", "sensor.uniform_noise", _SENSORS, low=0, axis="reading",
          note="half width of uniform noise"),
    Field("sensor", "bias", "sensor.bias", _SENSORS, axis="reading", note="offset of a whole episode"),
    Field("sensor", "walk", "sensor.walk", _SENSORS + " / sqrt(s)", low=0, axis="reading",
          note="growth of a random walk"),
    Field("sensor", "quantum", "sensor.quantum", _SENSORS, low=0, axis="reading", note="readings are multiples of it"),
    Field("sensor", "dropout", "sensor.dropout", "1", low=0, high=1, axis="reading",
          note="probability that the last reading is repeated"),
    Field("sensor", "delay", "sensor_delay", "s", low=0, high=_LONGEST,
          note="the nearest whole timesteps; the environment compiles the buffer in"),
    Field("option", "timestep", "opt.timestep", "s", low=0, above_low=True, compile="must",
          note="by trigger: compile; an action takes as many steps as come nearest to its time"),
    Field("option", "gravity", "opt.gravity", "m/s^2", _XYZ),
    Field("option", "wind", "opt.wind", "m/s", _XYZ, note="acts where density or viscosity is above 0"),
    Field("option", "magnetic", "opt.magnetic", "model's own", _XYZ),
    Field("option", "density", "opt.density", "kg/m^3", low=0),
    Field("option", "viscosity", "opt.viscosity", "Pa s", low=0),
    Field("option", "impratio", "opt.impratio", "1", low=0, above_low=True),
    Field("option", "o_margin", "opt.o_margin", "m", note=_OVERRIDE),
    Field("option", "o_solref", "opt.o_solref", _CONTACT, _PAIR, keeps_sign=True, note=_OVERRIDE),
    Field("option", "o_solimp", "opt.o_solimp", _IMPEDANCE, _FIVE, low=_IMPEDANCE_LOW, high=_IMPEDANCE_HIGH,
          note=_OVERRIDE),
    Field("option", "o_friction", "opt.o_friction", "1, 1, m, m, m", _FIVE, low=0, note=_OVERRIDE),
    Field("observation", "noise", "observation.noise", _ITS, low=0, note="standard deviation of Gaussian noise"),
    Field("observation", "uniform_noise", "observation.uniform_noise", _ITS, low=0, note="half width of uniform noise"),
    Field("observation", "bias", "observation.bias", _ITS, note="offset of a whole episode"),
    Field("observation", "walk", "observation.walk", _ITS + " / sqrt(s)", low=0, note="growth of a random walk"),
    Field("observation", "quantum", "observation.quantum", _ITS, low=0, note="readings are multiples of it"),
    Field("observation", "delay", "observation.delay", "s", low=0, high=_LONGEST,
          note="rounded up to whole control steps"),
    Field("observation", "dropout", "observation.dropout", "1", low=0, high=1,
          note="probability that the last reading is repeated"),
    Field("action", "noise", "action.noise", "the action's", low=0, note="standard deviation of Gaussian noise"),
    Field("action", "dropout", "action.dropout", "1", low=0, high=1,
          note="probability that the last action is repeated"),
    Field("action", "jitter", "action.jitter", "s", low=0, high=_LONGEST,
          note="a delay up to this much, redrawn each control step, on top of the actuator's"),
    *(Field(**row) for row in LOOK_ROWS),
    *(Field(**row) for row in IMAGE_ROWS),
)  # fmt: skip

_KINDS = list(dict.fromkeys(row.kind for row in _ROWS))
FIELDS: tuple[Field, ...] = tuple(sorted(_ROWS, key=lambda row: _KINDS.index(row.kind)))
"""The field table, a kind after the other."""

_TABLE = {(field.kind, field.name): field for field in FIELDS}


def find_field(kind: str, name: str) -> Field:
    """The row for a field of a kind. Raises DREnvError naming the near match."""
    if (kind, name) not in _TABLE:
        raise DREnvError(unknown_name(f"{kind} field", name, [n for k, n in _TABLE if k == kind]))
    return _TABLE[kind, name]

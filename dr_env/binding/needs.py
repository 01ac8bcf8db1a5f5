"""What an object must be before some of its fields can vary, and how to make it so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding.pool import pool_size

Ids = NDArray[np.intp]

_SHAPED = [
    int(getattr(mujoco.mjtGeom, f"mjGEOM_{shape}")) for shape in ("SPHERE", "CAPSULE", "ELLIPSOID", "CYLINDER", "BOX")
]
_SPOT = int(mujoco.mjtLightType.mjLIGHT_SPOT)
_FACES_A_BODY = [int(mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY), int(mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODYCOM)]
GREY = (0.5, 0.5, 0.5, 1.0)
"""A geom's colour where none is given; then its material's counts."""
_MUSCLE = int(mujoco.mjtGain.mjGAIN_MUSCLE)
_ON_JOINTS = [int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT)]
_FIXED_GAIN, _AFFINE_BIAS = int(mujoco.mjtGain.mjGAIN_FIXED), int(mujoco.mjtBias.mjBIAS_AFFINE)
_COUPLINGS = [int(mujoco.mjtEq.mjEQ_JOINT), int(mujoco.mjtEq.mjEQ_TENDON)]
_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
_TENDON = int(mujoco.mjtTrn.mjTRN_TENDON)
_SCALAR = [int(getattr(mujoco.mjtTrn, f"mjTRN_{of}")) for of in ("TENDON", "SLIDERCRANK", "BODY")]
_WRAP_JOINT, _WRAP_SITE = int(mujoco.mjtWrap.mjWRAP_JOINT), int(mujoco.mjtWrap.mjWRAP_SITE)
_AROUND = [int(mujoco.mjtWrap.mjWRAP_SPHERE), int(mujoco.mjtWrap.mjWRAP_CYLINDER)]
_SIZES = np.array([3, 3, 1, 2, 3, 2, 3, 3, 3])  # how many numbers say how large a geom is, by its type
_DOFS = np.array([6, 3, 1, 1])  # of a joint, by its type
_FULL = 'compile it with dr_env.compile_model(mjspec, spec), or write simple="false" in the MJCF'
_PULLS = f"pulls a body that MuJoCo treats as simple, where armature couples nothing; {_FULL}, at the body"
_CURVES = ("dof_dampingpoly", "jnt_stiffnesspoly", "tendon_dampingpoly", "tendon_stiffnesspoly", "actuator_dampingpoly")
_FOLLOWS = "faces a body by its mode; give it the mode fixed, or vary its pos"


@dataclasses.dataclass(frozen=True)
class Need:
    """A condition on objects.

    Args:
        met: (model, ids) to which of them meet it.
        lacking: what is said of one that does not.
    """

    met: Callable[[Any, Ids], NDArray[np.bool_]]
    lacking: str


def _curved(array: str) -> Need:
    """A polynomial whose terms beyond the linear one, which an array holds, are not all 0."""
    return Need(lambda m, ids: getattr(m, array)[ids].any(-1), "is linear")


NEEDS: dict[str, Need] = {
    "full body": Need(lambda m, ids: m.body_simple[ids] == 0, f"is one that MuJoCo treats as simple; {_FULL}"),
    "placed body": Need(lambda m, ids: ids != 0, "has no pose"),
    "body with mass": Need(lambda m, ids: m.body_mass[ids] > 0, "has no mass"),
    "moving body": Need(
        lambda m, ids: m.body_weldid[ids] != 0,
        "is static, and MuJoCo fixes the collision bounds of static bodies when it compiles; write `trigger: compile`",
    ),
    "no free joint": Need(
        lambda m, ids: (m.body_jntnum[ids] == 0) | (m.jnt_type[m.body_jntadr[ids]] != _FREE),
        "has a free joint, so that where it is belongs to the state an episode starts from, not to the model; "
        "give reset the option qpos, or write `trigger: compile`",
    ),
    "body that moves": Need(lambda m, ids: m.body_weldid[ids] != 0, "is static, so no push moves it"),
    "body that nobody places": Need(
        lambda m, ids: m.body_mocapid[m.body_weldid[ids]] < 0, "is placed by mocap, so no push moves it"
    ),
    "shaped geom": Need(
        lambda m, ids: np.isin(m.geom_type[ids], _SHAPED),
        "has no size that can vary; a sphere, capsule, ellipsoid, cylinder or box has",
    ),
    "limited joint": Need(lambda m, ids: m.jnt_limited[ids] != 0, "has no limits; give it a range in the MJCF"),
    "limited tendon": Need(lambda m, ids: m.tendon_limited[ids] != 0, "has no limits; give it a range in the MJCF"),
    "limited control": Need(
        lambda m, ids: m.actuator_ctrllimited[ids] != 0, "has no control limits; give it a ctrlrange in the MJCF"
    ),
    "limited force": Need(
        lambda m, ids: m.actuator_forcelimited[ids] != 0, "has no force limits; give it a forcerange in the MJCF"
    ),
    "tendon without wrapping": Need(
        lambda m, ids: ~_wrapped(m)[ids], "wraps around a geom, where MuJoCo has no armature"
    ),
    "actuator without wrapping": Need(
        lambda m, ids: ~_wrapped(m)[np.where(m.actuator_trntype[ids] == _TENDON, m.actuator_trnid[ids, 0], m.ntendon)],
        "pulls a tendon that wraps around a geom, where MuJoCo has no armature",
    ),
    "tendon of full bodies": Need(lambda m, ids: ~_coupling(m, "tendon", ids), _PULLS),
    "actuator of full bodies": Need(lambda m, ids: ~_coupling(m, "actuator", ids), _PULLS),
    "actuator of joints": Need(
        lambda m, ids: np.isin(m.actuator_trntype[ids], [*_ON_JOINTS, _TENDON]),
        "moves neither a joint nor a tendon, where alone MuJoCo has armature and damping of actuators",
    ),
    "position servo": Need(
        lambda m, ids: (m.actuator_gainprm[ids, 0] != 0) & (m.actuator_biasprm[ids, 1] == -m.actuator_gainprm[ids, 0]),
        "is no position servo; vary its gain",
    ),
    "damped servo": Need(
        lambda m, ids: (m.actuator_biastype[ids] == _AFFINE_BIAS) & (m.actuator_biasprm[ids, 2] != 0),
        "has no velocity feedback to vary",
    ),
    "velocity servo": Need(
        lambda m, ids: (m.actuator_biasprm[ids, 1] == 0) & (m.actuator_gainprm[ids, 0] == -m.actuator_biasprm[ids, 2]),
        "is no velocity servo",
    ),
    "number as gain": Need(
        lambda m, ids: (m.actuator_gaintype[ids] == _FIXED_GAIN) & (m.actuator_biastype[ids] <= _AFFINE_BIAS),
        "has no gain that is one number, as motors and servos have; vary a muscle's force, or its gear",
    ),
    "muscle with a force": Need(
        lambda m, ids: (m.actuator_gaintype[ids] == _MUSCLE) & (m.actuator_gainprm[ids, 2] > 0),
        "is no muscle whose peak force is given",
    ),
    "no muscle": Need(
        lambda m, ids: m.actuator_gaintype[ids] != _MUSCLE,
        "is a muscle, and MuJoCo fixes the lengths of muscles when it compiles; vary its force",
    ),
    "joint without a muscle": Need(
        lambda m, ids: ~np.isin(ids, m.actuator_trnid[_muscles(m), 0]),
        "is moved by a muscle, and MuJoCo fixes the lengths of muscles, which follow from the range, when it compiles",
    ),
    "affine bias": Need(
        lambda m, ids: m.actuator_biastype[ids] == _AFFINE_BIAS,
        'has no bias of three numbers, as servos and actuators with biastype="affine" have',
    ),
    "joint or tendon equality": Need(
        lambda m, ids: np.isin(m.eq_type[ids], _COUPLINGS), "couples neither joints nor tendons"
    ),
    "coloured geom": Need(
        lambda m, ids: (m.geom_matid[ids] < 0) | (m.geom_rgba[ids] != GREY).any(-1),
        "takes its colour from a material; vary that one's, or compile it with dr_env.compile_model(mjspec, spec)",
    ),
    "material of its own": Need(
        lambda m, ids: np.isin(m.geom_matid[ids], _single(m.geom_matid)),
        "has no material of its own; compile it with dr_env.compile_model(mjspec, spec)",
    ),
    "pool of textures": Need(
        lambda m, ids: np.full(len(ids), pool_size(m) > 0),
        "lacks the Spec's `textures`; compile the model with dr_env.compile_model(mjspec, spec)",
    ),
    "free light": Need(lambda m, ids: ~np.isin(m.light_mode[ids], _FACES_A_BODY), _FOLLOWS),
    "spot light": Need(lambda m, ids: m.light_type[ids] == _SPOT, "is no spot light"),
    "free camera": Need(lambda m, ids: ~np.isin(m.cam_mode[ids], _FACES_A_BODY), _FOLLOWS),
    "camera without a sensor": Need(
        lambda m, ids: m.cam_sensorsize[ids, 1] == 0, "has a sensorsize, which its focal length belongs to; vary that"
    ),
    "camera with a sensor": Need(
        lambda m, ids: m.cam_sensorsize[ids, 1] > 0, "has no sensorsize, so no focal length; vary its fovy"
    ),
    **{array: _curved(array) for array in _CURVES},
}

COUNTS: dict[str, Callable[[Any, Ids], Ids]] = {
    "geom_size": lambda m, ids: _SIZES[m.geom_type[ids]],
    "actuator_gear": lambda m, ids: _gears(m, ids),
}
"""How many components of an array each object has, where objects differ; the rest of its row has no effect."""


def coupled_bodies(model: Any, kind: str, i: int) -> set[int]:
    """Bodies that a tendon, or an actuator by one, pulls, and which MuJoCo treats as simple.

    Armature of the tendon couples their degrees of freedom, but MuJoCo gives simple bodies a diagonal mass matrix, and
    weights of constraints that follow from their own inertia alone.
    """
    if kind == "actuator":
        if model.actuator_trntype[i] != _TENDON:
            return set()
        i = model.actuator_trnid[i, 0]
    part = slice(model.tendon_adr[i], model.tendon_adr[i] + model.tendon_num[i])
    types, objects = model.wrap_type[part], model.wrap_objid[part]
    pulled = {*model.jnt_bodyid[objects[types == _WRAP_JOINT]], *model.site_bodyid[objects[types == _WRAP_SITE]]}
    return {int(body) for body in pulled if model.body_simple[body]}


def _coupling(model: Any, kind: str, ids: Ids) -> NDArray[np.bool_]:
    return np.array([bool(coupled_bodies(model, kind, i)) for i in ids], bool)


def _gears(model: Any, ids: Ids) -> Ids:
    """How many numbers of an actuator's gear count, (k,)."""
    types, objects = model.actuator_trntype[ids], model.actuator_trnid[ids, 0]
    counts = np.where(np.isin(types, _SCALAR), 1, 6)
    on_joints = np.isin(types, _ON_JOINTS)
    counts[on_joints] = _DOFS[model.jnt_type[objects[on_joints]]]
    return np.asarray(counts, np.intp)


def _muscles(model: Any) -> Ids:
    """The muscles that act on joints."""
    on_joints = np.isin(model.actuator_trntype, _ON_JOINTS)
    return np.asarray(np.flatnonzero((model.actuator_gaintype == _MUSCLE) & on_joints), np.intp)


def _single(materials: NDArray[np.int32]) -> Ids:
    """The materials that one geom alone has."""
    found, counts = np.unique(materials[materials >= 0], return_counts=True)
    return np.asarray(found[counts == 1], np.intp)


def _wrapped(model: Any) -> NDArray[np.bool_]:
    """Which tendons wrap around a geom; one more for actuators that pull none, which are none of them."""
    found = np.zeros(model.ntendon + 1, bool)
    for tendon, (first, count) in enumerate(zip(model.tendon_adr, model.tendon_num, strict=True)):
        found[tendon] = np.isin(model.wrap_type[first : first + count], _AROUND).any()
    return found

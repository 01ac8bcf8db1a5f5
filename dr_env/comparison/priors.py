"""What is believed of a mechanism before its recordings are seen, in each tier of the protocol."""

from __future__ import annotations

import numpy as np

from dr_env.envs import make_task
from dr_env.spec import Entry, Spec
from dr_env.tuning import with_latency

_LEGGED = """
format: dr_env/1
entries:
  torso_mass:
    select: {body: torso}
    field: mass
    operation: scale
    distribution: {type: uniform, low: 0.5, high: 1.5}
  thigh_mass:
    select: {body: %(thigh)s}
    field: mass
    operation: scale
    distribution: {type: uniform, low: 0.5, high: 1.5}
  leg_mass:
    select: {body: %(leg)s}
    field: mass
    operation: scale
    distribution: {type: uniform, low: 0.5, high: 1.5}
  foot_mass:
    select: {body: %(foot)s}
    field: mass
    operation: scale
    distribution: {type: uniform, low: 0.5, high: 1.5}
  joint_damping:
    select: {joint: %(joints)s}
    field: damping
    operation: scale
    distribution: {type: uniform, low: 0.4, high: 2.5}
  friction:
    select: {geom: "*"}
    field: friction[0]
    operation: scale
    distribution: {type: uniform, low: 0.5, high: 1.5}
  motor_strength:
    select: {actuator: "*"}
    field: gain
    operation: scale
    distribution: {type: uniform, low: 0.7, high: 1.3}
"""
_NAMES = {
    "hopper": {"thigh": "thigh", "leg": "leg", "foot": "foot", "joints": '["*_joint"]'},
    "half_cheetah": {
        "thigh": "bthigh",
        "leg": "fthigh",
        "foot": "ffoot",
        "joints": "[bthigh, bshin, bfoot, fthigh, fshin, ffoot]",
    },
}

# wider than the tasks' own Specs, within which a policy of the nominal model loses next to nothing
_SWING_UP = {
    "cartpole": """
format: dr_env/1
entries:
  cart_mass:
    select: {body: cart}
    field: mass
    operation: scale
    distribution: {type: log_uniform, low: 0.4, high: 2.5}
  pole_mass:
    select: {body: pole}
    field: mass
    operation: scale
    distribution: {type: log_uniform, low: 0.3, high: 3.0}
  rail_damping:
    select: {joint: slide}
    field: damping
    operation: scale
    distribution: {type: log_uniform, low: 0.2, high: 10.0}
  hinge_damping:
    select: {joint: hinge}
    field: damping
    operation: scale
    distribution: {type: log_uniform, low: 0.2, high: 10.0}
  motor_strength:
    select: {actuator: slide}
    field: gain
    operation: scale
    distribution: {type: uniform, low: 0.4, high: 1.6}
  tilt:
    select: option
    field: gravity[0]
    operation: add
    distribution: {type: uniform, low: -1.0, high: 1.0}
""",
    "pendulum": """
format: dr_env/1
entries:
  mass:
    select: {body: pendulum}
    field: mass
    operation: scale
    distribution: {type: log_uniform, low: 0.4, high: 2.5}
  damping:
    select: {joint: hinge}
    field: damping
    operation: scale
    distribution: {type: log_uniform, low: 0.2, high: 10.0}
  friction:
    select: {joint: hinge}
    field: frictionloss
    operation: scale
    distribution: {type: log_uniform, low: 0.2, high: 10.0}
  rotor_inertia:
    select: {joint: hinge}
    field: armature
    operation: set
    distribution: {type: uniform, low: 0.0, high: 0.3}
  motor_strength:
    select: {actuator: hinge}
    field: gain
    operation: scale
    distribution: {type: log_uniform, low: 0.4, high: 2.5}
  tilt:
    select: option
    field: gravity[0]
    operation: add
    distribution: {type: uniform, low: -3.0, high: 3.0}
""",
}

_SENSED = ("noise", "delay")  # what recordings do not tell, and what the target of tier 2 has that the prior lacks


def prior_of(task: str, tier: int) -> Spec:
    """Seven ranges of a legged robot, six wide ones of a swing-up, or the numbers of the task's own Spec.

    No tuner explores more than these ranges.
    """
    if tier == 0:
        return Spec.from_yaml(_LEGGED % _NAMES[task], f"prior of {task}")
    if tier == 1:
        prior = Spec.from_yaml(_SWING_UP[task], f"prior of {task}")
    else:
        prior = Spec.load(make_task(task).file("randomization.yaml"))
    entries = {name: entry for name, entry in prior.entries.items() if entry.field_name not in _SENSED}
    return Spec(entries={name: _bounded(entry) for name, entry in entries.items()})


def told_prior(prior: Spec, task: str, latency: int) -> Spec:
    """What a method is given: the prior, where told so with commands that act up to `latency` control steps late."""
    return with_latency(prior, latency * make_task(task).dt) if latency else prior


def _bounded(entry: Entry) -> Entry:
    ends = entry.distribution.support()
    return entry.model_copy(update={"bounds": ends}) if np.isfinite(ends).all() else entry

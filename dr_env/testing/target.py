"""A target whose answer is known, for tuners: a mass on a damper, pushed back and forth.

The prior scales mass and damping; the target has both at other values. Recordings are of the mass's exact
motion, returns fall with the distance of a Spec from the target, pictures show both scales bent, and episodes succeed
near the nominal values.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import Plan
from dr_env.records import Columns
from dr_env.spec import Spec
from dr_env.tuning import Log, SimEpisodes, TargetImages, TargetReturns, TargetTransitions

Array = NDArray[np.float64]

PRIOR = Spec.from_yaml("""
format: dr_env/1
entries:
  mass:
    select: {body: cart}
    field: mass
    operation: scale
    distribution: {type: uniform, low: 0.5, high: 1.5}
    bounds: [0.25, 2.0]
  damping:
    select: {joint: slide}
    field: damping
    operation: scale
    distribution: {type: log_uniform, low: 0.5, high: 2.0}
    bounds: [0.2, 5.0]
  gravity:
    select: option
    field: gravity[2]
    operation: add
    distribution: {type: normal, mean: 0.0, std: 0.1}
    tunable: false
""")
TRUTH = {"mass": 1.3, "damping": 0.8}
_MODEL = """
<mujoco>
  <worldbody>
    <body name="cart"><joint name="slide" type="slide" axis="1 0 0" damping="2"/><geom size=".1" mass="1"/></body>
  </worldbody>
  <actuator><motor name="push" joint="slide" gear="4" ctrlrange="-1 1"/></actuator>
</mujoco>
"""
_DAMPING, _GEAR = 2.0, 4.0
_RATE, _SAMPLES = 0.05, 201


def plan_of(spec: Spec) -> Plan:
    """A Spec bound to the target's model, to draw from it."""
    return spec.bind(_model())


@functools.cache
def _model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(_MODEL)


def drawn(spec: Spec, count: int, seed: int) -> Columns:
    """What `count` environments would draw, by entry."""
    environments = np.arange(count, dtype=np.uint64)
    seeds = np.full(count, seed, np.uint64)
    return plan_of(spec).sample_columns(seeds, environments, np.zeros(count, np.uint64))[0]


def returns_of(spec: Spec, trial: int, episodes: int = 5, seed: int = 0) -> TargetReturns:
    """Returns of a policy trained under a Spec: 100 where all its Draws are the target's, less with distance."""
    columns = drawn(spec, 64, seed)
    gaps = [np.log(np.abs(columns[name]) / value) for name, value in TRUTH.items() if name in columns]
    score = 100.0 - 100.0 * float(np.mean([np.mean(gap**2) for gap in gaps] or [1.0]))
    noise = np.random.default_rng((seed, trial)).normal(0.0, 0.2, episodes)
    return TargetReturns(trial, score + noise, spec)


def images_of(spec: Spec, trial: int, count: int = 48) -> TargetImages:
    """Features of imaginary pictures, in which mass and damping bend several numbers, under a Spec and at the truth."""
    columns = drawn(spec, count, 7)
    values = values_of({name: columns[name] for name in TRUTH if name in columns})
    rng = np.random.default_rng(11)
    truth = np.array(list(TRUTH.values())) * np.exp(rng.normal(0.0, 0.02, (count, 2)))
    mixing = rng.normal(size=(2, 12))

    def pictures(scales: Array) -> Array:
        return np.asarray(np.tanh(np.log(np.maximum(scales, 1e-3)) @ mixing))

    return TargetImages(trial, pictures(truth), pictures(np.broadcast_to(values, (count, 2))), spec)


def recording(seed: int = 0, noise: float = 1e-3) -> TargetTransitions:
    """A recording of the target, exact but for noise of measurement."""
    rng = np.random.default_rng(seed)
    time: Array = np.linspace(0.0, _RATE * (_SAMPLES - 1), _SAMPLES)
    ctrl = np.sign(np.sin(2 * time))
    qpos, qvel = _motion(ctrl, np.array([[TRUTH["mass"], TRUTH["damping"]]]))
    states: Array = rng.normal(0.0, noise, (_SAMPLES, 2))
    states += np.stack([qpos[0], qvel[0]], -1)
    return TargetTransitions((Log("cart", time, states[:, :1], states[:, 1:], ctrl[:, None]),), 0.5)


def episodes_of(spec: Spec, radius: float, count: int = 256, seed: int = 0) -> SimEpisodes:
    """Episodes under a Spec that succeed where every scale is within a factor exp(radius) of nominal."""
    columns = drawn(spec, count, seed)
    gap = np.max([np.abs(np.log(columns[name])) for name in TRUTH], axis=0)
    return SimEpisodes(columns, -gap, gap <= radius)


def _step(state: Array, ctrl: Array, values: Array) -> Array:
    """The state (..., 2) one sample later: m v' = gear u - c v, solved exactly, for values (..., 2)."""
    mass, damping = np.moveaxis(values, -1, 0)
    rate, rest = _DAMPING * damping / mass, _GEAR * ctrl / (_DAMPING * damping)
    fallen = np.exp(-rate * _RATE)
    speed = rest + (state[..., 1] - rest) * fallen
    place = state[..., 0] + rest * _RATE + (state[..., 1] - rest) * (1 - fallen) / rate
    return np.stack([place, speed], -1)


def _motion(ctrl: Array, values: Array) -> tuple[Array, Array]:
    """Positions and velocities from rest, (n, samples) each."""
    states = [np.zeros((len(values), 2))]
    for control in ctrl[:-1]:
        states.append(_step(states[-1], np.asarray(control), values))
    found = np.stack(states, 1)  # (n, samples, 2)
    return found[..., 0], found[..., 1]


@dataclasses.dataclass
class CartSimulator:
    """A `Simulator` of the target by its exact solution, started at each recorded sample.

    Values of a mass or damping below a twentieth diverge.
    """

    evidence: TargetTransitions
    names: tuple[str, ...] = tuple(TRUTH)
    sim_steps: int = 0

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Those of the prior's entries."""
        ends = np.array([PRIOR.entries[name].bounds for name in self.names], np.float64)  # (d, 2)
        return ends[:, 0], ends[:, 1]

    @property
    def clusters(self) -> NDArray[np.intp]:
        """Each transition is a window, (k,)."""
        return np.arange(sum(len(log.time) - 1 for log in self.evidence.logs))

    def predictions(self, values: Array) -> Array:
        """Scaled errors by transition, (n, k, 2)."""
        values = np.asarray(values, np.float64)
        errors = []
        for log in self.evidence.logs:
            states = np.concatenate([log.qpos, log.qvel], 1)  # (T, 2)
            found = _step(states[None, :-1], log.ctrl[None, :-1, 0], values[:, None])
            errors.append((found - states[None, 1:]) / np.nanstd(states, axis=0))
            self.sim_steps += len(values) * (len(states) - 1)
        joined = np.concatenate(errors, 1)
        joined[(values < 0.05).any(1)] = np.nan
        return joined

    def residuals(self, values: Array) -> Array:
        """The same, flat: (n, 2 k)."""
        found = self.predictions(values)
        return found.reshape(len(found), -1)


def values_of(columns: Mapping[str, Array]) -> Array:
    """The scales of mass and damping that were drawn, (n, 2); 1 where an entry is not there."""
    count = max((len(column) for column in columns.values()), default=1)
    return np.stack([np.broadcast_to(columns.get(name, np.ones(count)), count) for name in TRUTH], 1)

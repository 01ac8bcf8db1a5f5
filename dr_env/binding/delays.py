"""The history buffers that delays need, and whether a model has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding.checks import BOUNDED, final, outside, refusal
from dr_env.binding.indexing import BoundEntry
from dr_env.errors import DREnvError
from dr_env.spec import Spec

Array = NDArray[np.float64]

_ROUNDED = 1e-9  # of a timestep
_EARLY = 1e-6  # of a timestep

DELAYS = ("actuator_delay", "sensor_delay")
"""Arrays of seconds that act in whole timesteps."""

# what adds up to a delay, by the kind of object that has the buffer
_PARTS = {"actuator": ("actuator_delay", "action.jitter"), "sensor": ("sensor_delay",)}


@dataclasses.dataclass(frozen=True)
class Buffers:
    """What a model has of history buffers.

    Args:
        held: samples of each object's buffer, by kind: actuators (nu,), sensors (nsensor,).
        nominal: what adds up to the delays, in s, by array.
        timestep: s.
    """

    held: Mapping[str, NDArray[np.int_]]
    nominal: Mapping[str, Array]
    timestep: float

    @classmethod
    def of(cls, model: mujoco.MjModel) -> Buffers:
        """A model's."""
        return cls(
            {kind: np.array(getattr(model, f"{kind}_history")[:, 0]) for kind in _PARTS},
            {
                "actuator_delay": model.actuator_delay.copy(),
                "action.jitter": np.zeros(model.nu),
                "sensor_delay": model.sensor_delay.copy(),
            },
            float(model.opt.timestep),
        )


def whole_steps(delays: Array, timestep: float) -> Array:
    """Delays in s as the nearest whole timesteps, which MuJoCo would round up; as `in_time` has them."""
    return in_time(np.floor(delays / timestep + 0.5 + _ROUNDED) * timestep, timestep)


def in_time(delays: Array, timestep: float) -> Array:
    """Delays of whole timesteps, a hair shorter.

    MuJoCo looks up what was sent by the time, which it adds up: after some seconds the moment wanted is a rounding
    error before the one that is stored, and a delay of whole timesteps would become one longer.
    """
    return np.asarray(np.maximum(delays - _EARLY * timestep, 0.0))


def delay_samples(spec: Spec, entries: Sequence[BoundEntry], buffers: Buffers) -> dict[tuple[str, int], int]:
    """Buffer samples that a Spec's delays need: (kind, object) -> ceil(longest delay / timestep).

    Raises DREnvError for a delay without a longest value.
    """
    needed = {}
    for kind, parts in _PARTS.items():
        touched = sorted({i for entry in entries if entry.field.array in parts for i in entry.flat.tolist()})
        if touched:
            longest = np.sum([_longest(spec, entries, buffers.nominal[array], array) for array in parts], axis=0)
            counts = np.ceil(longest / buffers.timestep - _ROUNDED).astype(int)
            needed.update({(kind, i): int(counts[i]) for i in touched if counts[i] > 0})
    return needed


_COMPILE = "compile it with dr_env.compile_model(mjspec, spec), or set nsample on the {kind}"
_WIDEST = "make the environment with the widest Spec, and narrow it with set_randomization before the first reset"


def check_delays(spec: Spec, entries: Sequence[BoundEntry], buffers: Buffers, later: bool = False) -> None:
    """Refuses a delay that the model has no buffer for; `later` where an environment has it already."""
    for (kind, i), needed in delay_samples(spec, entries, buffers).items():
        held = int(buffers.held[kind][i])
        if held < needed:
            entry = next(e for e in reversed(entries) if e.field.array in _PARTS[kind] and i in e.flat)
            raise DREnvError(
                f"{spec.where(entry.name, 'field')}: the delay needs a buffer of {needed} samples, the model has "
                f"{held}; {_WIDEST if later else _COMPILE.format(kind=kind)}"
            )


def _longest(spec: Spec, entries: Sequence[BoundEntry], nominal: Array, array: str) -> Array:
    """The greatest value that the entries, in their order, can give each element of an array."""
    low, high = nominal.copy(), nominal.copy()
    for entry in entries:
        if entry.field.array != array:
            continue
        flat, base, (least, most) = entry.flat, high[entry.flat], entry.distribution.support()
        ends = [final(entry.operation, part[flat], end) for part in (low, high) for end in (least, most)]
        low[flat], high[flat] = np.min(ends, axis=0), np.max(ends, axis=0)
        if not np.isfinite(high[flat]).all():
            raise DREnvError(
                f"{spec.where(entry.name, 'distribution')}: a delay needs a longest value for its buffer, but "
                f"{entry.distribution.type_name} is unbounded; use {BOUNDED}"
            )
        wrong = outside(entry.field, entry.component, base, high[flat])
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise DREnvError(refusal(spec, entry, base[first], high[flat][first], first))
    return high

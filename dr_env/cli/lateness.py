"""Whether recordings look as though commands had acted later than a Spec says, which `dr-env tune fit` then tells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dr_env.cli.recordings import Bench
from dr_env.spec import Spec
from dr_env.tuning import LATENCY, tells_latency, with_latency

Array = NDArray[np.float64]

_TRIED = 0.01  # s of latency
_STEP = 0.15  # of each uniform number that a Spec's values are made of, to either side
_LOGS = 32  # recordings that are looked at, at most
_WORTH = 0.1  # by which the error must fall


def lateness(bench: Bench, tuned: Spec, window: float) -> str | None:
    """What to do where commands that act later would explain what a tuned Spec misses, or None.

    A fit makes up for a latency that it does not have with what it has, so that later commands alone would help
    little. So this asks what they would do if the values were fitted again, to first order around the Spec's middle
    (a score test): the residuals are projected on what the values can do, and on that and the latency. Errors are root
    mean squares over positions, each coordinate in units of its own error.

    Specs that vary an actuator's delay, and models without actuators, have nothing to be told; nor have Specs without
    any spread, of which nobody knows what was fitted.
    """
    if not bench.mjspec.actuators or tells_latency(tuned):
        return None
    name = LATENCY
    while name in tuned.drawn:
        name += "_"
    replay = bench.replay(with_latency(tuned, _TRIED, name), bench.logs[:_LOGS], window, need_values=False)
    sampler = replay.plan.sampler
    numbers = sampler.stream.total
    uniform = np.full((2 * numbers + 2, numbers), 0.5)
    for i in range(numbers):
        uniform[2 * i : 2 * i + 2, i] += _STEP, -_STEP
    columns = sampler.draw(uniform)
    columns[name] = np.zeros_like(columns[name])
    columns[name][-1] = _TRIED
    errors = replay.differences(columns)[:, :, : replay.model.nv]
    known = np.isfinite(errors).all(axis=0)
    size = np.sqrt((np.where(known, errors[-2] ** 2, 0.0)).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    scaled = np.where(known, errors / np.maximum(size, 1e-12), 0.0).reshape(len(errors), -1)
    missed, later = scaled[-2], (scaled[-1] - scaled[-2]) / _TRIED
    effects = ((scaled[0:-2:2] - scaled[1:-2:2]) / 2).T
    effects = effects[:, np.linalg.norm(effects, axis=0) > 0]
    if not effects.size:
        return None
    without, _ = _left(effects, missed)
    with_it, found = _left(np.column_stack([effects, later]), missed)
    if not (found[-1] > replay.model.opt.timestep / 2 and with_it < (1 - _WORTH) * without):
        return None
    late, gain = found[-1], 100 * (1 - with_it / without)
    return (
        f"commands seem to act {1000 * late:.0f} ms late, which the Spec has no entry for and other values make up "
        f"for; {gain:.0f} % of the error could go: --latency {_rounded(2 * late):g} fits it too"
    )


def _left(effects: Array, missed: Array) -> tuple[float, Array]:
    """The norm of what no combination of effects explains, and the combination that explains most."""
    found: Array = np.linalg.lstsq(effects, -missed, rcond=1e-6)[0].astype(np.float64)
    return float(np.linalg.norm(missed + effects @ found)), found


def _rounded(seconds: float) -> float:
    """Up to a whole hundredth."""
    return float(np.ceil(100 * seconds) / 100)

"""Velocities from positions, resampling and shifts in time."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.logs.mapping import Velocity
from dr_env.logs.quality import gaps
from dr_env.tuning.held import HeldControls
from dr_env.tuning.rotation import rotation_between

Array = NDArray[np.float64]


def derivative(values: Array, time: Array, how: Velocity, name: str) -> Array:
    """d/dt of columns (T, n).

    `central` is the second-order difference over neighbours at any spacing; `savitzky_golay` fits a
    polynomial to a window around each sample (A. Savitzky and M. Golay, 1964) on a uniform clock, and
    averages less of the motion away than a low-pass filter of the same noise does.
    """
    if how.method == "central" or len(time) < max(5, how.order + 2):
        return np.asarray(np.gradient(values, time, axis=0, edge_order=2 if len(time) > 2 else 1))
    period = float(np.median(np.diff(time)))
    length = min(2 * round(how.window / period / 2) + 1, len(time) - 1 + len(time) % 2)
    if length <= how.order:
        raise DREnvError(
            f"{name}: velocity.window {how.window:g} s holds {length} samples, expected more than order {how.order}; "
            "give a longer window, or method: central"
        )
    uniform = np.arange(time[0], time[-1] + 0.5 * period, period)
    even = interpolate(values, time, uniform)
    slope = scipy.signal.savgol_filter(even, length, how.order, deriv=1, delta=period, axis=0)
    return interpolate(slope, uniform, time)


def runs(known: NDArray[np.intp], time: Array) -> list[NDArray[np.intp]]:
    """Samples, numbered as in `time`, in parts without a gap; those of three or more."""
    return [part for part in np.split(known, gaps(time[known]) + 1) if len(part) >= 3]


def angular_velocity(quaternions: Array, time: Array, how: Velocity, name: str) -> Array:
    """Body-frame rates (T, 3) of unit quaternions (T, 4), w first, as a free joint's qvel[3:6]."""
    return _smoothed(rotation_between(quaternions[1:], quaternions[:-1]), time, how, name)


def _smoothed(turns: Array, time: Array, how: Velocity, name: str) -> Array:
    """Rates (T, n) at samples of what turned between them, (T - 1, n); at both ends extrapolated, linearly."""
    middles = 0.5 * (time[1:] + time[:-1])
    rates = np.asarray(scipy.interpolate.make_interp_spline(middles, turns / np.diff(time)[:, None], k=1)(time))
    if how.method == "central" or len(time) < how.order + 2:
        return rates
    period = float(np.median(np.diff(time)))
    length = min(2 * round(how.window / period / 2) + 1, len(time) - 1 + len(time) % 2)
    if length <= how.order:
        raise DREnvError(f"{name}: velocity.window {how.window:g} s holds {length} samples, expected more")
    return np.asarray(scipy.signal.savgol_filter(rates, length, how.order, axis=0))


def gain(time: Array, how: Velocity, turns: bool, led: int, name: str) -> Array:
    """How many times white noise of positions is in velocities estimated from them, (T - led,) in 1/s.

    The norms of the rows of the linear estimate, found from combs: of samples so far apart that no estimate sees two.

    Args:
        time: (T,) of the samples.
        how: the estimate.
        turns: whether of orientations (`angular_velocity`), or else of numbers (`derivative`).
        led: so many samples at the beginning are copies of the one after them.
        name: of the positions, in messages.
    """
    period = float(np.median(np.diff(time)))
    apart = min(2 * round(how.window / period / 2) + 9, len(time))
    combs = np.eye(apart)[np.maximum(np.arange(len(time)) - led, 0) % apart]  # (T, apart)
    seen = _smoothed(np.diff(combs, axis=0), time, how, name) if turns else derivative(combs, time, how, name)
    return np.asarray(np.linalg.norm(seen[led:], axis=1))


def unwrapped(values: Array) -> Array:
    """Angles (T, 1) within a turn, put one after the other; NaN stays."""
    out, known = values.copy(), ~np.isnan(values[:, 0])
    out[known, 0] = np.unwrap(values[known, 0])
    return out


def interpolate(values: Array, time: Array, at: Array) -> Array:
    """Columns (T, n) at other times, linearly; held beyond the ends. NaN stays where a neighbour is NaN."""
    return np.stack([np.interp(at, time, column) for column in values.T], axis=1) if values.shape[1] else values[:0]


def held_mean(values: Array, time: Array, at: Array) -> Array:
    """Columns (T, n) of values in force until the next, as their means from each of other times to the next.

    Between two samples a simulation holds one control, so that this is what acts as late as it should, to a fraction
    of a sample. From the last time on it is what is in force then; before the first value, that.
    """
    changed = np.append(True, (np.diff(values, axis=0) != 0).any(axis=1))  # between others nothing is to be rounded
    means = HeldControls(time[changed], values[changed]).mean(at)
    last = np.searchsorted(time, at[-1:] + 1e-9, side="right") - 1
    return np.concatenate((means, values[np.clip(last, 0, len(time) - 1)]))


def upright(quaternions: Array) -> Array:
    """Quaternions (T, 4) of unit length, each on the side of the one before."""
    unit = quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)
    flips = np.where((unit[1:] * unit[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    return np.asarray(unit * np.concatenate(([1.0], np.cumprod(flips)))[:, None])

"""What is wrong with a recording, said with file, column and time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_GAP = 4.0  # sampling periods without a sample
_ALIKE = 0.9  # correlation from which two signals are the same
_FACTORS = (
    (57.3, "rad/s while the position is in deg"),
    (1 / 57.3, "deg/s while the position is in rad"),
    (1 / 9.549, "rpm while the position is in rad"),
    (2 * np.pi, "turn/s while the position is in rad"),
    (0.01, "cm/s while the position is in m"),
    (100.0, "m/s while the position is in cm"),
    (1000.0, "thousandths"),
    (0.001, "thousands"),
)  # by which a position changes faster than its velocity says
_LAGS = 0.1  # s, the longest lag looked for


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something wrong: which check, where, what, and whether the recording is no use with it."""

    check: str
    where: str
    what: str
    fatal: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def check_values(where: str, time: Array, values: Array, needed: bool) -> Iterator[Finding]:
    """NaN and clipping in a column, (T,)."""
    bad = np.flatnonzero(np.isnan(values))
    if len(bad):
        share = f"{len(bad)} of {len(values)} samples are no numbers, the first at {time[bad[0]]:g} s"
        yield Finding("nan", where, share, needed or len(bad) == len(values))
    finite = values[~np.isnan(values)]
    if not needed and len(finite) > 20 and np.ptp(finite) > 0:  # commands may well stay at their limits
        for end in (finite.max(), finite.min()):
            held = np.flatnonzero((values[1:] == end) & (values[:-1] == end))
            if len(held) > max(5, 0.02 * len(values)) and end != 0 and _approached(values, end):
                text = f"{len(held)} samples stay at {end:g}, where it seems to be clipped"
                yield Finding("clipping", where, text, False)


def _approached(values: Array, end: float) -> bool:
    """Whether a signal runs into its extreme with speed, as one does that is cut off."""
    enters = np.flatnonzero((values[2:] == end) & (values[1:-1] != end)) + 1
    steps = np.abs(np.diff(values[~np.isnan(values)]))
    typical = np.median(steps[steps > 0]) if (steps > 0).any() else 0.0
    return bool(len(enters) and np.median(np.abs(values[enters] - values[enters - 1])) > 0.3 * typical)


def gaps(time: Array) -> NDArray[np.intp]:
    """The samples after which so long none follows that nothing is known between."""
    steps = np.diff(time)
    return np.flatnonzero(steps > _GAP * np.median(steps))


def check_clock(where: str, time: Array, then: str = "cut in two there") -> Iterator[Finding]:
    """Gaps in time, and what is done about them; order is checked where a Log is made."""
    steps = np.diff(time)
    for i in gaps(time):
        text = f"no samples for {steps[i]:g} s from {time[i]:g} s, {steps[i] / np.median(steps):.0f} periods; {then}"
        yield Finding("gap", where, text, False)


def check_jump(where: str, time: Array, values: Array) -> Iterator[Finding]:
    """A position that leaps between two samples and moves far less before and after."""
    known = ~np.isnan(values)
    time, values = time[known], values[known]
    spacing = np.diff(time)
    steps = np.abs(np.diff(values)) * np.median(spacing) / spacing
    if len(steps) < 9 or not (steps > 0).any():
        return
    quantum = steps[steps > 0].min()
    around = np.stack([np.roll(steps, k) for k in (-3, -2, -1, 1, 2, 3)]).max(axis=0)
    leaps = (steps > 8 * around) & (steps > 8 * quantum) & (steps > 4 * np.quantile(steps, 0.99))
    leaps[:3] = leaps[-3:] = False
    for i in np.flatnonzero(leaps)[:1]:
        full = " (a turn: unwrap it)" if abs(steps[i] - 2 * np.pi) < 0.5 else ""
        text = f"jumps from {values[i]:g} to {values[i + 1]:g} at {time[i + 1]:g} s{full}"
        yield Finding("jump", where, text, True)


def check_pair(where: str, time: Array, position: Array, velocity: Array) -> Iterator[Finding]:
    """A velocity that does not belong to its position: sign, unit, lag. Both (T,) on one clock, without NaN."""
    if len(time) < 32 or np.ptp(position) == 0 or np.ptp(velocity) == 0:
        return
    period = float(np.median(np.diff(time)))
    uniform = np.arange(time[0], time[-1], period)
    width = max(3, 2 * int(0.005 / period) + 1)
    smooth = np.convolve(np.interp(uniform, time, position), np.ones(width) / width, "same")
    slope = np.gradient(smooth, period)[width:-width]
    given = np.convolve(np.interp(uniform, time, velocity), np.ones(width) / width, "same")[width:-width]
    longest = min(round(_LAGS / period), len(slope) // 4)
    if longest < 1 or slope.std() == 0 or given.std() == 0:
        return
    core = slice(longest, len(slope) - longest)
    scores = np.array([_correlation(slope[core], np.roll(given, -lag)[core]) for lag in range(-longest, longest + 1)])
    best = int(np.argmax(np.abs(scores))) - longest
    score, at_zero = float(scores[best + longest]), float(scores[longest])
    if abs(score) < _ALIKE:
        return
    shifted = np.roll(given, -best)[core]
    ratio = float((slope[core] * shifted).sum() / (shifted * shifted).sum())
    if score < 0:
        yield Finding("sign", where, "its sign is opposite to that of the position's change; give scale: -1", True)
    for factor, text in _FACTORS:
        if 0.9 < abs(ratio) / factor < 1.1:
            yield Finding("unit", where, f"the position changes {abs(ratio):.3g} times as fast; {text}?", True)
    if best != 0 and score**2 - at_zero**2 > 0.002 and abs(best) * period > 1.5 * period:
        text = f"{'lags' if best > 0 else 'leads'} the position by {abs(best) * period * 1e3:.0f} ms"
        yield Finding("lag", where, f"{text}; give delay: {best * period:.3g}, or leave it out to be estimated", False)


def _correlation(a: Array, b: Array) -> float:
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0

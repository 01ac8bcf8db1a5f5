"""What is wrong with a recording, said with file, column and time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_GAP = 4.0  # sampling periods without a sample
_ALIKE, _UNLIKE = 0.9, 0.3  # correlation from which two signals are the same, and below which they are not
_SMOOTH = 0.7  # correlation of neighbours from which a signal is sampled often enough
_OTHER = 1.5  # ratio from which a velocity is none of its position
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
_SAME = 0.95  # correlation from which a velocity is that of a position
_BEYOND = 0.5  # of a joint's range, by which nothing is recorded outside it


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something wrong: which check, where, what, and whether the recording is no use with it."""

    check: str
    where: str
    what: str
    fatal: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def moment(time: float) -> str:
    """A time in words, also one of so many seconds as a clock counts from 1970."""
    return f"{round(float(time), 6):.16g} s"


def check_values(where: str, time: Array, values: Array, needed: bool) -> Iterator[Finding]:
    """NaN and clipping in a column, (T,)."""
    bad = np.flatnonzero(np.isnan(values))
    if len(bad):
        share = f"{len(bad)} of {len(values)} samples are no numbers, the first at {moment(time[bad[0]])}"
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


def check_clock(where: str, time: Array, then: str) -> Iterator[Finding]:
    """Gaps in time, and what is done about them; order is checked where a Log is made."""
    steps = np.diff(time)
    for i in gaps(time):
        text = (
            f"no samples for {steps[i]:g} s from {moment(time[i])}, {steps[i] / np.median(steps):.0f} periods; {then}"
        )
        yield Finding("gap", where, text, False)


def check_jump(where: str, time: Array, values: Array) -> Iterator[Finding]:
    """A position that leaps between two samples, or for one or two away and back, and moves far less around it."""
    known = ~np.isnan(values)
    time, values = time[known], values[known]
    spacing = np.diff(time)
    if len(spacing) < 9 or not np.ptp(values) > 0:
        return
    steps = np.abs(np.diff(values)) * np.median(spacing) / spacing
    quantum = steps[steps > 0].min()
    for away in (0, 1, 2):  # samples that a glitch lasts; 0 for a step that stays
        found = _leaps(values, steps, away, quantum)
        for i in found[:1]:
            full = " (a turn: unwrap it)" if not away and abs(steps[i] - 2 * np.pi) < 0.5 else ""
            back = f" and back to {values[i + 1 + away]:g}" if away else ""
            text = f"jumps from {values[i]:g} to {values[i + 1]:g}{back} at {moment(time[i + 1])}{full}"
            yield Finding("jump", where, text, True)
        if len(found):
            return


def _leaps(values: Array, steps: Array, away: int, quantum: float) -> NDArray[np.intp]:
    """The samples (..) before a leap that ends `away` samples later."""
    count = len(steps) - away
    before, after = values[:count], values[1 + away : 1 + away + count]
    if away:  # how far the nearest of the samples between is, and how far what follows is from where it was
        middle = 0.5 * (before + after)
        height = np.min([np.abs(values[k : k + count] - middle) for k in range(1, away + 1)], axis=0)
        rest = np.abs(after - before)
    else:
        height, rest = steps, np.zeros(count)
    # the three steps before and after those of the leap itself
    near = [*(np.roll(steps, k)[:count] for k in (1, 2, 3)), *(np.roll(steps, -away - k)[:count] for k in (1, 2, 3))]
    leaps = (height > 8 * np.max([*near, rest], axis=0)) & (height > 8 * quantum)
    leaps[:3] = leaps[-3:] = False
    leaping = np.flatnonzero(leaps)
    own = np.unique((leaping[:, None] + np.arange(away + 1)).ravel())
    others = np.delete(steps, own)
    return leaping[height[leaping] > 4 * np.quantile(others, 0.99)] if len(others) else leaping[:0]


def check_pair(where: str, time: Array, position: Array, velocity: Array) -> Iterator[Finding]:
    """A velocity that does not belong to its position: sign, unit, lag. Both (T,) on one clock, without NaN."""
    if len(time) < 32:
        return
    if not velocity.any():
        changes = np.abs(np.diff(position))
        if np.ptp(position) > 8 * changes[changes > 0].min(initial=np.inf):
            yield Finding("pair", where, "is 0 while the position moves; leave it out to be estimated", True)
    elif np.ptp(position) == 0 and np.ptp(velocity) > 0:
        yield Finding("pair", where, "changes while the position stays where it is; is it of another joint?", False)
    if np.ptp(position) == 0 or np.ptp(velocity) == 0:
        return
    period = float(np.median(np.diff(time)))
    uniform = np.arange(time[0], time[-1], period)
    width = _smoothing(period)
    smooth = np.convolve(np.interp(uniform, time, position), np.ones(width) / width, "same")
    slope = np.gradient(smooth, period)[width:-width]
    given = np.convolve(np.interp(uniform, time, velocity), np.ones(width) / width, "same")[width:-width]
    longest = min(round(_LAGS / period), len(slope) // 4)
    if longest < 1 or slope.std() == 0 or given.std() == 0:
        return
    moved = (given - given.mean()) ** 2
    if moved[longest:-longest].sum() < 0.5 * moved.sum():  # shifted, it would be compared without most of its motion
        longest = 0
    core = slice(longest, len(slope) - longest)
    scores = np.array([_correlation(slope[core], np.roll(given, -lag)[core]) for lag in range(-longest, longest + 1)])
    at_zero = float(scores[longest])
    # what is shifted by half a period looks turned round, so a sign is opposite at once, or at no lag right
    opposite = at_zero < -_ALIKE or (scores.min() < -_ALIKE and scores.max() < _ALIKE - _UNLIKE)
    best = int(np.argmin(scores) if opposite else np.argmax(scores)) - longest
    score = float(scores[best + longest])
    if abs(score) < _ALIKE:
        if _apart(np.interp(uniform, time, position)[width:-width], given):
            text = "does not follow the position's change; is it of another joint? Leave it out to be estimated"
            yield Finding("pair", where, text, False)
        return
    shifted = np.roll(given, -best)[core]
    ratio = float((slope[core] * shifted).sum() / (shifted * shifted).sum())
    if score < 0:
        yield Finding("sign", where, "its sign is opposite to that of the position's change; give scale: -1", True)
    told = next((text for factor, text in _FACTORS if 0.9 < abs(ratio) / factor < 1.1), None)
    if told or not 1 / _OTHER < abs(ratio) < _OTHER:
        fast = f"the position changes {abs(ratio):.3g} times as fast"
        yield Finding("unit", where, f"{fast}; {told or 'another unit, or a gear between them'}?", told is not None)
    if best != 0 and score**2 - at_zero**2 > 0.002 and abs(best) * period > 1.5 * period:
        text = f"{'lags' if best > 0 else 'leads'} the position by {abs(best) * period * 1e3:.0f} ms"
        remedy = f"give delay: {abs(best) * period:.3g}, or leave it out to be estimated"
        late = remedy if best > 0 else f"the position is late, then: {remedy.split(',')[0]} for it"
        yield Finding("lag", where, f"{text}; {late}", False)


def check_range(where: str, values: Array, low: float, high: float) -> Iterator[Finding]:
    """Positions (T,) of a joint, far beyond what its model allows; NaN is left out."""
    found = values[~np.isnan(values)]
    if len(found) and (found.max() - high > _BEYOND * (high - low) or low - found.min() > _BEYOND * (high - low)):
        text = f"goes from {found.min():.4g} to {found.max():.4g}, and the model's joint from {low:.4g} to {high:.4g}"
        yield Finding("range", where, f"{text}; is the unit right, or the offset, which is in SI?", True)


def check_exchanged(
    where: str, time: Array, positions: Mapping[str, Array], velocities: Mapping[str, Array]
) -> Iterator[Finding]:
    """Velocities (T,) by joint that follow another joint's position and not their own."""
    for joint, velocity in velocities.items():
        alike = {}
        for other, position in positions.items():
            known = ~np.isnan(position + velocity)
            if known.mean() > 0.5:
                alike[other] = _follows(time[known], position[known], velocity[known])
        if alike and alike.get(joint, 1.0) < _ALIKE:
            best = max(alike, key=alike.__getitem__)
            if alike[best] > _SAME and best != joint:
                text = f"follows the position of {best} more closely than that of {joint}; is it of {best}?"
                yield Finding("pair", f"{where} qvel[{joint}]", text, False)


def _follows(time: Array, position: Array, velocity: Array) -> float:
    """The correlation of a velocity with a position's change."""
    if len(time) < 32:
        return 0.0
    width = _smoothing(float(np.median(np.diff(time))))
    moved, given = (np.convolve(x, np.ones(width) / width, "valid") for x in (position, velocity))
    return _correlation(np.gradient(moved, time[: len(moved)]), given)


def _smoothing(period: float) -> int:
    """Samples over which positions and velocities are averaged before they are compared; odd."""
    return max(3, 2 * int(0.005 / period) + 1)


def _apart(position: Array, velocity: Array) -> bool:
    """Whether a position moves otherwise than a velocity says, also over parts in which noise and steps average out.

    Nothing can be said of what changes from sample to sample, too seldom seen.
    """
    if min(_correlation(signal[1:], signal[:-1]) for signal in (position, velocity)) < _SMOOTH:
        return False
    width = max(8, len(position) // 100)
    parts = [signal[: len(signal) // width * width].reshape(-1, width).mean(axis=1) for signal in (position, velocity)]
    moved, said = np.diff(parts[0]), 0.5 * (parts[1][1:] + parts[1][:-1])
    noise = float(np.diff(position, 3).std()) * np.sqrt(2 / 20 / width)
    return len(moved) > 4 and moved.std() > 4 * noise and abs(_correlation(moved, said)) < _UNLIKE


def _correlation(a: Array, b: Array) -> float:
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0

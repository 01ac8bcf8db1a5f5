"""Controls that are in force from one sample to the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SAME = 1e-7  # s, between moments that are one


class HeldControls:
    """Controls of which each holds from its sample to the next; before the first sample the first is in force.

    Args:
        time: (t,) s of the samples.
        values: (t, n).
    """

    def __init__(self, time: Array, values: Array) -> None:
        self._time, self._values = time, values
        # from the first sample to each
        self._integral = np.cumsum(np.diff(time, prepend=time[0])[:, None] * np.roll(values, 1, axis=0), axis=0)

    def mean(self, edges: Array, part: slice = slice(None)) -> Array:
        """Means between neighbouring edges (..., k + 1) s of a part of the controls, (..., k, n)."""
        time, values, integral = self._time, self._values[:, part], self._integral[:, part]
        # what begins or ends where a sample was taken does so exactly, whatever rounding says
        at = np.clip(np.searchsorted(time, edges + _SAME, side="right") - 1, 0, len(time) - 1)
        since = edges - time[at]
        until = integral[at] + values[at] * since[..., None]
        mean = np.diff(until, axis=-2) / np.diff(edges)[..., None]
        begin, end = at[..., :-1], at[..., 1:] - ((since[..., 1:] < _SAME) & (at[..., 1:] > 0))
        return np.where((begin == end)[..., None], values[begin], mean)

"""White noise in what was measured, from third differences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FEW = 8  # samples, below which nothing is said


def white_noise(series: Array, window: NDArray[np.intp]) -> Array:
    """Standard deviations of white noise, (m,), robustly from third differences within windows; 0 where too few.

    Args:
        series: (k, m), NaN where nothing was measured.
        window: (k,) the window that each sample is in.
    """
    if len(series) < _FEW:
        return np.zeros(series.shape[1])
    return of_thirds(np.diff(series, n=3, axis=0)[window[3:] == window[:-3]])


def of_thirds(third: Array) -> Array:
    """Standard deviations, (m,), of white noise whose third differences these are, (n, m); NaN is left out."""
    out = np.zeros(third.shape[1])
    for i in range(third.shape[1]):
        column = third[~np.isnan(third[:, i]), i]
        if len(column):
            out[i] = 1.4826 * float(np.median(np.abs(column))) / np.sqrt(20)  # 20 = 1 + 9 + 9 + 1
    return out

"""White noise in what was measured, from third differences or from its echo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FEW = 8  # samples, below which nothing is said
_MAD = 1.4826  # standard deviations of a normal in its median absolute deviation
_ROUNDS = 4  # of weighing an echo by what it was found to be
_OUTLIER = 3.0  # standard deviations; what errs more counts as that
_TINY = 1e-9  # least standard deviation


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
            out[i] = _MAD * float(np.median(np.abs(column))) / np.sqrt(20)  # 20 = 1 + 9 + 9 + 1
    return out


def echoed(residuals: Array, slopes: Array, chained: NDArray[np.bool_]) -> Array:
    """Variances of white noise in measured states, (m,), as far as predictions from them show it.

    A state that is wrong by n where one prediction ends is wrong by n where the next begins, which carries it on: with
    A the slopes of the next one's end over its start, -n is in r_{t-1} and A n in r_t, and so the variances are
    the regression of products of both on A. Wrong parameters, what a model lacks and fast motion do not by themselves
    leave that. A variance within its standard error of 0 is 0.

    Args:
        residuals: predicted minus measured, (k, m), in the order of time; NaN where nothing was measured.
        slopes: A, (k, m, m), the start's coordinate last.
        chained: whether a prediction starts from the sample that ended the one before it, (k,).
    """
    after = np.flatnonzero(chained[1:]) + 1
    before = after - 1
    measured = ~np.isnan(residuals)
    both = measured[after][:, :, None] & measured[before][:, None]  # (p, m, m)
    noise = np.zeros(residuals.shape[1])
    if not both.any():
        return noise
    size = np.array([np.median(np.abs(r[~np.isnan(r)])) if len(r) else 0.0 for r in residuals.T])
    least = (_MAD * size + _TINY) ** 2
    for _ in range(_ROUNDS):
        variance = least + slopes**2 @ noise  # (k, m)
        within = _OUTLIER * np.sqrt(variance)
        clipped = np.where(measured, np.clip(residuals, -within, within), 0.0)
        carried = np.where(both, slopes[after] / (variance[after][:, :, None] * variance[before][:, None]), 0.0)
        products = -clipped[before] * np.einsum("pj,pji->pi", clipped[after], carried)
        wanted = np.einsum("pji,pji->pi", slopes[after], carried)
        information = np.maximum(wanted.sum(axis=0), 1e-300)
        found = products.sum(axis=0) / information
        doubt = np.sqrt(((products - found * wanted) ** 2).sum(axis=0)) / information
        noise = np.where(found > doubt, found, 0.0)
    return noise

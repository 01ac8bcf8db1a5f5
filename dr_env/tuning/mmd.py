"""Maximum mean discrepancy: how far apart two sets of feature vectors are, as distributions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import distance

Array = NDArray[np.float64]

_BANDS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the median distance, squared
_FLAT = 1e-9  # a standard deviation below which a feature counts as constant


@dataclasses.dataclass(frozen=True, eq=False)
class MMD:
    """The squared discrepancy of samples x (m, d) and y (n, d), unbiased.

        MMD^2 = mean of k(x_i, x_j), i != j  +  mean of k(y_i, y_j), i != j  -  2 mean of k(x_i, y_j)

    Equation 3 of Gretton, Borgwardt, Rasch, Schoelkopf, Smola, "A kernel two-sample test", JMLR 2012. The kernel is
    the mean of Gaussians k(a, b) = exp(-|a - b|^2 / (2 s^2)), whose s^2 are multiples of the median squared distance
    (their section 8), so that one of them tells distant samples apart and another near ones. It is 0 on average for
    samples of one distribution, and then as often below 0 as above.

    Args:
        scale: (d,) by which features are divided.
        width: the median squared distance of features so divided.
    """

    scale: Array
    width: float

    @classmethod
    def of(cls, x: Array, y: Array) -> MMD:
        """Scales by the standard deviation and the median distance of both samples together; constants count 0."""
        both = np.concatenate([x, y])
        std = both.std(axis=0)
        magnitude = np.abs(both).max(axis=0)
        scale = np.where(std > _FLAT * np.maximum(magnitude, 1.0), std, np.inf)
        squared = distance.pdist(both / scale, "sqeuclidean")
        median = float(np.median(squared))
        return cls(scale, median if median > 0 else 1.0)

    def __call__(self, x: Array, y: Array) -> float:
        """The squared discrepancy; NaN for fewer than two rows in either."""
        m, n = len(x), len(y)
        if min(m, n) < 2:
            return float("nan")
        x, y = x / self.scale, y / self.scale
        within_x = 2 * self._kernel(distance.pdist(x, "sqeuclidean")).sum() / (m * (m - 1))
        within_y = 2 * self._kernel(distance.pdist(y, "sqeuclidean")).sum() / (n * (n - 1))
        return float(within_x + within_y - 2 * self._kernel(distance.cdist(x, y, "sqeuclidean")).mean())

    def _kernel(self, squared: Array) -> Array:
        parts = [np.exp(squared / (-2 * band * self.width)) for band in _BANDS]
        return np.asarray(np.mean(parts, axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; None for a feature that counts 0."""
        return {"scale": [value if np.isfinite(value) else None for value in self.scale.tolist()], "width": self.width}

    @classmethod
    def from_dict(cls, form: dict[str, Any]) -> MMD:
        """Undoes `to_dict`."""
        return cls(np.array([np.inf if value is None else value for value in form["scale"]]), form["width"])

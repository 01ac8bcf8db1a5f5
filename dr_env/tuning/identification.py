"""What evidence could not tell: values that stay as uncertain as before, alone or together, and bounds that bind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_UNTOLD = 0.7  # of the prior's standard deviation
_TOGETHER = 0.95  # correlation
_LOOSE = 0.25  # of the prior's standard deviation, from which a pair's own uncertainty matters
_FACE = 1e-3  # of the cube
_LEAST = 1e-16  # mean square of errors, in their scales
NOTHING = "nothing could be compared: every simulation diverged, or nothing was measured; what comes out is the prior"
"""What is said where recordings tell nothing at all."""
APART = "nothing could be compared: no transition has all of what is measured; what comes out is the prior"
"""What is said where coordinates were measured, but never together."""


class Named(Protocol):
    """Values as points of the unit cube."""

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called, (d,)."""

    def from_unit(self, points: Array) -> Array:
        """Values of a point."""


def notes_of(coordinates: Named, point: Array, posterior: Array, prior: Array, gradient: Array) -> Iterator[str]:
    """Sentences for people.

    Args:
        coordinates: the values'.
        point: (d,) the estimate in the cube.
        posterior, prior: covariances (d, d) in the cube.
        gradient: (d,) of the data's cost in the cube.
    """
    names = coordinates.names
    share = np.minimum(np.sqrt(np.diag(posterior) / np.diag(prior)), 1.0)
    low, high = coordinates.from_unit(np.zeros(len(names))), coordinates.from_unit(np.ones(len(names)))
    for i in range(len(names)):
        at_low, at_high = point[i] < _FACE and gradient[i] > 0, point[i] > 1 - _FACE and gradient[i] < 0
        if at_low or at_high:
            bound = low[i] if at_low else high[i]
            side = "below" if at_low else "above"
            yield (
                f"{names[i]} is at its bound {bound:.4g}: the data want it {side}, which the prior excludes; widen the "
                "prior, or look for what the model lacks"
            )
    untold = [f"{names[i]} ({100 * share[i]:.0f} %)" for i in np.argsort(-share) if share[i] > _UNTOLD]
    if untold:
        yield f"not identified by these recordings (share of the prior's spread that is left): {', '.join(untold)}"
    scale = np.sqrt(np.diag(posterior))
    correlation = posterior / scale[:, None] / scale
    for i in range(len(names)):
        for j in range(i):
            loose = min(share[i], share[j]) > _LOOSE
            if abs(correlation[i, j]) > _TOGETHER and loose:
                how = "sum" if correlation[i, j] < 0 else "difference"
                known = f"correlation {correlation[i, j]:.2f}: their {how}"
                yield f"{names[j]} and {names[i]} are only known together ({known})"


def told_by(errors: Array, slopes: Array, precision: Array) -> tuple[Array, Array]:
    """The gradient of the sum of squared errors, and the covariance that Laplace's approximation leaves.

    Args:
        errors: (k, m) at the estimate; a coordinate's mean square there is taken for its noise.
        slopes: (k, m, d) of them in the cube.
        precision: (d,) of the prior.

    Returns:
        (d,) and (d, d); the prior's where simulations diverged.
    """
    if not (np.isfinite(errors).all() and np.isfinite(slopes).all()):
        return np.zeros(len(precision)), np.diag(1 / precision)
    noise = np.maximum((errors**2).mean(axis=0), _LEAST)
    scaled = slopes / noise[:, None]
    information = np.einsum("kmd,kme->de", scaled, slopes) + np.diag(precision)
    return np.einsum("km,kmd->d", errors, scaled), np.asarray(np.linalg.inv(information))

"""A Simulator as likelihood methods see it: parameters in the unit cube, errors without holes."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from dr_env.tuning.coordinates import Coordinates
from dr_env.tuning.tuner import Restartable, Simulator

Array = NDArray[np.float64]

_NUMBERS = 8_000_000  # errors computed at once
_STEPS = 1e-4, 0.05  # least and greatest of differences between start states, in their scales


class Problem:
    """Errors of predictions at points of the unit cube of `Coordinates`.

    Coordinates that were measured in less than half of the transitions are left out, and then every
    transition that lacks a number, so that errors are whole; NaN means a simulation that diverged. Transitions
    stand in the order in which they were recorded, whatever order they are simulated in.

    Args:
        simulator: of the recordings.
        coordinates: of its values.
    """

    def __init__(self, simulator: Simulator, coordinates: Coordinates) -> None:
        self._simulator = simulator
        self.coordinates = coordinates
        self.mean = coordinates.mean
        """Of the prior, (d,)."""
        self.variances = np.diag(coordinates.covariance)
        """Of the prior, (d,)."""
        centre = simulator.predictions(self.values(np.full((1, self.size), 0.5)))
        corners = simulator.predictions(
            self.values(scipy.stats.qmc.Halton(self.size, rng=np.random.default_rng(0)).random(4))
        )
        self._samples = centre[0].size
        measured = np.isfinite(np.concatenate([centre, corners])).any(axis=0)  # (k, m)
        self._coordinates = measured.mean(axis=0) >= 0.5
        order = np.argsort(simulator.clusters, kind="stable")
        whole = measured[order][:, self._coordinates].all(axis=1)
        self._transitions = order[whole]
        fresh = np.diff(simulator.clusters[self._transitions]) != 0
        self.single = bool(fresh.all())
        """Whether windows have one sample each, and so a transition is what follows from one recorded state."""
        follows = np.diff(np.flatnonzero(whole), prepend=-2) == 1  # what was left out breaks the chain
        known = simulator.chained[self._transitions] if isinstance(simulator, Restartable) else True
        self.chained: NDArray[np.bool_] = follows & known
        """Whether a transition starts from what ended the one before it, (k,), as far as the simulator can tell."""
        begins = ~self.chained[1:] if self.single else fresh
        self.trajectories: NDArray[np.intp] = np.cumsum(np.append(False, begins))[: len(self._transitions)]
        """The trajectory that each transition is of, (k,): its window, or those that are chained where each has one."""
        self.evaluations = 5
        """How many points were simulated, each in every transition."""

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return len(self.coordinates)

    @property
    def shape(self) -> tuple[int, int]:
        """Transitions k and coordinates m of the errors."""
        return len(self._transitions), int(self._coordinates.sum())

    @property
    def empty(self) -> bool:
        """Whether nothing was measured that could be compared."""
        return 0 in self.shape

    @property
    def apart(self) -> bool:
        """Whether coordinates were measured, but never all of them in one transition."""
        return bool(self._coordinates.any()) and not len(self._transitions)

    def values(self, unit: Array) -> Array:
        """Parameters (n, d) of points in the unit cube."""
        return self.coordinates.from_unit(np.clip(unit, 0.0, 1.0))

    def errors(self, unit: Array) -> Array:
        """Predicted minus measured at n points, (n, k, m); a point whose simulation diverged is NaN throughout."""
        k, m = self.shape
        batch = max(1, _NUMBERS // max(1, self._samples))
        parts = []
        for begin in range(0, len(unit), batch):
            found = self._simulator.predictions(self.values(unit[begin : begin + batch]))
            parts.append(found[:, self._transitions][:, :, self._coordinates])
        self.evaluations += len(unit)
        errors = np.concatenate(parts) if parts else np.empty((0, k, m))
        errors[~np.isfinite(errors).all(axis=(1, 2))] = np.nan
        return errors

    def jacobians(self, unit: Array, step: Array) -> tuple[Array, Array]:
        """Errors (k, m) at a point, and their central differences (k, m, d) over steps (d,) to either side.

        At a bound the difference is one-sided; a parameter whose every step diverges counts as without effect.
        """
        d = self.size
        points = np.clip(unit + np.concatenate([np.zeros((1, d)), np.diag(step), -np.diag(step)]), 0.0, 1.0)
        errors = self.errors(points)
        here = errors[0]
        ends = np.stack([errors[1 : d + 1], errors[d + 1 :]])  # (2, d, k, m)
        at = np.stack([np.diag(points[1 : d + 1]), np.diag(points[d + 1 :])])  # (2, d)
        lost = ~np.isfinite(ends).all(axis=(2, 3))
        for side, j in np.argwhere(lost):
            ends[side, j], at[side, j] = here, unit[j]
        gap = at[0] - at[1]
        slopes = (ends[0] - ends[1]) / np.where(gap > 0, gap, 1.0)[:, None, None]
        return here, np.moveaxis(slopes, 0, -1)

    def states(self, unit: Array, noise: Array) -> Array | None:
        """Slopes of errors at a point (d,) over measured start states, (k, m, m); None where the simulator has none.

        Args:
            unit: the point.
            noise: about how noisy each coordinate is, (m,) standard deviations in its scale.
        """
        simulator = self._simulator
        if not isinstance(simulator, Restartable):
            return None
        steps = np.full(len(self._coordinates), _STEPS[0])
        steps[self._coordinates] = np.clip(noise, *_STEPS)
        slopes = simulator.starts(self.values(unit[None])[0], steps)
        self.evaluations += 2 * len(steps)
        return np.asarray(slopes[self._transitions][:, self._coordinates][:, :, self._coordinates])

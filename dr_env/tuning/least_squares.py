"""Robust least squares in a box, many points at a time: the optimiser of Gauss-Newton tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DAMPINGS = np.array([1e-6, 1e-3, 1e-1, 1.0, 10.0])  # tried at once, times the present one
_STEPS = (1e-3, 0.05, 0.3)  # of the cube, of finite differences; larger ones where the smaller changes nothing
_HUBER = 2.0  # standard deviations from which a residual counts linearly (P. J. Huber, 1964)
_WORST = 30.0  # standard deviations that a diverged simulation counts as
_ROUGH = 1e-4  # improvement of the cost, as a share, that is worth another iteration


@dataclasses.dataclass(frozen=True)
class Fit:
    """Where a fit ended, and the local model there.

    Args:
        point: (d,) in the unit cube.
        residuals: (k, m) there, NaN where nothing was measured.
        jacobian: (k, m, d) of the residuals there.
        spread: (m,) the residuals' own size, robustly.
        cost: half the weighted sum of squares, the prior's share included.
        iterations: how many.
    """

    point: Array
    residuals: Array
    jacobian: Array
    spread: Array
    cost: float
    iterations: int


class Problem:
    """Residuals with a prior: minimises sum rho(r / spread) / (2 dilution) + (s - mean)' precision (s - mean) / 2.

    rho is Huber's. `spread` is the residuals' size, found while fitting, and `dilution` how many
    correlated residuals count as one: with both, data and prior are weighed as they should be.

    Args:
        predict: residuals (n, k, m) at points (n, d) of the cube; NaN where not measured, or all of a
            window where its simulation diverged.
        measured: (k, m).
        mean: (d,) the prior's.
        precision: (d, d) the prior's.
        floor: the least spread.
    """

    def __init__(
        self,
        predict: Callable[[Array], Array],
        measured: NDArray[np.bool_],
        mean: Array,
        precision: Array,
        floor: float,
    ) -> None:
        self._predict, self.measured, self.mean, self.precision = predict, measured, mean, precision
        self._floor = floor
        self.dilution = 1.0
        self.spread = np.ones(measured.shape[1])

    def predict(self, points: Array) -> Array:
        """Residuals with a diverged simulation's replaced by a large number, 0 where nothing was measured."""
        found = self._predict(points)
        found = np.where(np.isnan(found), _WORST * self.spread, found)
        return np.where(self.measured, found, 0.0)

    def cost(self, residuals: Array, points: Array) -> Array:
        """Of n points, (n,)."""
        size = np.abs(residuals / self.spread)
        rho = np.where(size <= _HUBER, 0.5 * size**2, _HUBER * (size - 0.5 * _HUBER)).sum(axis=(1, 2))
        gap = points - self.mean
        return np.asarray(rho / self.dilution + 0.5 * np.einsum("ni,ij,nj->n", gap, self.precision, gap))

    def weights(self, residuals: Array) -> Array:
        """Huber's, (k, m), divided by the spread's square."""
        size = np.abs(residuals / self.spread)
        return np.asarray(
            np.where(self.measured, np.minimum(1.0, _HUBER / np.maximum(size, 1e-12)), 0) / self.spread**2
        )

    def rescale(self, residuals: Array) -> None:
        """Takes the residuals' size, one for all coordinates, outliers counting little.

        A size for each coordinate would let a fit give one up: where it errs much it would count little.
        """
        size = np.abs(residuals[self.measured])
        clipped = np.minimum(size, 3 * np.quantile(size, 0.683) + self._floor)
        self.spread[:] = max(float(np.sqrt(np.mean(clipped**2))), self._floor)

    def jacobian(self, point: Array, residuals: Array) -> Array:
        """Forward differences into the cube, (k, m, d).

        What moves in steps, as a delay does by whole timesteps, is differenced over larger ones.
        """
        jacobian = np.zeros((*residuals.shape, len(point)))
        still = np.arange(len(point))
        for size in _STEPS:
            steps = np.where(point[still] + size <= 1, size, -size)
            around = np.repeat(point[None], len(still), axis=0)
            around[np.arange(len(still)), still] += steps
            jacobian[:, :, still] = np.moveaxis(self.predict(around) - residuals, 0, -1) / steps
            still = still[~jacobian[:, :, still].any(axis=(0, 1))]
            if not len(still):
                break
        return jacobian

    def information(self, jacobian: Array, weights: Array) -> Array:
        """The data's Fisher information at face value, (d, d), before dilution."""
        flat = jacobian.reshape(-1, jacobian.shape[-1])
        return np.asarray(flat.T @ (flat * weights.reshape(-1, 1)))

    def sandwich(self, fit: Fit) -> tuple[Array, Array]:
        """The curvature of the data's cost, and what its gradient would vary by if each residual erred by itself.

        (d, d) each, before dilution. Each coordinate counts by its own residuals, whose size the cost takes to be one.
        """
        weights = self.weights(fit.residuals)
        core = self.measured & (np.abs(fit.residuals) <= _HUBER * self.spread)
        total = np.maximum(weights.sum(axis=0), 1e-300)  # (m,)
        curved = (core / self.spread**2).sum(axis=0) / total
        varied = ((weights * fit.residuals) ** 2).sum(axis=0) / total
        varied = np.maximum(varied, (self._floor / self.spread) ** 2)
        return self.information(fit.jacobian, weights * curved), self.information(fit.jacobian, weights * varied)

    def gradient(self, fit: Fit) -> Array:
        """Of the data's cost at a fit, (d,)."""
        moved = self.weights(fit.residuals) * fit.residuals
        return np.asarray(np.einsum("kmd,km->d", fit.jacobian, moved) / self.dilution)

    def solve(self, start: Array, iterations: int, report: Callable[[int, float], None] = lambda i, c: None) -> Fit:
        """Levenberg-Marquardt (J. J. More, 1978) from a point, five dampings at once, within the cube."""
        point = np.clip(start, 0.0, 1.0)
        residuals = self.predict(point[None])[0]
        self.rescale(residuals)
        damping, done, jacobian = 1.0, 0, np.zeros((*residuals.shape, len(point)))
        for done in range(1, iterations + 1):
            before = float(self.cost(residuals[None], point[None])[0])
            jacobian = self.jacobian(point, residuals)
            weights = self.weights(residuals)
            curvature = self.information(jacobian, weights) / self.dilution + self.precision
            gradient = np.einsum("kmd,km->d", jacobian, weights * residuals) / self.dilution
            gradient += self.precision @ (point - self.mean)
            tried = np.stack([self._step(point, gradient, curvature, damping * factor) for factor in _DAMPINGS])
            found = self.predict(tried)
            costs = self.cost(found, tried)
            best = int(np.argmin(costs))
            gain = before - float(costs[best])
            report(done, float(costs[best]))
            if gain > 0:
                point, residuals = tried[best], found[best]
                damping = float(np.clip(damping * _DAMPINGS[best] * 10, 1e-9, 1e9))
                self.rescale(residuals)
            else:
                damping = min(damping * 100, 1e12)
            if gain <= _ROUGH * abs(before) and (gain > 0 or damping >= 1e6):
                break
        jacobian = self.jacobian(point, residuals)
        cost = float(self.cost(residuals[None], point[None])[0])
        return Fit(point, residuals, jacobian, self.spread.copy(), cost, done)

    def _step(self, point: Array, gradient: Array, curvature: Array, damping: float) -> Array:
        """A damped step that stays in the cube: what would leave it stays on its face."""
        free = ~(((point <= 0) & (gradient > 0)) | ((point >= 1) & (gradient < 0)))
        step = np.zeros_like(point)
        for _ in range(len(point)):
            if not free.any():
                break
            part = curvature[np.ix_(free, free)]
            scale = np.diag(np.maximum(np.diag(part), 1e-12))
            step[:] = 0.0
            step[free] = -np.linalg.solve(part + damping * scale, gradient[free])
            leaves = free & ((point + step < 0) | (point + step > 1)) & ((point <= 0) | (point >= 1))
            if not leaves.any():
                break
            free &= ~leaves
        return np.clip(point + step, 0.0, 1.0)

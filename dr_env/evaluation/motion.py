"""How well an ensemble of simulations predicts recorded motion: errors, bands, likelihood, places of rest."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

LEVELS = (0.5, 0.9)
_EXACT = 1e-9  # least standard deviation of a prediction, in the coordinates' own units


@dataclasses.dataclass(frozen=True)
class Body:
    """A free body: where its three translations and three rotations stand among the coordinates, and its width in m."""

    name: str
    translation: slice
    rotation: slice
    width: float


@dataclasses.dataclass(frozen=True)
class MotionScore:
    """Scores of an ensemble on recordings.

    Args:
        windows: how many simulations each Draw took part in.
        rmse: of the Spec's middle, by coordinate; infinite where it diverged in some window.
        bodies: mean position error in m and in widths, and mean rotation error in degrees, by free body; each
            window's mean, then the mean over windows.
        coverage: the share of measured numbers within the ensemble's middle 50 and 90 %, by coordinate.
        rest: the share of windows whose last position is within the ensemble's 90 % region, by free body.
        spread: the ensemble's standard deviation, root mean square, by coordinate.
        log_likelihood: of a measured number, in nats, on average: a normal with the ensemble's mean and variance;
            minus infinity where a number was measured at which every Draw diverged.
        diverged: the share of simulations that diverged.
        lost: the share of measured numbers at which every Draw diverged.
    """

    windows: int
    rmse: dict[str, float]
    bodies: dict[str, dict[str, float]]
    coverage: dict[str, dict[str, float]]
    rest: dict[str, float]
    spread: dict[str, float]
    log_likelihood: float
    diverged: float
    lost: float

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain data for JSON; what is not a number is null."""
        form: dict[str, Any] = dataclasses.asdict(self)
        return {key: _plain(value) for key, value in form.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def score_motion(
    names: tuple[str, ...],
    middle: Array,
    ensemble: Array,
    window: Index,
    noise: Array,
    bodies: tuple[Body, ...],
    measured: NDArray[np.bool_] | None = None,
) -> MotionScore:
    """Scores differences, predicted minus measured, in the coordinates' own units.

    Args:
        names: of the coordinates, (m,).
        middle: (k, m) of the Spec's middle; NaN where nothing was measured or the simulation diverged.
        ensemble: (n, k, m) of n Draws.
        window: (k,) the window that each sample is in, ascending.
        noise: (m,) standard deviations of the measurement.
        bodies: the free bodies.
        measured: (k, m) what was measured, so that what diverged under every Draw counts as missed; by default what
            any Draw predicts.
    """
    if measured is None:
        measured = np.asarray(~np.isnan(ensemble).all(axis=0))  # (k, m)
    middle = np.where(measured & np.isnan(middle), np.inf, middle)
    diverged = np.isnan(ensemble)[:, measured]  # (n, measured numbers)
    with np.errstate(all="ignore"):
        rmse = np.sqrt(np.nanmean(middle**2, axis=0)) if not np.isnan(middle).all() else np.full(len(names), np.nan)
        told = np.asarray(~np.isnan(ensemble).all(axis=0))  # where any simulation held
        mean = np.nanmean(np.where(told, ensemble, 0.0), axis=0)
        variance = np.nanvar(np.where(told, ensemble, 0.0), axis=0) + np.maximum(noise, _EXACT) ** 2
    log_density = np.where(told, -0.5 * (mean**2 / variance + np.log(2 * np.pi * variance)), -np.inf)
    inside = {level: _inside(ensemble, noise, level) for level in LEVELS}
    return MotionScore(
        windows=len(np.unique(window)),
        rmse=dict(zip(names, rmse.tolist(), strict=True)),
        bodies={body.name: _errors(middle, window, body) for body in bodies},
        coverage={
            name: {f"{100 * level:.0f}": float((inside[level] & told)[measured[:, i], i].mean()) for level in LEVELS}
            for i, name in enumerate(names)
            if measured[:, i].any()
        },
        rest={body.name: _rest(ensemble, window, noise, body) for body in bodies},
        spread=dict(zip(names, _spread(ensemble, measured & told).tolist(), strict=True)),
        log_likelihood=float(log_density[measured].mean()) if measured.any() else float("nan"),
        diverged=float(diverged.mean()) if diverged.size else 0.0,
        lost=float(diverged.all(axis=0).mean()) if diverged.size else 0.0,
    )


def _spread(ensemble: Array, told: NDArray[np.bool_]) -> Array:
    """Standard deviations (m,) of simulations of what was measured."""
    with np.errstate(all="ignore"):
        variance = np.nanvar(np.where(told, ensemble, 0.0), axis=0)
    return np.asarray(np.sqrt((variance * told).sum(axis=0) / np.maximum(told.sum(axis=0), 1)))


def _inside(ensemble: Array, noise: Array, level: float) -> NDArray[np.bool_]:
    """Whether 0, the measured number, is in the ensemble's middle, (k, m); noise widens it in quadrature."""
    tails = 0.5 * (1 - level), 0.5 * (1 + level)
    with np.errstate(all="ignore"):
        finite = np.where(np.isnan(ensemble).all(axis=0), 0.0, ensemble)
        low, high = np.nanquantile(finite, tails, axis=0)
    half = {0.5: 0.6745, 0.9: 1.6449}[level] * noise
    centre, width = 0.5 * (low + high), 0.5 * (high - low)
    return np.asarray(np.abs(centre) <= np.sqrt(width**2 + half**2))


def _errors(middle: Array, window: Index, body: Body) -> dict[str, float]:
    place = np.linalg.norm(middle[:, body.translation], axis=1)
    turn = np.degrees(np.linalg.norm(middle[:, body.rotation], axis=1))
    metres, degrees = (_mean_of_means(part, window) for part in (place, turn))
    return {"position_m": metres, "position_widths": metres / body.width, "rotation_deg": degrees}


def _mean_of_means(values: Array, window: Index) -> float:
    good = ~np.isnan(values)
    if not good.any():
        return float("nan")
    _, place = np.unique(window[good], return_inverse=True)
    return float((np.bincount(place, values[good]) / np.bincount(place)).mean())


def _rest(ensemble: Array, window: Index, noise: Array, body: Body) -> float:
    """The share of windows that end within the 90 % ellipsoid of where their ensemble ends.

    Its shape is the ensemble's covariance, its size the 90 % quantile of the Draws' own distances.
    """
    last = np.append(np.flatnonzero(np.diff(window)), len(window) - 1)
    inside = []
    for sample in last:
        ends = ensemble[:, sample, body.translation]
        ends = ends[~np.isnan(ends).any(axis=1)]
        if len(ends) < 8:
            continue
        covariance = np.cov(ends.T) + np.diag(np.maximum(noise[body.translation], 1e-3 * body.width) ** 2)
        inverse = np.linalg.inv(covariance)
        gaps = ends - ends.mean(axis=0)
        limit = np.quantile(np.einsum("ni,ij,nj->n", gaps, inverse, gaps), 0.9)
        mean = ends.mean(axis=0)
        inside.append(bool(mean @ inverse @ mean <= max(limit, 1e-12)))
    return float(np.mean(inside)) if inside else float("nan")

"""Gauss-Newton: least squares on predicted motion, with intervals that correlated misfit has widened."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.tuning.coordinates import Coordinates
from dr_env.tuning.evidence import Kind, Log, TargetTransitions
from dr_env.tuning.identification import notes_of
from dr_env.tuning.least_squares import Fit, Problem
from dr_env.tuning.ledger import Ledger
from dr_env.tuning.likelihood import Belief
from dr_env.tuning.tuner import Restartable, Simulator, Tuner
from dr_env.tuning.white import echoed, white_noise

Array = NDArray[np.float64]

_REGULAR = 1e-9  # of the prior's precision, so that what nothing tells has an inverse
_TRACE = 0.05  # of a flat prior's pull
_LEVEL, _NORMAL_90 = 0.9, 1.6449  # a share, and the half width of a normal's middle of that share
_FURTHER = 4.0  # times the c before
_FINER = 3  # times that the last such step is halved
_LITTLE = 1e-3  # of what the recordings say, beside the prior: a c that leaves no more is the last
_ENSEMBLE = 16  # Draws
_STEPS = 1e-4, 0.05  # least and greatest of differences between start states, in their scales
_FEW = 60  # windows, below which they are cut into parts to see how residuals are correlated


@dataclasses.dataclass(frozen=True)
class GaussNewtonOptions:
    """Numbers of `GaussNewton`."""

    iterations: int = 30
    """Of Levenberg-Marquardt, at most."""
    screen: int = 24
    """Points of the prior's box, beside its mean, of which the best are started from."""
    starts: int = 1
    """How many of these; more where the surface is rough."""
    spread: str = "motion"
    """What the result's spread covers: motion (parameters that explain how far recordings and predictions are
    apart) or parameters (how well their best value is known)."""
    floor: float = 2e-3
    """The least standard deviation, as a share of the prior's range."""

    def __post_init__(self) -> None:
        for key, least in (("iterations", 1), ("screen", 0), ("starts", 1)):
            if getattr(self, key) < least:
                raise DREnvError(f"gauss_newton.{key}: got {getattr(self, key)}, expected at least {least}")
        if self.spread not in ("motion", "parameters"):
            raise DREnvError(f"gauss_newton.spread: got {self.spread!r}, expected motion or parameters")
        if not 0 < self.floor < 1:
            raise DREnvError(f"gauss_newton.floor: got {self.floor:g}, expected a share within 0 .. 1")


class GaussNewton(Tuner[GaussNewtonOptions]):
    """Least squares on predicted motion; a joint normal around it, from the curvature and the misfit.

    Minimises Huber's loss of scaled differences plus the prior's quadratic (a posterior mode) by Levenberg-
    Marquardt in the prior's box, from the best of a few starts. With H the data's information at face value and P
    the prior's precision, the covariance is (H / c + P)^-1. At the end a flat prior counts by its moments too: its
    own mode lies at a bound wherever data hardly lean, far from the middle of what is believed. Laplace's
    approximation has c = 1, which believes every sample to err by itself. H is K F^-1 K, with K the curvature of
    the loss, whose scale is one for all coordinates, and F what its gradient would vary by if each sample erred by
    itself, in each coordinate as much as that one errs. Here c is the variance of the windows' scores K F^-1 s
    relative to H: tr(A^-1 B) / tr(A^-1 H), A = H + P, with B the scores' long-run covariance over windows (W. Newey
    and K. West, 1987), times G / (G - effective parameters) for G windows; so residuals that err together within
    and across windows count once. This is a sandwich (H. White, 1982; K. Takeuchi, 1976) that has one number, c,
    for all that is correlated, which stays sound for few windows.

    With `spread: motion` c is raised further until simulations with such parameters end where recorded windows do: in
    their middle 90 % as often as that, but for what chance does to the share of G windows. As c grows the result goes
    over into the prior, so nothing becomes wider than that, and what no recording tells keeps the prior's spread.

    Told again, it fits all recordings so far.
    """

    name = "gauss_newton"
    needs: ClassVar[frozenset[Kind]] = frozenset({"transitions"})
    Options = GaussNewtonOptions

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._logs: tuple[Log, ...] = ()
        self.belief: Belief | None = None
        """What is believed; None before any evidence."""
        self.report: Callable[[int, float], None] = lambda iteration, cost: None
        """Called with each iteration and its cost."""

    def _ask(self, pending: tuple[Spec, ...]) -> Spec:
        return self._result()

    def _result(self) -> Spec:
        return self.prior if self.belief is None else self.belief.spec(self.prior)

    def _tell(self, evidence: TargetTransitions) -> None:
        if self._simulate is None:
            raise DREnvError("gauss_newton: needs a simulator of recordings (simulate=...)")
        evidence = evidence.after(self._logs)
        simulator = self._simulate(evidence)
        steps = simulator.sim_steps
        coordinates = Coordinates(self.prior, simulator.names, simulator.bounds)
        precision = _inverse(coordinates.covariance)
        fit, problem = self._fit(simulator, coordinates, precision)
        information = _face_value(problem, fit, precision)[0]
        believed = wide = self._floored(_inverse(information / problem.dilution + precision))
        if self.options.spread == "motion":
            factor = _explain(fit, problem, information, precision, simulator, coordinates)
            wide = self._floored(_inverse(information / factor + precision))
        low, high = (np.asarray(end, np.float64) for end in simulator.bounds)
        self._logs, self.belief = evidence.logs, Belief(tuple(simulator.names), low, high, fit.point, wide)
        self.notes = tuple(notes_of(coordinates, fit.point, believed, coordinates.covariance, problem.gradient(fit)))
        self.ledger += Ledger(sim_steps=simulator.sim_steps - steps)

    def _fit(self, simulator: Simulator, coordinates: Coordinates, precision: Array) -> tuple[Fit, Problem]:
        """The best fit of a few starts, and the problem with its final weights."""
        mean, clusters = coordinates.mean, _blocks(simulator.clusters)
        # a flat prior pulls nowhere while the best fit is looked for; a trace keeps the problem regular
        pull = np.where(coordinates.flat, _TRACE, 1.0)
        first = simulator.predictions(coordinates.from_unit(mean[None]))[0]
        measured = _measured(first, simulator, coordinates, mean)
        problem = Problem(
            lambda s: simulator.predictions(coordinates.from_unit(s)),
            measured,
            mean,
            precision * pull[:, None] * pull,
            1e-4,
        )
        blocks = len(np.unique(clusters)) * max(1, int(measured.any(axis=0).sum()))
        problem.dilution = max(1.0, float(measured.sum()) / blocks)  # at first, each block counts once
        best: Fit | None = None
        for start in self._starts(problem, mean):
            fit = problem.solve(start, self.options.iterations, self.report)
            if best is None or fit.cost < best.cost:
                best = fit
        assert best is not None
        problem.precision = precision
        for _ in range(2):  # weigh data and prior by what was found, and look again
            problem.spread = best.spread.copy()
            problem.dilution = _dilution(problem, best, clusters, precision)
            best = problem.solve(best.point, max(2, self.options.iterations // 4), self.report)
        problem.dilution = _dilution(problem, best, clusters, precision)
        return best, problem

    def _starts(self, problem: Problem, mean: Array) -> Array:
        """Points (n, d) to start from, the most promising first."""
        if not self.options.screen:
            return mean[None]
        halton = scipy.stats.qmc.Halton(len(mean), rng=np.random.default_rng(self.seed)).random(self.options.screen)
        points = np.concatenate((mean[None], halton))
        found = problem.predict(points)
        problem.rescale(found[0])
        order = np.argsort(problem.cost(found, points), kind="stable")
        return np.asarray(points[order[: self.options.starts]])

    def _floored(self, covariance: Array) -> Array:
        return np.asarray(covariance + self.options.floor**2 * np.eye(len(covariance)))

    def _state(self) -> Any:
        return {
            "logs": [log.to_dict() for log in self._logs],
            "belief": None if self.belief is None else self.belief.to_dict(),
            "notes": list(self.notes),
        }

    def _load(self, state: Any) -> None:
        self._logs, self.notes = tuple(Log.from_dict(form) for form in state["logs"]), tuple(state["notes"])
        self.belief = None if state["belief"] is None else Belief.from_dict(state["belief"])


def _measured(found: Array, simulator: Simulator, coordinates: Coordinates, mean: Array) -> NDArray[np.bool_]:
    """Where something was measured, (k, m), although simulations may diverge: asked at several points."""
    measured = ~np.isnan(found)
    unit = scipy.stats.qmc.Halton(len(mean), rng=np.random.default_rng(1)).random(4)
    if not measured.all():
        others = simulator.predictions(coordinates.from_unit(mean + 0.05 * (unit - 0.5)))
        measured |= ~np.isnan(others).all(axis=0)
    if not measured.any():
        raise DREnvError("gauss_newton: every simulation at the prior's mean diverges; narrow the prior")
    return np.asarray(measured)


def _blocks(clusters: NDArray[np.intp]) -> NDArray[np.intp]:
    """Windows, (k,), or where they are few equal parts of them, in order; correlation across parts is looked for."""
    windows, place, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    parts = -(-_FEW // len(windows))
    if parts == 1:
        return np.asarray(place)
    order = np.argsort(place, kind="stable")
    within = np.empty(len(place), np.intp)
    within[order] = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.unique(place * parts + within * parts // counts[place], return_inverse=True)[1])


def _scores(fit: Fit, problem: Problem, clusters: NDArray[np.intp]) -> Array:
    """Each window's part of the gradient, (G, d)."""
    moved = np.einsum("kmd,km->kd", fit.jacobian, problem.weights(fit.residuals) * fit.residuals)
    _, place = np.unique(clusters, return_inverse=True)
    scores = np.zeros((place.max() + 1, moved.shape[1]))
    np.add.at(scores, place, moved)
    return scores


def _face_value(problem: Problem, fit: Fit, precision: Array) -> tuple[Array, Array]:
    """H of the class's docstring, (d, d), and F^-1 K, (d, d), which turns scores into its terms."""
    curvature, varied = problem.sandwich(fit)
    turned = np.linalg.solve(varied + _REGULAR * precision, curvature)
    information = curvature @ turned
    return 0.5 * (information + information.T), np.asarray(turned)


def _dilution(problem: Problem, fit: Fit, clusters: NDArray[np.intp], precision: Array) -> float:
    """How many residuals count as one independent one: c of the class's docstring, at least 1."""
    information, turned = _face_value(problem, fit, precision)
    scores = _scores(fit, problem, clusters) @ turned
    windows = len(scores)
    lags = int(4 * (windows / 100) ** (2 / 9)) if windows > 3 else 0
    long_run = scores.T @ scores
    for lag in range(1, lags + 1):
        cross = scores[lag:].T @ scores[:-lag]
        long_run += (1 - lag / (lags + 1)) * (cross + cross.T)
    inverse = np.linalg.inv(information + precision)
    information_share = float(np.trace(inverse @ information))
    if information_share < 1e-9:
        return problem.dilution
    factor = max(1.0, float(np.trace(inverse @ long_run)) / information_share)
    known = np.linalg.inv(information / factor + precision) @ information / factor
    effective = float(np.trace(known))
    return factor * windows / max(windows - effective, 1.0)


def _explain(
    fit: Fit,
    problem: Problem,
    information: Array,
    precision: Array,
    simulator: Simulator,
    coordinates: Coordinates,
) -> float:
    """The least c >= dilution with which the ensemble's middle 90 % holds 90 % of windows' ends, but for chance.

    Simulated, since what is rough is not as its derivatives say; measurement noise widens the bands. As c grows the
    ensemble goes over into the prior's. Where even that does not hold so much, the least c that holds nearly as much
    as the most does.
    """
    clusters = simulator.clusters
    ends = np.append(np.flatnonzero(np.diff(clusters)), len(clusters) - 1)
    noise = white_noise(np.where(problem.measured, fit.residuals, np.nan), clusters)  # (m,)
    variance = np.broadcast_to(noise**2, fit.residuals.shape)
    if not noise.any() and isinstance(simulator, Restartable):  # windows of a few samples
        variance = _of_states(fit, problem, simulator, coordinates)
    dimensions = len(fit.point)
    unit = scipy.stats.qmc.Halton(dimensions, rng=np.random.default_rng(2)).random(_ENSEMBLE)
    normal = special.ndtri(np.clip(unit, 1e-6, 1 - 1e-6))

    def share(factor: float) -> float:
        root = np.linalg.cholesky(np.linalg.inv(information / factor + precision))
        points = 1 - np.abs(1 - np.abs(fit.point + normal @ root.T))  # reflected at the cube's faces, as Draws are
        found = problem.predict(np.clip(points, 0, 1))[:, ends]
        half = _NORMAL_90 * np.sqrt(found.var(axis=0, ddof=1) + variance[ends])
        return float((np.abs(found.mean(axis=0)) <= half)[problem.measured[ends]].mean())

    shares: dict[float, float] = {}
    most = float(scipy.linalg.eigh(information, precision, eigvals_only=True).max()) / _LITTLE
    least = _LEVEL - np.sqrt(_LEVEL * (1 - _LEVEL) / len(ends))  # what windows are short of by chance alone is none
    factor = float(problem.dilution)
    shares[factor] = share(factor)
    while shares[factor] < least and factor < most:
        factor *= _FURTHER
        shares[factor] = share(factor)
    wanted = min(least, 0.97 * max(shares.values()))
    chosen = next(factor for factor, held in shares.items() if held >= wanted)
    if chosen == problem.dilution:
        return chosen
    for finer in range(1, _FINER + 1):
        less = chosen / _FURTHER ** (0.5**finer)
        chosen = less if share(less) >= wanted else chosen
    return chosen


def _of_states(fit: Fit, problem: Problem, simulator: Restartable, coordinates: Coordinates) -> Array:
    """Variances (k, m) that white noise of states leaves in residuals, at the start and at the end."""
    slopes = simulator.starts(coordinates.from_unit(fit.point[None])[0], np.clip(problem.spread, *_STEPS))
    order = np.argsort(simulator.clusters, kind="stable")
    residuals = np.where(problem.measured, fit.residuals, np.nan)
    noise = echoed(residuals[order], slopes[order], simulator.chained[order])
    return np.asarray(noise + slopes**2 @ noise)


def _inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), np.float64)

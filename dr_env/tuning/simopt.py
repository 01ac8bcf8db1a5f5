"""SimOpt: a Gaussian over parameters that closes in on those whose trajectories look like the target's."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, special

from dr_env.errors import DREnvError
from dr_env.tuning.likelihood import LikelihoodTuner, misfit
from dr_env.tuning.problem import Problem

Array = NDArray[np.float64]

_RIDGE = 1e-10  # least variance


@dataclasses.dataclass(frozen=True)
class SimOptOptions:
    """Numbers of SimOpt; the defaults are the paper's where it gives them, the floor aside, which is ours."""

    samples: int = 100  # of parameters, for each update
    updates: int = 20  # of the distribution, for each telling
    kl: float = 1.0  # nats by which an update may change it
    l1: float = 0.5  # weight of the absolute gap
    l2: float = 1.0  # weight of the squared gap
    filter: float = 5.0  # standard deviation of the Gaussian filter over time, in transitions; 0 for none
    floor: bool = True  # the spread is no less than what the misfit allows to believe; false: as published

    def __post_init__(self) -> None:
        for key, least in (("samples", 2), ("updates", 1), ("kl", 1e-6), ("l1", 0), ("l2", 0), ("filter", 0)):
            if not getattr(self, key) >= least:
                raise DREnvError(f"simopt.{key}: got {getattr(self, key):g}, expected at least {least:g}")
        if self.l1 + self.l2 == 0:
            raise DREnvError("simopt.l1: got 0 as well as l2, expected one of them above 0")


class SimOpt(LikelihoodTuner[SimOptOptions]):
    """Closing the loop: relative entropy policy search on the gap between simulated and recorded trajectories.

    Chebotar et al., "Closing the sim-to-real loop: adapting simulation randomization with real world experience",
    ICRA 2019: the gap is a weighted sum of L1 and L2 norms of filtered differences (equation 3), the Gaussian, at
    first the prior's, is moved to where it is small under a bound on the KL divergence (equation 2, by the dual of
    REPS: Peters, Muelling and Altun, AAAI 2010).

    The paper tells a recording of each new policy and updates once; here each telling makes `updates`, since
    recordings can be told without training a policy between. Gaps are taken where recordings are cut into windows,
    so a whole trajectory is a window as long as the recording, or windows of one sample that follow each other.
    All coordinates weigh alike in units of their scale. With `floor` the result's covariance is increased by what the
    misfit lets one believe (`mixed`); as published the spread says how far the search has come, not what is known.
    """

    name: ClassVar[str] = "simopt"
    Options: ClassVar[type[Any]] = SimOptOptions

    def _fit(self, problem: Problem, rng: np.random.Generator) -> tuple[Array, Array]:
        options, d = self.options, problem.size
        mean, covariance = problem.mean, np.diag(problem.variances)
        for _ in range(options.updates):
            points = _inside(mean, covariance, options.samples, rng)
            costs = self._gap(problem.errors(points), problem.trajectories)
            good = np.isfinite(costs)
            if good.sum() < 2 or np.ptp(costs[good]) <= 0:
                break
            weights = np.zeros(len(points))
            weights[good] = _reps(costs[good], options.kl)
            mean = weights @ points
            moved = points - mean
            covariance = (moved.T * weights) @ moved + _RIDGE * np.eye(d)
        return mean, covariance + misfit(problem, mean)[1] if options.floor else covariance

    def _gap(self, errors: Array, trajectories: NDArray[np.intp]) -> Array:
        """Equation 3 of each point, (n, k, m) to (n,), filtered within trajectories, (k,)."""
        if self.options.filter:
            parts = np.split(errors, np.flatnonzero(np.diff(trajectories)) + 1, axis=1)
            filtered = [ndimage.gaussian_filter1d(part, self.options.filter, axis=1, mode="nearest") for part in parts]
            errors = np.concatenate(filtered, axis=1)
        l1, l2 = np.abs(errors).mean(axis=(1, 2)), (errors**2).mean(axis=(1, 2))
        return np.asarray(self.options.l1 * l1 + self.options.l2 * l2)


def _inside(mean: Array, covariance: Array, count: int, rng: np.random.Generator) -> Array:
    """Draws of a Gaussian within the unit cube, (count, d); those that keep leaving it are moved to its surface."""
    factor = np.linalg.cholesky(covariance)
    drawn = mean + rng.standard_normal((count, len(mean))) @ factor.T
    for _ in range(100):
        out = np.flatnonzero(((drawn < 0) | (drawn > 1)).any(axis=1))
        if not len(out):
            break
        drawn[out] = mean + rng.standard_normal((len(out), len(mean))) @ factor.T
    return np.clip(drawn, 0.0, 1.0)


def _reps(costs: Array, bound: float) -> Array:
    """Weights (n,) of samples: exp(-cost / eta) with the eta that minimises the dual of REPS for a KL bound.

    The dual is g(eta) = eta bound + eta log mean exp(-cost / eta) (Peters et al. 2010, equation 8 without features).
    """
    scaled = (costs - costs.min()) / np.ptp(costs)

    def dual(log_eta: float) -> float:
        eta = np.exp(log_eta)
        return float(eta * (bound + special.logsumexp(-scaled / eta) - np.log(len(scaled))))

    eta = np.exp(optimize.minimize_scalar(dual, bounds=(-12.0, 12.0), method="bounded").x)
    return np.asarray(special.softmax(-scaled / eta))

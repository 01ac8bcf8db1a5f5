"""DROPO: the distribution of parameters under which logged transitions are likely."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import cmaes
import numpy as np
import scipy
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.rng import digest
from dr_env.tuning.likelihood import LikelihoodTuner, misfit
from dr_env.tuning.problem import Problem

Array = NDArray[np.float64]

_SIDE = 4.0  # of the cube that CMA-ES searches, as in the reference code
_LEAST = 1e-5  # least standard deviation, of a parameter's range
_MOST = 0.25  # greatest
_ENDS = -2.0, 2.0  # standard deviations at which the normal is cut off


@dataclasses.dataclass(frozen=True)
class DROPOOptions:
    """Numbers of DROPO; the defaults are those of the reference code, the floor aside, which is ours."""

    evaluations: int = 1000  # of the likelihood, by CMA-ES
    samples: int = 100  # of parameters, for each evaluation
    epsilon: float = 1e-5  # added to the variance of every coordinate, in its scale
    entropy: float = 0.0  # weight of the entropy for each transition: E-DROPO
    floor: bool = True  # the spread is no less than what the misfit allows to believe; false: as published

    def __post_init__(self) -> None:
        for key, least in (("evaluations", 1), ("samples", 2), ("epsilon", 1e-300), ("entropy", 0)):
            if not getattr(self, key) >= least:
                raise DREnvError(f"dropo.{key}: got {getattr(self, key):g}, expected at least {least:g}")


class DROPO(LikelihoodTuner[DROPOOptions]):
    """Domain randomization offline: a truncated normal whose transitions are likeliest, by CMA-ES.

    Tiboni, Arndt and Kyrki, "DROPO: Sim-to-real transfer with offline domain randomization", Robotics and
    Autonomous Systems 2023. From each logged state the logged action is simulated under `samples` parameters; the
    next states' mean and covariance, plus epsilon, give the log density of the logged one (equations 4 to 6), whose
    sum over transitions is maximised over means and standard deviations.

    Where the reference code differs from the paper we follow the code: samples are shared by all transitions, the
    search is over [0, 4] for each number, standard deviations in the logarithm between 1e-5 and a quarter of the
    range (its `normalize` and `logstdevs`), and the distribution is cut off at two standard deviations. The search
    begins about the prior's mean, as widely as the prior is; the result is a normal of the variance that is left.

    With `entropy` the mean log density is given the entropy of the distribution as a bonus: E-DROPO (Fickinger,
    Bendahi and Russell, "Provable sim-to-real transfer via offline domain randomization", 2025). With `floor`, our
    addition, the result's covariance is increased by what the misfit lets one believe (`mixed`), at the cost of 2 d + 1
    more simulations of each transition; without it, as published, clean recordings give a point.
    """

    name: ClassVar[str] = "dropo"
    Options: ClassVar[type[Any]] = DROPOOptions

    def _fit(self, problem: Problem, rng: np.random.Generator) -> tuple[Array, Array]:
        d, options = problem.size, self.options
        optimizer = cmaes.CMA(
            mean=_SIDE * np.concatenate([problem.mean, np.full(d, 0.5)]),
            sigma=1.0,
            cov=np.diag(np.concatenate([problem.variances * 12, np.ones(d)])),  # 1 for a flat prior
            bounds=np.tile([0.0, _SIDE], (2 * d, 1)),
            seed=digest(self.seed, self.name, self._told) >> 32,
        )
        best, best_loss, used = optimizer.mean.copy(), math.inf, 0
        while used < options.evaluations:
            told: list[tuple[Array, float]] = []
            for _ in range(optimizer.population_size):
                point = optimizer.ask()
                loss = self._loss(problem, point, rng)
                told.append((point, loss if math.isfinite(loss) else 1e12))
                if loss < best_loss:
                    best, best_loss = point, loss
            optimizer.tell(told)
            used += len(told)
            if optimizer.should_stop():
                break
        mean, stds = _distribution(best)
        covariance = np.diag(stds**2) * scipy.stats.truncnorm.var(*_ENDS)
        return mean, covariance + misfit(problem, mean)[1] if options.floor else covariance

    def _loss(self, problem: Problem, point: Array, rng: np.random.Generator) -> float:
        """Minus the mean log likelihood of transitions, and the entropy's share."""
        mean, stds = _distribution(point)
        drawn = scipy.stats.truncnorm.ppf(rng.random((self.options.samples, problem.size)), *_ENDS)
        errors = problem.errors(mean + stds * drawn)  # (n, k, m)
        errors = errors[np.isfinite(errors).all(axis=(1, 2))]
        if len(errors) < 2:
            return math.inf
        centre = errors.mean(axis=0)  # (k, m)
        moved = (errors - centre).transpose(1, 2, 0)  # (k, m, n)
        covariance = moved @ moved.transpose(0, 2, 1) / (len(errors) - 1) + self.options.epsilon * np.eye(
            centre.shape[1]
        )
        distance = np.einsum("km,km->k", centre, np.linalg.solve(covariance, centre[:, :, None])[:, :, 0])
        density = -0.5 * (distance + np.linalg.slogdet(covariance)[1] + centre.shape[1] * math.log(2 * math.pi))
        return -float(density.mean()) - self.options.entropy * float(np.log(stds).sum())


def _distribution(point: Array) -> tuple[Array, Array]:
    """Means and standard deviations in the unit cube, (d,) each, of a point (2 d,) of the search."""
    means, spreads = np.split(np.asarray(point) / _SIDE, 2)
    return means, _LEAST * (_MOST / _LEAST) ** spreads

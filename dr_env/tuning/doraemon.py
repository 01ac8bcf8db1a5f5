"""Domain randomization by entropy maximization."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy import optimize

from dr_env.distributions import ScaledBeta
from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.tuning import betas
from dr_env.tuning.evidence import Kind, SimEpisodes
from dr_env.tuning.ranges import Array, ranges_of, units_of, with_ranges
from dr_env.tuning.tuner import Simulate, Tuner

_EDGE = 1e-6  # values are kept this far from the ends, where the logarithm is infinite
_ITERATIONS = 60
_SHARES = (1.0, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5, 0.35, 0.25, 0.1, 0.05)


@dataclasses.dataclass(frozen=True)
class DoraemonOptions:
    """Numbers of DORAEMON. The paper's steps are of 0.005 to 0.01 nats over 15 million steps; trainings here are
    a tenth as long.
    """

    success_rate: float = 0.5  # alpha: the share of episodes that must succeed
    step: float = 0.2  # epsilon: the divergence allowed from one distribution to the next, in nats
    concentration: float = 200.0  # alpha + beta of the first Betas
    episodes: int = 100  # episodes from one step to the next
    effective: float = 0.25  # the least effective share of them, under importance weights

    def __post_init__(self) -> None:
        if not 0 < self.success_rate < 1:
            raise DREnvError(f"doraemon.success_rate: got {self.success_rate:g}, expected a number within 0 .. 1")
        if not self.step > 0:
            raise DREnvError(f"doraemon.step: got {self.step:g}, expected nats above 0")
        if not self.concentration > 4:
            raise DREnvError(f"doraemon.concentration: got {self.concentration:g}, expected a number above 4")
        if self.episodes < 10:
            raise DREnvError(f"doraemon.episodes: got {self.episodes}, expected at least 10")
        if not 0 < self.effective < 1:
            raise DREnvError(f"doraemon.effective: got {self.effective:g}, expected a number within 0 .. 1")


class Doraemon(Tuner[DoraemonOptions]):
    """The widest ranges under which a policy still succeeds: entropy is maximized as training allows.

    Tiboni, Klink, Peters, Tommasi, D'Eramo, Chalvatzaki, "Domain randomization via entropy maximization", ICLR
    2024, algorithm 1. With independent Betas nu over the prior's bounds, and episodes k drawn from nu_i with
    success s_k:

        max H(nu)   such that   1/K sum_k nu(k) / nu_i(k) s_k >= alpha   and   KL(nu || nu_i) <= epsilon

    by scipy's trust-constr with analytic gradients. Where nu_i itself succeeds too seldom, the success is
    maximized first, under the same KL; that point is kept where it still does not suffice, as in the authors'
    code. Unlike theirs, an episode that was drawn from an earlier distribution is weighted by that one, a step
    is shortened until the weights leave enough effective episodes and the constraints hold at the solution,
    Betas start about the value that changes nothing, and alpha, beta >= 1. They are Betas of the value where the
    prior is log-uniform too, so the widest that can be reached is uniform.
    """

    name: ClassVar[str] = "doraemon"
    needs: ClassVar[frozenset[Kind]] = frozenset({"episodes"})
    Options: ClassVar[type[Any]] = DoraemonOptions

    def __init__(
        self,
        prior: Spec,
        seed: int,
        options: DoraemonOptions | Mapping[str, Any] | None = None,
        simulate: Simulate | None = None,
    ) -> None:
        super().__init__(prior, seed, options, simulate)
        # a Beta is linear in its value, so the map to 0 .. 1 is as well
        self.ranges = tuple(dataclasses.replace(part, log=False) for part in ranges_of(prior))
        total = self.options.concentration
        middle = np.array([float(part.to_unit(part.start)) for part in self.ranges])
        alpha = np.clip(total * middle, 2.0, total - 2.0)
        self.theta: Array = np.log(np.concatenate([alpha, total - alpha]))
        self._counts: Array = np.ones(len(self.ranges))
        self._log_u: list[Array] = []  # (d,) an episode
        self._log_v: list[Array] = []
        self._old: list[float] = []  # log density of the distribution that an episode was drawn from
        self._successes: list[bool] = []

    @property
    def entropy(self) -> float:
        """The entropy in units of the bounds: 0 where all is uniform, else negative."""
        return betas.entropy(self.theta, np.ones(len(self.ranges)))[0]

    @property
    def done(self) -> bool:
        return self.entropy > -1e-3

    def _ask(self, pending: tuple[Spec, ...]) -> Spec:
        return self._result()

    def _result(self) -> Spec:
        alpha, beta = betas.split(self.theta)
        return with_ranges(
            self.prior,
            {
                part.name: ScaledBeta(float(a), float(b), part.low, part.high)
                for part, a, b in zip(self.ranges, alpha, beta, strict=True)
            },
        )

    def _tell(self, evidence: SimEpisodes) -> None:
        if not len(evidence):
            return
        units = units_of(self.ranges, evidence.draws)
        inside = [np.clip(units[part.name], _EDGE, 1 - _EDGE) for part in self.ranges]
        self._counts = np.array([float(u.shape[1]) for u in inside])
        sums = np.stack([np.log(u).sum(1) for u in inside], 1), np.stack([np.log1p(-u).sum(1) for u in inside], 1)
        drawn = self.theta if evidence.spec is None else self._theta_of(evidence.spec)
        self._log_u += list(sums[0])
        self._log_v += list(sums[1])
        self._old += betas.log_density(drawn, sums, self._counts)[0].tolist()
        # an episode that diverged did not succeed
        self._successes += (evidence.successes & np.isfinite(evidence.returns)).tolist()
        if len(self._successes) >= self.options.episodes:
            self._step()
            self._log_u, self._log_v, self._old, self._successes = [], [], [], []

    def _theta_of(self, spec: Spec) -> Array:
        """The Betas of a Spec that was asked."""
        found = [spec.drawn[part.name].distribution if part.name in spec.drawn else None for part in self.ranges]
        shapes = [(beta.alpha, beta.beta) for beta in found if isinstance(beta, ScaledBeta)]
        if len(shapes) < len(self.ranges):
            raise DREnvError("doraemon: told of episodes of a Spec that it did not ask")
        return np.asarray(np.log(np.array(shapes).T.reshape(-1)), np.float64)

    def _state(self) -> dict[str, Any]:
        return {
            "theta": self.theta.tolist(),
            "counts": self._counts.tolist(),
            "log_u": [row.tolist() for row in self._log_u],
            "log_v": [row.tolist() for row in self._log_v],
            "old": list(self._old),
            "successes": list(self._successes),
        }

    def _load(self, state: Any) -> None:
        self.theta, self._counts = np.array(state["theta"]), np.array(state["counts"])
        self._log_u = [np.array(row) for row in state["log_u"]]
        self._log_v = [np.array(row) for row in state["log_v"]]
        self._old, self._successes = list(state["old"]), list(state["successes"])

    # one step of the distribution

    def _step(self) -> None:
        if not any(self._successes):
            return  # nothing says where to go
        sums = np.array(self._log_u), np.array(self._log_v)
        seen = _Episodes(np.array(self._old), sums, np.array(self._successes, float), self._counts)
        least = self.options.success_rate
        start = self.theta
        if seen.success(start)[0] < least:
            start = self._back(self._solve(seen.success, start, None), start, seen, 0.0)
        found = start
        if seen.success(start)[0] >= least:
            wider = self._solve(lambda theta: betas.entropy(theta, self._counts), start, seen)
            found = self._back(wider, start, seen, least)
        self.theta = found

    def _solve(self, gain: Any, start: Array, seen: _Episodes | None) -> Array:
        """The point of the greatest gain within the step, and with enough success where `seen` is given.

        Solved in coordinates in which the divergence is the squared distance from the present point, to second
        order, and the step is of length 1.
        """
        old, step = self.theta, self.options.step
        factor = np.linalg.cholesky(betas.fisher(old, self._counts))
        to_theta = np.linalg.inv(factor.T) * np.sqrt(2 * step)  # (2 d, 2 d)

        def limit(function: Any, low: float, high: float) -> optimize.NonlinearConstraint:
            return optimize.NonlinearConstraint(
                lambda z: function(old + to_theta @ z)[0],
                low,
                high,
                jac=lambda z: (to_theta.T @ function(old + to_theta @ z)[1])[None],
            )

        def nearness(theta: Array) -> tuple[float, Array]:
            value, slope = betas.divergence(theta, old, self._counts)
            return value / step, slope / step

        limits = [limit(nearness, -np.inf, 1.0)]
        if seen is not None:
            limits.append(limit(seen.success, self.options.success_rate, np.inf))
        first = np.linalg.solve(to_theta, start - old)
        slope = to_theta.T @ gain(start)[1]
        scale = max(float(np.linalg.norm(slope)), 1e-12)
        first = first + 0.2 * slope / scale  # off the point where the divergence is 0, and flat
        with warnings.catch_warnings():
            # a gain that does not change between two points, or weights cut off, are no reason to alarm anybody
            warnings.simplefilter("ignore", UserWarning)
            solved = optimize.minimize(  # type: ignore[call-overload]
                lambda z: -gain(old + to_theta @ z)[0] / scale,
                first,
                jac=lambda z: -(to_theta.T @ gain(old + to_theta @ z)[1]) / scale,
                method="trust-constr",
                constraints=limits,
                hess=optimize.BFGS(),
                options={"maxiter": _ITERATIONS, "gtol": 1e-3, "xtol": 1e-4, "initial_tr_radius": 0.5},
            )
        top = np.log(max(500.0, self.options.concentration))
        return np.asarray(np.clip(old + to_theta @ solved.x, 0.0, top))

    def _back(self, found: Array, start: Array, seen: _Episodes, success: float) -> Array:
        """The furthest point on the way from `start` to what was found that can be trusted.

        It is within the step, succeeds often enough, and is judged by enough effective episodes.
        """
        for share in _SHARES:
            theta = start + share * (found - start)
            near = betas.divergence(theta, self.theta, self._counts)[0] <= self.options.step * (1 + 1e-3)
            if near and seen.success(theta)[0] >= success and seen.effective(theta) >= self.options.effective:
                return np.asarray(theta)
        return start


class _Episodes:
    """Episodes whose Draws had the log densities `old`, (n,), weighted as if drawn from another distribution."""

    def __init__(self, old: Array, sums: tuple[Array, Array], successes: Array, counts: Array) -> None:
        self._old, self._sums, self._successes, self._counts = old, sums, successes, counts

    def _weights(self, theta: Array) -> tuple[Array, Array]:
        density, gradient = betas.log_density(theta, self._sums, self._counts)
        return np.exp(np.clip(density - self._old, -50.0, 50.0)), gradient

    def success(self, theta: Array) -> tuple[float, Array]:
        """The expected share of successes and its gradient, (2 d,)."""
        weights, gradient = self._weights(theta)
        gained = weights * self._successes
        return float(gained.mean()), np.asarray((gained[:, None] * gradient).mean(0))

    def effective(self, theta: Array) -> float:
        """The effective share of the episodes: 1 where all count alike."""
        weights, _ = self._weights(theta)
        return float(weights.sum() ** 2 / (len(weights) * (weights**2).sum()))

"""Active domain randomization: particles that look for environments in which a policy fares differently."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from dr_env.distributions import Distribution, Empirical, Expression
from dr_env.errors import DREnvError
from dr_env.rng import generator
from dr_env.spec import Spec, Variable
from dr_env.tuning.evidence import Kind, SimEpisodes
from dr_env.tuning.ranges import Array, ranges_of, with_ranges
from dr_env.tuning.tuner import Simulate, Tuner

VARIABLE = "active_dr"
"""The variable that the asked Specs draw all ranges from, together."""
_REFERENCE = -1  # the number of the reference's row
_RIDGE = 0.1
_NEWTON = 20


@dataclasses.dataclass(frozen=True)
class ActiveDROptions:
    """Numbers of Active DR; the paper's by default where it has them."""

    particles: int = 10
    temperature: float = 10.0  # alpha: how strongly particles repel each other
    proposals: int = 8  # settings that a particle proposes from one update to the next
    std: float = 0.1  # of a particle's proposals, of the unit cube
    rate: float = 0.05  # of a particle's steps
    reference: float = 0.5  # the share of episodes in the reference environment
    episodes: int = 100  # from one update to the next

    def __post_init__(self) -> None:
        for key, least in (("particles", 2), ("proposals", 2), ("episodes", 10)):
            if getattr(self, key) < least:
                raise DREnvError(f"active_dr.{key}: got {getattr(self, key)}, expected at least {least}")
        for key in ("temperature", "std", "rate"):
            if not getattr(self, key) > 0:
                raise DREnvError(f"active_dr.{key}: got {getattr(self, key):g}, expected a number above 0")
        if not 0 < self.reference < 1:
            raise DREnvError(f"active_dr.reference: got {self.reference:g}, expected a number within 0 .. 1")


class ActiveDR(Tuner[ActiveDROptions]):
    """Particles that seek the settings whose episodes a discriminator tells from the reference's.

    Mehta, Diaz, Golemo, Pal, Paull, "Active domain randomization", CoRL 2019, algorithms 1 and 2, with Stein
    variational policy gradient (Liu, Ramachandran, Liu, Peng, 2017, equation 6). With rewards J, kernel k and
    temperature alpha, particle i moves by

        rate / n sum_j ( k(mu_j, mu_i) grad J(mu_j) / alpha + grad_j k(mu_j, mu_i) )

    The reward of an episode is the log of the discriminator's belief that it is not of the reference, the setting
    that changes nothing. Two things are simpler than in the paper: the discriminator, a logistic regression,
    sees an episode's return instead of its trajectory; and a particle is a Gaussian over settings instead of a
    network that walks through them. The asked Specs draw all entries together, from a variable `active_dr`, whose
    last number says which proposal a row is: at an end of their ranges several can be equal, or equal to the reference.
    """

    name: ClassVar[str] = "active_dr"
    needs: ClassVar[frozenset[Kind]] = frozenset({"episodes"})
    Options: ClassVar[type[Any]] = ActiveDROptions

    def __init__(
        self,
        prior: Spec,
        seed: int,
        options: ActiveDROptions | Mapping[str, Any] | None = None,
        simulate: Simulate | None = None,
    ) -> None:
        super().__init__(prior, seed, options, simulate)
        self.ranges = ranges_of(prior)
        if VARIABLE in prior.drawn:
            raise DREnvError(f"{prior.where(VARIABLE)}: the name is taken by the method; give it another")
        self._reference = np.array([float(np.clip(part.to_unit(part.start), 0.0, 1.0)) for part in self.ranges])
        self.particles: Array = generator(seed, self.name, "start").random((self.options.particles, len(self.ranges)))
        self._updates = 0
        self._owners: list[int] = []  # of each episode the particle, -1 for the reference
        self._units: list[Array] = []  # (d,) an episode
        self._returns: list[float] = []  # NaN where a simulation diverged

    # what is drawn

    def _proposals(self) -> Array:
        """Settings of the present update by particle, (particles, proposals, d)."""
        shape = (self.options.particles, self.options.proposals, len(self.ranges))
        noise = generator(self.seed, self.name, self._updates).normal(0.0, self.options.std, shape)
        return np.clip(self.particles[:, None] + noise, 0.0, 1.0)

    def _values(self, units: Array) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(part.from_unit(float(u)) for part, u in zip(self.ranges, row, strict=True)) for row in units)

    def _numbers(self) -> range:
        """Of the present update's proposals; no two of a training have the same."""
        count = self.options.particles * self.options.proposals
        return range(self._updates * count, (self._updates + 1) * count)

    def _spec(self, units: Array, numbers: tuple[int, ...], weights: tuple[float, ...]) -> Spec:
        names = tuple(f"x{i}" for i in range(len(self.ranges)))
        rows = tuple((*row, number) for row, number in zip(self._values(units), numbers, strict=True))
        variable = Variable(distribution=Empirical((*names, "number"), rows, weights))
        spec = self.prior.model_copy(update={"variables": {VARIABLE: variable, **self.prior.variables}})
        found: dict[str, Distribution] = {
            part.name: Expression(f"{VARIABLE}.{name}") for part, name in zip(self.ranges, names, strict=True)
        }
        return with_ranges(spec, found)

    def _ask(self, pending: tuple[Spec, ...]) -> Spec:
        proposed = self._proposals().reshape(-1, len(self.ranges))
        share = self.options.reference
        weights = (share, *([(1 - share) / len(proposed)] * len(proposed)))
        units = np.concatenate([self._reference[None], proposed])
        return self._spec(units, (_REFERENCE, *self._numbers()), weights)

    def _result(self) -> Spec:
        """What the particles propose, without the reference."""
        proposed = self._proposals().reshape(-1, len(self.ranges))
        return self._spec(proposed, tuple(self._numbers()), (1.0,) * len(proposed))

    # what is learnt

    def _tell(self, evidence: SimEpisodes) -> None:
        if not len(evidence):
            return
        if VARIABLE not in evidence.draws:
            raise DREnvError(f"draws: '{VARIABLE}' is missing; got {', '.join(evidence.draws) or 'none'}")
        known = {_REFERENCE: (-1, self._reference)}
        proposed = self._proposals().reshape(-1, len(self.ranges))
        for i, (number, unit) in enumerate(zip(self._numbers(), proposed, strict=True)):
            known[number] = (i // self.options.proposals, unit)
        numbers = np.reshape(evidence.draws[VARIABLE], (len(evidence), -1))[:, -1].tolist()
        for number, value in zip(numbers, evidence.returns.tolist(), strict=True):
            owner = known.get(number)
            if owner is not None:  # else of proposals that are no longer asked
                self._owners.append(owner[0])
                self._units.append(owner[1])
                self._returns.append(value)
        if len(self._owners) >= self.options.episodes:
            self._update()
            self._owners, self._units, self._returns = [], [], []
            self._updates += 1

    def _update(self) -> None:
        owners, units = np.array(self._owners), np.array(self._units)
        returns = np.array(self._returns)
        finite = returns[np.isfinite(returns)]
        if not len(finite) or not (owners >= 0).any() or not (owners < 0).any():
            return
        returns = np.where(np.isfinite(returns), returns, finite.min())  # one that diverged earned least
        rewards = _log_belief(returns, owners >= 0)
        baseline = rewards[owners >= 0].mean()
        slopes = np.zeros_like(self.particles)
        for i in range(len(slopes)):
            mine = owners == i
            if mine.any():
                steps = (units[mine] - self.particles[i]) / self.options.std**2  # the score of a Gaussian
                slopes[i] = ((rewards[mine] - baseline)[:, None] * steps).mean(0)
        apart = self.particles[:, None] - self.particles[None]  # (j, i, d)
        squared = (apart**2).sum(-1)
        count = len(self.particles)
        width = max(float(np.median(squared)) / np.log(count + 1), 1e-6)
        kernel = np.exp(-squared / width)
        moved = kernel.T @ slopes / self.options.temperature - (2 / width) * (kernel[..., None] * apart).sum(0)
        step = self.options.rate * moved / count
        # a step is no longer than what proposals reach
        length = np.linalg.norm(step, axis=1, keepdims=True)
        step *= np.minimum(1.0, self.options.std / np.maximum(length, 1e-12))
        self.particles = np.clip(self.particles + step, 0.0, 1.0)

    def _state(self) -> dict[str, Any]:
        return {
            "particles": self.particles.tolist(),
            "updates": self._updates,
            "owners": list(self._owners),
            "units": [unit.tolist() for unit in self._units],
            "returns": [value if np.isfinite(value) else None for value in self._returns],
        }

    def _load(self, state: Any) -> None:
        self.particles, self._updates = np.array(state["particles"]), int(state["updates"])
        self._owners = list(state["owners"])
        self._units = [np.array(unit) for unit in state["units"]]
        self._returns = [np.nan if value is None else value for value in state["returns"]]


def _log_belief(returns: Array, randomized: np.ndarray[Any, np.dtype[np.bool_]]) -> Array:
    """The log of the belief that episodes are not of the reference, (n,), by logistic regression.

    On the return and its square, both kinds of episodes weighing alike, with a ridge, by Newton's method.
    """
    x = (returns - returns.mean()) / max(float(returns.std()), 1e-9)
    features = np.stack([np.ones_like(x), x, x**2], 1)  # (n, 3)
    weights = np.where(randomized, 0.5 / randomized.mean(), 0.5 / (1 - randomized.mean())) / len(x)
    theta = np.zeros(3)
    for _ in range(_NEWTON):
        belief = 1 / (1 + np.exp(-np.clip(features @ theta, -30, 30)))
        slope = features.T @ (weights * (randomized - belief)) - _RIDGE * theta
        curvature = features.T @ (features * (weights * belief * (1 - belief))[:, None]) + _RIDGE * np.eye(3)
        theta = theta + np.linalg.solve(curvature, slope)
    return np.asarray(-np.log1p(np.exp(-np.clip(features @ theta, -30, 30))))

"""What methods share that fit parameters to recordings: evidence gathered, a posterior, the Spec it makes."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dr_env.rng import generator
from dr_env.spec import Spec
from dr_env.tuning.coordinates import Coordinates
from dr_env.tuning.evidence import Evidence, Kind, Log, TargetTransitions
from dr_env.tuning.identification import APART, NOTHING, notes_of, told_by
from dr_env.tuning.ledger import Ledger
from dr_env.tuning.mixed import Mixed, drawn_in, fit
from dr_env.tuning.problem import Problem
from dr_env.tuning.tuner import OptionsT, Tuner

Array = NDArray[np.float64]

_STEP = 0.02  # of finite differences, of a parameter's range
_LEAST = 1e-4  # least standard deviation of what is believed, of a parameter's range


@dataclasses.dataclass(frozen=True)
class Belief:
    """A Gaussian over a Simulator's values, in the unit cube of `Coordinates`.

    Args:
        names: of the values, as the Simulator has them.
        low, high: their bounds, (d,).
        mean: (d,) in the cube.
        covariance: (d, d) in the cube.
    """

    names: tuple[str, ...]
    low: Array
    high: Array
    mean: Array
    covariance: Array

    def spec(self, prior: Spec, growth: float = 1.0) -> Spec:
        """The prior with this in place of its ranges, standard deviations multiplied by `growth`."""
        wider = growth**2 * self.covariance
        wider = wider + np.diag(np.maximum(_LEAST**2 - np.diag(wider), 0.0))
        return Coordinates(prior, self.names, (self.low, self.high)).tuned(self.mean, wider)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        arrays = {key: getattr(self, key).tolist() for key in ("low", "high", "mean", "covariance")}
        return {"names": list(self.names), **arrays}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Belief:
        """Reads what `to_dict` gave."""
        arrays = {key: np.array(form[key], np.float64) for key in ("low", "high", "mean", "covariance")}
        return cls(tuple(form["names"]), **arrays)


class LikelihoodTuner(Tuner[OptionsT]):
    """A method that fits values to recordings; each telling fits to all recordings so far.

    No result is wider than the prior is about its middle, whose mean square there is its variance and their distance's
    square.
    """

    needs: ClassVar[frozenset[Kind]] = frozenset({"transitions"})

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._logs: tuple[Log, ...] = ()
        self._told = 0
        self._window = math.nan
        self._around: tuple[Array, Array] | None = None
        """Errors and their slopes where a fit ended, from a method that has them."""
        self.belief: Belief | None = None
        """What is believed; None before any evidence that could be used."""

    @abstractmethod
    def _fit(self, problem: Problem, rng: np.random.Generator) -> tuple[Array, Array]:
        """Mean (d,) and covariance (d, d) in the unit cube."""

    @property
    def done(self) -> bool:
        """After one telling; more recordings may still be told."""
        return self._told > 0

    def _tell(self, evidence: Evidence) -> None:
        if not isinstance(evidence, TargetTransitions) or self._simulate is None:
            return  # `tell` and the constructor have checked both
        evidence = evidence.after(self._logs)
        simulator = self._simulate(evidence)
        problem = Problem(simulator, Coordinates(self.prior, simulator.names, simulator.bounds))
        self._window, self.notes = evidence.window, ()
        if not problem.empty:
            self._around = None
            mean, covariance = self._fit(problem, generator(self.seed, self.name, self._told))
            covariance = drawn_in(covariance, problem.variances + (mean - problem.mean) ** 2)
            here, slopes = self._around or problem.jacobians(mean, np.full(problem.size, _STEP))
            gradient, allowed = told_by(here, slopes, 1 / problem.variances)
            # a method that has made its spread small knows no more than the recordings say
            doubt = np.maximum(np.diag(allowed), np.diag(covariance))
            wide = np.sqrt(doubt / np.diag(covariance))
            believed = covariance * wide[:, None] * wide
            known = notes_of(problem.coordinates, mean, believed, np.diag(problem.variances), gradient)
            self.notes = (*known, *self.notes)
            low, high = (np.asarray(end, np.float64) for end in simulator.bounds)
            self.belief = Belief(tuple(simulator.names), low, high, mean, covariance)
        else:
            self.notes = (APART if problem.apart else NOTHING,)
        self._logs, self._told = evidence.logs, self._told + 1
        self.ledger += Ledger(sim_steps=int(simulator.sim_steps))

    def _ask(self, pending: tuple[Spec, ...]) -> Spec:
        return self._result()

    def _result(self) -> Spec:
        return self.prior if self.belief is None else self.belief.spec(self.prior)

    def _state(self) -> Any:
        return {
            "notes": list(self.notes),
            "told": self._told,
            "logs": [log.to_dict() for log in self._logs],
            "belief": None if self.belief is None else self.belief.to_dict(),
        }

    def _load(self, state: Any) -> None:
        self._told, self.notes = int(state["told"]), tuple(state["notes"])
        self._logs = tuple(Log.from_dict(form) for form in state["logs"])
        found = state["belief"]
        self.belief = None if found is None else Belief.from_dict(found)


def misfit(problem: Problem, mean: Array, step: float = _STEP) -> tuple[Mixed, Array]:
    """The mixed model of the errors around a point of the unit cube, and what it lets one believe there, (d, d).

    The distance from the point to the best fit counts as a spread of its own, so that a search that stopped
    early does not look sure.
    """
    here, slopes = problem.jacobians(mean, np.full(problem.size, step))
    found = fit(here, slopes, 1 / problem.variances, problem.mean - mean, chained=problem.chained)
    off = np.clip(found.shift, -mean, 1 - mean)
    return found, found.total() + np.diag(off**2)

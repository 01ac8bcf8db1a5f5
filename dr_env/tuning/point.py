"""Point identification: the one set of values that explains recordings best, without any spread."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import optimize

from dr_env.distributions import Constant, Distribution
from dr_env.errors import DREnvError
from dr_env.rng import digest
from dr_env.spec import Spec
from dr_env.tuning.evidence import Kind, TargetTransitions
from dr_env.tuning.identification import NOTHING, notes_of, told_by
from dr_env.tuning.ledger import Ledger
from dr_env.tuning.ranges import with_ranges
from dr_env.tuning.tuner import Simulator, Tuner

Array = NDArray[np.float64]

_DIVERGED = 10.0  # a residual, in units of its coordinate's scale
_NO_EFFECT = 1e-9  # of a residual, over a value's whole range
_STEP = 1e-3  # of finite differences, of a value's range


@dataclasses.dataclass(frozen=True)
class PointOptions:
    """Numbers of the point estimate."""

    screen: int = 64  # values tried over the whole range, of which the best is started from
    iterations: int = 50

    def __post_init__(self) -> None:
        if self.screen < 1:
            raise DREnvError(f"point.screen: got {self.screen}, expected at least 1")
        if self.iterations < 1:
            raise DREnvError(f"point.iterations: got {self.iterations}, expected at least 1")


class Point(Tuner[PointOptions]):
    """System identification as usual: least squares, and what is found is taken for true.

    Scipy's trust region reflective algorithm within the bounds, with the loss sqrt(1 + r^2); a baseline, since
    a policy trained on one set of values knows no doubt. An entry with one value for each of several matches
    gets one for all of them. Told again, it fits the new recordings, from where it was.
    """

    name: ClassVar[str] = "point"
    needs: ClassVar[frozenset[Kind]] = frozenset({"transitions"})
    Options: ClassVar[type[Any]] = PointOptions

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._found: dict[str, float] = {}
        self._told = 0

    @property
    def done(self) -> bool:
        """After one telling; more recordings may still be told."""
        return self._told > 0

    def _ask(self, pending: tuple[Spec, ...]) -> Spec:
        return self._result()

    def _result(self) -> Spec:
        found: dict[str, Distribution] = {name: Constant(value) for name, value in self._found.items()}
        return with_ranges(self.prior, found)

    def _tell(self, evidence: TargetTransitions) -> None:
        if self._simulate is None:
            raise DREnvError("point: needs a simulator of recordings (simulate=...)")
        simulator = self._simulate(evidence)
        tied = _Tied(self.prior, simulator)
        seed = digest(self.seed, self.name, self._told) >> 32
        unit = scipy.stats.qmc.Halton(len(tied.names), rng=np.random.default_rng(seed)).random(self.options.screen)
        start = np.array([tied.unit(name, self._found) for name in tied.names])
        points = np.concatenate([start[None], unit])
        residuals = tied.residuals(points)
        measured = np.asarray(np.isfinite(residuals).any(axis=0))
        self.notes = () if measured.any() else (NOTHING,)
        if measured.any():
            point, slopes = self._fit(tied, points, residuals, measured)
            # what no recording depends on stays where it was
            point = np.where((np.abs(slopes) > _NO_EFFECT).any(axis=0), point, points[0])
            errors = np.nan_to_num(tied.residuals(point[None])[:, measured], nan=_DIVERGED)
            precision = np.full(len(point), 12.0)  # of a uniform prior
            gradient, allowed = told_by(errors.T, slopes[:, None], precision)  # all of one size
            self.notes = (
                *notes_of(tied, point, allowed, np.diag(1 / precision), gradient),
                *tied.notes(),
            )
            self._found = {**self._found, **tied.values(point)}
        self._told += 1
        self.ledger += Ledger(sim_steps=int(simulator.sim_steps))

    def _fit(self, tied: _Tied, points: Array, screened: Array, measured: NDArray[np.bool_]) -> tuple[Array, Array]:
        """The point of least cost, (n,), and the slopes of residuals there, (m, n)."""

        def filled(residuals: Array) -> Array:
            return np.nan_to_num(residuals[:, measured], nan=_DIVERGED)

        def errors(point: Array) -> Array:
            return np.asarray(filled(tied.residuals(point[None]))[0])

        def slopes(point: Array) -> Array:
            # forward differences, backward at the upper end, all in one call
            steps = np.where(point + _STEP <= 1, _STEP, -_STEP)
            found = filled(tied.residuals(np.concatenate([point[None], point + np.diag(steps)])))
            return np.asarray((found[1:] - found[:1]).T / steps)

        costs = np.sqrt(1 + filled(screened) ** 2).sum(1)
        solved = optimize.least_squares(
            errors,
            np.clip(points[int(costs.argmin())], 1e-6, 1 - 1e-6),
            jac=slopes,
            bounds=(0.0, 1.0),
            loss="soft_l1",
            max_nfev=self.options.iterations,
        )
        return np.asarray(solved.x, np.float64), slopes(solved.x)

    def _state(self) -> dict[str, Any]:
        return {"found": self._found, "told": self._told, "notes": list(self.notes)}

    def _load(self, state: Any) -> None:
        self._found, self._told, self.notes = dict(state["found"]), int(state["told"]), tuple(state["notes"])


class _Tied:
    """A simulator's values by entry, as points of the unit cube."""

    def __init__(self, prior: Spec, simulator: Simulator) -> None:
        owners = [name.partition("[")[0] for name in simulator.names]
        self._simulator = simulator
        self._low, self._high = simulator.bounds
        simple = [name for name in dict.fromkeys(owners) if name in prior.drawn]
        if not simple:
            raise DREnvError(
                f"{prior.source}: {', '.join(simulator.names)} belong together in one variable, as a fit leaves them; "
                "expected the Spec that this one was fitted to"
            )
        self.names = tuple(simple)
        self._owner = np.array([simple.index(name) if name in simple else -1 for name in owners])  # (d,)
        self._means = {name: prior.drawn[name].distribution.mean() for name in simple}

    def unit(self, name: str, found: dict[str, float]) -> float:
        """Where an entry starts: what was found before, or the prior's mean."""
        i = int(np.flatnonzero(self._owner == self.names.index(name))[0])
        width = self._high[i] - self._low[i]
        value = found.get(name, self._means[name])
        return float(np.clip((value - self._low[i]) / width, 0.0, 1.0)) if width > 0 else 0.5

    def from_unit(self, point: Array) -> Array:
        """Values of entries, (entries,), of a point of the cube."""
        return np.array(list(self.values(point).values()))

    def residuals(self, points: Array) -> Array:
        """Of points (n, entries): (n, m). Values that belong together in one variable stay in the middle."""
        units = np.where(self._owner >= 0, points[:, self._owner], 0.5)
        return self._simulator.residuals(self._low + units * (self._high - self._low))

    def values(self, point: Array) -> dict[str, float]:
        """An entry's value by its name."""
        first = [int(np.flatnonzero(self._owner == i)[0]) for i in range(len(self.names))]
        numbers = self._low[first] + point * (self._high[first] - self._low[first])
        return dict(zip(self.names, numbers.tolist(), strict=True))

    def notes(self) -> Iterator[str]:
        """The entries whose several values are one."""
        for i, name in enumerate(self.names):
            if (count := int((self._owner == i).sum())) > 1:
                yield f"{name}: one value for all {count} that it varies; gauss_newton fits each of its own"

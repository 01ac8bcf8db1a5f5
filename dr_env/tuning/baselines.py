"""What every method is compared with: ranges that take no search."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from dr_env.distributions import Constant, Distribution, Integer, LogUniform, Uniform
from dr_env.errors import DREnvError
from dr_env.spec import Entry, Spec
from dr_env.tuning.evidence import Kind
from dr_env.tuning.ranges import with_ranges
from dr_env.tuning.tuner import NoOptions, OptionsT, Tuner


class Baseline(Tuner[OptionsT]):
    """A Spec that is known beforehand; it is told returns only so that it can stand in the same table."""

    needs: ClassVar[frozenset[Kind]] = frozenset({"returns"})

    @property
    def done(self) -> bool:
        return True

    def _ask(self, pending: tuple[Spec, ...]) -> Spec:
        return self._result()

    def _tell(self, evidence: Any) -> None:
        pass

    def _state(self) -> None:
        return None

    def _load(self, state: Any) -> None:
        pass


class NoRandomization(Baseline[NoOptions]):
    """The nominal model: nothing varies."""

    name: ClassVar[str] = "none"

    def _result(self) -> Spec:
        return Spec()


class Uniform20(Baseline[NoOptions]):
    """Plus and minus 20 % about each nominal value, the habit of many papers.

    What is scaled varies by 0.8 .. 1.2; what is added or set, by a fifth of the prior's half range about the
    value that changes nothing, since 20 % of a nominal 0 would be nothing; all of it within bounds. Whole numbers
    keep their ranges.
    """

    name: ClassVar[str] = "uniform20"

    def _result(self) -> Spec:
        changed: dict[str, Distribution] = {}
        for name, drawn in self.prior.drawn.items():
            known = drawn.distribution
            if not drawn.tunable or known.size > 1 or known.parents or known.discrete:
                continue
            low, high = known.span()
            if isinstance(drawn, Entry) and drawn.operation == "scale":
                least, most = 0.8, 1.2
            else:
                middle = drawn.neutral if isinstance(drawn, Entry) else drawn.middle
                half = 0.2 * 0.5 * (high - low)
                least, most = max(low, middle - half), min(high, middle + half)
            if drawn.bounds is not None:
                least, most = max(least, drawn.bounds[0]), min(most, drawn.bounds[1])
            if least < most:
                changed[name] = Uniform(least, most)
        return with_ranges(self.prior, changed)


class Wide(Baseline[NoOptions]):
    """Everything that the bounds allow, uniform; in the logarithm, or over whole numbers, where the prior is.

    Without bounds, what tuners explore by default; cases and named values keep their odds.
    """

    name: ClassVar[str] = "wide"

    def _result(self) -> Spec:
        changed: dict[str, Distribution] = {}
        for name, drawn in self.prior.drawn.items():
            known = drawn.distribution
            cases = known.discrete and not isinstance(known, Integer | Constant)
            if not drawn.tunable or known.size > 1 or known.parents or cases:
                continue
            low, high = drawn.bounds or _explored(known)
            if isinstance(known, Integer):
                low, high = math.ceil(low), math.floor(high)
            if low < high:
                kind = type(known) if isinstance(known, LogUniform | Integer) else Uniform
                changed[name] = kind(low, high)
        return with_ranges(self.prior, changed)


def _explored(distribution: Distribution) -> tuple[float, float]:
    """How far tuners move the ends or the mean of a distribution without bounds; where there are none, its span."""
    ends = [number for number in distribution.tunables() if number.name in ("low", "high", "mean")]
    if not ends:
        return distribution.span()
    return min(end.low for end in ends), max(end.high for end in ends)


@dataclasses.dataclass(frozen=True)
class OracleOptions:
    """What the oracle is shown, and no other method."""

    target: dict[str, Any] | None = None  # the target's Spec as plain data


class Oracle(Baseline[OracleOptions]):
    """The target itself: what could be had if it were known, structure that the prior does not model included."""

    name: ClassVar[str] = "oracle"
    Options: ClassVar[type[Any]] = OracleOptions

    def __init__(self, prior: Spec, seed: int, options: Any = None, simulate: Any = None) -> None:
        super().__init__(prior, seed, options, simulate)
        if not isinstance(self.options.target, Mapping):
            raise DREnvError("oracle.target: missing, expected the target's Spec as plain data")
        self._target = Spec.from_dict(self.options.target, "oracle.target")

    def _result(self) -> Spec:
        return self._target

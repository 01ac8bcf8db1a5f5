"""Draws as rows of numbers: what recordings can tell of a Spec, by name."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dr_env.binding import Plan
from dr_env.distributions import Categorical, Distribution, Expression, Joint
from dr_env.distributions.formula import limits
from dr_env.errors import DREnvError
from dr_env.records import Columns
from dr_env.spec import Spec

Array = NDArray[np.float64]

_RANDOM = ("observation.", "action.", "sensor.", "push.")
_TOLD = ("observation.bias",)  # of these, what changes readings the same way every time
_WIDE = 4.0  # standard deviations to either side that are tried of what is unbounded


class Values:
    """The values of a Plan's Draws that decide a motion, as columns of a table.

    Names are those of entries and variables, `entry[match]` where there is one value for each match and
    `variable.name` for the numbers of a joint distribution. Left out, with the reason in `left_out`: what
    is not tunable, what has cases instead of a range, and what is random from step to step, which no mean
    motion tells. These hold the median of their distribution.

    Args:
        plan: what varies.

    Raises:
        DREnvError: nothing is left.
    """

    def __init__(self, plan: Plan) -> None:
        self._sampler = plan.sampler
        self._places: dict[str, slice] = {}
        self.left_out: dict[str, str] = {}
        names: list[str] = []
        lows: list[float] = []
        highs: list[float] = []
        arrays = {entry.name: entry.field.array for entry in plan.entries}
        for name, node in plan.sampler.nodes.items():
            why = _unfit(plan, name, node.derived or node.leader is not None, arrays.get(name, ""))
            if why is not None:
                self.left_out |= {name: why} if why else {}
                continue
            joint = isinstance(node.distribution, Joint)
            labels = [f"{name}.{of}" if joint else f"{name}[{of}]" for of in node.of]
            if node.scalar and not joint:
                labels = [name]
            self._places[name] = slice(len(names), len(names) + node.width)
            names += labels
            bounds = plan.spec.drawn[name].bounds or ends(node.distribution)
            low, high = (np.broadcast_to(end, node.width).tolist() for end in bounds)
            for i, label in enumerate(labels if joint else ()):
                low[i], high[i] = _clipped(plan.spec, label) or (low[i], high[i])
            lows += low
            highs += high
        if not names:
            none = "all its entries are constant" if plan.entries else "it has no entries"
            reasons = "; ".join(f"{name}: {why}" for name, why in self.left_out.items()) or none
            raise DREnvError(f"{plan.spec.source}: nothing that recordings could tune; {reasons}")
        self.names = tuple(names)
        self.bounds = np.array(lows), np.array(highs)

    def columns(self, values: Array) -> Columns:
        """Draws (n rows) from values (n, d); what they do not name is at its median, what depends on them follows."""
        n = len(values)
        base = self._sampler.draw(np.full((n, self._sampler.stream.total), 0.5))
        for name, place in self._places.items():
            base[name] = values[:, place].reshape(base[name].shape)
        others = frozenset(self._sampler.nodes) - self._places.keys()
        return self._sampler.draw(np.full((n, self._sampler.stream.total), 0.5), base, others)

    def of(self, columns: Columns) -> Array:
        """Values (n, d) of Draws (n rows)."""
        return np.concatenate([np.reshape(columns[name], (len(columns[name]), -1)) for name in self._places], axis=1)


def _unfit(plan: Plan, name: str, follows: bool, array: str) -> str | None:
    """Why a name is no value: None if it is one, "" where that needs no mention."""
    drawn = plan.spec.drawn[name]
    distribution = plan.sampler.nodes[name].distribution
    if follows or distribution.type_name == "constant":
        return ""
    if not drawn.tunable:
        return "tunable is false"
    if drawn.trigger != "episode":
        return f"drawn at {drawn.trigger}, not once an episode"
    if isinstance(distribution, Categorical) or (distribution.discrete and not isinstance(distribution, Joint)):
        return f"a {distribution.type_name} has cases, not a range"
    if distribution.parents:
        return "its distribution depends on other draws"
    if array.startswith(_RANDOM) and array not in _TOLD:
        return "random from step to step, which the mean motion does not tell"
    return None


def _clipped(spec: Spec, number: str) -> tuple[float, float] | None:
    """The limits of one number of a joint distribution that is only read within them, as a tuned Spec's are."""
    found: set[tuple[float, float]] = set()
    for drawn in spec.drawn.values():
        if number in drawn.distribution.parents:
            read = limits(drawn.distribution.formula) if isinstance(drawn.distribution, Expression) else None
            if read is None or drawn.distribution.parents != (number,):
                return None
            found.add(read)
    return found.pop() if len(found) == 1 else None


def ends(distribution: Distribution) -> tuple[Array, Array]:
    """The least and greatest values to try, (size,) each: the support, or four standard deviations around."""
    if isinstance(distribution, Joint):
        low, high = np.empty(distribution.size), np.empty(distribution.size)
        given = [getattr(distribution, key, None) for key in ("low", "high")]
        mean = distribution.means()
        covariance = getattr(distribution, "covariance", None)
        std = np.sqrt(np.diag(np.array(covariance))) if covariance is not None else np.abs(mean) + 1.0
        low[:] = mean - _WIDE * std if given[0] is None else given[0]
        high[:] = mean + _WIDE * std if given[1] is None else given[1]
        return low, high
    least, most = distribution.support()
    tails = distribution.span(3.2e-5)  # four standard deviations of a normal
    return (
        np.array([least if math.isfinite(least) else tails[0]]),
        np.array([most if math.isfinite(most) else tails[1]]),
    )

"""Whether the ranges of a Spec were really covered, where refused Draws distorted them, and where the target lies.

Drawn values are compared with what the Spec says by Kolmogorov and Smirnov's statistic, those of distributions
with few values by Pearson's chi-square; over many marginals by Holm's correction ("A simple sequentially
rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]

_GRID = 4000  # points at which a quantile function is inverted
_DOUBTFUL = 0.01
_LEAST_EXPECTED = 5.0  # in a cell of the chi-square test
SLACK = 1e-6
"""The share of a number by which models in single precision may hold another."""


@dataclasses.dataclass(frozen=True)
class Law:
    """A distribution as what is compared with: quantile function, log density or log mass, and support."""

    quantile: Callable[[Array], Array]
    log_prob: Callable[[Array], Array]
    support: tuple[float, float]
    discrete: bool
    type_name: str

    def cdf(self, values: Array) -> Array:
        """The share of the distribution at or below values, by inverting the quantile function."""
        grid = (np.arange(_GRID) + 0.5) / _GRID
        return np.asarray(np.interp(values, self.quantile(grid), grid, left=0.0, right=1.0))

    def masses(self, drawn: Array) -> tuple[Array, Array]:
        """The values of a discrete distribution that matter or were drawn, and their probabilities."""
        found = np.unique(np.concatenate((self.quantile((np.arange(_GRID) + 0.5) / _GRID), drawn)))
        return found, np.exp(self.log_prob(found))

    def draws(self, value: float) -> bool:
        """Whether a value can be drawn: of what is unbounded, within all but a millionth."""
        low, high = _support(self)
        slack = SLACK * max(abs(low), abs(high), 1.0)
        if not low - slack <= value <= high + slack:
            return False
        if self.discrete:
            values, masses = self.masses(np.array([value]))
            return bool((np.abs(values[masses > 0] - value) <= slack).any())
        return bool((self.log_prob(value + slack * np.array([-1, 0, 1])) > -np.inf).any())


@dataclasses.dataclass(frozen=True)
class Marginal:
    """What is known of one entry, or of a variable that entries read.

    Args:
        entry: its name.
        elements: names of what it draws one value for each; one, the entry itself, where it is shared.
        law: what the Spec says; None where no closed form is known, so that only Draws can be compared with.
        drawn: (n, elements) the episodes' values.
        first: (m, elements) values of many more Draws before any was refused.
        final: (m, elements) the same Draws as they came out.
        target: for each element the least and greatest value that means the same as the target's, (elements, 2); None
            for a variable, which the target may not have, and where no value means the same.
        unit: what follows a value, such as "× nominal".
        cases: names of the values 0, 1, ... of a categorical variable.
        changed_by: entries of the target that change the same numbers in a way that no drawn value tells.
        beside: other entries of training that change the same numbers.
        together: for each element whether it and those beside it can make the target's numbers, (elements,); None
            where nothing is beside it.
    """

    entry: str
    elements: tuple[str, ...]
    law: Law | None
    drawn: Array
    first: Array
    final: Array
    target: Array | None
    unit: str
    cases: tuple[str, ...] = ()
    changed_by: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    together: NDArray[np.bool_] | None = None

    def worded(self, value: float) -> str:
        """A value with its unit, or the case that it stands for."""
        if self.cases:
            return self.cases[round(value)]
        return f"{value:.3g} {self.unit}".rstrip()


@dataclasses.dataclass(frozen=True)
class Coverage:
    """How well an entry's range was covered.

    Args:
        marginal: the entry.
        statistic: the largest over its elements of Kolmogorov and Smirnov's distance, or chi-square a degree.
        p_value: of its most doubtful element, corrected for all marginals of the Spec; None where nothing is known.
        widest_gap: the greatest share of the distribution between two neighbouring drawn values.
        acceptance: the share of Draws in which this entry was not refused.
        distortion: p-value that refused Draws left the distribution as it was; None where none was refused.
    """

    marginal: Marginal
    statistic: float | None
    p_value: float | None
    widest_gap: float | None
    acceptance: float
    distortion: float | None

    @property
    def doubtful(self) -> bool:
        """Whether the values do not look like the Spec's distribution."""
        return self.p_value is not None and self.p_value < _DOUBTFUL

    @property
    def distorted(self) -> bool:
        """Whether refused Draws visibly changed the distribution."""
        return self.distortion is not None and self.distortion < _DOUBTFUL

    def to_dict(self) -> dict[str, Any]:
        """What was found, as plain data."""
        return {
            "entry": self.marginal.entry,
            "statistic": self.statistic,
            "p_value": self.p_value,
            "widest_gap": self.widest_gap,
            "acceptance_rate": self.acceptance,
            "distorted_by_refusals": self.distorted,
            "target": target_in_words(self.marginal),
        }


def cover(marginals: Sequence[Marginal]) -> list[Coverage]:
    """Judges every marginal of a Spec; constants are left out."""
    varied = [m for m in marginals if np.ptp(m.drawn) > 0 or (m.law is not None and np.ptp(m.law.quantile(_ENDS)) > 0)]
    tests = [[_tested(m, k, column) for k, column in enumerate(m.drawn.T)] for m in varied]
    corrected = iter(holm([p for found in tests for _, p in found]))
    after = [_distortion(m) for m in varied]
    corrected_after = iter(holm([p for p in after if p is not None]))
    found = []
    for m, results, refused in zip(varied, tests, after, strict=True):
        p_values = [next(corrected) for _ in results]
        found.append(
            Coverage(
                marginal=m,
                statistic=max((statistic for statistic, _ in results), default=None),
                p_value=min(p_values, default=None),
                widest_gap=_widest_gap(m),
                acceptance=float((m.first == m.final).all(1).mean()) if len(m.first) else 1.0,
                distortion=None if refused is None else next(corrected_after),
            )
        )
    return found


_ENDS = np.array([0.001, 0.999])


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values, in the order given."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected.tolist()


def _tested(m: Marginal, element: int, column: Array) -> tuple[float, float]:
    """Statistic and p-value that an element's values come from its law, or what was drawn without one."""
    if m.law is not None:
        return _test(m.law, column)
    result = scipy.stats.ks_2samp(column, m.first[:, element])
    return float(result.statistic), float(result.pvalue)


def _test(law: Law, column: Array) -> tuple[float, float]:
    """Statistic and p-value that values come from a law."""
    if law.discrete:
        return _chi_square(law, column)
    result = scipy.stats.kstest(law.cdf(column), "uniform")
    return float(result.statistic), float(result.pvalue)


def _chi_square(law: Law, column: Array) -> tuple[float, float]:
    """Pearson's test, with neighbouring values together where few are expected."""
    values, masses = law.masses(column)
    if (masses == 0).any():  # a value that cannot be
        return float("inf"), 0.0
    expected = masses / masses.sum() * len(column)
    cells = _cells(expected)
    observed = np.bincount(cells[np.searchsorted(values, column)], minlength=cells[-1] + 1)
    if len(observed) < 2:
        return 0.0, 1.0
    result = scipy.stats.chisquare(observed, np.bincount(cells, expected))
    return float(result.statistic) / (len(observed) - 1), float(result.pvalue)


def _cells(expected: Array) -> NDArray[np.intp]:
    """Numbers of cells that each expect enough, for values in order."""
    cells, cell, held = np.zeros(len(expected), np.intp), 0, 0.0
    for i, count in enumerate(expected):
        cells[i] = cell
        held += count
        if held >= _LEAST_EXPECTED and expected[i + 1 :].sum() >= _LEAST_EXPECTED:
            cell, held = cell + 1, 0.0
    return cells


def _distortion(m: Marginal) -> float | None:
    """P-value that the Draws that were kept come from the law; None where none was refused."""
    if m.law is None or not len(m.first) or (m.first == m.final).all():
        return None
    # elements of one entry are judged together, by the least p-value of each
    return min(1.0, len(m.elements) * min(_test(m.law, column)[1] for column in m.final.T))


def _widest_gap(m: Marginal) -> float | None:
    """The greatest share of the law that no drawn value fell into, over elements."""
    if m.law is None:
        return None
    if m.law.discrete:
        values, masses = m.law.masses(m.drawn.reshape(-1))
        return float(max(masses[~np.isin(values, column)].sum() for column in m.drawn.T))
    places = np.sort(m.law.cdf(m.drawn), axis=0)
    edges = np.concatenate((np.zeros((1, places.shape[1])), places, np.ones((1, places.shape[1]))))
    return float(np.diff(edges, axis=0).max())


def outside(m: Marginal) -> list[str]:
    """The elements whose target lies outside what training can draw."""
    if m.together is not None:
        return [name for name, within in zip(m.elements, m.together, strict=True) if not within]
    if m.target is None or (m.law is None and np.ptp(m.final) == 0):
        return []
    return [name for name, ends in zip(m.elements, m.target, strict=True) if not all(_drawn(m, end) for end in ends)]


def _drawn(m: Marginal, value: float) -> bool:
    """Whether training can draw a value; where no law is known, whether it is among what many Draws were."""
    if m.law is not None:
        return m.law.draws(value)
    low, high = _reach(m)
    slack = SLACK * max(abs(low), abs(high), 1.0)
    return low - slack <= value <= high + slack


def target_in_words(m: Marginal) -> str:
    """Where the target lies in an entry's range; nothing for a variable."""
    if m.target is None:
        return f"changed by {', '.join(m.changed_by)}" if m.changed_by else ""
    least, most = float(m.target[:, 0].min()), float(m.target[:, 1].max())
    where = f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}"
    beyond = outside(m)
    who = f" for {len(beyond)} of {len(m.elements)}" if beyond and len(m.elements) > 1 else ""
    if m.together is not None:
        return f"{where}: {'outside' if beyond else 'inside'}{who} what it makes together with {', '.join(m.beside)}"
    if m.law is None and np.ptp(m.final) == 0:
        return where
    low, high = _reach(m)
    if beyond:
        gap = "" if least < low or most > high else " with gaps"
        return f"{where}: outside{who}, training draws {low:.3g} to {high:.3g}{gap}"
    if m.law is None:
        return f"{where}: inside, training draws {low:.3g} to {high:.3g}"
    if m.law.discrete:
        return f"{where}: among the values of training"
    share = 100 * m.law.cdf(np.array([least, most]))
    place = f"{share[0]:.0f} %" if round(share[0]) == round(share[1]) else f"{share[0]:.0f} % to {share[1]:.0f} %"
    return f"{where}: inside, with {place} of training below it"


def _reach(m: Marginal) -> tuple[float, float]:
    """What training practically draws; where no law is known, what many Draws were."""
    return _support(m.law) if m.law is not None else (float(m.final.min()), float(m.final.max()))


def _support(law: Law) -> tuple[float, float]:
    """What a law practically draws: where it is unbounded, all but a millionth."""
    low, high = (float(end) for end in law.quantile(np.array([5e-7, 1 - 5e-7])))
    least, most = law.support
    return (least if np.isfinite(least) else low), (most if np.isfinite(most) else high)

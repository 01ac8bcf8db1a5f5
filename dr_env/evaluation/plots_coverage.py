"""Figures of what was drawn, beside what the Spec says and where the target lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dr_env.evaluation.coverage import Coverage, Law, Marginal, outside
from dr_env.evaluation.explanation import Explanation
from dr_env.evaluation.figures import panels, plain_numbers, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DRAWN, _LAW, _KEPT, _OUTSIDE = "#9ecae1", "#08519c", "#e69f00", "#cc3311"
_BINS = 16


def marginals(explanation: Explanation) -> str | None:
    """A histogram of each entry's drawn values, its distribution over it, the target's values marked."""
    if not explanation.coverage:
        return None
    figure, axes = panels(len(explanation.coverage))
    for axis, found in zip(axes, explanation.coverage, strict=True):
        m = found.marginal
        if m.law is not None and m.law.discrete:
            _bars(axis, m, m.law)
        else:
            _histogram(axis, found)
        beyond = set(outside(m))
        for name, (least, most) in zip(m.elements, m.target, strict=True) if m.target is not None else ():
            colour = _OUTSIDE if name in beyond else "black"
            for value in {float(least), float(most)} if np.isfinite((least, most)).all() else ():
                axis.axvline(value, color=colour, lw=1.3, ls="--", zorder=4)
        many = f", {len(m.elements)} elements" if len(m.elements) > 1 else ""
        axis.set_xlabel(f"{m.entry}{many}\n{m.unit}", fontsize="small")
        axis.set_yticks([])
        axis.tick_params(labelsize="small")
        axis.grid(visible=False)
    return png(figure)


def _bars(axis: Axes, m: Marginal, law: Law) -> None:
    drawn = m.drawn.reshape(-1)
    values, masses = law.masses(drawn)
    width = 0.8 * float(np.diff(values).min()) if len(values) > 1 else 0.8
    axis.bar(values, [float((drawn == value).mean()) for value in values], width, color=_DRAWN)
    axis.plot(values, masses, "_", color=_LAW, ms=14, mew=2)
    if len(values) <= 6:
        axis.set_xticks(values, [m.cases[round(value)] if m.cases else f"{value:g}" for value in values])


def _histogram(axis: Axes, found: Coverage) -> None:
    m = found.marginal
    drawn = m.drawn.reshape(-1)
    logarithmic = m.law is not None and m.law.type_name == "log_uniform"
    low, high = float(drawn.min()), float(drawn.max())
    if m.law is not None:
        ends = m.law.quantile(np.array([1e-3, 1 - 1e-3]))
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    edges = np.geomspace(low, high, _BINS + 1) if logarithmic else np.linspace(low, high, _BINS + 1)
    axis.stairs(_density(drawn, edges, logarithmic), edges, fill=True, color=_DRAWN)
    if (m.first != m.final).any():  # what the kept Draws really follow
        axis.stairs(_density(m.final.reshape(-1), edges, logarithmic), edges, color=_KEPT, lw=1.5)
    if m.law is not None:
        inner = np.geomspace(low, high, 200) if logarithmic else np.linspace(low, high, 200)
        density = np.exp(m.law.log_prob(inner)) * (inner if logarithmic else 1.0)
        axis.plot(inner, density, color=_LAW, lw=1.5)
        axis.set_ylim(0, 1.6 * float(np.quantile(density, 0.95)))
    if logarithmic:
        plain_numbers(axis, low, high)


def _density(values: np.ndarray, edges: np.ndarray, logarithmic: bool) -> np.ndarray:
    """Densities in bins, of the logarithm on a logarithmic axis, so that areas are seen as shares."""
    counts, _ = np.histogram(values, edges)
    widths = np.diff(np.log(edges) if logarithmic else edges)
    return np.asarray(counts / (len(values) * widths))

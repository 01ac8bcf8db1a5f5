"""Pictures of the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dr_env.comparison.summary import FEW, Recovered, Transferred, recovered
from dr_env.evaluation.figures import COLOURS, figure_of, panels, png

Result = Mapping[str, Any]

_MORE = ("#999999", "#b8a400", "#332288", "#882255", "#44aa99", "#661100")


def colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour for each method, the same in every picture."""
    palette = (*COLOURS, *_MORE)
    return {method: palette[i % len(palette)] for i, method in enumerate(sorted(set(methods)))}


def errors_by_size(rows: Sequence[Recovered], palette: Mapping[str, str]) -> str:
    """Error of the parameters against transitions, a panel for each kind of recording."""
    conditions = sorted({row.condition for row in rows})
    figure, axes = panels(len(conditions), 3)
    for axis, condition in zip(axes, conditions, strict=True):
        for method, colour in palette.items():
            own = sorted((r for r in rows if (r.condition, r.method) == (condition, method)), key=lambda r: r.size)
            if own:
                value = 100 * np.array([max(r.error.value, 1e-4) for r in own])
                low, high = (
                    100 * np.array([max(getattr(r.error, end if r.runs >= FEW else "value"), 1e-4) for r in own])
                    for end in ("low", "high")
                )
                axis.errorbar(
                    [r.size for r in own], value, [value - low, high - value], color=colour, marker="o", ms=4,
                    capsize=3, lw=1.3, label=method,
                )  # fmt: skip
        axis.set(title=condition, xscale="log", yscale="log", xlabel="transitions")
    _errors_alike(axes)
    _legend_below(figure, axes)
    return png(figure)


def errors_by_cost(rows: Sequence[Recovered], palette: Mapping[str, str]) -> str:
    """Error against simulated steps: what a budget buys."""
    conditions = sorted({row.condition for row in rows})
    figure, axes = panels(len(conditions), 3)
    for axis, condition in zip(axes, conditions, strict=True):
        for method, colour in palette.items():
            own = [r for r in rows if (r.condition, r.method) == (condition, method)]
            if own:
                error = [100 * max(r.error.value, 1e-4) for r in own]
                axis.scatter([r.sim_steps for r in own], error, s=[18 + 6 * np.log10(r.size) ** 2 for r in own],
                             color=colour, label=method)  # fmt: skip
        axis.set(title=condition, xscale="log", yscale="log", xlabel="simulated steps")
        axis.set_xlim(min(r.sim_steps for r in rows) / 2, 2 * max(r.sim_steps for r in rows))
    _errors_alike(axes)
    _legend_below(figure, axes)
    return png(figure)


def coverage(rows: Sequence[Recovered], palette: Mapping[str, str]) -> str:
    """How many parameters lie in their intervals of 90 %, with what a method may be believed for shaded."""
    situations = sorted({(r.condition, r.size) for r in rows})
    figure, (axis,) = figure_of(1.1 * len(situations) + 2.6, 3.4)
    methods = [method for method in palette if any(r.method == method for r in rows)]
    axis.axhspan(80, 97, color="#009e73", alpha=0.12, lw=0)
    axis.axhline(90, color="#59636e", lw=0.8, ls="--")
    for k, method in enumerate(methods):
        for i, situation in enumerate(situations):
            for row in rows:
                if (row.condition, row.size) == situation and row.method == method:
                    found = row.inside90
                    place = i + 0.7 * ((k + 0.5) / len(methods) - 0.5)
                    ends = [[100 * (found.value - found.low)], [100 * (found.high - found.value)]]
                    bar = ends if row.runs >= FEW else None
                    axis.errorbar([place], [100 * found.value], bar, color=palette[method], marker="o", ms=4,
                                  capsize=2, lw=1.2, label=method if i == 0 else None)  # fmt: skip
    axis.set_xticks(range(len(situations)), [f"{condition}\n{size}" for condition, size in situations])
    axis.set(ylabel="inside 90 % intervals, %", ylim=(-3, 103), xlim=(-0.5, len(situations) - 0.5))
    _legend_below(figure, [axis])
    return png(figure)


def marginals(results: Sequence[Result], palette: Mapping[str, str]) -> str:
    """Of one target: each parameter's 50 and 90 % intervals by method, the prior's range and the truth."""
    names = results[0]["names"]
    figure, axes = panels(len(names), 4)
    methods = [m for m in palette if any(r["cell"]["method"] == m for r in results)]
    for j, (axis, name) in enumerate(zip(axes, names, strict=True)):
        axis.axvspan(0, 1, color="#8c959f", alpha=0.15, lw=0)
        axis.axvline(results[0]["truth"][j], color="black", lw=1.2)
        for row, method in enumerate(methods):
            for result in results:
                if result["cell"]["method"] == method:
                    colour = palette[method]
                    axis.plot([result["low90"][j], result["high90"][j]], [row, row], color=colour, lw=1.5)
                    axis.plot([result["low50"][j], result["high50"][j]], [row, row], color=colour, lw=5)
                    axis.plot([result["median"][j]], [row], "o", color="white", mec=colour, ms=4)
        axis.set(title=name, ylim=(len(methods) - 0.4, -0.6), xlim=(-0.03, 1.03))
        axis.set_yticks(range(len(methods)), methods if j % 4 == 0 else [""] * len(methods))
        axis.set_xticks([0, 0.5, 1])
    return png(figure)


def motions(results: Sequence[Result], palette: Mapping[str, str]) -> str:
    """Recorded steps that were left out, less what each method predicts of them, with its 90 % bands."""
    methods = [m for m in palette if any(r["cell"]["method"] == m for r in results)]
    figure, axes = panels(len(methods), 3)
    for axis, method in zip(axes, methods, strict=True):
        curve = next(r["curve"] for r in results if r["cell"]["method"] == method)
        recorded, predicted, std = (np.array(curve[key]) for key in ("recorded", "predicted", "std"))
        step = np.arange(1, len(recorded) + 1)
        axis.fill_between(step, -1.645 * std, 1.645 * std, color=palette[method], alpha=0.3, lw=0)
        axis.plot(step, recorded - predicted, ".-", color="black", ms=4, lw=0.6)
        axis.axhline(0, color=palette[method], lw=1.2)
        axis.set(title=method, xlabel="control step")
    axes[0].set_ylabel("recorded - predicted, rad/s")
    return png(figure)


def scores(rows: Sequence[Transferred], palette: Mapping[str, str]) -> str:
    """Normalised scores of tiers 1 and 2."""
    places = sorted({row.situation for row in rows})
    figure, axes = figure_of(3.6 * len(places) + 1.0, 0.3 * max(4, len(palette)) + 0.9, 1, len(places))
    for axis, place in zip(axes, places, strict=True):
        own = [(row.method, row.score, row.runs) for row in rows if row.situation == place and row.score]
        own.sort(key=lambda row: row[1].value)
        for i, (method, score, runs) in enumerate(own):
            bar = [[score.value - score.low], [score.high - score.value]] if runs >= FEW else None
            axis.errorbar([score.value], [i], xerr=bar, color=palette[method], marker="o", capsize=3)
        axis.axvline(0, color="#8c959f", lw=0.8)
        axis.axvline(1, color="#8c959f", lw=0.8)
        axis.set_yticks(range(len(own)), [method for method, *_ in own])
        axis.set(title=f"tier {place[0]}: {place[1]}, {place[3]:,} steps", xlabel="normalised score")
    return png(figure)


def pictures(results: Sequence[Result], scored: Sequence[Transferred]) -> dict[str, str]:
    """All pictures that the results allow, as data URIs by name."""
    found: dict[str, str] = {}
    first = [r for r in results if r["cell"]["tier"] == 0]
    if first:
        rows = recovered(first)
        palette = colours([row.method for row in rows])
        found["sizes"], found["costs"] = errors_by_size(rows, palette), errors_by_cost(rows, palette)
        found["coverage"] = coverage(rows, palette)
        for condition in sorted({r["cell"]["condition"] for r in first}):
            shown = _example([r for r in first if r["cell"]["condition"] == condition])
            found[f"marginals {condition}"] = marginals(shown, palette)
            found[f"motions {condition}"] = motions(shown, palette)
    if scored:
        found["scores"] = scores(scored, colours([row.method for row in scored]))
    return found


def _example(results: Sequence[Result]) -> list[Result]:
    """The target that most methods were tried on, with the most transitions of those."""
    groups: dict[tuple[str, int, int], list[Result]] = {}
    for result in results:
        cell = result["cell"]
        groups.setdefault((cell["task"], cell["size"], cell["seed"]), []).append(result)
    return max(groups.items(), key=lambda item: (len(item[1]), item[0][1], -item[0][2], item[0][0]))[1]


def _errors_alike(axes: Sequence[Any]) -> None:
    """One logarithmic scale of errors for all panels, with plain numbers."""
    low, high = (limit(axis.get_ylim()[i] for axis in axes) for i, limit in enumerate((min, max)))
    for axis in axes:
        axis.set_ylim(low, high)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.yaxis.set_minor_formatter(lambda value, _: "")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.xaxis.set_minor_formatter(lambda value, _: "")
    axes[0].set_ylabel("error, % of range")


def _legend_below(figure: Any, axes: Sequence[Any]) -> None:
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)

"""Figures of predicted against recorded motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation.figures import COLOURS, figure_of, panels, plain_numbers
from dr_env.files import atomic_path

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def motion(
    path: Path,
    names: tuple[str, ...],
    logs: dict[str, Index],
    time: Array,
    window: Index,
    measured: Array,
    ensemble: Array,
    units: tuple[str, ...],
) -> None:
    """Writes what was recorded over bands of what the ensemble predicts, window by window.

    Args:
        path: a PNG file.
        names: of the coordinates.
        logs: samples of each recording to show, in the order of time, by its name.
        time: (k,) s in the recording.
        window: (k,) the window of each sample.
        measured: (k, m) motion since the window's start.
        ensemble: (n, k, m) predicted minus measured.
        units: of the coordinates.
    """
    shown = [i for i in range(len(names)) if not np.isnan(measured[:, i]).all()][:6]
    figure, axes = figure_of(3.6 * len(logs) + 0.6, 1.8 * len(shown) + 0.6, len(shown), len(logs))
    for row, i in enumerate(shown):
        for column, (log, samples) in enumerate(logs.items()):
            axis = axes[row * len(logs) + column]
            for part in np.split(samples, np.flatnonzero(np.diff(window[samples])) + 1):
                predicted = ensemble[:, part, i] + measured[part, i]
                good = ~np.isnan(predicted).all(axis=0)
                if not good.any():
                    continue
                x, bands = time[part][good], np.nanquantile(predicted[:, good], (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
                axis.fill_between(x, bands[0], bands[4], color=COLOURS[4], alpha=0.35, lw=0, label="90 %")
                axis.fill_between(x, bands[1], bands[3], color=COLOURS[0], alpha=0.45, lw=0, label="50 %")
                axis.plot(x, measured[part, i][good], color="black", lw=1.0, label="recorded")
            if row == 0:
                axis.set_title(log, fontsize=9)
            if column == 0:
                axis.set_ylabel(f"{names[i]}\n{units[i]}", fontsize=8)
            if row == len(shown) - 1:
                axis.set_xlabel("s")
    handles, labels = axes[0].get_legend_handles_labels()
    each = dict(zip(labels, handles, strict=True))  # each window has its own of all
    figure.legend(each.values(), each, frameon=False, fontsize=7, ncols=3, loc="outside lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def marginals(path: Path, before: dict[str, Array], after: dict[str, Array]) -> None:
    """Writes histograms of the values that a prior and a tuned Spec draw, by name."""
    figure, axes = panels(len(before))
    for axis, (name, values) in zip(axes, before.items(), strict=True):
        both = np.concatenate((values, after[name]))
        # a log-uniform prior's median lies far below the middle of its range, a uniform one's does not
        log = bool((both > 0).all() and both.max() > 4 * both.min() and np.median(values) < 0.4 * both.max())
        edges = np.geomspace(both.min(), both.max(), 41) if log else np.linspace(both.min(), both.max() + 1e-12, 41)
        axis.hist(values, edges.tolist(), color="0.75", label="prior")
        axis.hist(after[name], edges.tolist(), color=COLOURS[0], alpha=0.75, label="tuned")
        if log:
            plain_numbers(axis, float(both.min()), float(both.max()))
        axis.set_title(name, fontsize=8)
        axis.set_yticks([])
    axes[0].legend(frameon=False, fontsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")

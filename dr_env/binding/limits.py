"""What a tuner of looks may move: the entries that pictures show, within what their fields can take."""

from __future__ import annotations

import math

import numpy as np

from dr_env.binding.indexing import BoundEntry
from dr_env.binding.plan import Plan
from dr_env.spec import Entry, Spec

_ENDS = ("low", "high", "value", "mean")  # tunable numbers that are values themselves
_ABOVE = 1e-6  # of a range, kept from a limit that is itself excluded


def seen_entries(plan: Plan) -> tuple[str, ...]:
    """Names of the entries that pictures show and whose values are no names (as a texture's number is), and of the
    variables that these depend on."""
    shown = [e for e in plan.entries if e.field.visual and e.field.kind != "depth" and not _named(e)]
    parents = {parent for entry in shown for parent in entry.distribution.parents}
    variables = [name for name in plan.spec.variables if parents & {name} or _labels(parents, name)]
    return (*variables, *(entry.name for entry in shown))


def limited(plan: Plan) -> Spec:
    """The Plan's Spec, in which tunable entries have bounds wherever a tuner would leave their field's support.

    Entries that share a draw have those that all of them keep to.
    """
    spec = plan.spec
    found: dict[tuple[str | None, str], tuple[float, float]] = {}
    for bound in plan.entries:
        entry = spec.entries[bound.name]
        if not entry.tunable or entry.bounds is not None or _named(bound):
            continue
        ends = [tunable for tunable in entry.distribution.tunables() if tunable.name in _ENDS]
        if not ends:
            continue
        low, high = min(end.low for end in ends), max(end.high for end in ends)
        least, most = _limits(plan, bound)
        support = entry.distribution.support()
        if (low < least or high > most) and least <= support[0] and support[1] <= most:
            known = found.get(_group(entry, bound.name), (-math.inf, math.inf))
            found[_group(entry, bound.name)] = max(low, least, known[0]), min(high, most, known[1])
    entries = {
        name: entry.model_copy(update={"bounds": found[group]}) if (group := _group(entry, name)) in found else entry
        for name, entry in spec.entries.items()
    }
    return spec.model_copy(update={"entries": entries})


def _group(entry: Entry, name: str) -> tuple[str | None, str]:
    """What is tuned as one: the entries that share a draw, or an entry."""
    return (entry.share, "") if entry.share is not None else (None, name)


def _named(entry: BoundEntry) -> bool:
    return entry.field.whole or bool(entry.field.allowed)


def _labels(parents: set[str], variable: str) -> bool:
    return any(parent.startswith(f"{variable}.") for parent in parents)


def _limits(plan: Plan, entry: BoundEntry) -> tuple[float, float]:
    """The values of an entry for which every element stays within its field's support."""
    base = plan.nominal[entry.field.array].reshape(-1)[entry.flat]  # (r,)
    low, high = entry.field.bounds(entry.component)
    if entry.operation == "add":
        low, high = low - base, high - base
    elif entry.operation == "scale":
        if not (base > 0).any():
            return -math.inf, math.inf
        low, high = low[base > 0] / base[base > 0], high[base > 0] / base[base > 0]
    least, most = float(np.max(low)), float(np.min(high))
    if entry.field.above_low and math.isfinite(least):
        least += _ABOVE * (most - least if math.isfinite(most) else max(abs(least), 1.0))
    return least, most

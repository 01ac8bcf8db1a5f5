"""From a Plan to what the evaluation compares: each entry's law, its drawn values and the target's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dr_env.binding import Plan
from dr_env.binding.derived import DERIVED
from dr_env.binding.indexing import BoundEntry
from dr_env.binding.sampler import Node
from dr_env.distributions import Categorical
from dr_env.evaluation import Law, Marginal
from dr_env.evaluation.coverage import SLACK
from dr_env.records import Columns
from dr_env.rng import digest

Array = NDArray[np.float64]
Elements = dict[str, NDArray[np.intp]]
"""Numbers of a model: array name -> elements of the flattened array."""

_MANY = 4096  # Draws without episodes, which cost next to nothing
_TARGETS = 64


def marginals_of(training: Plan, target: Plan, drawn: Columns, seed: int) -> list[Marginal]:
    """What is known of each entry, and of each variable that no entry merely repeats.

    Args:
        training: the randomized world's Plan.
        target: the target world's Plan, of the same task.
        drawn: the randomized world's Draws, one for each episode.
        seed: keys the Draws that no episode runs.
    """
    seeds, numbers, zeros = _keys(_MANY, digest("coverage", seed))
    uniform = training.stream.uniform(seeds, numbers, zeros)
    final, _ = training.sample_columns(seeds, numbers, zeros, uniform)
    aimed = target.realise(target.sample_columns(*_keys(_TARGETS, digest("coverage", seed, "target")))[0])
    first = training.sampler.draw(uniform)
    found = [
        Marginal(
            entry=node.name,
            elements=node.of or (node.name,),
            law=_law(node) if node.width == 1 and node.name not in training.sampler.fixed else None,
            drawn=drawn[node.name].reshape(-1, node.width),
            first=first[node.name].reshape(-1, node.width),
            final=final[node.name].reshape(-1, node.width),
            target=None,
            unit="",
            cases=node.distribution.labels if isinstance(node.distribution, Categorical) else (),
        )
        for node in _told_apart(training, drawn)
    ]
    for entry in training.entries:
        same = _meaning(training, entry, aimed)  # (targets or 1, r)
        ends = [[same[:, entry.value == k].min(), same[:, entry.value == k].max()] for k in range(entry.width)]
        changed_by = _untold(training, entry, target)
        own = {entry.field.array: entry.flat}
        beside = [other for other in training.entries if other is not entry and meet(own, writes(training, other))]
        together = _together(entry, same, _meaning(training, entry, training.realise(final))) if beside else None
        found.append(
            Marginal(
                entry=entry.name,
                elements=(entry.name,) if entry.shared else entry.labels,
                law=None if entry.name in training.sampler.fixed else _law(training.sampler.nodes[entry.name]),
                drawn=drawn[entry.name].reshape(-1, entry.width),
                first=first[entry.name].reshape(-1, entry.width),
                final=final[entry.name].reshape(-1, entry.width),
                target=None if changed_by else np.array(ends),
                unit=_unit(entry.operation, entry.field.unit),
                changed_by=changed_by,
                beside=tuple(other.name for other in beside),
                together=None if changed_by else together,
            )
        )
    return found


def writes(plan: Plan, entry: BoundEntry) -> Elements:
    """All numbers that an entry changes: its field's own, those that move with them and those that follow from them."""
    found = {entry.field.array: entry.flat}
    for move in entry.moves:
        found[move.array] = np.union1d(found.get(move.array, move.flat), move.flat)
    derived = DERIVED.get(entry.field.array)
    if derived is not None:
        objects = np.unique(entry.flat // derived.size)
        for name in derived.writes:
            width = len(plan.nominal[name]) * derived.size // len(plan.nominal[entry.field.array])
            found[name] = (objects[:, None] * width + np.arange(width)).reshape(-1)
    return found


def meet(one: Elements, other: Elements) -> bool:
    """Whether two have a number in common."""
    return any(np.isin(elements, other[array]).any() for array, elements in one.items() if array in other)


def _untold(training: Plan, entry: BoundEntry, target: Plan) -> tuple[str, ...]:
    """The target's entries that change what an entry's numbers become, other than through these."""
    if entry.field.array not in DERIVED:
        return ()
    mine = writes(training, entry)
    rest = [other for other in target.entries if other.field.array != entry.field.array]
    return tuple(other.name for other in rest if meet(mine, writes(target, other)))


def _meaning(training: Plan, entry: BoundEntry, arrays: Columns) -> Array:
    """The drawn values by which an entry alone would make the numbers (n, r) of some models, or of the nominal one."""
    nominal = training.nominal[entry.field.array][entry.flat]
    values = arrays[entry.field.array][:, entry.flat] if entry.field.array in arrays else nominal[None]
    return _same(entry.operation, nominal, values)


def _together(entry: BoundEntry, aimed: Array, drawn: Array) -> NDArray[np.bool_]:
    """For each of its drawn values whether the target's numbers (m, r) lie among those of many Draws (n, r)."""
    low, high = drawn.min(0), drawn.max(0)
    slack = SLACK * np.maximum(np.maximum(abs(low), abs(high)), 1.0)
    within = ((aimed >= low - slack) & (aimed <= high + slack)).all(0)
    return np.array([within[entry.value == k].all() for k in range(entry.width)])


def _told_apart(plan: Plan, drawn: Columns) -> list[Node]:
    """The variables with a number whose order no entry's numbers follow."""
    columns = [column for entry in plan.entries for column in drawn[entry.name].reshape(-1, entry.width).T]
    ranks = [np.unique(column, return_inverse=True)[1] for column in columns]
    found = []
    for name in plan.spec.variables:
        node = plan.sampler.nodes[name]
        own = [np.unique(column, return_inverse=True)[1] for column in drawn[name].reshape(-1, node.width).T]
        if not all(any((o == r).all() or (o == r.max() - r).all() for r in ranks) for o in own):
            found.append(node)
    return found


def _law(node: Node) -> Law | None:
    """What an entry's values follow, where they follow nothing but their own distribution."""
    if node.parents or (node.derived and node.leader is None):
        return None
    d = node.distribution
    return Law(d.quantile, d.log_prob, d.support(), d.discrete, d.type_name)


def _keys(count: int, seed: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    return np.full(count, seed, np.uint64), np.arange(count, dtype=np.uint64), np.zeros(count, np.uint64)


def _unit(operation: str, unit: str) -> str:
    return "× nominal" if operation == "scale" else f"{unit} more" if operation == "add" else unit


def _same(operation: str, nominal: Array, values: Array) -> Array:
    """The drawn values by which an operation makes nominal values into given ones."""
    if operation == "set":
        return values
    if operation == "add":
        return values - nominal
    factor = np.divide(values, nominal, out=np.where(values == 0, 1.0, np.inf), where=nominal != 0)
    return np.asarray(factor)

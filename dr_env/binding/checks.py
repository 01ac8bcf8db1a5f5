"""What physics refuses: supports judged when a Spec is bound, Draws judged when they are made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dr_env.binding.fields import Field
from dr_env.binding.indexing import BoundEntry, Index
from dr_env.distributions import Distribution, Expression, Mixture, Switch
from dr_env.errors import DREnvError
from dr_env.spec import Spec

Arrays = Mapping[str, NDArray[np.float64]]
BOUNDED = "uniform or truncated_normal, or give an expression low and high"


@dataclasses.dataclass(frozen=True)
class Check:
    """Elements of one array that must stay within a field's support."""

    field: Field
    flat: Index
    component: Index
    base: NDArray[np.float64]  # nominal values


@dataclasses.dataclass(frozen=True)
class Group:
    """Entries that write common elements and are drawn again together."""

    entries: tuple[str, ...]
    checks: tuple[Check, ...]


def check_supports(spec: Spec, entries: Sequence[BoundEntry], nominal: Arrays) -> None:
    """Refuses an entry whose values can leave its field's support.

    An entry that shares elements with another is judged Draw by Draw instead (`risky_groups`).
    """
    _check_contradictions(spec, entries)
    for entry in entries:
        base = nominal[entry.field.array][entry.flat]
        moved = any(nominal[move.array][move.flat].any() for move in entry.moves)
        if entry.operation == "scale" and not (base.any() or moved):
            raise DREnvError(
                f"{spec.where(entry.name, 'operation')}: {entry.field.name} is 0 in every match "
                f"({_some(entry.matches)}), so scale changes nothing; use add or set"
            )
        massless = [entry.matches[i] for i in entry.owner[base <= 0]] if entry.field.above_low else []
        _check_whole(spec, entry)
        if massless and entry.operation == "scale":
            raise DREnvError(
                f"{spec.where(entry.name, 'select')}: {entry.field.kind} '{massless[0]}' has no "
                f"{entry.field.name} to scale; leave it out"
            )
        if massless and entry.moves:
            raise DREnvError(
                f"{spec.where(entry.name, 'select')}: {entry.field.kind} '{massless[0]}' has no "
                f"{entry.field.name}, so nothing can move with it; write `coupled: false` or leave it out"
            )
        if _shares(entry, entries) or _open(entry):
            continue
        low, high = entry.distribution.support()
        ends = np.array([final(entry.operation, base, end) for end in (low, high)])
        for end in (ends.min(0), ends.max(0)):
            wrong = outside(entry.field, entry.component, base, end)
            if wrong.any():
                first = int(np.flatnonzero(wrong)[0])
                raise DREnvError(refusal(spec, entry, base[first], end[first], first))


def _check_contradictions(spec: Spec, entries: Sequence[BoundEntry]) -> None:
    """Refuses an entry that sets a number which an earlier one changes: only the later would count."""
    owner: dict[tuple[str, int], BoundEntry] = {}
    for entry in entries:
        for place, i in enumerate(entry.flat.tolist()):
            first = owner.setdefault((entry.field.array, i), entry)
            if first is not entry and entry.operation == "set":
                does = {"set": "sets", "add": "adds to", "scale": "scales"}[first.operation]
                mend = "leave one out, or scale or add" if does == "sets" else f"put '{entry.name}' before it"
                raise DREnvError(
                    f"{spec.where(entry.name, 'operation')}: sets {_element(entry, place)}, which entry "
                    f"'{first.name}' {does} already, to no effect; {mend}"
                )


def refusal(spec: Spec, entry: BoundEntry, base: float, reached: float, element: int) -> str:
    """Says that an entry can take an element to a value that is not legal."""
    low, high = entry.distribution.support()
    if math.isinf(low) or math.isinf(high):
        mend = f"; {entry.distribution.type_name} is unbounded, use truncated_normal with low and high"
    else:
        mend = ""
    return (
        f"{spec.where(entry.name, 'distribution')}: {_element(entry, element)} can reach {reached:.4g} "
        f"{entry.field.unit} (nominal {base:.4g}, {entry.operation} {low:.4g} .. {high:.4g}), "
        f"expected {expected(entry.field, int(entry.component[element]), base)}{mend}"
    )


def check_columns(entries: Sequence[BoundEntry], nominal: Arrays, arrays: Arrays) -> None:
    """Refuses Draws given from outside whose values leave a field's support."""
    for entry in entries:
        values = arrays[entry.field.array][:, entry.flat]
        base = nominal[entry.field.array][entry.flat]
        wrong = outside(entry.field, entry.component, base, values)
        if wrong.any():
            row, element = (int(i) for i in np.argwhere(wrong)[0])
            raise DREnvError(
                f"draw.{entry.name}: gives {_element(entry, element)} = {values[row, element]:.4g} "
                f"{entry.field.unit}, expected {expected(entry.field, int(entry.component[element]), base[element])}"
            )
        if entry.field.ordered and _crossed(arrays[entry.field.array], entry.flat).any():
            raise DREnvError(f"draw.{entry.name}: gives {_some(entry.matches)} a lower limit above the upper one")
        if entry.field.triangle and _unphysical(arrays[entry.field.array], entry.flat).any():
            raise DREnvError(
                f"draw.{entry.name}: gives {entry.field.kind} {_some(entry.matches)} principal moments of inertia "
                "of which one is above the sum of the others, which no body has"
            )


def risky_groups(entries: Sequence[BoundEntry], nominal: Arrays) -> tuple[Group, ...]:
    """The entries whose Draws must be judged one by one, in groups that share elements."""
    groups: list[tuple[set[tuple[str, int]], list[BoundEntry]]] = []
    for entry in entries:
        elements, members = _elements(entry), [entry]
        for group in [g for g in groups if g[0] & elements]:
            groups.remove(group)
            elements |= group[0]
            members = group[1] + members
        groups.append((elements, members))
    found = []
    for _, members in groups:
        checks = [
            Check(entry.field, entry.flat, entry.component, nominal[entry.field.array][entry.flat])
            for entry in members
            if _shares(entry, entries)
            or _open(entry)
            or entry.field.ordered
            or (entry.field.triangle and not _keeps_shape(entry))
        ]
        if checks:
            found.append(Group(tuple(entry.name for entry in members), tuple(checks)))
    return tuple(found)


def violations(arrays: Arrays, checks: Sequence[Check]) -> NDArray[np.bool_]:
    """Which of n rows leave a support, (n,)."""
    wrong = []
    for check in checks:
        array = arrays[check.field.array]
        wrong.append(outside(check.field, check.component, check.base, array[:, check.flat]).any(1))
        if check.field.triangle:
            wrong.append(_unphysical(array, check.flat))
        if check.field.ordered:
            wrong.append(_crossed(array, check.flat))
    return np.asarray(np.any(wrong, axis=0), bool)


def final(operation: str, base: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Field values from nominal ones."""
    if operation == "scale":
        return np.where(base == 0, 0.0, base * value) if math.isinf(value) else base * value
    return base + value if operation == "add" else np.full_like(base, value)


def outside(
    field: Field, component: Index, base: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which values (..., r) of elements with components and nominal values (r,) are not legal."""
    low, high = field.bounds(component)
    wrong = (values <= low if field.above_low else values < low) | (values > high)
    if field.keeps_sign:
        wrong |= values * np.sign(base) <= 0
    if field.allowed:
        wrong |= ~np.isin(values, field.allowed)
    if field.whole:
        wrong |= values != np.floor(values)
    # a normal distribution may be unbounded only where every number is legal
    return np.asarray(wrong | (np.isfinite(low) | np.isfinite(high) | field.keeps_sign) & ~np.isfinite(values))


def _check_whole(spec: Spec, entry: BoundEntry) -> None:
    """Whole-numbered fields take whole numbers, by `set` or `add`."""
    if not entry.field.whole:
        return
    for distribution in _leaves(entry.distribution):
        if isinstance(distribution, Expression):
            continue  # judged Draw by Draw
        numbers = distribution.to_dict().get("values", distribution.support())
        if not distribution.discrete or any(number != math.floor(number) for number in numbers):
            raise DREnvError(
                f"{spec.where(entry.name, 'distribution')}: {entry.field.name} is a whole number; use constant, "
                "integer or choice with whole numbers"
            )
        if entry.field.allowed and (entry.operation != "set" or not set(numbers) <= set(entry.field.allowed)):
            raise DREnvError(
                f"{spec.where(entry.name, 'distribution')}: {entry.field.name} is one of "
                f"{', '.join(map(str, entry.field.allowed))}; use set, with constant or choice of them"
            )


def _leaves(distribution: Distribution) -> list[Distribution]:
    """The distributions that a switch or a mixture is made of, or the distribution itself."""
    if isinstance(distribution, Switch):
        return [leaf for case in distribution.cases.values() for leaf in _leaves(case)]
    return list(distribution.components) if isinstance(distribution, Mixture) else [distribution]


def _open(entry: BoundEntry) -> bool:
    """Whether an expression leaves open what it gives, so that only its values can be judged."""
    return isinstance(entry.distribution, Expression) and (
        entry.field.whole or not all(map(math.isfinite, entry.distribution.support()))
    )


def _crossed(limits: NDArray[np.float64], flat: Index) -> NDArray[np.bool_]:
    """Rows in which a touched lower limit is above its upper one, (n,)."""
    pairs = limits.reshape(len(limits), -1, 2)[:, np.unique(flat // 2)]
    return np.asarray((pairs[..., 0] > pairs[..., 1]).any(-1))


def _unphysical(inertia: NDArray[np.float64], flat: Index) -> NDArray[np.bool_]:
    """Rows in which a principal moment of a touched body exceeds the sum of the others, (n,)."""
    moments = inertia.reshape(len(inertia), -1, 3)[:, np.unique(flat // 3)]
    largest = moments.max(-1)
    return np.asarray((largest > (moments.sum(-1) - largest) * (1 + 1e-9)).any(-1))


def _keeps_shape(entry: BoundEntry) -> bool:
    """Whether it multiplies the three moments of each body by one factor."""
    whole = len(entry.flat) == 3 * len(entry.matches)
    return entry.operation == "scale" and whole and entry.width < len(entry.flat)


def _elements(entry: BoundEntry) -> set[tuple[str, int]]:
    """Every element that an entry writes, by array and place."""
    written = {(entry.field.array, i) for i in entry.flat.tolist()}
    return written | {(move.array, i) for move in entry.moves for i in move.flat.tolist()}


def _shares(entry: BoundEntry, entries: Sequence[BoundEntry]) -> bool:
    """Whether another entry writes some of this one's own elements."""
    mine = {(entry.field.array, i) for i in entry.flat.tolist()}
    return any(mine & _elements(other) for other in entries if other is not entry)


def expected(field: Field, component: int, base: float) -> str:
    """The legal values of a component, in words."""
    if field.allowed:
        return f"one of {', '.join(map(str, field.allowed))}"
    low, high = (float(end) for end in field.bounds(component))
    parts = []
    if field.keeps_sign:
        parts.append("above 0, as the nominal value" if base > 0 else "below 0, as the nominal value")
    elif math.isfinite(low):
        parts.append(f"above {low:g}" if field.above_low else f"not below {low:g}")
    if math.isfinite(high) and not field.keeps_sign:
        parts.append(f"not above {high:g}")
    return " and ".join(parts) or "a finite number"


def _element(entry: BoundEntry, element: int) -> str:
    if entry.field.kind == "option":
        return entry.field.name
    return f"{entry.field.name} of {entry.field.kind} '{entry.matches[entry.owner[element]]}'"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")

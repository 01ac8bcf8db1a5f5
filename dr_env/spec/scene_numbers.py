"""The numbers of a scene grammar that a tuner may move: counts, sizes, distances, and where areas lie.

Their names are paths in the grammar, such as `areas.clutter.count`. Left out is what is wanted of a scene rather than
what it happens to look like: the labelled objects themselves, the arm, the camera (entries move it) and the framing;
and what is a plain number, which nobody asked to vary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from dr_env.distributions import Constant, Distribution, Integer, Uniform
from dr_env.distributions.base import widened
from dr_env.spec.scene import Area, SceneGrammar

Bounds = tuple[float, float]

_KEPT = ("objects", "arm", "camera", "framing")
_NARROWEST = 0.1  # of an area's side in the prior


def scene_distributions(grammar: SceneGrammar) -> dict[str, tuple[Distribution, Bounds]]:
    """The grammar's distributions by name, each with the widest range of values that a tuner may explore.

    An area's rectangle counts as two uniform distributions, `x` and `y`, of where objects are.
    """
    found = {}
    for path, distribution in _walk(grammar, ()):
        if path[0] not in _KEPT:
            found[".".join(path)] = distribution, _bounds(grammar, path, distribution)
    return found


def with_scene_distributions(grammar: SceneGrammar, changed: Mapping[str, Distribution]) -> SceneGrammar:
    """The grammar with other distributions, by the names of `scene_distributions`; what is not named stays."""
    form = grammar.model_dump(mode="json")
    paths = {".".join(path): (path, before) for path, before in _walk(grammar, ())}
    for name, distribution in changed.items():
        path, before = paths[name]
        *owners, last = path
        place: Any = form
        for owner in owners:
            place = place[owner]
        if owners[0] == "areas" and last in ("x", "y"):
            place |= _rectangle(place, last, distribution, _bounds(grammar, path, before))
        elif isinstance(place, list):
            place[int(last)] = distribution.to_dict()
        else:
            place[last] = distribution.to_dict()
    return SceneGrammar.model_validate(form)


def _walk(part: BaseModel, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Distribution]]:
    for key in type(part).model_fields:
        value = getattr(part, key)
        if isinstance(value, BaseModel):
            yield from _walk(value, (*path, key))
        elif isinstance(value, Mapping):
            for name, each in value.items():
                if isinstance(each, BaseModel):
                    yield from _walk(each, (*path, key, name))
        else:
            parts = value if isinstance(value, tuple) else (value,)
            for i, each in enumerate(parts):
                if isinstance(each, Distribution) and not isinstance(each, Constant):
                    yield (*path, key) if len(parts) == 1 else (*path, key, str(i)), each
    if isinstance(part, Area) and part.low is not None and part.high is not None:
        for axis, (low, high) in zip("xy", zip(part.low, part.high, strict=True), strict=True):
            yield (*path, axis), Uniform(low, high)


def _bounds(grammar: SceneGrammar, path: tuple[str, ...], distribution: Distribution) -> Bounds:
    low, high = distribution.support()
    least, most = widened(low, high)
    if path[-1] in "xy":
        axis = "xy".index(path[-1])
        half = grammar.table.size[axis].support()[0] / 2
        middle = grammar.table.center[axis]
        on_table = grammar.areas[path[1]].on == "table"
        ends = (middle - half, middle + half) if on_table else (least, most)
        return min(low, max(least, ends[0])), max(high, min(most, ends[1]))
    if path[-1] == "count":
        most = max(high, min(most, _available(grammar, path)))
    least = max(least, 0.0)
    return (math.floor(least), math.ceil(most)) if isinstance(distribution, Integer) else (least, most)


def _available(grammar: SceneGrammar, path: tuple[str, ...]) -> float:
    """How many objects a count could reach."""
    distractors = grammar.distractors
    if path[:2] == ("distractors", "flying") and distractors.flying is not None:
        return distractors.flying.pool
    if path[:2] == ("distractors", "contextual") and distractors.contextual is not None:
        return distractors.contextual.copies
    return grammar.copies(path[1])


def _rectangle(area: Mapping[str, Any], axis: str, distribution: Distribution, bounds: Bounds) -> dict[str, Any]:
    """An area's `low` and `high` with another range along an axis, not narrower than a tenth of what it was."""
    which = "xy".index(axis)
    low, high = distribution.support()
    least = _NARROWEST * (area["high"][which] - area["low"][which])
    if high - low < least:
        low = min(max(0.5 * (low + high - least), bounds[0]), bounds[1] - least)
        high = low + least
    ends = {"low": list(area["low"]), "high": list(area["high"])}
    ends["low"][which], ends["high"][which] = low, high
    return {key: tuple(value) for key, value in ends.items()}

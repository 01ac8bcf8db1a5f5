"""A frame's scene in symbols: which objects, where, and how they relate; drawn from the grammar, keyed."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from dr_env.distributions import Distribution
from dr_env.rng import generator
from dr_env.scene.objects import draw
from dr_env.scene.pool import Pool
from dr_env.spec.scene import Area, Relation, SceneGrammar


@dataclasses.dataclass(frozen=True)
class Wish:
    """One object that a scene should have.

    Args:
        slot: its number in the pool.
        area: the area's name.
        mode: placed at rest, or dropped.
        upright: whether it stands as it was made.
        relation: on, beside or aligned with an earlier object of the area, or None.
        gap: m that it keeps from others.
        height: m above others from which it is dropped.
    """

    slot: int
    area: str
    mode: Literal["place", "drop"]
    upright: bool
    relation: Relation | None
    gap: float
    height: float


def derive(grammar: SceneGrammar, pool: Pool, *key: object) -> list[Wish]:
    """The objects of a scene, in the order in which they are placed; a function of the grammar, pool and key."""
    free: dict[str, list[int]] = {}
    for i, slot in enumerate(pool.slots):
        if not slot.flying:
            free.setdefault(slot.model.name, []).append(i)
    contextual = grammar.distractors.contextual
    wishes: list[Wish] = []
    for name, area in grammar.areas.items():
        weights = area.classes if area.classes is not None else dict.fromkeys(grammar.objects, 1.0)
        wishes += _fill(name, area, area.count, weights, free, len(wishes), *key, name)
        if contextual is not None and name == (contextual.area or next(iter(grammar.areas))):
            even = dict.fromkeys(contextual.classes, 1.0)
            wishes += _fill(name, area, contextual.count, even, free, len(wishes), *key, "contextual")
    return wishes


def _fill(
    name: str,
    area: Area,
    count: Distribution,
    weights: dict[str, float],
    free: dict[str, list[int]],
    before: int,
    *key: object,
) -> list[Wish]:
    wishes: list[Wish] = []
    total = round(draw(count, generator("count", *key)))
    for i in range(total):
        rng = generator("wish", *key, i)
        left = {known: weight for known, weight in weights.items() if free.get(known) and weight > 0}
        if not left:
            break
        odds = np.array(list(left.values()))
        chosen = list(left)[int(rng.choice(len(odds), p=odds / odds.sum()))]
        slot = free[chosen].pop(0)
        relation = _relation(area, rng) if before or wishes else None
        wishes.append(Wish(slot, name, area.mode, area.pose == "upright", relation, area.gap, draw(area.height, rng)))
    return wishes


def _relation(area: Area, rng: np.random.Generator) -> Relation | None:
    u = rng.random()
    for relation, probability in area.relations.items():
        u -= probability
        if u < 0:
            return relation
    return None


def flying(grammar: SceneGrammar, pool: Pool, *key: object) -> list[int]:
    """Which flying distractors a scene has."""
    given = grammar.distractors.flying
    if given is None:
        return []
    rng = generator("flying", *key)
    slots = [i for i, slot in enumerate(pool.slots) if slot.flying]
    count = min(round(draw(given.count, rng)), len(slots))
    return sorted(rng.permutation(slots)[:count].tolist())

"""Placing objects: poses in which they rest, apart from each other, on, beside or aligned with one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dr_env.rng import generator
from dr_env.scene.grammar import Wish
from dr_env.scene.objects import ObjectModel
from dr_env.scene.pool import Pool, Rectangle
from dr_env.scene.rests import Rest, within

Array = NDArray[np.float64]

_TRIES = 40
_ALONG = 0.06  # m by which an aligned object may be farther away than it need be
_HOLD = 0.003  # m by which a centre of mass is within the faces that carry it


@dataclasses.dataclass(frozen=True, eq=False)
class Placed:
    """An object and where it is.

    Args:
        wish: what was asked for.
        rest: how it lies.
        position: (3,) m, where its origin is.
        yaw: how far it was turned about z, rad.
        mass: kg.
        below: what it stands on, or None for its area.
    """

    wish: Wish
    rest: Rest
    position: Array
    yaw: float
    mass: float
    below: Placed | None

    @property
    def outline(self) -> Array:
        """Its outline from above, (k, 2) m."""
        return np.asarray(self.rest.outline + self.position[:2])

    @property
    def bottom(self) -> float:
        """Its lowest z, m."""
        return float(self.position[2] + self.rest.low)

    @property
    def top(self) -> float:
        """Its highest z, m."""
        return float(self.position[2] + self.rest.high)

    @property
    def pose(self) -> Array:
        """Position and quaternion (w, x, y, z), (7,)."""
        return np.concatenate((self.position, Rotation.from_matrix(self.rest.rotation).as_quat(scalar_first=True)))


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """Objects that found a place, and what did not.

    Args:
        placed: in the order of the wishes.
        left_out: for each object without a place, why.
    """

    placed: tuple[Placed, ...]
    left_out: tuple[str, ...]

    @property
    def dropped(self) -> bool:
        """Whether physics must decide where things come to rest."""
        return any(each.wish.mode == "drop" for each in self.placed)


def arrange(wishes: Sequence[Wish], pool: Pool, *key: object) -> Arrangement:
    """Gives each wish a place, by rejection; a function of its arguments.

    Outlines of objects at the same height keep the area's gap and stay within the area. An object that stands on
    another has its centre of mass over both of the faces that touch, and theirs together is over the lower one's base,
    so both stay there; on the two nothing else is put. What finds no place in some tens of tries is left out.
    """
    placed: list[Placed] = []
    left_out: list[str] = []
    for wish in wishes:
        slot = pool.slots[wish.slot]
        rng = generator("place", *key, slot.name)
        area = pool.areas[wish.area]
        found = _place(wish, slot.model, area, placed, rng)
        if found is not None:
            placed.append(found)
        else:
            size = (area.bounds[1] - area.bounds[0]).round(3).tolist()
            what = f"{slot.model.name}, {slot.model.mesh.diameter:.3g} m across"
            left_out.append(f"no place for {what}, in area '{wish.area}' of {size} m")
    return Arrangement(tuple(placed), tuple(left_out))


def _place(
    wish: Wish, model: ObjectModel, area: Rectangle, placed: list[Placed], rng: np.random.Generator
) -> Placed | None:
    partners = [other for other in placed if other.wish.area == wish.area and not other.below]  # stacks are of two
    if wish.relation == "on":
        carrying = {other.below for other in placed}
        partners = [other for other in partners if other.rest.top is not None and other not in carrying]
    rests, mass = model.standing if wish.upright else model.rests, model.mass_properties[0]
    # every reach of another's corners, so that most pairs are told apart by a distance alone
    middles = np.array([other.position[:2] for other in placed]).reshape(-1, 2)
    reaches = np.array([_reach(other.rest) for other in placed])
    for _ in range(_TRIES):
        partner = partners[int(rng.integers(len(partners)))] if partners and wish.relation else None
        if wish.mode == "drop":
            yaw, rest = 0.0, model.lying(np.asarray(Rotation.random(rng=rng).as_matrix()))
        else:
            yaw = partner.yaw if partner and wish.relation == "aligned" else rng.uniform(0, 2 * np.pi)
            rest = rests.draw(rng).turned(yaw)
        room = area.bounds - np.stack((rest.outline.min(axis=0), rest.outline.max(axis=0)))  # (2, 2) for its origin
        if (room[0] > room[1]).any():
            continue
        found = _position(wish, partner, (rest, mass), room, area, rng)
        if found is None or (found[0] < room[0]).any() or (found[0] > room[1]).any():
            continue
        at, floor = found
        moved = rest.outline + at
        near = np.flatnonzero(np.linalg.norm(middles - at, axis=1) < reaches + _reach(rest) + wish.gap)
        if wish.mode == "drop":
            tops = [placed[i].top for i in near if not _apart(placed[i].outline, moved, 0.0)]
            floor = max([floor, *tops]) + wish.height
        bottom, top = floor, floor + rest.high - rest.low
        if all(
            placed[i].top <= bottom + 1e-9 or placed[i].bottom >= top or _apart(placed[i].outline, moved, wish.gap)
            for i in near
        ):
            below = partner if wish.relation == "on" else None
            return Placed(wish, rest, np.array([*at, floor - rest.low]), yaw, mass, below)
    return None


def _position(
    wish: Wish,
    partner: Placed | None,
    own_rest: tuple[Rest, float],
    room: Array,
    area: Rectangle,
    rng: np.random.Generator,
) -> tuple[Array, float] | None:
    """Where an object's origin goes, (2,) m, and the height of what it stands on, m; None where it cannot stand."""
    rest, mass = own_rest
    if partner is None:
        return rng.uniform(room[0], room[1]), area.z
    if wish.relation == "on":
        face, carrier = partner.rest.top, partner.rest.base
        if face is None or carrier is None or rest.base is None or not within(rest.centre, rest.base, _HOLD):
            return None
        centre = rng.dirichlet(np.ones(len(face))) @ face  # of mass, somewhere over the face, seen from the partner
        both = (mass * centre + partner.mass * partner.rest.centre) / (mass + partner.mass)
        if not (within(centre, face, _HOLD) and within(both, carrier, _HOLD)):
            return None
        return partner.position[:2] + centre - rest.centre, partner.top
    if wish.relation == "aligned":
        angle = partner.yaw + 0.5 * np.pi * int(rng.integers(4))
        beyond = rng.uniform(0, _ALONG)
    else:
        angle, beyond = rng.uniform(0, 2 * np.pi), 0.0
    way = np.array([np.cos(angle), np.sin(angle)])
    theirs, own = (each.outline.mean(axis=0) for each in (partner.rest, rest))
    reach = ((partner.rest.outline - theirs) @ way).max() - ((rest.outline - own) @ way).min()
    return partner.position[:2] + theirs - own + (reach + wish.gap + 1e-6 + beyond) * way, partner.bottom


def _reach(rest: Rest) -> float:
    return float(np.sqrt(np.square(rest.outline).sum(axis=1).max()))


def _apart(a: Array, b: Array, gap: float) -> bool:
    """Whether two convex outlines keep a gap along some edge's normal, so that nothing is between."""
    for first, second in ((a, b), (b, a)):
        edges = np.roll(first, -1, axis=0) - first
        normals = np.column_stack((edges[:, 1], -edges[:, 0]))
        normals /= np.maximum(np.sqrt(np.square(normals).sum(axis=1, keepdims=True)), 1e-12)
        border = (normals * first).sum(axis=1)
        if ((second @ normals.T).min(axis=0) - border >= gap).any():
            return True
    return False

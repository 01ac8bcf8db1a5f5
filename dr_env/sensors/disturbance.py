"""What pushes a robot that nobody asked for."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dr_env.binding import held_row
from dr_env.rng import Sequences, uniforms
from dr_env.sensors.blocks import Array, Ids, Keys

EFFECTS = ("force", "duration", "impulse", "rate", "interval")

_BLOCK = 4  # pushes drawn at once
_PARTS = np.arange(3, dtype=np.uint64)
_ROUNDING = 1e-9  # of a control step: a push due at a step's end starts in the next one


class Disturbance:
    """Pushes on bodies, at regular times or at random ones.

    A push starts every `interval` seconds, the first one interval into the episode, or at the times of a
    Poisson process of `rate` a second. It acts on the body's centre of mass in one random direction of
    the world's frame: a `force` for `duration` seconds, and an `impulse` besides. A push that starts ends
    the one before it.

    MuJoCo holds a force over a whole control step, so each step gets its mean: starts and ends are
    real-valued and the momentum given is exact, spread over the control steps that a push touches; an
    impulse is spread over the one in which it starts.

    Directions are u * `axes` (elementwise) brought to unit length, where u is uniform on the sphere: axes
    1 1 0 are uniform in the horizontal plane, 1 1 1 in space, 1 0 0 is forward or backward.

    Args:
        dt: seconds between two actions.
        forces: (num_envs, bodies, 6) live forces and torques on centres of mass, MuJoCo's `xfrc_applied`.
        changing: whether the numbers may change within an episode.
    """

    def __init__(self, dt: float, forces: Array, changing: bool = False) -> None:
        self._dt, self._forces, self._changing = dt, forces, changing
        num_envs, self._bodies = forces.shape[:2]
        shape = num_envs, self._bodies
        self.arrays: dict[str, Array] = {f"push.{name}": np.zeros(shape) for name in EFFECTS}
        """The numbers of each effect, (num_envs, bodies), and of axes (.., 3), by the name that a Plan writes."""
        self.arrays["push.axes"] = np.tile(held_row("push.axes"), (*shape, 1))
        # below, a row is a body of an environment: number environment * bodies + body
        self._numbers = {name.removeprefix("push."): array.view() for name, array in self.arrays.items()}
        for name, array in self._numbers.items():
            array.shape = (-1, 3) if name == "axes" else (-1,)
        rows = num_envs * self._bodies
        self._steps = np.zeros(num_envs, np.intp)
        self._sequences = Sequences("push", num_envs)
        self._coming = np.zeros((rows, 0, 4))  # numbers of the coming pushes, made when first used
        self._used = np.zeros(rows, np.intp)  # pushes of the episode so far
        self._next = np.full(rows, math.inf)  # when the next one starts, s
        self._end = np.full(rows, -math.inf)  # when the present one ends, s
        self._direction = np.zeros((rows, 3))
        self._pushed: Ids = np.zeros(0, np.intp)  # bodies

    def _rows(self, ids: Ids) -> Ids:
        """The rows of the pushed bodies of environments, (len(ids) * pushed,)."""
        return np.asarray((ids[:, None] * self._bodies + self._pushed).reshape(-1))

    def begin(self, ids: Ids, seeds: Keys, environments: Keys, episodes: Keys) -> None:
        """Starts new episodes in the environments `ids`, after their numbers are written."""
        if not (self._changing or len(self._pushed) or self._timed().any()):
            return
        self._forces[ids[:, None], self._pushed, :3] = 0
        self._steps[ids] = 0
        self._sequences.begin(ids, seeds, environments, episodes)
        rows = (ids[:, None] * self._bodies + np.arange(self._bodies)).reshape(-1)
        self._used[rows], self._next[rows], self._end[rows] = 0, math.inf, -math.inf
        self.refresh()

    def refresh(self) -> None:
        """Takes up numbers that have changed within an episode; a push that is due already comes as it was due."""
        timed, before = self._timed(), self._pushed
        self._pushed = np.flatnonzero(timed.reshape(-1, self._bodies).any(0))
        self._forces[:, np.setdiff1d(before, self._pushed), :3] = 0
        self._next[~timed] = math.inf
        fresh = np.flatnonzero(timed & np.isinf(self._next))
        if len(fresh):
            self._draw(fresh, self._steps[fresh // self._bodies] * self._dt)

    def _timed(self) -> NDArray[np.bool_]:
        return np.asarray((self._numbers["rate"] > 0) | (self._numbers["interval"] > 0))  # (rows,)

    def _draw(self, rows: Ids, since: Array) -> Array:
        """Directions of pushes that start now, (len(rows), 3); draws when the next ones do, counted from `since`."""
        self._fill(rows[self._used[rows] % _BLOCK == 0])
        numbers = self._coming[rows, self._used[rows] % _BLOCK]
        self._used[rows] += 1
        rate, interval = self._numbers["rate"][rows], self._numbers["interval"][rows]
        self._next[rows] = since + np.where(interval > 0, interval, numbers[:, 0] / np.where(rate > 0, rate, 1.0))
        weighted = numbers[:, 1:] * self._numbers["axes"][rows]
        length = np.sqrt((weighted**2).sum(-1, keepdims=True))
        return np.asarray(weighted / np.where(length > 0, length, 1.0))

    def _fill(self, rows: Ids) -> None:
        """Draws the coming pushes of rows: standard exponentials, and directions that are uniform on the sphere."""
        if not len(rows):
            return
        if not self._coming.size:
            self._coming = np.zeros((len(self._next), _BLOCK, 4))
        # the words of push k of an environment's body b are 3 (k bodies + b) and the two after it
        push = self._used[rows, None] + np.arange(_BLOCK)
        places = (3 * (push * self._bodies + rows[:, None] % self._bodies)).astype(np.uint64)
        uniform = (uniforms(self._sequences.words(rows // self._bodies, places + part)) for part in _PARTS)
        gap, height, turn = uniform  # (rows, _BLOCK)
        z, angle = 2 * height - 1, 2 * math.pi * turn
        r = np.sqrt(1 - z**2)
        self._coming[rows] = np.stack((-np.log1p(-gap), r * np.cos(angle), r * np.sin(angle), z), -1)

    def step(self, ids: Ids) -> None:
        """Writes the forces of the coming control step of the environments `ids`."""
        if not len(self._pushed):
            return
        width = len(self._pushed)
        rows, since = self._rows(ids), np.repeat(self._steps[ids] * self._dt, width)
        later = since + self._dt
        momentum = np.zeros((len(rows), 3))
        place = np.arange(len(rows))  # of each row in momentum
        while len(rows):
            upcoming = self._next[rows]
            acting = np.minimum(np.minimum(upcoming, later), self._end[rows]) - since  # s
            on = np.flatnonzero(acting > 0)
            given = self._numbers["force"][rows[on]] * acting[on]
            momentum[place[on]] += given[:, None] * self._direction[rows[on]]
            due = np.flatnonzero(upcoming < later - _ROUNDING * self._dt)
            rows, place, later = rows[due], place[due], later[due]
            since = np.maximum(upcoming[due], since[due])
            if len(rows):
                self._end[rows] = upcoming[due] + self._numbers["duration"][rows]
                self._direction[rows] = self._draw(rows, upcoming[due])
                momentum[place] += self._numbers["impulse"][rows, None] * self._direction[rows]
        self._forces[ids[:, None], self._pushed, :3] = (momentum / self._dt).reshape(len(ids), width, 3)
        self._steps[ids] += 1

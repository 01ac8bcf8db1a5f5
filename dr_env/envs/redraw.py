"""Entries that are drawn again within an episode: every step, or at intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dr_env.binding import Plan
from dr_env.envs.keys import EpisodeKeys
from dr_env.errors import DREnvError
from dr_env.records import Columns
from dr_env.rng import Stream

Ids = NDArray[np.intp]


class Redraws:
    """Which names are due in which environments.

    An interval is rounded up to whole control steps; where it is a range, each gap is drawn anew. The
    draw belongs to the step that follows it.

    Args:
        plan: what varies.
        dt: seconds between two actions.
        num_envs: how many environments.

    Raises:
        DREnvError: an interval shorter than a control step.
    """

    def __init__(self, plan: Plan, dt: float, num_envs: int) -> None:
        groups: dict[tuple[float, float, str], set[str]] = {}
        for name, drawn in plan.spec.drawn.items():
            if drawn.trigger == "interval":
                low, high = drawn.every if isinstance(drawn.every, tuple) else (drawn.every or 0.0,) * 2
                if low < dt * (1 - 1e-9):
                    where = plan.spec.where(name, "every")
                    raise DREnvError(f"{where}: got {low:g} s, expected at least the control step of {dt:g} s")
                # gaps that are drawn must not depend on what else is drawn so; those who share a draw share them
                apart = (getattr(drawn, "share", None) or name) if high > low else ""
                groups.setdefault((low, high, apart), set()).add(name)
            elif drawn.trigger == "step":
                groups.setdefault((dt, dt, ""), set()).add(name)
        self._groups = [frozenset(names) for names in groups.values()]
        self._plans = {0: plan}  # those that episodes under way were begun with, and the newest
        self._plan_of = np.zeros(num_envs, np.int64)
        ends = np.array([each[:2] for each in groups], np.float64).reshape(-1, 2)
        self._low, self._high = np.ceil(ends / dt - 1e-9).astype(np.int64).T  # (groups,) control steps
        self._stream = Stream("interval", tuple("+".join(sorted(group)) for group in self._groups), (1,) * len(ends))
        names = plan.sampler.dependents(name for group in self._groups for name in group)
        self._arrays = {array for entry in plan.entries if entry.name in names for array in entry.arrays}
        self._due = np.zeros((num_envs, len(ends)), np.int64)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def touches(self, prefix: str) -> bool:
        """Whether arrays whose name begins so change within episodes."""
        return any(array.startswith(prefix) for array in self._arrays)

    def begin(self, ids: Ids, keys: EpisodeKeys) -> None:
        """Starts episodes in the environments `ids`, before their number is counted on."""
        self._plan_of[ids] = max(self._plans)
        if self:
            self._due[ids] = self._gaps(ids, keys, keys.episodes[ids], np.zeros(len(ids), np.int64))

    def change(self, plan: Plan) -> None:
        """Draws by another Plan, with other numbers alone, in the episodes that are begun from now on."""
        number = max(self._plans) + 1
        self._plans = {each: old for each, old in self._plans.items() if (self._plan_of == each).any()}
        self._plans[number] = plan

    def _gaps(
        self, ids: Ids, keys: EpisodeKeys, episodes: NDArray[np.uint64], steps: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        spread = self._high - self._low + 1
        if (spread == 1).all():
            return np.broadcast_to(self._low, (len(ids), len(self._low)))
        uniform = self._stream.uniform(keys.seeds[ids], keys.environments[ids], episodes, 0, steps)
        return np.asarray(self._low + np.floor(uniform * spread), np.int64)

    def apply(self, ids: Ids, elapsed: NDArray[np.int64], keys: EpisodeKeys, columns: Columns) -> Ids:
        """Draws again what is due in the environments `ids`, into the columns of all environments.

        Args:
            ids: environments about to step.
            elapsed: (num_envs,) steps that their episodes have had.
            keys: the episodes' keys, already counted on to the next.
            columns: the Draws of all environments.

        Returns:
            The environments whose Draws have changed.
        """
        changed: list[Ids] = []
        for place, names in enumerate(self._groups):
            all_due = ids[self._due[ids, place] == elapsed[ids]]
            for number, plan in self._plans.items():
                due = all_due if len(self._plans) == 1 else all_due[self._plan_of[all_due] == number]
                if not len(due):
                    continue
                episodes, steps = keys.episodes[due] - np.uint64(1), elapsed[due]
                rows = {name: column[due] for name, column in columns.items()}
                fresh = plan.redraw_columns(rows, names, keys.seeds[due], keys.environments[due], episodes, steps)
                for name, column in fresh.items():
                    columns[name][due] = column
                self._due[due, place] += self._gaps(due, keys, episodes, steps)[:, place]
                changed.append(due)
        return np.unique(np.concatenate(changed)) if changed else ids[:0]

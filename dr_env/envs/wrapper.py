"""Domain randomization around any other Gymnasium environment that holds a MuJoCo model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from dr_env.binding import Plan
from dr_env.envs.hosts import host_of
from dr_env.envs.keys import EpisodeKeys
from dr_env.envs.options import given_draws
from dr_env.envs.randomization import Randomization, as_spec
from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Columns, Draw
from dr_env.rng import digest

Mode = Literal["train", "evaluate", "nominal"]
_MODES = ("train", "evaluate", "nominal")
_ONE = np.zeros(1, np.intp)


class DomainRandomization(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Writes a fresh Draw into the environment's own model at the start of each episode.

    Works on whatever has a `model` and `data` (Gymnasium's MuJoCo environments and the user's own) or a
    `physics` that has them (Shimmy's dm_control), and on `dr_env.Env`. The edit happens before the
    environment resets itself, so its first observation is that of the new world; values are always
    computed from the nominal ones, and the whole simulation state is cleared. Numbers of an observation
    are named as in `dr_env.envs.layout.Layout`.

    `mode` is "train" (Draws keyed by the seed of `reset`), "evaluate" (the same sequence of Draws
    every time the mode is set, whatever the seed) or "nominal" (the model as it was); it can be
    changed between episodes. `reset(options={"draw": draw})` plays a Draw again. A simulation that
    diverges ends its episode with `info["dr_failure"]`.

    Args:
        env: the environment.
        randomization: what varies: a Spec, a YAML file or its plain data.
        mode: "train", "evaluate" or "nominal".
    """

    def __init__(self, env: gym.Env[Any, Any], randomization: Randomization, mode: Mode = "train") -> None:
        if randomization is None:
            raise DREnvError("randomization: got None, expected a Spec, a YAML file or its plain data")
        if randomization == "default":
            raise DREnvError(f"randomization: got 'default', of which {env} says nothing; expected a Spec or a file")
        self.randomization = as_spec(randomization)
        # plain data, so that the recorded constructor can be written as JSON and made in another process
        RecordConstructorArgs.__init__(self, randomization=self.randomization.to_dict(), mode=mode)
        gym.Wrapper.__init__(self, env)
        _refuse_nesting(env)
        self._host = host_of(env, self.randomization)
        self.draw = Draw({}, self.plan.binding)
        """The Draw that holds now; empty in nominal mode."""
        self._columns: Columns | None = None
        self._training = EpisodeKeys(1)  # goes on after an evaluation where it was
        self._elapsed = np.zeros(1, np.int64)
        self._last: Any = None
        self.mode = mode

    @property
    def plan(self) -> Plan:
        """The Spec bound to the environment's model."""
        return self._host.plan

    @property
    def mode(self) -> Mode:
        """Train, evaluate or nominal; a change takes effect at the next reset."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode not in _MODES:
            raise DREnvError(f"mode: {unknown_name('mode', mode, _MODES)}")
        self._mode = mode
        if mode == "train":
            self._coming = self._training
        else:
            self._coming = EpisodeKeys(1)
            self._coming.seed(digest("evaluate"))

    def set_mode(self, mode: Mode) -> None:
        """Sets `mode`, by a method that is found through the wrappers outside: SB3's `env_method("set_mode", mode)`."""
        self.mode = mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Randomizes the model, then resets the environment in full; `info["dr"]` holds the Draw."""
        options = dict(options or {})
        self._keys = self._coming  # those of an episode under way stay
        self._take(self._drawn(seed, options.pop("draw", None)))
        self._host.redraws.begin(_ONE, self._keys)
        self._host.begin(self._columns, self._keys)
        self._keys.episodes += np.uint64(1)
        self._elapsed[:] = 0
        observation, info = self.env.reset(seed=seed, options=options or None)
        self._host.check()
        self._last = self._host.read(observation)
        return self._last, {**info, "dr": self.draw}

    def _take(self, columns: Columns | None) -> None:
        self._columns = columns
        values = {} if columns is None else {name: column[0] for name, column in columns.items()}
        self.draw = Draw(values, self.plan.binding)

    def _drawn(self, seed: int | None, given: Mapping[str, Any] | None) -> Columns | None:
        """The next episode's Draw as columns of one row, or None for the nominal model."""
        if self.mode == "train":
            # the environment's own generator stays untouched: randomization changes none of its numbers
            self._keys.seed(seed)
        if given is not None:
            return self.plan.columns_from(given_draws(given, _ONE, 1))
        if self.mode == "nominal":
            return None
        return self.plan.sample_columns(self._keys.seeds, self._keys.environments, self._keys.episodes)[0]

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Steps the environment, through the Spec's sensors and action channel; `info["dr"]` holds a new Draw."""
        redrawn = {"dr": self.draw} if self._redraw() else {}
        observation, reward, terminated, truncated, info = self.env.step(self._host.send(action))
        info = {**info, **redrawn}
        if self._host.diverged():  # MuJoCo has started anew, so this observation is of no use
            return self._last, 0.0, True, truncated, {**info, "dr_failure": True}
        self._host.measure()
        self._last = self._host.read(observation)
        return self._last, reward, terminated, truncated, info

    def set_randomization(self, randomization: Randomization) -> None:
        """Changes what varies from the next episode on: a Spec that differs in numbers of its distributions alone.

        Buffers of delays are those of the Spec that the wrapper was made with: make it with the widest.

        Raises:
            DREnvError: what differs, or what the model cannot take.
        """
        self._host.change(as_spec(randomization))
        self.randomization = self.plan.spec

    def _redraw(self) -> bool:
        """Draws again what is due within the episode; whether anything was."""
        if not self._host.redraws or self._columns is None:
            return False
        columns = {name: column.copy() for name, column in self._columns.items()}
        changed = self._host.redraws.apply(_ONE, self._elapsed, self._keys, columns)
        self._elapsed += 1
        if len(changed):
            self._take(columns)
            self._host.rewrite(columns)
        return len(changed) > 0

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuses copies: a Draw is written into the model, which a copy would take for nominal."""
        raise DREnvError("env: a DomainRandomization cannot be copied or pickled; make another one around a new env")

    def restore(self) -> None:
        """Gives the model its nominal values back, bit for bit; the next `reset` randomizes it again."""
        self._take(None)
        self._host.restore()

    def close(self) -> None:
        """Gives the model its nominal values back and closes the environment."""
        self.restore()
        super().close()


def _refuse_nesting(env: gym.Env[Any, Any]) -> None:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, DomainRandomization):
            raise DREnvError("env: is randomized by a DomainRandomization already; put all entries into one Spec")
        env = env.env

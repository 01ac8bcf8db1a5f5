"""Domain randomization for any other Gymnasium environment that holds a MuJoCo model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, SupportsFloat

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from dr_env.envs.keys import EpisodeKeys
from dr_env.envs.redraw import Redraws
from dr_env.envs.registration import Randomization
from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Columns, Draw
from dr_env.rng import digest
from dr_env.sensors import Effects
from dr_env.spec import Spec

Mode = Literal["train", "evaluate", "nominal"]
_MODES = ("train", "evaluate", "nominal")
_ONE = np.zeros(1, np.intp)
Array = NDArray[np.float64]


class DomainRandomization(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Writes a fresh Draw into the environment's own `MjModel` at the start of each episode.

    Works on whatever has a `model` (Gymnasium's MuJoCo environments and the user's own) or a
    `physics` (Shimmy's dm_control). The edit happens before the environment resets itself, so its
    first observation is that of the new world; values are always computed from the nominal ones.

    `mode` is "train" (Draws keyed by the seed of `reset`), "evaluate" (the same sequence of Draws
    every time the mode is set, whatever the seed) or "nominal" (the model as it was); it can be
    changed between episodes. `reset(options={"draw": draw})` plays a Draw again.

    Args:
        env: the environment.
        randomization: what varies: a Spec, a YAML file or its plain data.
        mode: "train", "evaluate" or "nominal".
    """

    def __init__(self, env: gym.Env[Any, Any], randomization: Randomization, mode: Mode = "train") -> None:
        RecordConstructorArgs.__init__(self, randomization=randomization, mode=mode)
        gym.Wrapper.__init__(self, env)
        self.randomization = _read(randomization)
        self._model, data = _simulation_of(env)
        self._names = _observation_names(env)
        self.plan = self.randomization.bind(self._model, self._names)
        dt = _dt(env, self._model)
        self._redraws = Redraws(self.plan, dt, 1)
        self._effects = Effects(
            self.plan,
            self._model,
            1,
            len(self._names),
            dt,
            lambda name: np.asarray(getattr(data, name))[None],
            lambda name: np.asarray(getattr(self._model, name))[None],
            senses=False,
            touches=self._redraws.touches,
        )
        self.draw = Draw({}, self.plan.binding)
        """The Draw that holds now; empty in nominal mode."""
        self._columns: Columns = {}
        self._keys = EpisodeKeys(1)
        self._elapsed = np.zeros(1, np.int64)
        self.mode = mode

    @property
    def mode(self) -> Mode:
        """Train, evaluate or nominal; a change takes effect at the next reset."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode not in _MODES:
            raise DREnvError(f"mode: {unknown_name('mode', mode, _MODES)}")
        self._mode = mode
        self._keys.episodes[:] = 0
        if mode == "evaluate":
            self._keys.seeds[:] = digest("evaluate")
        self._keys.seeded = mode != "train"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Randomizes the model, then resets the environment in full; `info["dr"]` holds the Draw."""
        options = dict(options or {})
        given = options.pop("draw", None)
        if self.mode == "train":
            self._keys.seed(seed, self.env.unwrapped.np_random)
        self._randomize(given)
        self._redraws.begin(_ONE, self._keys)
        self._effects.begin(_ONE, self._keys.seeds, self._keys.environments, self._keys.episodes)
        self._keys.episodes += np.uint64(1)
        self._elapsed[:] = 0
        observation, info = self.env.reset(seed=seed, options=options or None)
        return self._read(observation), {**info, "dr": self.draw}

    def _randomize(self, given: Mapping[str, Any] | None) -> None:
        if given is not None:
            columns = self.plan.columns_from([given])
        elif self.mode == "nominal":
            self.plan.restore(self._model)
            self._hold(self.plan.nominal)
            self.draw, self._columns = Draw({}, self.plan.binding), {}
            return
        else:
            keys = self._keys
            columns, _ = self.plan.sample_columns(keys.seeds, keys.environments, keys.episodes)
        self._write(columns)

    def _write(self, columns: Columns) -> None:
        self._columns = columns
        self.draw = Draw({name: column[0] for name, column in columns.items()}, self.plan.binding)
        self.plan.apply(self._model, self.draw)
        self._hold(self.plan.realise(columns))

    def _redraw(self) -> bool:
        """Draws again what is due within the episode; whether anything was."""
        if not (self._redraws and self._columns):
            return False
        columns = {name: column.copy() for name, column in self._columns.items()}
        changed = self._redraws.apply(self.plan, _ONE, self._elapsed, self._keys, columns)
        self._elapsed += 1
        if len(changed):
            self._write(columns)
            self._effects.refresh()
        return len(changed) > 0

    def _hold(self, values: Mapping[str, Array]) -> None:
        for name, array in self._effects.arrays.items():
            if name in values:
                array[:] = values[name].reshape(array.shape)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Steps the environment, through the Spec's sensors and action channel; `info["dr"]` holds a new Draw."""
        redrawn = self._redraw()
        sent = np.asarray(action)[None]
        arrived = self._effects.act(sent, _ONE)
        if arrived is not sent:
            action = arrived[0].astype(np.float32)
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._read(observation), reward, terminated, truncated, {**info, "dr": self.draw} if redrawn else info

    def _read(self, observation: Any) -> Any:
        if not self._effects.reads:
            return observation
        return self._effects.read(np.array(observation, np.float64)[None], _ONE)[0].astype(observation.dtype)

    def close(self) -> None:
        """Gives the model its nominal values back and closes the environment."""
        self.plan.restore(self._model)
        self._effects.close()
        super().close()


def _read(randomization: Randomization) -> Spec:
    if isinstance(randomization, Spec):
        return randomization
    if isinstance(randomization, Mapping):
        return Spec.from_dict(randomization)
    if isinstance(randomization, str | Path):
        return Spec.load(randomization)
    raise DREnvError(f"randomization: got {randomization!r}, expected a Spec, a YAML file or its plain data")


def _simulation_of(env: gym.Env[Any, Any]) -> tuple[mujoco.MjModel, mujoco.MjData]:
    base = env.unwrapped
    for holder in (base, getattr(base, "physics", None)):
        # dm_control wraps both
        model, data = (getattr(found := getattr(holder, name, None), "ptr", found) for name in ("model", "data"))
        if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
            return model, data
    raise DREnvError(
        f"env: {base} holds no MjModel and MjData in `model` and `data`, or in its `physics`, so there is nothing to "
        "randomize"
    )


def _dt(env: gym.Env[Any, Any], model: mujoco.MjModel) -> float:
    """Seconds between two actions: the environment's own word, else one timestep."""
    found = getattr(env.unwrapped, "dt", None)
    return float(found) if isinstance(found, int | float) else float(model.opt.timestep)


def _observation_names(env: gym.Env[Any, Any]) -> tuple[str, ...]:
    """Names of the observation's numbers, `#0`, `#1`, ...; none where it is not one flat array."""
    space = env.observation_space
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating):
        return tuple(f"#{i}" for i in range(space.shape[0]))
    return ()

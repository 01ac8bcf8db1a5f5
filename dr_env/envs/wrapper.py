"""Domain randomization for any other Gymnasium environment that holds a MuJoCo model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, SupportsFloat

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from dr_env.envs.registration import Randomization
from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Draw
from dr_env.rng import digest
from dr_env.sensors import ActionChannel, ObservationSensor
from dr_env.spec import Spec

Mode = Literal["train", "evaluate", "nominal"]
_MODES = ("train", "evaluate", "nominal")
_ONE = np.zeros(1, np.intp)
_ZERO = np.zeros(1, np.uint64)


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
        self._model = _model_of(env)
        self._names = _observation_names(env)
        self.plan = self.randomization.bind(self._model, self._names)
        self._sensor = ObservationSensor(1, len(self._names), _dt(env, self._model))
        self._channel = ActionChannel(1, self._model.nu)
        self.draw = Draw({}, self.plan.binding)
        """The Draw of this episode; empty in nominal mode."""
        self._seed: np.ndarray[Any, np.dtype[np.uint64]] = np.zeros(1, np.uint64)
        self._episode: np.ndarray[Any, np.dtype[np.uint64]] = np.zeros(1, np.uint64)
        self._seeded = False
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
        self._episode[:] = 0
        if mode == "evaluate":
            self._seed[:] = digest("evaluate")
        self._seeded = mode != "train"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Randomizes the model, then resets the environment in full; `info["dr"]` holds the Draw."""
        options = dict(options or {})
        given = options.pop("draw", None)
        if self.mode == "train" and (seed is not None or not self._seeded):
            self._seed[:] = np.uint64(seed if seed is not None else self.env.unwrapped.np_random.integers(2**63))
            self._episode[:] = 0
            self._seeded = True
        self._randomize(given)
        for part in (self._sensor, self._channel):
            part.begin(_ONE, self._seed, _ZERO, self._episode)
        self._episode += np.uint64(1)
        observation, info = self.env.reset(seed=seed, options=options or None)
        return self._read(observation), {**info, "dr": self.draw}

    def _randomize(self, given: Mapping[str, Any] | None) -> None:
        if given is not None:
            columns = self.plan.columns_from([given])
        elif self.mode == "nominal":
            self.plan.restore(self._model)
            for array in self._held.values():
                array[:] = 0
            self.draw = Draw({}, self.plan.binding)
            return
        else:
            columns, _ = self.plan.sample_columns(self._seed, _ZERO, self._episode)
        self.draw = Draw({name: column[0] for name, column in columns.items()}, self.plan.binding)
        self.plan.apply(self._model, self.draw)
        for name, values in self.plan.realise(columns).items():
            if name in self._held:
                self._held[name][:] = values

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Steps the environment, through the Spec's sensors and action channel."""
        if any(array.any() for array in self._channel.arrays.values()):
            action = self._channel.send(np.asarray(action, np.float64)[None], _ONE)[0].astype(np.float32)
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._read(observation), reward, terminated, truncated, info

    def _read(self, observation: Any) -> Any:
        if not any(array.any() for array in self._sensor.arrays.values()):
            return observation
        return self._sensor.read(np.array(observation, np.float64)[None], _ONE)[0].astype(observation.dtype)

    @property
    def _held(self) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        return {**self._sensor.arrays, **self._channel.arrays}

    def close(self) -> None:
        """Gives the model its nominal values back and closes the environment."""
        self.plan.restore(self._model)
        super().close()


def _read(randomization: Randomization) -> Spec:
    if isinstance(randomization, Spec):
        return randomization
    if isinstance(randomization, Mapping):
        return Spec.from_dict(randomization)
    if isinstance(randomization, str | Path):
        return Spec.load(randomization)
    raise DREnvError(f"randomization: got {randomization!r}, expected a Spec, a YAML file or its plain data")


def _model_of(env: gym.Env[Any, Any]) -> mujoco.MjModel:
    base = env.unwrapped
    for model in (getattr(base, "model", None), getattr(getattr(base, "physics", None), "model", None)):
        found = getattr(model, "ptr", model)  # dm_control wraps the model
        if isinstance(found, mujoco.MjModel):
            return found
    raise DREnvError(f"env: {base} holds no MjModel in `model` or `physics.model`, so there is nothing to randomize")


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

"""Hosts: environments of several kinds whose model a Plan can write from outside."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Protocol

import gymnasium as gym
import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import DIVERGED, Plan
from dr_env.envs.env import Env
from dr_env.envs.initial import sensor_buffers
from dr_env.envs.keys import EpisodeKeys
from dr_env.envs.layout import Layout
from dr_env.envs.redraw import Redraws
from dr_env.errors import DREnvError
from dr_env.records import Columns
from dr_env.sensors import Effects, check_felt
from dr_env.spec import Spec

_ONE = np.zeros(1, np.intp)
_TIMED = ("push.", "action.jitter", "observation.delay", "observation.walk")
Array = NDArray[np.float64]


class Host(Protocol):
    """What `DomainRandomization` needs of an environment, whatever its kind."""

    plan: Plan
    redraws: Redraws

    def change(self, spec: Spec) -> None:
        """Draws by a Spec with other numbers, from the next episode on."""

    def begin(self, columns: Columns | None, keys: EpisodeKeys) -> None:
        """Before the environment resets: writes a Draw, or the nominal values where it is None."""

    def rewrite(self, columns: Columns) -> None:
        """Writes a Draw that has changed within the episode."""

    def check(self) -> None:
        """After the environment has reset: refuses one that has put its model away."""

    def read(self, observation: Any) -> Any:
        """What the Spec's sensors make of an observation."""

    def send(self, action: Any) -> Any:
        """What arrives of an action."""

    def measure(self) -> None:
        """After a step: refuses an environment whose seconds between two actions are not known."""

    def diverged(self) -> bool:
        """Whether the simulation has diverged since this was last asked."""

    def restore(self) -> None:
        """Gives the model its nominal values back."""


def host_of(env: gym.Env[Any, Any], spec: Spec) -> Host:
    """The host that fits an environment. Raises DREnvError where there is no model to write."""
    if isinstance(env.unwrapped, Env):
        return OwnHost(env.unwrapped, spec)
    return ModelHost(env, spec)


class OwnHost:
    """A `dr_env.Env`, whose batch holds its model and which has sensors of its own."""

    def __init__(self, env: Env, spec: Spec) -> None:
        if env.randomization.entries:
            raise DREnvError(
                f"env: {env} randomizes itself already ({', '.join(env.randomization.entries)}); make it without "
                "`randomization`, or put all entries into its own Spec and leave the wrapper out"
            )
        self.plan = spec.bind(env.model, env.task.observation_names(env.model))
        self._refuse_changes()
        check_felt(self.plan, "sensordata" in env.task.fields)
        self.redraws = Redraws(self.plan, env.task.dt, 1)
        self._env, self._rows = env, env.rows

    def _refuse_changes(self) -> None:
        """What changes within an episode needs an environment that knows of it from the start."""
        spec = self.plan.spec
        changing = [name for name, drawn in spec.drawn.items() if drawn.trigger in ("interval", "step")]
        changing += [entry.name for entry in self.plan.entries if entry.field.array == "action.jitter"]
        for name in changing:
            raise DREnvError(
                f"{spec.where(name)}: changes within an episode, which a dr_env.Env does by itself; give it this Spec "
                "as its `randomization`, and leave the wrapper out"
            )

    def change(self, spec: Spec) -> None:
        """Draws by a Spec with other numbers; nothing is redrawn within an episode here."""
        self.plan = self.plan.with_spec(spec)

    def begin(self, columns: Columns | None, keys: EpisodeKeys) -> None:
        """Writes a Draw, or the nominal values where it is None."""
        if columns is None:
            self.restore()
        else:
            self.rewrite(columns)

    def rewrite(self, columns: Columns) -> None:
        """Writes a Draw, its looks where the environment takes pictures."""
        self.plan.write(self._rows, _ONE, columns)
        self._env.wear(self.plan, columns)

    def check(self) -> None:
        """Its model stays."""

    def read(self, observation: Any) -> Any:
        """Observations are sensed already."""
        return observation

    def send(self, action: Any) -> Any:
        """Actions pass through the environment's own channel."""
        return action

    def measure(self) -> None:
        """Its task says how long a step takes."""

    def diverged(self) -> bool:
        """It ends such an episode itself."""
        return False

    def restore(self) -> None:
        """Gives the batch, and the canvas of its pictures, the nominal values back."""
        for name in self.plan.nominal.keys() - self.plan.visual:
            self._rows.write(name, _ONE, self.plan.nominal[name][None])
        self._env.wear(self.plan, None)
        if self.plan.recompute:
            self._rows.recompute(_ONE)
        self._env.refresh()


class ModelHost:
    """An environment that holds an `MjModel`: Gymnasium's, Shimmy's dm_control, a user's own.

    Environments of dm_control's composer compile a new model when they reset; the Plan is then bound
    again and the Draw written before the episode's state is made.
    """

    def __init__(self, env: gym.Env[Any, Any], spec: Spec) -> None:
        self._env, self._spec = env, spec
        self._layout = Layout(env.observation_space)
        self._model, self._data = _model_and_data(env)
        self.plan = spec.bind(self._model, self._layout.names)
        self._dt = _dt(env, self._model)
        self.redraws = Redraws(self.plan, self._dt, 1)
        space = env.action_space
        self._acts = isinstance(space, gym.spaces.Box) and space.shape == (self._model.nu,)
        self._refuse_entries()
        self._effects = self._connected()
        self._columns: Columns | None = None
        # where Gymnasium's environments start, which they read from the model once
        start = getattr(env.unwrapped, "init_qpos", None)
        known = isinstance(start, np.ndarray) and start.shape == (self._model.nq,)
        self._start: Array | None = np.array(start, np.float64) if known and "qpos0" in self.plan.nominal else None
        self._keys = EpisodeKeys(1)
        self._warned = 0
        self._began = 0.0
        self._unmeasured = self._timed()
        hook = getattr(env.unwrapped, "add_extra_hook", None)
        if callable(hook):
            hook("after_compile", self._compiled)

    def _connected(self) -> Effects:
        """Effects on the present model and data."""
        return Effects(
            self.plan,
            self._model,
            1,
            len(self._layout.names),
            self._dt,
            lambda name: np.asarray(getattr(self._data, name))[None],
            lambda name: np.asarray(getattr(self._model, name))[None],
            senses=False,
            touches=self.redraws.touches,
        )

    def _timed(self) -> list[str]:
        """What depends on the seconds between two actions."""
        drawn = [name for name, drawn in self._spec.drawn.items() if drawn.trigger == "interval"]
        return drawn + [entry.name for entry in self.plan.entries if entry.field.array.startswith(_TIMED)]

    def _refuse_entries(self) -> None:
        """Refuses what changes pictures, which the environment renders by itself, and actions of other forms."""
        for entry in self.plan.entries:
            where = self._spec.where(entry.name, "select")
            if entry.field.kind in ("image", "depth"):
                raise DREnvError(
                    f"{where}: got {entry.field.kind} '{entry.matches[0]}', whose {entry.field.name} nothing would "
                    f"show: {self._env} renders by itself; expected a dr_env.Env, or a Spec without the entry"
                )
            if entry.field.kind == "action" and not self._acts:
                raise DREnvError(
                    f"{where}: an action of {self._env} is {self._env.action_space}, expected {self._model.nu} "
                    "numbers, one for each actuator"
                )

    def change(self, spec: Spec) -> None:
        """Draws by a Spec with other numbers, from the next episode on."""
        self.plan = self.plan.with_spec(spec)
        self._spec = spec
        self.redraws.change(self.plan)

    def begin(self, columns: Columns | None, keys: EpisodeKeys) -> None:
        """Writes a Draw, or the nominal values where it is None, and clears the state in full."""
        self._keys = keys
        self._write(columns)
        # an environment that sets qpos and qvel alone would carry warm starts, activations and buffers over
        mujoco.mj_resetData(self._model, self._data)
        if columns is not None and "sensor_delay" in self.plan.nominal:
            self._model.sensor_delay[:] = 0  # so that the first observation is read without one
        self._effects.begin(_ONE, keys.seeds, keys.environments, keys.episodes)
        self._warned = 0

    def rewrite(self, columns: Columns) -> None:
        """Writes a Draw that has changed within the episode."""
        self._write(columns)
        self._effects.refresh()

    def _write(self, columns: Columns | None) -> None:
        self._columns = columns
        if columns is None:
            self.plan.restore(self._model)
            values: Mapping[str, Array] = self.plan.nominal
        else:
            self.plan.apply(self._model, {name: column[0] for name, column in columns.items()})
            values = self.plan.realise(columns)
        if self._start is not None:
            moved = self._model.qpos0 - self.plan.nominal["qpos0"]
            self._env.unwrapped.init_qpos = self._start + moved  # type: ignore[attr-defined]
        for name, array in self._effects.arrays.items():
            if name in values:
                array[:] = values[name].reshape(array.shape)

    def _compiled(self, physics: Any, _: Any) -> None:
        """Binds and writes again: the environment has compiled a new model."""
        self._model, self._data = physics.model.ptr, physics.data.ptr
        self.plan = self._spec.bind(self._model, self._layout.names)
        self._effects = self._connected()
        if self._columns is not None:
            self._again()

    def _again(self) -> None:
        """Writes the episode's Draw again and begins its effects anew; its number has been counted on meanwhile."""
        self._write(self._columns)
        self._effects.begin(_ONE, self._keys.seeds, self._keys.environments, self._keys.episodes - np.uint64(1))

    def _measure_sensors(self, columns: Columns) -> None:
        """Fills the buffers of delayed sensors with what they read without a delay, as those of `Env` begin."""
        self._model.sensor_delay[:] = 0
        mujoco.mj_forward(self._model, self._data)
        kept, measured = sensor_buffers(self._model)
        self._data.history[kept] = self._data.sensordata[measured]
        self._model.sensor_delay[:] = self.plan.realise(columns, frozenset({"sensor_delay"}))["sensor_delay"][0]

    def check(self) -> None:
        """Refuses an environment that has replaced its model, which lost the Draw; follows one with new data."""
        model, data = _model_and_data(self._env)
        if model is not self._model:
            raise DREnvError(
                f"env: {self._env} made a new MjModel when it was reset, which lost the Draw; it must keep its model, "
                "or offer dm_control's add_extra_hook('after_compile', ...)"
            )
        if data is not self._data:
            self._data = data
            self._effects = self._connected()
            self._again()
            self._warned = self._warnings()
        if self._columns is not None and "sensor_delay" in self.plan.nominal:
            self._measure_sensors(self._columns)

    def measure(self) -> None:
        """After the first step: refuses an environment that takes longer than it says, or than a timestep."""
        passed = self._data.time - self._began
        if self._unmeasured and abs(passed - self._dt) > self._model.opt.timestep / 2:
            raise DREnvError(
                f"{self._spec.where(self._unmeasured[0])}: depends on the seconds between two actions, of which "
                f"{self._env} takes {passed:g} and not {self._dt:g}; give the environment an attribute `dt` of "
                f"{passed:g}, or put the wrapper that repeats actions outside"
            )
        self._unmeasured = []

    def read(self, observation: Any) -> Any:
        """What the Spec's sensors make of an observation."""
        if not self._effects.reads:
            return observation
        return self._layout.rebuilt(observation, self._effects.read(self._layout.flat(observation)[None], _ONE)[0])

    def send(self, action: Any) -> Any:
        """What arrives of an action."""
        self._began = self._data.time
        sent = np.asarray(action)[None]
        arrived = self._effects.act(sent, _ONE)
        # in double precision, as MuJoCo takes it: rounding would make another episode than that of `Env`
        return action if arrived is sent else arrived[0]

    def diverged(self) -> bool:
        """Whether MuJoCo has warned of a state that is no longer finite, and started anew by itself."""
        warned = self._warnings()
        found = warned > self._warned
        self._warned = warned
        return found

    def _warnings(self) -> int:
        return sum(self._data.warning[kind].number for kind in DIVERGED)

    def restore(self) -> None:
        """Gives the model its nominal values back, bit for bit, and ends pushes and noise."""
        self._write(None)
        self._effects.refresh()
        self._effects.close()


def _model_and_data(env: gym.Env[Any, Any]) -> tuple[mujoco.MjModel, mujoco.MjData]:
    base = env.unwrapped
    for holder in (base, getattr(base, "physics", None)):
        model, data = getattr(holder, "model", None), getattr(holder, "data", None)
        model, data = getattr(model, "ptr", model), getattr(data, "ptr", data)  # dm_control wraps both
        if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
            return model, data
    raise DREnvError(
        f"env: {base} holds no MjModel with its MjData in `model` and `data`, nor in `physics`, so there is "
        "nothing to randomize"
    )


def _dt(env: gym.Env[Any, Any], model: mujoco.MjModel) -> float:
    """Seconds between two actions in the environment's own words, or else a timestep."""
    base = env.unwrapped
    for holder in (base, getattr(base, "_env", None)):  # where Shimmy keeps dm_control's environment
        for name in ("dt", "control_timestep"):
            found = getattr(holder, name, None)
            found = found() if callable(found) else found
            if isinstance(found, Real) and float(found) > 0:
                return float(found)
    steps = getattr(base, "frame_skip", None)
    return (steps if isinstance(steps, int) and steps > 0 else 1) * float(model.opt.timestep)

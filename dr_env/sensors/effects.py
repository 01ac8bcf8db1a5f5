"""Everything that comes between an agent and a simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import Plan
from dr_env.errors import DREnvError
from dr_env.sensors.actuation import ActionChannel
from dr_env.sensors.blocks import Array, Ids, Keys
from dr_env.sensors.disturbance import Disturbance
from dr_env.sensors.proprioception import ObservationSensor
from dr_env.sensors.timing import DelayJitter

Rows = Callable[[str], Array]


class _Part(Protocol):
    arrays: dict[str, Array]

    def begin(self, ids: Ids, seeds: Keys, environments: Keys, episodes: Keys) -> None: ...

    def refresh(self) -> None: ...


def check_felt(plan: Plan, senses: bool) -> None:
    """Refuses sensors' noise where nobody reads sensors."""
    for entry in plan.entries if not senses else ():
        if entry.field.array.startswith("sensor."):
            raise DREnvError(
                f"{plan.spec.where(entry.name, 'select')}: got sensor '{entry.matches[0]}', whose {entry.field.name} "
                "nothing would feel; expected a dr_env.Task whose fields include sensordata, or an entry for the "
                "observation"
            )


class Effects:
    """Sensors, action channel, delay jitter and disturbances of n environments; what is off costs nothing.

    Args:
        plan: what varies.
        model: the model that the Plan is bound to.
        num_envs: how many environments.
        observations: how many numbers an observation has.
        dt: seconds between two actions.
        data: MjData fields by name, live and writable, with a leading axis of environments.
        expand: MjModel fields by name, live and writable, with a leading axis of environments.
        senses: whether what reads the model's sensors asks `sense` first.
        touches: whether arrays whose name begins so change within episodes.

    Raises:
        DREnvError: the Spec disturbs sensors that nobody reads through `sense`.
    """

    def __init__(
        self,
        plan: Plan,
        model: mujoco.MjModel,
        num_envs: int,
        observations: int,
        dt: float,
        data: Rows,
        expand: Rows,
        senses: bool,
        touches: Callable[[str], bool] = lambda _: False,
    ) -> None:
        check_felt(plan, senses)
        self._observation = ObservationSensor(num_envs, observations, dt, changing=touches("observation."))
        self._sensors = ObservationSensor(num_envs, model.nsensordata, dt, "sensor", touches("sensor."))
        self._channel = ActionChannel(num_envs, model.nu, touches("action."))
        self._disturbance = Disturbance(dt, data("xfrc_applied"), touches("push."))
        self._parts: list[_Part] = [self._observation, self._sensors, self._disturbance]
        self._jitter: DelayJitter | None = None
        if "action.jitter" in plan.nominal:
            self._jitter = DelayJitter(model.actuator_delay, expand("actuator_delay"), model.opt.timestep, dt)
            self._parts.append(self._jitter)
        self.arrays: dict[str, Array] = dict(self._channel.arrays)
        for part in self._parts:
            self.arrays |= part.arrays
        """The numbers of each effect, with a leading axis of environments, by the name that a Plan writes."""

    def begin(
        self, ids: Ids, seeds: Keys, environments: Keys, episodes: Keys, controls: NDArray[Any] | float = 0.0
    ) -> None:
        """Starts new episodes in the environments `ids`, after their numbers are written.

        Args:
            ids: which environments.
            seeds, environments, episodes: the keys of all environments.
            controls: (len(ids), nu) the initial controls, which hold where the first one is lost.
        """
        self._channel.begin(ids, seeds, environments, episodes, controls)
        for part in self._parts:
            part.begin(ids, seeds, environments, episodes)

    def refresh(self) -> None:
        """Takes up numbers that have changed within an episode."""
        self._channel.refresh()
        for part in self._parts:
            part.refresh()

    def act(self, actions: NDArray[np.floating[Any]], ids: Ids) -> NDArray[np.floating[Any]]:
        """What arrives of the actions of the environments `ids`; pushes and delays of the step are written."""
        self._disturbance.step(ids)
        if self._jitter is not None:
            self._jitter.step(ids)
        return self._channel.send(actions, ids)

    def sense(self, data: Mapping[str, Array], ids: Ids) -> Mapping[str, Array]:
        """MjData fields of the environments `ids` as they are measured: the model's sensors err."""
        if "sensordata" not in data or not self._sensors.active:
            return data
        return {**data, "sensordata": self._sensors.read(data["sensordata"], ids)}

    @property
    def reads(self) -> bool:
        """Whether a reading differs from its observation."""
        return self._observation.active

    def read(self, observations: Array, ids: Ids) -> Array:
        """Readings of the environments `ids` for their observations."""
        return self._observation.read(observations, ids)

    def close(self) -> None:
        """Gives the model its own delays back."""
        if self._jitter is not None:
            self._jitter.close()

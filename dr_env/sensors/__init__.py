"""What sensors do to what the simulator knows, and channels to what the agent says."""

from dr_env.sensors.actuation import ActionChannel
from dr_env.sensors.disturbance import Disturbance
from dr_env.sensors.effects import Effects
from dr_env.sensors.proprioception import ObservationSensor
from dr_env.sensors.timing import DelayJitter

__all__ = ["ActionChannel", "DelayJitter", "Disturbance", "Effects", "ObservationSensor"]

"""What sensors do to what the simulator knows, and channels to what the agent says."""

from dr_env.sensors.actuation import ActionChannel
from dr_env.sensors.proprioception import ObservationSensor

__all__ = ["ActionChannel", "ObservationSensor"]

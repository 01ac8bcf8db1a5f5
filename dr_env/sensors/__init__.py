"""What sensors do to what the simulator knows."""

from dr_env.sensors.proprioception import ObservationNoise

__all__ = ["ObservationNoise"]

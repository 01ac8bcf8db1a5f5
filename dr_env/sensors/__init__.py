"""What sensors do to what the simulator knows, and channels to what the agent says."""

from dr_env.sensors.actuation import ActionChannel
from dr_env.sensors.backdrop import Backdrops, composite, cropped
from dr_env.sensors.camera import CameraSensor
from dr_env.sensors.depth import DepthSensor
from dr_env.sensors.disturbance import Disturbance
from dr_env.sensors.effects import Effects, check_felt
from dr_env.sensors.lens import Lens, bends, bent, distortion_of, make_lens, picture_size, room_size, roomy, see
from dr_env.sensors.presets import PRESETS, depth_preset, preset_entries
from dr_env.sensors.proprioception import ObservationSensor
from dr_env.sensors.settings import (
    CameraSettings,
    DepthSettings,
    camera_settings,
    depth_settings,
    draw_settings,
    senses,
)
from dr_env.sensors.timing import DelayJitter

__all__ = [
    "PRESETS",
    "ActionChannel",
    "Backdrops",
    "CameraSensor",
    "CameraSettings",
    "DelayJitter",
    "DepthSensor",
    "DepthSettings",
    "Disturbance",
    "Effects",
    "Lens",
    "ObservationSensor",
    "bends",
    "bent",
    "camera_settings",
    "check_felt",
    "composite",
    "cropped",
    "depth_preset",
    "depth_settings",
    "distortion_of",
    "draw_settings",
    "make_lens",
    "picture_size",
    "preset_entries",
    "room_size",
    "roomy",
    "see",
    "senses",
]

"""What sensors do to what the simulator knows, and channels to what the agent says."""

from dr_env.sensors.actuation import ActionChannel
from dr_env.sensors.backdrop import Backdrops, composite, cropped
from dr_env.sensors.camera import CameraSensor
from dr_env.sensors.depth import DepthSensor, incidence, slopes
from dr_env.sensors.disturbance import Disturbance
from dr_env.sensors.effects import Effects, check_felt
from dr_env.sensors.lens import Lens, bends, bent, distortion_of, make_lens, picture_size, room_size, roomy, see
from dr_env.sensors.presets import PRESETS, depth_preset, preset_entries
from dr_env.sensors.proprioception import ObservationSensor
from dr_env.sensors.settings import (
    CameraSettings,
    DepthSettings,
    draw_settings,
    frame_settings,
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
    "check_felt",
    "composite",
    "cropped",
    "depth_preset",
    "distortion_of",
    "draw_settings",
    "frame_settings",
    "incidence",
    "make_lens",
    "picture_size",
    "preset_entries",
    "room_size",
    "roomy",
    "see",
    "senses",
    "slopes",
]

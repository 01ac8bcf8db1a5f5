"""Depth cameras that one can buy, as numbers with their sources."""

from __future__ import annotations

import math
from collections.abc import Callable

from dr_env.errors import DREnvError, unknown_name
from dr_env.sensors.settings import DepthSettings

_FOCAL_KINECT_V1 = 580.0  # px, of its 640 x 480 depth image
_FOCAL_D435 = 424.0  # px, of its 848 x 480 depth image: 90 degrees across


def _kinect_v1(fx: float) -> DepthSettings:
    """Structured light.

    Nguyen, Izadi, Lovell, "Modeling Kinect sensor noise for improved 3D reconstruction and tracking", 3DIMPVT 2012:
    axial 0.0012 + 0.0019 (z - 0.4)^2 + 0.0001 / sqrt(z) (t / (pi/2 - t))^2 m, lateral 0.8 + 0.035 t / (pi/2 - t) px;
    measured up to 80 degrees. Khoshelham and Elberink, "Accuracy and resolution of Kinect depth data for indoor
    mapping applications", Sensors 2012: baseline 7.5 cm, range 0.5 to 5 m. Konolige and Mihelich, "Technical
    description of Kinect calibration" (ROS wiki): disparities in eighths of a pixel at a focal length of 580. What
    was measured has these steps in it, so that both together err by a tenth more.
    """
    scale = fx / _FOCAL_KINECT_V1
    return DepthSettings(
        noise=(0.0012 + 0.0019 * 0.4**2, -2 * 0.4 * 0.0019, 0.0019),
        grazing_noise=0.0001,
        lateral_noise=(0.8 * scale, 0.035 * scale),
        baseline=0.075,
        disparity_step=scale / 8,
        quantum=0.001,
        grazing=math.radians(80),
        range=(0.5, 5.0),
    )


def _realsense_d435(fx: float) -> DepthSettings:
    """Active stereo.

    Grunnet-Jepsen, Sweetser, Woodfill, "Tuning depth cameras for best performance" (Intel): depth noise is
    z^2 s / (f b) with a subpixel error s, for which the first author recommends 0.08 px (librealsense issue 3904).
    "Subpixel linearity improvement" (Intel): steps of 1/32 px, 90 degrees across. Baseline 50 mm; least distance 17 cm
    at 848 x 480 (librealsense issue 999); depths in millimetres.
    """
    scale = fx / _FOCAL_D435
    return DepthSettings(
        baseline=0.05,
        disparity_noise=0.08 * scale,
        disparity_step=scale / 32,
        quantum=0.001,
        range=(0.17, 10.0),
    )


def _azure_kinect(fx: float) -> DepthSettings:
    """Time of flight, narrow field of view, unbinned.

    "Azure Kinect DK hardware specifications" (Microsoft): 0.5 to 3.86 m at 15 to 95 % reflectivity, random error of at
    most 17 mm; confirmed by Tölgyessy et al., "Evaluation of the Azure Kinect and its comparison to Kinect V1 and
    Kinect V2", Sensors 2021, who also show its flying pixels. The noise here reaches 17 mm at the end of the range and
    grows with z^2, as the light that returns falls; the darkest surface measured is the one of 15 % at 3.86 m. How
    many pixels fly is not in these sources: half of those at edges.
    """
    return DepthSettings(
        noise=(0.0, 0.0, 0.017 / 3.86**2),
        dark=0.15 / 3.86**2,
        quantum=0.001,
        flying=0.5,
        range=(0.5, 3.86),
    )


PRESETS: dict[str, Callable[[float], DepthSettings]] = {
    "kinect_v1": _kinect_v1,
    "realsense_d435": _realsense_d435,
    "azure_kinect": _azure_kinect,
}
"""Depth cameras by name: of a focal length in pixels, their settings."""


def depth_preset(name: str, fx: float) -> DepthSettings:
    """The numbers of a depth camera that one can buy; each with its sources in the code.

    Args:
        name: one of PRESETS.
        fx: the focal length in pixels of the images that are rendered; what is known in pixels of the device's own
            images is scaled to these, so that depths err alike.

    Raises:
        DREnvError: an unknown name.
    """
    if name not in PRESETS:
        raise DREnvError(unknown_name("depth camera", name, PRESETS))
    return PRESETS[name](fx)


def preset_entries(name: str, fx: float, camera: str = "*") -> dict[str, dict[str, object]]:
    """A depth camera's numbers as entries of a Spec, by name, to be varied further.

    Args:
        name, fx: as for `depth_preset`.
        camera: the name or glob of the model's cameras that are such ones.
    """
    settings, neutral = depth_preset(name, fx), DepthSettings()
    entries: dict[str, dict[str, object]] = {}
    for field in DepthSettings.__dataclass_fields__:
        value = getattr(settings, field)
        if value == getattr(neutral, field):
            continue
        parts = enumerate(value) if isinstance(value, tuple) else ((None, value),)
        for index, number in parts:
            label = f"{name}_{field}" + ("" if index is None else f"_{index}")
            entries[label] = {
                "select": {"depth": camera},
                "field": field if index is None else f"{field}[{index}]",
                "operation": "set",
                "distribution": {"type": "constant", "value": number},
                "tunable": False,
            }
    return entries

"""The numbers of one frame's camera and depth sensor, as a Draw gives them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.binding import IMAGE_NEUTRAL, IMAGED, Plan, find_field, object_names
from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Columns

LENSES = frozenset({"image.brown_conrady", "image.kannala_brandt"})
"""The fields that bend pictures."""

Arrays = Mapping[str, NDArray[np.float64]]
S = TypeVar("S", "CameraSettings", "DepthSettings")


@dataclasses.dataclass(frozen=True)
class CameraSettings:
    """What a camera does to light, of which each effect is off at its default; the fields of the kind `image`.

    Args:
        rolling_shutter: (x, y) px that the scene moves while the rows are read, the middle one in its place.
        motion_blur: (x, y) px that the scene moves during the exposure.
        occlusions: mean number of patches before the lens.
        occlusion_size: a patch's mean side, as a fraction of the image's height.
        chromatic_aberration: px by which red moves outwards, and blue inwards, in the corners.
        defocus: px, diameter of the circle of confusion.
        vignetting: v in the falloff 1 / (1 + v r^2)^2, r = 1 in the corners.
        brown_conrady: lens distortion k1, k2, p1, p2, k3.
        kannala_brandt: a fisheye lens's k1, k2, k3, k4; None for a lens that is none.
        exposure: EV, twice the light for each.
        full_well: electrons of white; 0 for a sensor without noise.
        read_noise: electrons, standard deviation.
        dark_signal: electrons, mean.
        salt_pepper: fraction of pixels that are stuck at white or black.
        white_balance: gains of red, green and blue.
        saturation: gain of what colours differ from grey by, at equal luminance.
        gamma: exponent on the encoded values.
        jpeg: quality 1 .. 100, or 0.

    Raises:
        DREnvError: a number that no camera has, or two lenses at once.
    """

    rolling_shutter: tuple[float, float] = (0.0, 0.0)
    motion_blur: tuple[float, float] = (0.0, 0.0)
    occlusions: float = 0.0
    occlusion_size: float = 0.2
    chromatic_aberration: float = 0.0
    defocus: float = 0.0
    vignetting: float = 0.0
    brown_conrady: tuple[float, ...] = (0.0,) * 5
    kannala_brandt: tuple[float, ...] | None = None
    exposure: float = 0.0
    full_well: float = 0.0
    read_noise: float = 0.0
    dark_signal: float = 0.0
    salt_pepper: float = 0.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    gamma: float = 1.0
    jpeg: float = 0.0

    def __post_init__(self) -> None:
        _check(self)
        if self.full_well == 0 and (self.read_noise or self.dark_signal):
            raise DREnvError(
                f"image: got read_noise {self.read_noise} and dark_signal {self.dark_signal} in electrons, but no "
                "full_well, the electrons of white; expected a full_well such as 10000"
            )
        if self.kannala_brandt is not None and any(self.brown_conrady):
            raise DREnvError("image: got brown_conrady and kannala_brandt, expected one lens")


@dataclasses.dataclass(frozen=True)
class DepthSettings:
    """What a depth camera does to depths, of which each effect is off at its default; the fields of the kind `depth`.

    Args:
        bias: m, added to every depth.
        scale: multiplies every depth.
        noise: (a, b, c) of the axial standard deviation a + b z + c z^2 in m.
        grazing_noise: g of the further g / sqrt(z) (t / (pi/2 - t))^2 at the angle of incidence t.
        lateral_noise: (a, b) of the standard deviation a + b t / (pi/2 - t) in px.
        baseline: m from the camera to the projector or second camera, to the right.
        disparity_noise: px, standard deviation.
        disparity_step: px, of which disparities are multiples.
        quantum: m, of which depths are multiples.
        grazing: rad, the angle of incidence beyond which nothing comes back.
        dark: 1/m^2, the least reflectance cos t / z^2 that is measured.
        dropout: fraction of pixels lost at random.
        flying: fraction of the pixels at depth edges that lie between both sides.
        flying_width: px from an edge within which pixels fly.
        range: m, nearest and farthest.

    Raises:
        DREnvError: a number that no depth camera has.
    """

    bias: float = 0.0
    scale: float = 1.0
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0)
    grazing_noise: float = 0.0
    lateral_noise: tuple[float, float] = (0.0, 0.0)
    baseline: float = 0.0
    disparity_noise: float = 0.0
    disparity_step: float = 0.0
    quantum: float = 0.0
    grazing: float = math.pi / 2
    dark: float = 0.0
    dropout: float = 0.0
    flying: float = 0.0
    flying_width: float = 1.0
    range: tuple[float, float] = (0.0, 1.0e9)

    def __post_init__(self) -> None:
        _check(self)
        if self.baseline == 0 and (self.disparity_noise or self.disparity_step):
            raise DREnvError(
                f"depth: got disparity_noise {self.disparity_noise} and disparity_step {self.disparity_step} in "
                "pixels, but no baseline, which makes them depths; expected a baseline such as 0.05 m"
            )


def _check(settings: CameraSettings | DepthSettings) -> None:
    """Refuses what the field table refuses."""
    kind = "image" if isinstance(settings, CameraSettings) else "depth"
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value is None:
            continue
        row = find_field(kind, field.name)
        numbers = np.atleast_1d(np.asarray(value, np.float64))
        if numbers.shape != (row.components,) or not np.isfinite(numbers).all():
            raise DREnvError(f"{kind}.{field.name}: got {value}, expected {row.components} finite numbers")
        low, high = row.bounds(np.arange(row.components))
        if (numbers < low).any() or (numbers > high).any() or (row.above_low and (numbers == low).any()):
            least = "above" if row.above_low else "at least"
            raise DREnvError(
                f"{kind}.{field.name}: got {value}, expected {least} {low.min():g} and at most {high.max():g}"
            )


def _settings(cls: type[S], kind: str, arrays: Arrays, camera: int) -> S:
    found: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        values = arrays.get(f"{kind}.{field.name}")
        if values is None:
            continue
        wide = "tuple" in str(field.type)
        width = len(IMAGE_NEUTRAL[f"{kind}.{field.name}"])
        mine = values[0, camera * width : (camera + 1) * width].tolist()
        found[field.name] = tuple(mine) if wide else mine[0]
    return cls(**found)


def senses(plan: Plan) -> bool:
    """Whether a Plan varies images or depth images."""
    return any(entry.field.array.startswith(IMAGED) for entry in plan.entries)


def lens_of(plan: Plan, camera: str) -> set[str]:
    """Which of `LENSES` a Plan gives to a camera: a fisheye whose coefficients are all 0 is one too."""
    return {entry.field.array for entry in plan.entries if entry.field.array in LENSES and camera in entry.matches}


def frame_settings(
    plan: Plan, model: mujoco.MjModel, columns: Columns, camera: str
) -> tuple[CameraSettings, DepthSettings]:
    """What one Draw says about one camera of the model.

    Args:
        plan: what varies.
        model: any that the Plan is bound to.
        columns: the Draw, of one row.
        camera: the camera's name.

    Raises:
        DREnvError: the model has no such camera.
    """
    names = object_names(model, "image")
    if camera not in names:
        raise DREnvError(unknown_name("camera", camera, names))
    if not senses(plan):
        return CameraSettings(), DepthSettings()
    others = LENSES - lens_of(plan, camera)
    arrays = {name: values for name, values in plan.realise(columns).items() if name not in others}
    index = names.index(camera)
    return _settings(CameraSettings, "image", arrays, index), _settings(DepthSettings, "depth", arrays, index)


def draw_settings(
    plan: Plan, model: mujoco.MjModel, draw: Mapping[str, ArrayLike], camera: str
) -> tuple[CameraSettings, DepthSettings]:
    """`frame_settings` of a Draw; names that are not the Plan's are passed over."""
    known = {name: value for name, value in draw.items() if name in plan.sampler.nodes}
    return frame_settings(plan, model, plan.columns_from([known]), camera)

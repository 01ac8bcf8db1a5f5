"""A camera: from what a renderer shows to what a sensor, its electronics and a compressed file leave of it."""

from __future__ import annotations

import cv2
import numpy as np

from dr_env.errors import DREnvError
from dr_env.rng import generator
from dr_env.sensors import optics
from dr_env.sensors.light import Light, Pixels, normals, to_light, to_pixels
from dr_env.sensors.settings import CameraSettings

_NEUTRAL = CameraSettings()
_MOTION = ("rolling_shutter", "motion_blur")
_LIGHT = (
    "occlusions",
    "chromatic_aberration",
    "defocus",
    "vignetting",
    "exposure",
    "full_well",
    "salt_pepper",
    "white_balance",
    "saturation",
    "gamma",
)
_LUMINANCE = np.array((0.2126, 0.7152, 0.0722), np.float32)  # of linear red, green and blue, ITU-R BT.709


class CameraSensor:
    """Images as a camera takes them, in the order of the light's way.

    Motion (rolling shutter, motion blur) -> things before the lens -> lens (chromatic aberration, defocus,
    vignetting) -> exposure -> sensor (shot, dark and read noise, full wells, stuck pixels) -> white balance ->
    saturation of colours -> tone curve (sRGB, gamma) -> JPEG. All but the last two act on linear light. Lens distortion
    moves labels too and is `Lens`.

    Noise is that of EMVA 1288 (Release 4.0, linear, section 2.2): with mean electrons m of a pixel and dark noise s,
    the variance is m + s^2; electrons are drawn from a normal distribution, which is Poisson's but for the few
    darkest. White saturates.

    An image without effects is returned as it is.

    Args:
        settings: the numbers of one frame.
    """

    def __init__(self, settings: CameraSettings) -> None:
        self.settings = settings
        changed = {name for name in CameraSettings.__dataclass_fields__ if _differs(settings, name)}
        self._on = changed - {"brown_conrady", "kannala_brandt", "occlusion_size", "read_noise", "dark_signal"}

    @property
    def active(self) -> bool:
        """Whether `sense` changes anything."""
        return bool(self._on)

    def sense(self, rgb: Pixels, key: tuple[object, ...]) -> Pixels:
        """What the camera makes of a rendered image.

        Args:
            rgb: (H, W, 3) sRGB bytes; or (T, H, W, 3), a moving scene's at equal intervals while rows are read.
            key: what names the frame, such as (seed, frame); noise is a function of it and the effect alone.

        Returns:
            (H, W, 3) bytes; `rgb` itself where no effect is on.
        """
        if rgb.dtype != np.uint8 or rgb.ndim not in (3, 4) or rgb.shape[-1] != 3 or not rgb.size:
            raise DREnvError(f"image: got {rgb.dtype} {rgb.shape}, expected uint8 (H, W, 3) or (T, H, W, 3)")
        image = rgb
        if rgb.ndim == 4 or self._on & {*_MOTION, *_LIGHT}:
            rows = rgb[0] if len(rgb) == 1 and rgb.ndim == 4 else rgb
            light = optics.read_rows(np.stack([to_light(one) for one in rows])) if rows.ndim == 4 else to_light(rows)
            image = to_pixels(self._electronics(self._optics(light, key), key), self.settings.gamma)
        quality = round(self.settings.jpeg)
        return _compressed(image, quality) if quality > 0 else image

    def _optics(self, light: Light, key: tuple[object, ...]) -> Light:
        has, on = self.settings, self._on
        height, width = light.shape[:2]
        if "rolling_shutter" in on:
            light = optics.shear_rows(light, has.rolling_shutter)
        if "motion_blur" in on:
            light = optics.blur(light, optics.motion_kernel(has.motion_blur))
        if "occlusions" in on:
            light = optics.cover(light, has.occlusions, has.occlusion_size, key)
        if "chromatic_aberration" in on:
            light = optics.split_colours(light, has.chromatic_aberration)
        if "defocus" in on:
            light = optics.blur(light, optics.disc_kernel(has.defocus))
        if "vignetting" in on:
            light = light * optics.falloff(height, width, has.vignetting)[..., None]
        return light

    def _electronics(self, light: Light, key: tuple[object, ...]) -> Light:
        has, on = self.settings, self._on
        if "exposure" in on:
            light = light * np.float32(2.0**has.exposure)
        if "full_well" in on:
            light = self._electrons(light, key)
        if on & {"exposure", "full_well", "salt_pepper", "white_balance"}:
            light = np.clip(light, 0, 1)  # black and the full well
        if "salt_pepper" in on:
            light = _stuck(light, has.salt_pepper, key)
        if "white_balance" in on:
            light = light * np.array(has.white_balance, np.float32)
        if "saturation" in on:
            grey: Light = (light @ _LUMINANCE)[..., None]
            light = np.asarray(grey + np.float32(has.saturation) * (light - grey), np.float32)
        return light

    def _electrons(self, light: Light, key: tuple[object, ...]) -> Light:
        """Light with shot, dark and read noise: variance of electrons = mean + dark mean + read noise^2."""
        well = self.settings.full_well
        dark = self.settings.dark_signal + self.settings.read_noise**2
        # in units of white: sqrt(L W + d) / W = sqrt(L / W + d / W^2)
        spread = np.sqrt(np.maximum(light, 0) * np.float32(1 / well) + np.float32(dark / well**2))
        spread *= normals("image noise", key, light.shape)
        return np.asarray(spread + light)


def _differs(settings: CameraSettings, name: str) -> bool:
    return bool(getattr(settings, name) != getattr(_NEUTRAL, name))


def _stuck(light: Light, fraction: float, key: tuple[object, ...]) -> Light:
    """Light with a fraction of its pixels at white or black."""
    draw = generator("sensor", "image salt_pepper", *key)
    pixels = light.shape[0] * light.shape[1]
    which = draw.choice(pixels, int(draw.binomial(pixels, fraction)), replace=False, shuffle=False)
    flat = light.reshape(-1, 3)
    flat[which] = (draw.random(len(which)) < 0.5).astype(np.float32)[:, None]
    return flat.reshape(light.shape)


def _compressed(image: Pixels, quality: int) -> Pixels:
    """An image after JPEG, chroma at half the resolution as cameras store it."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    back = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert back is not None  # what was just encoded can be decoded
    return np.asarray(cv2.cvtColor(back, cv2.COLOR_BGR2RGB), np.uint8)

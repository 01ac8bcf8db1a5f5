"""Between encoded pixels and linear light, and random numbers for every pixel."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import special

from dr_env.rng import generator

Light = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_WORDS = 1 << 16


def decode_srgb(encoded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light 0 .. 1 of encoded values 0 .. 1 (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def encode_srgb(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Encoded values 0 .. 1 of linear light 0 .. 1; undoes `decode_srgb`."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


_DECODED = decode_srgb(np.arange(256) / 255).astype(np.float32)


def to_light(pixels: Pixels) -> Light:
    """Linear light 0 .. 1 of 8-bit sRGB pixels."""
    return np.asarray(cv2.LUT(pixels, _DECODED), np.float32)


@functools.lru_cache(8)
def _tone(gamma: float) -> Pixels:
    """Encoded bytes of 65536 levels of light."""
    encoded = encode_srgb(np.arange(_WORDS) / (_WORDS - 1))
    return np.round(255 * encoded**gamma).astype(np.uint8)


def to_pixels(light: Light, gamma: float = 1.0) -> Pixels:
    """8-bit sRGB pixels of linear light, clipped to 0 .. 1; exactly undoes `to_light` at gamma 1."""
    levels = np.clip(light, 0, 1)
    levels *= _WORDS - 1
    levels += 0.5
    return _tone(gamma).take(levels.astype(np.uint16))


@functools.lru_cache(1)
def _quantiles() -> Light:
    """The middles of 65536 equally likely intervals of a standard normal, of unit variance."""
    values = special.ndtri((np.arange(_WORDS) + 0.5) / _WORDS)
    return np.asarray(values / values.std(), np.float32)


def words(name: str, key: tuple[object, ...], shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Uniform 16-bit words, a function of the effect's name and the frame's key alone."""
    count = int(np.prod(shape))
    raw = generator("sensor", name, *key).bit_generator.random_raw(-(-count // 4))
    return np.asarray(raw).astype("<u8").view("<u2")[:count].reshape(shape)


def uniforms(name: str, key: tuple[object, ...], shape: tuple[int, ...]) -> Light:
    """Uniforms in (0, 1) of 16 bits for every pixel."""
    return (words(name, key, shape).astype(np.float32) + np.float32(0.5)) / np.float32(_WORDS)


def normals(name: str, key: tuple[object, ...], shape: tuple[int, ...]) -> Light:
    """Standard normals for every pixel, by 16-bit quantiles: within 4.3 standard deviations."""
    return _quantiles().take(words(name, key, shape))

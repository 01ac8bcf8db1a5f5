"""What a texture's numbers are: sRGB, as those of colours are, whatever a file says of itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import mujoco
import numpy as np

_COLOURS = (mujoco.mjtTextureRole.mjTEXROLE_RGB, mujoco.mjtTextureRole.mjTEXROLE_RGBA)


@contextlib.contextmanager
def encoded(model: mujoco.MjModel) -> Iterator[None]:
    """Uploads textures of colours as sRGB, for a renderer that decodes them: MuJoCo leaves it open, taken as linear.

    Those of normals and roughness, and those that a model declares as linear, stay as they are.
    """
    others = np.delete(model.mat_texid, [int(role) for role in _COLOURS], axis=1) if model.nmat else np.zeros(0, int)
    space = model.tex_colorspace.copy()
    colours = space == mujoco.mjtColorSpace.mjCOLORSPACE_AUTO
    colours[others[others >= 0]] = False
    space[colours] = mujoco.mjtColorSpace.mjCOLORSPACE_SRGB
    with _uploaded_as(model, space):
        yield


@contextlib.contextmanager
def untouched(model: mujoco.MjModel) -> Iterator[None]:
    """Uploads textures as they are, for a renderer that neither decodes nor encodes: sRGB would be decoded alone."""
    with _uploaded_as(model, np.full(model.ntex, mujoco.mjtColorSpace.mjCOLORSPACE_LINEAR)):
        yield


@contextlib.contextmanager
def _uploaded_as(model: mujoco.MjModel, space: np.ndarray) -> Iterator[None]:
    kept = model.tex_colorspace.copy()
    model.tex_colorspace[:] = space
    try:
        yield
    finally:
        model.tex_colorspace[:] = kept

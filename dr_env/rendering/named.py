"""Renderers by name."""

from __future__ import annotations

import mujoco

from dr_env.errors import DREnvError, unknown_name
from dr_env.rendering.base import Renderer
from dr_env.rendering.classic import ClassicRenderer
from dr_env.rendering.filament import FilamentRenderer
from dr_env.rendering.mitsuba import SAMPLES, MitsubaRenderer

RENDERERS = ("classic", "filament", "mitsuba")
"""What draws."""


def make_renderer(name: str, model: mujoco.MjModel, width: int, height: int) -> Renderer:
    """A renderer by name: "classic" (OpenGL, fast), "filament" (physically based, Vulkan) or "mitsuba" (path traced).

    "mitsuba:128" takes 128 samples a pixel, "mitsuba" 32.

    Raises:
        DREnvError: for an unknown name, or, naming the packages to install, when this machine cannot run it.
    """
    if name == "classic":
        return ClassicRenderer(model, width, height)
    if name == "filament":
        return FilamentRenderer(model, width, height)
    kind, _, samples = name.partition(":")
    if kind == "mitsuba":
        if samples and not samples.isdecimal():
            raise DREnvError(f"renderer: got {name!r}, expected a number of samples a pixel, such as mitsuba:64")
        return MitsubaRenderer(model, width, height, samples=int(samples) if samples else SAMPLES)
    raise DREnvError(f"renderer: {unknown_name('renderer', name, RENDERERS)}")

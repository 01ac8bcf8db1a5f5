"""Pictures of simulations, and their labels."""

from dr_env.rendering.base import Images, Renderer, check_size
from dr_env.rendering.classic import ClassicRenderer
from dr_env.rendering.filament import INSTALL_VULKAN, FilamentRenderer
from dr_env.rendering.intrinsics import camera_intrinsics, seen_through
from dr_env.rendering.labels import LabelledObject, capture
from dr_env.rendering.mitsuba import INSTALL_MITSUBA, MitsubaRenderer
from dr_env.rendering.named import make_renderer
from dr_env.rendering.opengl import INSTALL_GL, gl_backend

__all__ = [
    "INSTALL_GL",
    "INSTALL_MITSUBA",
    "INSTALL_VULKAN",
    "ClassicRenderer",
    "FilamentRenderer",
    "Images",
    "LabelledObject",
    "MitsubaRenderer",
    "Renderer",
    "camera_intrinsics",
    "capture",
    "check_size",
    "gl_backend",
    "make_renderer",
    "seen_through",
]

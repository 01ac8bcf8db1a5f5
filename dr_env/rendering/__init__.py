"""Pictures of simulations."""

from dr_env.rendering.classic import INSTALL_GL, ClassicRenderer, gl_backend, renderer

__all__ = ["INSTALL_GL", "ClassicRenderer", "gl_backend", "renderer"]

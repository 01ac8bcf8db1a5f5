"""The MJCF files that come with Gymnasium, read where they are installed."""

from __future__ import annotations

from pathlib import Path

import gymnasium.envs.mujoco
import mujoco

ASSETS = Path(gymnasium.envs.mujoco.__file__).parent / "assets"


def read_model(name: str) -> mujoco.MjSpec:
    """The description of one of Gymnasium's models, such as "hopper.xml"."""
    return mujoco.MjSpec.from_file(str(ASSETS / name))

"""What a simulation needs beside its state, and how it tells that it diverged."""

from __future__ import annotations

import mujoco

DIVERGED = (
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
)
"""The warnings by which MuJoCo tells that a simulation diverged, since it then begins it anew."""

_BEYOND_STATE = int(mujoco.mjtEnableBit.mjENBL_SLEEP) | int(mujoco.mjtEnableBit.mjENBL_IPC)


def is_more_than_state(model: mujoco.MjModel) -> bool:
    """Whether a simulation needs more from step to step than its state, so that a batch of it must be persistent."""
    return bool(model.opt.enableflags & _BEYOND_STATE)

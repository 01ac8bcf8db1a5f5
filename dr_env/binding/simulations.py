"""What a simulation needs beside its state, and how it tells that it diverged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import mujoco
from mujoco import batch

from dr_env.errors import DREnvError

DIVERGED = (
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
)
"""The warnings by which MuJoCo tells that a simulation diverged, since it then begins it anew."""

_BEYOND_STATE = int(mujoco.mjtEnableBit.mjENBL_SLEEP) | int(mujoco.mjtEnableBit.mjENBL_IPC)


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Without what MuJoCo prints, from many threads at once, of simulations that diverge; it counts them besides."""
    kept, silent = mujoco.MjLogConfig.get(), mujoco.MjLogConfig.get()
    silent.logto_console = silent.logto_file = False
    silent.set()
    try:
        yield
    finally:
        kept.set()


def is_more_than_state(model: mujoco.MjModel) -> bool:
    """Whether a simulation needs more from step to step than its state, so that a batch of it must be persistent."""
    return bool(model.opt.enableflags & _BEYOND_STATE)


def make_batch(
    model: mujoco.MjModel, count: int, threads: int = 0, *, persistent: bool = False, name: str = "num_envs"
) -> batch.Batch:
    """Simulations of one model that are stepped together.

    Args:
        model: the model.
        count: how many.
        threads: C++ threads; 0 for all of the machine's.
        persistent: whether they keep more than their state from step to step; where the model needs it, they do.
        name: of the count, in errors.

    Raises:
        DREnvError: more than fit into memory.
    """
    try:
        return batch.Batch(model, count, min(threads, count), persistent or is_more_than_state(model))
    except (MemoryError, TypeError, ValueError) as error:  # of these, MuJoCo raises TypeError from 2**31 on
        raise DREnvError(f"{name}: got {count}, more simulations than this machine can hold") from error

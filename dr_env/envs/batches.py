"""Simulations by the many."""

from __future__ import annotations

import mujoco
from mujoco import batch

from dr_env.binding import is_more_than_state
from dr_env.errors import DREnvError


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

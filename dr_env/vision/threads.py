"""How many threads torch works with."""

from __future__ import annotations

import torch

from dr_env.errors import DREnvError


def use_threads(count: int) -> None:
    """Sets the threads of the processor that torch uses; 0 leaves them as they are."""
    if count < 0:
        raise DREnvError(f"threads: got {count}, expected 0 or more")
    if count:
        torch.set_num_threads(count)

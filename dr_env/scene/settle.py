"""Letting things fall until they lie still."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import make_batch

Array = NDArray[np.float64]
Ids = NDArray[np.intp]

_PATIENCE = 3.0  # s
_BLOCK = 0.04  # s between looks
_STILL = 4  # looks in a row in which nothing moves
_BELOW = 0.02  # m below an area, where a centre of mass is of what has fallen off
_SLOW, _SLOW_TURN = 0.008, 0.15  # m/s and rad/s, as good as still
_CREEP = 0.97  # what is left of each speed after a look; takes away the last of rolling and creeping


@dataclasses.dataclass(frozen=True, eq=False)
class Settled:
    """What falling led to, for n scenes.

    Args:
        qpos: (n, nq).
        still: (n,) whether all that did not fall off lies still.
        fallen: (n, k) which bodies have fallen below their area.
    """

    qpos: Array
    still: NDArray[np.bool_]
    fallen: NDArray[np.bool_]


def settle(model: mujoco.MjModel, qpos: Array, bodies: Ids, floors: Array, threads: int = 1) -> Settled:
    """Lets bodies fall in n scenes at once, until all lie still or patience ends.

    Args:
        model: the model, with the physics that a Draw gave it.
        qpos: (n, nq) where all begins; what is not among `bodies` is held there.
        bodies: (k,) free bodies that fall.
        floors: (n, k) m, the height of each body's area.
        threads: C++ threads.
    """
    count = len(qpos)
    simulations = make_batch(model, count, threads, name="scenes")
    positions, speeds, centres = (simulations.bind(name) for name in ("qpos", "qvel", "xipos"))
    joints = model.body_jntadr[bodies]
    where = model.jnt_qposadr[joints][:, None] + np.arange(7)  # (k, 7)
    moving = model.jnt_dofadr[joints][:, None] + np.arange(6)  # (k, 6)
    held_q, held_v = np.ones(model.nq, bool), np.ones(model.nv, bool)
    held_q[where], held_v[moving] = False, False
    positions[:] = qpos
    calm = np.zeros(count, np.int64)
    steps = max(1, round(_BLOCK / model.opt.timestep))
    looks = int(np.ceil(_PATIENCE / _BLOCK))
    fallen = np.zeros((count, len(bodies)), bool)
    done = 0
    while done < looks:
        simulations.step(None, steps)
        done += 1
        positions[:, held_q] = qpos[:, held_q]
        speeds[:, held_v] = 0.0
        fallen |= centres[:, bodies, 2] < floors - _BELOW
        motion = speeds[:, moving]  # (n, k, 6)
        slow = (np.abs(motion[..., :3]).max(axis=2) < _SLOW) & (np.abs(motion[..., 3:]).max(axis=2) < _SLOW_TURN)
        calm = np.where((slow | fallen).all(axis=1), calm + 1, 0)
        if (calm >= _STILL).all():
            break
        speeds[:, moving] = motion * _CREEP
    final = positions.copy()
    return Settled(final, calm >= _STILL, fallen)

"""Where a camera or a light stands that faces a point: target, distance, azimuth, elevation, roll, and back.

With azimuth a and elevation e the object stands at target + distance * b, where b = (cos e cos a, cos e sin a, sin e)
points from the target to it. A camera's axes at roll 0 are x = (-sin a, cos a, 0), y = b × x, which is upright, and
z = b, which its view is along the opposite of; the roll turns it about z.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

_STRAIGHT_DOWN = 1e-9


def camera_views(model: mujoco.MjModel) -> Array:
    """The nominal numbers of cameras, (ncam, 7): target (3,) and distance in m; azimuth, elevation, roll in degrees."""
    axes = (
        Rotation.from_quat(model.cam_quat.reshape(-1, 4), scalar_first=True).as_matrix()
        if model.ncam
        else np.zeros((0, 3, 3))
    )
    numbers = _views(model, model.cam_pos, axes[:, :, 2], model.cam_bodyid, axes[:, :, 1])
    upright = _axes(numbers)
    rolls = np.arctan2((upright[:, :, 1] * axes[:, :, 0]).sum(-1), (upright[:, :, 0] * axes[:, :, 0]).sum(-1))
    return np.column_stack((numbers, np.rad2deg(rolls)))


def light_views(model: mujoco.MjModel) -> Array:
    """The nominal numbers of lights, (nlight, 6): as a camera's, but without roll."""
    return _views(
        model, model.light_pos, -model.light_dir, model.light_bodyid, np.tile([0.0, 0.0, 1.0], (model.nlight, 1))
    )


def _views(model: mujoco.MjModel, pos: Array, back: Array, body: NDArray[np.int32], up: Array) -> Array:
    """Target, distance, azimuth and elevation, (n, 6).

    The target is the point of the axis nearest to the model's centre; on a body, half the model's extent away.
    """
    along = ((pos - model.stat.center) * back).sum(-1)
    reach = np.where((body == 0) & (along > 0), along, 0.5 * model.stat.extent)
    flat = np.hypot(back[:, 0], back[:, 1])
    # straight down or up, the azimuth is the one from which the camera would have been tilted
    level = np.where((flat > _STRAIGHT_DOWN)[:, None], back[:, :2], -np.sign(back[:, 2:]) * up[:, :2])
    azimuth = np.arctan2(level[:, 1], level[:, 0])
    elevation = np.arctan2(back[:, 2], flat)
    return np.column_stack((pos - reach[:, None] * back, reach, np.rad2deg(azimuth), np.rad2deg(elevation)))


def _axes(numbers: Array) -> Array:
    """Axes x, y, z at roll 0 as the columns of (n, 3, 3)."""
    a, e = np.deg2rad(numbers[:, 4]), np.deg2rad(numbers[:, 5])
    zero = np.zeros_like(a)
    sa, ca, se, ce = np.sin(a), np.cos(a), np.sin(e), np.cos(e)
    rows = (-sa, -se * ca, ce * ca), (ca, -se * sa, ce * sa), (zero, ce, se)
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _moved(numbers: Array, nominal: Array, axes: Array, pos: Array) -> Array:
    """Positions that move as the views do, so that what an entry on `pos` gave stays on top."""
    before = nominal[:, :3] + nominal[:, 3:4] * _axes(nominal)[:, :, 2]
    return np.asarray(pos + (numbers[:, :3] + numbers[:, 3:4] * axes[:, :, 2] - before))


def viewing(numbers: Array, nominal: Array, rows: tuple[Array, ...]) -> tuple[Array, ...]:
    """Positions (k, 3) and quaternions (k, 4) of cameras with other views, (k, 7) each."""
    axes = _axes(numbers)
    turned = Rotation.from_matrix(axes) * Rotation.from_rotvec(np.deg2rad(numbers[:, 6:]) * [0, 0, 1])
    return _moved(numbers, nominal, axes, rows[0]), turned.as_quat(scalar_first=True)


def shining(numbers: Array, nominal: Array, rows: tuple[Array, ...]) -> tuple[Array, ...]:
    """Positions (k, 3) and directions (k, 3) of lights with other views, (k, 6) each."""
    axes = _axes(numbers)
    return _moved(numbers, nominal, axes, rows[0]), -axes[:, :, 2]

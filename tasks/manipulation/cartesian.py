"""Moving a gripper in space through its joints: batched damped least squares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DAMPING = 0.05**2 * np.eye(6)  # m^2 and rad^2; bounds the joints' motion near singular poses


def jacobian(axis: Array, anchor: Array, point: Array) -> Array:
    """The geometric Jacobian of points that hinges carry.

    Args:
        axis: the hinges' axes, (n, joints, 3).
        anchor: points on them, (n, joints, 3).
        point: the points carried, (n, 3).

    Returns:
        (n, 6, joints): linear over angular velocities, all in the world's frame.
    """
    (ax, ay, az), (rx, ry, rz) = axis.T, (point[:, None] - anchor).T  # each (joints, n)
    columns = (ay * rz - az * ry, az * rx - ax * rz, ax * ry - ay * rx, ax, ay, az)
    return np.stack(columns).transpose(2, 0, 1)


def joint_step(jacobians: Array, motion: Array) -> Array:
    """The joints' motion, (n, joints), that comes near to a small motion (n, 6) of the point.

    Damped least squares, dq = J' (J J' + d^2 I)^-1 dx (C. Wampler, "Manipulator inverse kinematic solutions based
    on vector formulations and damped least-squares methods", IEEE SMC 16(1), 1986).
    """
    transposed = jacobians.swapaxes(1, 2)
    weights = np.linalg.solve(jacobians @ transposed + _DAMPING, motion[:, :, None])
    return np.asarray((transposed @ weights)[:, :, 0])


def turn_to(current: Array, desired: Array) -> Array:
    """The small rotation vector, (n, 3), that turns frames `current` (n, 3, 3) towards `desired` (3, 3).

    The sine of the angle about the axis of rotation: the skew part of the rotation between them.
    """
    between = desired @ current.swapaxes(1, 2)
    skew = (
        between[:, 2, 1] - between[:, 1, 2],
        between[:, 0, 2] - between[:, 2, 0],
        between[:, 1, 0] - between[:, 0, 1],
    )
    return 0.5 * np.stack(skew, axis=1)

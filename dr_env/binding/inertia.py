"""Perturbations of a rigid body's inertia that stay physically possible."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

PSEUDO_INERTIA = ("alpha", "d1", "d2", "d3", "s12", "s23", "s13", "t1", "t2", "t3")
"""The numbers of a perturbation, in the order of the field's components."""


def perturbed(numbers: Array, rows: tuple[Array, ...]) -> tuple[Array, ...]:
    """Masses, centres of mass and inertias of k bodies, moved through their pseudo-inertia.

    The pseudo-inertia of a mass distribution rho(x) is J = [[S, h], [h', m]] with S the second moment, h the first and
    m the mass, and a body is physically possible if and only if J is positive definite (Wensing, Kim, Slotine,
    "Linear matrix inequalities for physically consistent inertial parameter identification", RA-L 2017). The
    congruence J -> U J U' with

        U = exp(alpha) [[exp(d1), s12, s13, t1], [0, exp(d2), s23, t2], [0, 0, exp(d3), t3], [0, 0, 0, 1]]

    keeps that for every choice of its ten numbers, and reaches every possible body (Rucker, Wensing, "Smooth
    parameterization of rigid-body inertia", RA-L 2022, equation 12). It is the same body with every mass point
    moved by x -> A x + t, A the upper left of U / exp(alpha), and made exp(2 alpha) times as dense.

    Axes are the body's own and x counts from its centre of mass: mass is multiplied by exp(2 alpha), the centre of
    mass moves by t, and A alone stretches (d) and shears (s) the body about it.

    Args:
        numbers: (k, 10), `PSEUDO_INERTIA`.
        rows: masses (k, 1) in kg, centres of mass (k, 3) in m, orientations of the principal axes (k, 4) and
            principal moments (k, 3) in kg m^2.

    Returns:
        The same four of the perturbed bodies; moments are in descending order, as MuJoCo compiles them.
    """
    mass, centre, axes, moments = rows
    density = np.exp(2 * numbers[:, :1])  # (k, 1)
    stretch = np.zeros((len(numbers), 3, 3))
    stretch[:, (0, 1, 2), (0, 1, 2)] = np.exp(numbers[:, 1:4])
    stretch[:, (0, 1, 0), (1, 2, 2)] = numbers[:, 4:7]
    second = moments.sum(-1, keepdims=True) / 2 - moments  # of mass along the principal axes, (k, 3)
    spread = stretch @ Rotation.from_quat(axes, scalar_first=True).as_matrix()
    covariance = (spread * second[:, None]) @ spread.transpose(0, 2, 1)  # about the centre, in the body's axes
    second, axes = np.linalg.eigh(covariance)
    axes[np.linalg.det(axes) < 0] *= -1
    moments = density * (second.sum(-1, keepdims=True) - second)
    quaternions = Rotation.from_matrix(axes).as_quat(scalar_first=True)
    return density * mass, centre + numbers[:, 7:], quaternions, moments

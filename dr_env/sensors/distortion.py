"""Models of lens distortion on the plane z = 1: where rays go, and which ray came from where.

Brown-Conrady: Brown, "Close-range camera calibration", 1971, as OpenCV's calib3d has it (k1, k2, p1, p2, k3).
Kannala-Brandt: Kannala and Brandt, "A generic camera model and calibration method for conventional, wide-angle, and
fish-eye lenses", PAMI 2006, equation 6, as OpenCV's fisheye has it (k1 .. k4 over the angle itself).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Distortion
from dr_env.spatial import Array

_TOLERANCE = 1e-10  # on the plane z = 1: under a millionth of a pixel
_STEPS = 60


class LensModel(Protocol):
    """A lens on the plane z = 1; (..., 2) in and out, nan where there is no answer."""

    def distort(self, plane: Array) -> Array:
        """Where rays through `plane` come out."""
        ...

    def undistort(self, plane: Array) -> Array:
        """Rays that come out at `plane`: the inverse, within 1e-10."""
        ...


def _first_root(polynomial: list[float]) -> float:
    """The least positive real root of a polynomial in x^2, lowest power first, as x; infinity if there is none."""
    roots = np.polynomial.polynomial.polyroots(np.trim_zeros(polynomial, "b") or [1.0])
    real = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 1e-12)]
    return math.sqrt(real.min()) if len(real) else math.inf


@dataclass(frozen=True)
class BrownConrady:
    """Radial and tangential distortion.

    With r^2 = x^2 + y^2 and a = 1 + k1 r^2 + k2 r^4 + k3 r^6:
    x' = a x + 2 p1 x y + p2 (r^2 + 2 x^2), y' = a y + p1 (r^2 + 2 y^2) + 2 p2 x y.
    Beyond the radius at which r a(r) stops growing, the picture would fold over; nothing is seen there.
    """

    k1: float
    k2: float
    p1: float
    p2: float
    k3: float

    @property
    def limit(self) -> float:
        """The radius at which r a(r) is greatest: the first root of 1 + 3 k1 r^2 + 5 k2 r^4 + 7 k3 r^6."""
        return _first_root([1.0, 3 * self.k1, 5 * self.k2, 7 * self.k3])

    def distort(self, plane: Array) -> Array:
        """Where rays through `plane` come out."""
        moved = self._forward(plane)
        moved[(plane**2).sum(-1) > self.limit**2] = np.nan
        return moved

    def _forward(self, plane: Array) -> Array:
        x, y = plane[..., 0], plane[..., 1]
        r2 = x * x + y * y
        a = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        return np.stack(
            [
                a * x + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x),
                a * y + self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y,
            ],
            -1,
        )

    def undistort(self, plane: Array) -> Array:
        """Rays that come out at `plane`, by Newton's method from there; nan where it finds none before the fold."""
        target = np.asarray(plane, np.float64).reshape(-1, 2)
        found = target.copy()
        # the radial part alone, by bisection, starts Newton on the right side of the fold
        limit = min(self.limit, 1e3)
        far = np.sqrt((target**2).sum(-1))
        low, high = np.zeros(len(far)), np.full(len(far), limit)
        for _ in range(12 if any((self.k1, self.k2, self.k3)) else 0):
            middle = (low + high) / 2
            m2 = middle * middle
            beyond = middle * (1 + m2 * (self.k1 + m2 * (self.k2 + m2 * self.k3))) > far
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        if any((self.k1, self.k2, self.k3)):
            found *= ((low + high) / 2 / np.maximum(far, 1e-12))[:, None]
            found[far < 1e-12] = 0
        left: NDArray[np.intp] = np.arange(len(target))
        for _ in range(_STEPS):
            at = found[left]
            error = self._forward(at) - target[left]
            wrong = np.abs(error).max(-1) > _TOLERANCE
            left, at, error = left[wrong], at[wrong], error[wrong]
            if not len(left):
                break
            step = self._solve(at, error)
            found[left] = at - step
        found[left] = np.nan
        found[(found**2).sum(-1) > limit**2 * (1 + 1e-9)] = np.nan
        return found.reshape(np.shape(plane))

    def _solve(self, plane: Array, error: Array) -> Array:
        """The inverse of the Jacobian at `plane` times `error`; not longer than the point is far out."""
        x, y = plane[..., 0], plane[..., 1]
        r2 = x * x + y * y
        a = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        slope = 2 * (self.k1 + r2 * (2 * self.k2 + 3 * self.k3 * r2))  # da/dx = slope x
        xx = a + slope * x * x + 2 * self.p1 * y + 6 * self.p2 * x
        yy = a + slope * y * y + 6 * self.p1 * y + 2 * self.p2 * x
        xy = slope * x * y + 2 * self.p1 * x + 2 * self.p2 * y  # symmetric
        determinant = xx * yy - xy * xy
        determinant = np.where(np.abs(determinant) < 1e-12, 1e-12, determinant)
        step = np.stack(
            [(yy * error[..., 0] - xy * error[..., 1]), (xx * error[..., 1] - xy * error[..., 0])], -1
        ) / determinant[..., None]  # fmt: skip
        longest = 0.5 * (np.sqrt(r2) + 0.1)
        length = np.sqrt((step**2).sum(-1))
        return np.asarray(step * np.minimum(1, longest / np.maximum(length, 1e-300))[..., None])


@dataclass(frozen=True)
class KannalaBrandt:
    """A fisheye: the angle t from the axis comes out at the radius t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8).

    Rays on the plane z = 1 are less than 90 degrees from the axis; what the lens sees further round has no pinhole
    picture and is nan.
    """

    k1: float
    k2: float
    k3: float
    k4: float

    @property
    def limit(self) -> float:
        """The angle at which the radius stops growing, or 90 degrees."""
        return min(_first_root([1.0, 3 * self.k1, 5 * self.k2, 7 * self.k3, 9 * self.k4]), math.pi / 2)

    def _radius(self, angle: Array) -> Array:
        t2 = angle * angle
        return angle * (1 + t2 * (self.k1 + t2 * (self.k2 + t2 * (self.k3 + t2 * self.k4))))

    def distort(self, plane: Array) -> Array:
        """Where rays through `plane` come out."""
        r = np.sqrt((plane**2).sum(-1))
        angle = np.arctan(r)
        out = np.where(angle <= self.limit, self._radius(angle), np.nan)
        return np.asarray(plane * np.where(r > 1e-12, out / np.maximum(r, 1e-12), 1.0)[..., None])

    def undistort(self, plane: Array) -> Array:
        """Rays that come out at `plane`: the radius's inverse, by Newton's method kept between two bounds."""
        out = np.sqrt((np.asarray(plane, np.float64) ** 2).sum(-1))
        low, high = np.zeros_like(out), np.full_like(out, self.limit)
        angle = np.minimum(out, self.limit)
        for _ in range(_STEPS):
            error = self._radius(angle) - out
            if np.abs(error).max(initial=0.0) < _TOLERANCE:
                break
            low, high = np.where(error < 0, angle, low), np.where(error > 0, angle, high)
            t2 = angle * angle
            slope = 1 + t2 * (3 * self.k1 + t2 * (5 * self.k2 + t2 * (7 * self.k3 + t2 * 9 * self.k4)))
            newton = angle - error / np.where(np.abs(slope) < 1e-12, 1e-12, slope)
            angle = np.where((newton > low) & (newton < high), newton, (low + high) / 2)
        seen = (np.abs(self._radius(angle) - out) < 1e-9) & (angle < math.pi / 2 - 1e-6)
        factor = np.where(out > 1e-12, np.tan(np.where(seen, angle, 0.0)) / np.maximum(out, 1e-12), 1.0)
        return np.asarray(plane * np.where(seen, factor, np.nan)[..., None])


_MODELS = {"brown_conrady": (BrownConrady, 5), "kannala_brandt": (KannalaBrandt, 4)}


def lens_model(distortion: Distortion) -> LensModel:
    """The model of a Distortion. Raises DREnvError for an unknown name or a wrong number of coefficients."""
    if distortion.model not in _MODELS:
        raise DREnvError(unknown_name("lens model", distortion.model, _MODELS))
    model, count = _MODELS[distortion.model]
    given = distortion.coefficients
    if len(given) != count or not np.isfinite(given).all():
        raise DREnvError(f"lens: {distortion.model}: got {list(given)}, expected {count} finite coefficients")
    made: LensModel = model(*given)
    return made

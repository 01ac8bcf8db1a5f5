"""Rotations, rigid transforms and pinhole cameras, in numpy alone.

Quaternions are (w, x, y, z), as MuJoCo's. `b_from_a` names the transform that takes coordinates in `a` to coordinates
in `b`, so `c_from_b @ b_from_a` is `c_from_a`. Cameras follow OpenCV: x right, y down, z forward, and pixel (0, 0) is
the *centre* of the top left pixel. Every function takes leading axes and keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.errors import DREnvError

Array = NDArray[np.float64]

OPENCV_FROM_OPENGL: Array = np.diag([1.0, -1.0, -1.0])
"""OpenGL's camera (y up, looking along -z) in OpenCV's axes; its own inverse."""
OPENCV_FROM_OPENGL.flags.writeable = False


# quaternions and rotations


def quat_multiply(a: ArrayLike, b: ArrayLike) -> Array:
    """The Hamilton product of quaternions (..., 4): the rotation `b`, then `a`."""
    w1, x1, y1, z1 = np.moveaxis(np.asarray(a, np.float64), -1, 0)
    w2, x2, y2, z2 = np.moveaxis(np.asarray(b, np.float64), -1, 0)
    return np.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ],
        -1,
    )


def quat_conjugate(quat: ArrayLike) -> Array:
    """The inverse rotation of unit quaternions (..., 4)."""
    return np.asarray(np.asarray(quat, np.float64) * np.array([1.0, -1.0, -1.0, -1.0]))


def quat_to_matrix(quat: ArrayLike) -> Array:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4), which need not have unit length."""
    q = np.asarray(quat, np.float64)
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def matrix_to_quat(matrix: ArrayLike) -> Array:
    """Unit quaternions (..., 4) with w >= 0 of rotation matrices (..., 3, 3).

    The largest of the four squared components is the one divided by, so no rotation is ill conditioned
    (Shepperd, "Quaternion from rotation matrix", 1978).
    """
    m = np.asarray(matrix, np.float64)
    m00, m01, m02 = m[..., 0, 0], m[..., 0, 1], m[..., 0, 2]
    m10, m11, m12 = m[..., 1, 0], m[..., 1, 1], m[..., 1, 2]
    m20, m21, m22 = m[..., 2, 0], m[..., 2, 1], m[..., 2, 2]
    # row i is 4 q_i q, so the row with the largest diagonal is the quaternion up to scale
    candidates = np.stack(
        [
            np.stack([1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01], -1),
            np.stack([m21 - m12, 1 + m00 - m11 - m22, m01 + m10, m02 + m20], -1),
            np.stack([m02 - m20, m01 + m10, 1 - m00 + m11 - m22, m12 + m21], -1),
            np.stack([m10 - m01, m02 + m20, m12 + m21, 1 - m00 - m11 + m22], -1),
        ],
        -2,
    )  # (..., 4, 4)
    best = np.diagonal(candidates, axis1=-2, axis2=-1).argmax(-1)
    quat = np.take_along_axis(candidates, best[..., None, None], -2)[..., 0, :]
    quat = quat / np.linalg.norm(quat, axis=-1, keepdims=True)
    return np.asarray(np.where(quat[..., :1] < 0, -quat, quat))


def axis_angle(axis: ArrayLike, angle: ArrayLike) -> Array:
    """Quaternions (..., 4) that turn by `angle` (...) radians about `axis` (..., 3)."""
    direction = np.asarray(axis, np.float64)
    direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    half = np.asarray(angle, np.float64)[..., None] / 2
    return np.concatenate([np.cos(half), np.sin(half) * direction], -1)


def rotation_angle(a: ArrayLike, b: ArrayLike) -> Array:
    """The angle (...) in radians between rotation matrices (..., 3, 3)."""
    relative = np.swapaxes(np.asarray(a, np.float64), -1, -2) @ np.asarray(b, np.float64)
    # of a rotation by t: |skew part| = sin t, (trace - 1) / 2 = cos t; arctan2 is exact at 0 and at pi
    skew = relative - np.swapaxes(relative, -1, -2)
    sine = np.linalg.norm(np.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1), axis=-1) / 2
    return np.asarray(np.arctan2(sine, (np.trace(relative, axis1=-2, axis2=-1) - 1) / 2))


# rigid transforms


def transform(rotation: ArrayLike, translation: ArrayLike) -> Array:
    """Rigid transforms (..., 4, 4) of rotation matrices (..., 3, 3) and translations (..., 3)."""
    rotation, translation = np.asarray(rotation, np.float64), np.asarray(translation, np.float64)
    shape = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    made = np.zeros((*shape, 4, 4))
    made[..., :3, :3] = rotation
    made[..., :3, 3] = translation
    made[..., 3, 3] = 1.0
    return made


def inverse(rigid: ArrayLike) -> Array:
    """The inverse of rigid transforms (..., 4, 4)."""
    rigid = np.asarray(rigid, np.float64)
    rotation = np.swapaxes(rigid[..., :3, :3], -1, -2)
    return transform(rotation, -(rotation @ rigid[..., :3, 3:])[..., 0])


def apply(rigid: ArrayLike, points: ArrayLike) -> Array:
    """Points (..., n, 3) moved by rigid transforms (..., 4, 4)."""
    rigid = np.asarray(rigid, np.float64)
    moved = np.asarray(points, np.float64) @ np.swapaxes(rigid[..., :3, :3], -1, -2)
    return np.asarray(moved + rigid[..., None, :3, 3])


def still(point: ArrayLike, discrete: ArrayLike, continuous: Sequence[tuple[Array, Array]]) -> Array:
    """The point (3,) that symmetries leave where it is: the middle of all the places where they take a point.

    Args:
        point: (3,); where there are no symmetries, that is the answer.
        discrete: (D, 4, 4) rigid transforms of a group, without the identity.
        continuous: (axis (3,), offset (3,)) of each axis about which any turn is one.
    """
    middle = np.concatenate([np.eye(4)[None], discrete]) @ np.append(np.asarray(point, np.float64), 1.0)
    middle = middle.mean(axis=0)[:3]
    # then the nearest point to it on the axis, or where axes meet
    across = np.zeros((3, 3))
    wanted = np.zeros(3)
    for axis, offset in continuous:
        unit = np.asarray(axis) / np.linalg.norm(axis)
        across += np.eye(3) - np.outer(unit, unit)
        wanted += offset - unit * (unit @ offset)
    return np.asarray(middle + np.linalg.pinv(across) @ (wanted - across @ middle))


def box_corners(low: ArrayLike, high: ArrayLike) -> Array:
    """The eight corners (..., 8, 3) of axis-aligned boxes; corner k takes `high` where bit 0, 1, 2 of k is set."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    upper = (np.arange(8)[:, None] >> np.arange(3)) & 1  # (8, 3)
    return np.where(upper.astype(bool), high[..., None, :], low[..., None, :])


# cameras


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion: image size and focal lengths in pixels, and where its axis meets the image.

    Attributes:
        width, height: image size in pixels.
        fx, fy: focal lengths in pixels.
        cx, cy: principal point, in OpenCV's convention: the centre of the top left pixel is (0, 0).
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise DREnvError(f"intrinsics: got an image of {self.width} x {self.height}, expected at least 1 x 1")
        if not (np.isfinite([self.fx, self.fy, self.cx, self.cy]).all() and self.fx > 0 and self.fy > 0):
            raise DREnvError(f"intrinsics: got fx {self.fx}, fy {self.fy}, cx {self.cx}, cy {self.cy}, expected fx > 0")

    @classmethod
    def from_fovy(cls, width: int, height: int, fovy: float) -> Intrinsics:
        """Square pixels and a centred principal point, of a vertical field of view in degrees."""
        if not 0 < fovy < 180:
            raise DREnvError(f"intrinsics: got a vertical field of view of {fovy} degrees, expected 0 < fovy < 180")
        focal = height / 2 / np.tan(np.deg2rad(fovy) / 2)
        return cls(width, height, float(focal), float(focal), (width - 1) / 2, (height - 1) / 2)

    @classmethod
    def from_matrix(cls, matrix: ArrayLike, width: int, height: int) -> Intrinsics:
        """Of OpenCV's camera matrix K (3, 3), or its nine numbers; a skew is refused."""
        k = np.asarray(matrix, np.float64)
        if k.size != 9:
            raise DREnvError(f"intrinsics: got {k.size} numbers for K, expected 9")
        k = k.reshape(3, 3)
        if k[0, 1] or k[1, 0] or k[2, 0] or k[2, 1] or k[2, 2] != 1:
            raise DREnvError(f"intrinsics: got K {k.tolist()}, expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
        return cls(width, height, float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))

    @classmethod
    def from_frustum(
        cls, width: int, height: int, near: float, half_width: float, center: float, bottom: float, top: float
    ) -> Intrinsics:
        """Of an OpenGL frustum as in MuJoCo's `mjvGLCamera`: extents on the near plane, whose centre is `center`.

        The frustum ends at pixel edges, half a pixel outside the outermost pixel centres.
        """
        return cls(
            width,
            height,
            width * near / (2 * half_width),
            height * near / (top - bottom),
            width * (half_width - center) / (2 * half_width) - 0.5,
            height * top / (top - bottom) - 0.5,
        )

    def frustum(self, near: float) -> tuple[float, float, float, float]:
        """The OpenGL frustum (half_width, center, bottom, top) on the near plane; undoes `from_frustum`."""
        left, right = -(self.cx + 0.5) / self.fx, (self.width - 0.5 - self.cx) / self.fx
        top, bottom = (self.cy + 0.5) / self.fy, -(self.height - 0.5 - self.cy) / self.fy
        return near * (right - left) / 2, near * (right + left) / 2, near * bottom, near * top

    @property
    def K(self) -> Array:
        """OpenCV's camera matrix (3, 3)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def scaled(self, width: int, height: int) -> Intrinsics:
        """The same view on an image of another size."""
        x, y = width / self.width, height / self.height
        return Intrinsics(width, height, self.fx * x, self.fy * y, (self.cx + 0.5) * x - 0.5, (self.cy + 0.5) * y - 0.5)

    def window(self, x: int, y: int, width: int, height: int) -> Intrinsics:
        """The same camera on another part of its image plane, whose top left pixel is (x, y); may reach outside."""
        return Intrinsics(width, height, self.fx, self.fy, self.cx - x, self.cy - y)

    def rays(self) -> Array:
        """The direction (height, width, 3) through each pixel's centre, with z = 1, in the camera."""
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        return np.stack([(u - self.cx) / self.fx, (v - self.cy) / self.fy, np.ones(u.shape)], -1)

    def unproject(self, pixels: ArrayLike, depth: ArrayLike) -> Array:
        """Points (..., 3) in the camera, in metres, seen at `pixels` (..., 2) at `depth` (...) along z."""
        pixels, z = np.asarray(pixels, np.float64), np.asarray(depth, np.float64)
        return np.stack([(pixels[..., 0] - self.cx) / self.fx * z, (pixels[..., 1] - self.cy) / self.fy * z, z], -1)

    def contains(self, pixels: ArrayLike) -> NDArray[np.bool_]:
        """Which of `pixels` (..., 2) lie in the image, out to its edges."""
        pixels = np.asarray(pixels, np.float64)
        size = np.array([self.width, self.height]) - 0.5
        return np.asarray(((pixels >= -0.5) & (pixels < size)).all(-1))


def project(points: ArrayLike, intrinsics: Intrinsics, camera_from_points: ArrayLike | None = None) -> Array:
    """Where points (..., n, 3) are seen: pixels (..., n, 2), in OpenCV's convention.

    Args:
        points: in metres, in the camera's frame or in the frame that `camera_from_points` (..., 4, 4) takes to it.
        intrinsics: the camera.
        camera_from_points: a rigid transform.

    Returns:
        Pixels; nan for points that are not before the camera.
    """
    seen = np.asarray(points, np.float64) if camera_from_points is None else apply(camera_from_points, points)
    z = np.where(seen[..., 2] > 0, seen[..., 2], np.nan)
    return np.stack(
        [intrinsics.fx * seen[..., 0] / z + intrinsics.cx, intrinsics.fy * seen[..., 1] / z + intrinsics.cy], -1
    )


def diameter(points: Array) -> float:
    """The largest distance between two of the points (n, 3); exact."""
    x = points - (points.min(axis=0) + points.max(axis=0)) / 2
    radius = np.linalg.norm(x, axis=1)
    # some pair that is far apart: most points are too near to the middle to be farther from any other
    first = x[int(radius.argmax())]
    best = float(np.linalg.norm(x - first, axis=1).max())
    x = x[radius + radius.max() >= best * (1 - 1e-12)]
    squares = np.square(x).sum(axis=1)
    for i in range(0, len(x), 512):
        part = squares[i : i + 512, None] + squares - 2 * x[i : i + 512] @ x.T
        a, b = np.unravel_index(int(part.argmax()), part.shape)
        best = max(best, float(np.linalg.norm(x[i + int(a)] - x[int(b)])))  # the sums lose digits
    return best

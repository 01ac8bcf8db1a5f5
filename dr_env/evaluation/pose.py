"""How far estimated poses are from the true ones.

Every function takes n estimated and n true poses (n, 4, 4), camera_from_object in metres, and returns n errors.
Symmetries are rigid transforms (S, 4, 4) of the object's frame, the identity among them: the error is the least over
the poses that look like the true one.

Definitions are those of the BOP benchmark (Hodan et al., "BOP: Benchmark for 6D object pose estimation", ECCV 2018, and
"BOP challenge 2020 on 6D object localization", ECCV workshops 2020) and its toolkit, github.com/thodan/bop_toolkit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import ConvexHull, KDTree, QhullError

from dr_env.spatial import Array, Intrinsics, apply, inverse, rotation_angle

IDENTITY: Array = np.eye(4)[None]
"""The symmetries (1, 4, 4) of an object that has none."""
IDENTITY.flags.writeable = False

SYMMETRY_STEPS = 315
"""Turns about an axis of symmetry that stand for all of them: ceil(pi / 0.01), as BOP's toolkit has it."""
VSD_DELTA = 0.015
"""Metres by which a measured surface may lie before a model's without hiding it, of VSD."""
TAUS: Array = np.arange(1, 11, dtype=np.float64) * 0.05
"""VSD's tolerances of misalignment, in diameters, as in BOP 2019."""
TAUS.flags.writeable = False

_MOST = 1_500_000  # points held at once
_FEW = 128  # points that symmetries are first compared by
_NEAREST = 16  # symmetries that are then compared by all points

_Measure = Callable[[Array, Array, Array, NDArray[np.intp]], Array]
"""Errors (m,) of m estimated and m true poses (m, 4, 4), of points (V, 3), and of the places of these pairs (m,)."""


def position_error(estimated: ArrayLike, true: ArrayLike, middle: ArrayLike = (0.0, 0.0, 0.0)) -> Array:
    """Distances (n,) in metres between where estimated and true objects are.

    `middle` (3,) says which of their points that is: one that no symmetry moves, or poses that look alike differ.
    """
    point = np.asarray(middle, np.float64)[None]
    return np.asarray(np.linalg.norm(apply(estimated, point) - apply(true, point), axis=-1)[:, 0])


def rotation_error(estimated: ArrayLike, true: ArrayLike, motions: ArrayLike = IDENTITY) -> Array:
    """Angles (n,) in radians between estimated and true rotations, the least over the symmetries."""
    return _least(
        estimated, true, motions, np.zeros((1, 3)), lambda a, b, *_: rotation_angle(a[:, :3, :3], b[:, :3, :3])
    )


def add(estimated: ArrayLike, true: ArrayLike, vertices: ArrayLike) -> Array:
    """ADD: mean distances (n,) in metres of the model's points (V, 3) from pose to pose (Hinterstoisser, ACCV 2012)."""
    points = np.asarray(vertices, np.float64)
    return _least(estimated, true, IDENTITY, points, lambda a, b, p, _: _distances(a, b, p).mean(-1))


def add_s(estimated: ArrayLike, true: ArrayLike, vertices: ArrayLike) -> Array:
    """ADD-S, or ADI: mean distances (n,) in metres from true points (V, 3) to the nearest estimated ones."""
    points = np.asarray(vertices, np.float64)
    tree = KDTree(points)  # rigid motions keep distances: one tree, in the estimated object's frame

    def nearest(a: Array, b: Array, p: Array, _: NDArray[np.intp]) -> Array:
        found = np.asarray(tree.query(apply(inverse(a) @ b, p))[0])  # (n, V)
        return np.asarray(found.mean(-1))

    return _least(estimated, true, IDENTITY, points, nearest)


def reprojection_error(
    estimated: ArrayLike, true: ArrayLike, vertices: ArrayLike, cameras: ArrayLike, motions: ArrayLike = IDENTITY
) -> Array:
    """Mean distances (n,) in pixels of points (V, 3) in the image, from pose to pose (Brachmann, CVPR 2016).

    Args:
        estimated: (n, 4, 4).
        true: (n, 4, 4).
        vertices: (V, 3) m.
        cameras: camera matrices K (n, 3, 3), or one for all (3, 3).
        motions: symmetries (S, 4, 4).

    Returns:
        Errors; infinity where a point of the estimated object is not before the camera.
    """
    points, k = np.asarray(vertices, np.float64), _matrices(cameras, estimated)
    return _least(estimated, true, motions, points, lambda a, b, p, i: _seen(a, b, p, k[i]).mean(-1))


def mssd(estimated: ArrayLike, true: ArrayLike, vertices: ArrayLike, motions: ArrayLike = IDENTITY) -> Array:
    """Maximum symmetry-aware surface distances (n,) in metres."""
    points = np.asarray(vertices, np.float64)
    if len(points) > 64:
        with contextlib.suppress(QhullError):  # of flat ones
            # a distance of affine images is convex, so its maximum is at a point of the hull
            points = points[ConvexHull(points).vertices]
    return _least(estimated, true, motions, points, lambda a, b, p, _: _distances(a, b, p).max(-1), greatest=True)


def mspd(
    estimated: ArrayLike, true: ArrayLike, vertices: ArrayLike, cameras: ArrayLike, motions: ArrayLike = IDENTITY
) -> Array:
    """Maximum symmetry-aware projection distances (n,) in pixels; arguments as of `reprojection_error`."""
    points, k = np.asarray(vertices, np.float64), _matrices(cameras, estimated)
    return _least(estimated, true, motions, points, lambda a, b, p, i: _seen(a, b, p, k[i]).max(-1), greatest=True)


def vsd(
    estimated: ArrayLike,
    true: ArrayLike,
    measured: ArrayLike,
    intrinsics: Intrinsics,
    diameter: float,
    delta: float = VSD_DELTA,
    taus: ArrayLike = TAUS,
) -> Array:
    """Visible surface discrepancy of one estimate: the share of visible pixels whose surface is not where it should be.

    Args:
        estimated: depth (h, w) of the object alone at the estimated pose, metres along z; 0 where it is not.
        true: the same at the true pose.
        measured: depth of the whole scene; 0 where it is unknown, and everything counts as visible.
        intrinsics: the camera of all three.
        diameter: of the object, m.
        delta: m; see `VSD_DELTA`.
        taus: (T,) tolerances in diameters.

    Returns:
        Discrepancies (T,), 0 to 1, with the step cost of BOP 2019.
    """
    along = np.linalg.norm(intrinsics.rays(), axis=-1)  # distances along the ray are compared
    here, there, scene = (np.asarray(depth, np.float64) * along for depth in (estimated, true, measured))
    visible_true = (there > 0) & ((there - scene <= delta) | (scene == 0))
    visible = (here > 0) & ((here - scene <= delta) | (scene == 0) | visible_true)
    both, either = visible & visible_true, int((visible | visible_true).sum())
    bounds = np.asarray(taus, np.float64)
    if not either:
        return np.ones(len(bounds))
    apart = np.abs(here[both] - there[both]) / diameter
    wrong = (apart[None] >= bounds[:, None]).sum(-1) + either - len(apart)
    return np.asarray(wrong / either)


def _least(
    estimated: ArrayLike, true: ArrayLike, motions: ArrayLike, points: Array, measure: _Measure, greatest: bool = False
) -> Array:
    """The least of `measure` over symmetric true poses (n,), a bounded number of points at a time.

    Of many symmetries of many points, only those are measured with all points that are nearest with a few. Where the
    measure is the `greatest` error of any point, a few of them bound it from below, and none is missed; a mean may come
    out too large by what neighbouring symmetries differ by.
    """
    a, b = (np.asarray(poses, np.float64).reshape(-1, 4, 4) for poses in (estimated, true))
    moves = np.asarray(motions, np.float64)
    few = points[np.linspace(0, len(points) - 1, min(_FEW, len(points))).astype(int)]
    searched = len(points) > _FEW and len(moves) > _NEAREST
    held = max(len(few) * len(moves), len(points) * _NEAREST) if searched else len(points) * len(moves)
    step = max(1, _MOST // max(held, 1))
    least = np.full(len(a), np.inf)
    for start in range(0, len(a), step):
        i = np.arange(start, min(start + step, len(a)))
        chosen = np.broadcast_to(moves, (len(i), *moves.shape))
        if searched:
            bounds = _table(a, b, i, chosen, few, measure)
            nearest = bounds.argpartition(_NEAREST, -1)[:, :_NEAREST]
            chosen = moves[nearest]
        least[i] = _table(a, b, i, chosen, points, measure).min(-1)
        if searched and greatest:
            np.put_along_axis(bounds, nearest, np.inf, -1)
            for row, pair in enumerate(i):
                rest = np.flatnonzero(bounds[row] < least[pair])
                for some in np.array_split(rest, -(-len(rest) // _NEAREST) or 1):
                    if len(some):
                        found = _table(a, b, i[row : row + 1], moves[some][None], points, measure)
                        least[pair] = min(least[pair], found.min())
    return least


def _table(a: Array, b: Array, i: NDArray[np.intp], moves: Array, points: Array, measure: _Measure) -> Array:
    """`measure` of pairs `i` under motions (len(i), S, 4, 4) of each: (len(i), S)."""
    count = moves.shape[1]
    poses = (b[i, None] @ moves).reshape(-1, 4, 4)
    return measure(np.repeat(a[i], count, 0), poses, points, np.repeat(i, count)).reshape(len(i), count)


def _distances(a: Array, b: Array, points: Array) -> Array:
    """Distances (n, V) between points (V, 3) moved by either of two poses (n, 4, 4)."""
    apart = a - b
    return np.asarray(np.linalg.norm(points @ np.swapaxes(apart[:, :3, :3], 1, 2) + apart[:, None, :3, 3], axis=-1))


def _matrices(cameras: ArrayLike, poses: ArrayLike) -> Array:
    return np.broadcast_to(np.asarray(cameras, np.float64), (len(np.asarray(poses)), 3, 3))


def _seen(a: Array, b: Array, points: Array, k: Array) -> Array:
    """Distances (n, V) in pixels between points moved by either pose; infinity where one is not before the camera."""
    pixels = []
    for poses in (a, b):
        image = apply(poses, points) @ np.swapaxes(k, 1, 2)
        depth = image[..., 2:]
        pixels.append(image[..., :2] / np.where(depth > 0, depth, np.nan))
    apart = np.linalg.norm(pixels[0] - pixels[1], axis=-1)
    return np.where(np.isnan(apart), np.inf, apart)

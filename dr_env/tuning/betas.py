"""Independent Beta distributions: what an optimizer needs of them, in float64, with gradients.

A vector of parameters holds the logarithms of all alphas, then of all betas, (2 d,). In float32 the
divergence of neighbouring distributions comes out as noise, even negative, and an optimizer stands still.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]


def split(theta: Array) -> tuple[Array, Array]:
    """Alphas and betas, (d,) each."""
    half = len(theta) // 2
    return np.exp(theta[:half]), np.exp(theta[half:])


def entropy(theta: Array, counts: Array) -> tuple[float, Array]:
    """Entropy on the unit cube and its gradient, (2 d,); `counts` (d,) says how many values each has."""
    a, b = split(theta)
    h = (
        special.betaln(a, b)
        - (a - 1) * special.digamma(a)
        - (b - 1) * special.digamma(b)
        + (a + b - 2) * special.digamma(a + b)
    )
    both = (a + b - 2) * special.polygamma(1, a + b)
    da = both - (a - 1) * special.polygamma(1, a)
    db = both - (b - 1) * special.polygamma(1, b)
    # d/d(log a) = a d/da
    return float(counts @ h), np.concatenate([counts * da * a, counts * db * b])


def divergence(theta: Array, old: Array, counts: Array) -> tuple[float, Array]:
    """KL(theta || old) and its gradient, (2 d,)."""
    (a, b), (a0, b0) = split(theta), split(old)
    kl = (
        special.betaln(a0, b0)
        - special.betaln(a, b)
        + (a - a0) * special.digamma(a)
        + (b - b0) * special.digamma(b)
        + (a0 - a + b0 - b) * special.digamma(a + b)
    )
    both = (a0 - a + b0 - b) * special.polygamma(1, a + b)
    da = (a - a0) * special.polygamma(1, a) + both
    db = (b - b0) * special.polygamma(1, b) + both
    return float(counts @ kl), np.concatenate([counts * da * a, counts * db * b])


def fisher(theta: Array, counts: Array) -> Array:
    """Fisher information, (2 d, 2 d): the divergence of a small change is half of its quadratic form."""
    a, b = split(theta)
    both = special.polygamma(1, a + b)
    blocks = np.diag(np.concatenate([special.polygamma(1, a) - both, special.polygamma(1, b) - both]))
    across = np.diag(-both)
    half = len(a)
    blocks[:half, half:] += across
    blocks[half:, :half] += across
    scale = np.concatenate([a, b])
    return np.asarray(blocks * np.outer(scale, scale) * np.outer(np.tile(counts, 2), np.ones(2 * half)))


def log_density(theta: Array, sums: tuple[Array, Array], counts: Array) -> tuple[Array, Array]:
    """Log densities (n,) and their gradients (n, 2 d), of values u given as sums of log u and log(1 - u).

    Args:
        theta: (2 d,).
        sums: over the values of each entry, (n, d) each.
        counts: (d,) values of each entry.
    """
    a, b = split(theta)
    log_u, log_v = sums
    norm = special.betaln(a, b)
    density = (log_u * (a - 1) + log_v * (b - 1) - counts * norm).sum(1)
    psi = special.digamma(a + b)
    da = log_u - counts * (special.digamma(a) - psi)
    db = log_v - counts * (special.digamma(b) - psi)
    return density, np.concatenate([da * a, db * b], axis=1)

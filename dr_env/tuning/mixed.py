"""What recordings say about parameters when the model is not quite right: a linear mixed model.

Around a point theta the residual of transition t is r_t + J_t (theta_t - theta). A model that lacks something (a
delay, say) is wrong differently in every state, as though each transition had parameters of its own:

    theta_t = mu + b_t,  b_t ~ N(0, T),    r_t + J_t (theta_t - theta) = e_t,  e_t ~ N(0, S)          (1)

so that r_t ~ N(-J_t (mu - theta), C_t) with C_t = S + J_t T J_t'. `fit` finds mu and S by expectation maximisation
(Laird and Ware, "Random-effects models for longitudinal data", Biometrics 1982) and T, which that would take long
for, by minorisation (Zhou et al., "MM algorithms for variance components models", JCGS 2019), with weights
that make the marginal a Student t (Lange, Little and Taylor, "Robust statistical modeling using the t distribution",
JASA 1989), since contacts give outliers.

What acts late (a delay, a filter) shows as the effect of the same parameter in an earlier transition. For each lag l

    r_t + J_t (theta_t - theta) + sum over l of (J_{t-l} - J_t) eta_l = e_t,    G_t = [J_t, J_{t-1} - J_t, ...]     (2)

where eta is 0 but for a normal distribution whose variances are learnt (automatic relevance determination; MacKay,
"Bayesian interpolation", Neural Computation 1992). Since lateness moves an effect without changing its sum, mu stays
what a constant parameter would be.

What noise explains goes into S and averages out over transitions; what only other parameters explain goes into T and
does not, since it is the same mistake every time. The spread to believe is therefore that of mu plus T.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TOLERANCE = 1e-3  # relative change of T and S at which iterations end
_RENEWED = 1e-6  # least variance in T to begin with, since what is 0 stays 0
_FLOOR = 1e-9  # least standard deviation of a residual, in its coordinate's scale
_LEAST_SPREAD = 1e-9  # least standard deviation of b, in units of the parameters


@dataclasses.dataclass(frozen=True)
class Mixed:
    """A fitted mixed model.

    Args:
        shift: mu - theta, (d,).
        covariance: of mu, (d, d); for agreeing blocks, see `inflation`.
        spread: diagonal of T, (d,): variances between transitions that noise does not explain.
        noise: S, (m, m).
        lateness: variances of eta, (lags d,).
        late: eta itself, (lags d,): the share of each effect that comes one transition late, two, ...
        offset: what lateness adds to errors, (k, m).
        precision: C_t^-1, (k, m, m).
        inflation: by how much blocks of transitions that were left out disagree with the others, at least 1.
        widest: variances of the prior, (d,).
    """

    shift: Array
    covariance: Array
    spread: Array
    noise: Array
    lateness: Array
    late: Array
    offset: Array
    precision: Array
    inflation: float
    widest: Array

    def loss(self, errors: Array, freedom: float) -> Array:
        """Minus the log likelihood of errors elsewhere, (n, k, m) to (n,), up to a constant; infinite for NaN."""
        m = errors.shape[2]
        moved = errors + self.offset
        distance = ((moved[:, :, None, :] @ self.precision)[:, :, 0] * moved).sum(2)  # (n, k)
        each = distance / 2 if np.isinf(freedom) else (freedom + m) / 2 * np.log1p(distance / freedom)
        total = each.sum(1)
        return np.where(np.isfinite(total), total, np.inf)

    def total(self, share: float = 1.0) -> Array:
        """The covariance to believe: `inflation` times that of mu, and `share` of T, (d, d); never beyond the prior."""
        believed = self.inflation * self.covariance + share * np.diag(self.spread)
        drawn_in = np.minimum(1.0, np.sqrt(self.widest / np.diag(believed)))
        return believed * drawn_in[:, None] * drawn_in[None, :]


def fit(
    residuals: Array,
    jacobians: Array,
    precision: Array,
    centre: Array,
    *,
    lags: int = 2,
    freedom: float = np.inf,
    blocks: int = 10,
    start: Mixed | None = None,
    iterations: int = 80,
) -> Mixed:
    """Fits the mixed model.

    Args:
        residuals: at theta, (k, m), in the order of time.
        jacobians: of the residuals, (k, m, d).
        precision: of the Gaussian prior of mu, (d,).
        centre: of that prior, relative to theta, (d,).
        lags: by up to how many transitions effects may come late; 0 for none.
        freedom: degrees of freedom of the Student t; infinite for a Gaussian.
        blocks: into how many the transitions are cut to see whether they agree.
        start: a fit at a point nearby, whose T, S and lateness to begin with.
        iterations: at most.
    """
    k, m, d = jacobians.shape
    late = [np.roll(jacobians, lag, axis=0) - jacobians for lag in range(1, min(lags, k - 1) + 1)]
    for lag, slopes in enumerate(late, 1):
        slopes[:lag] = 0.0
    regressors = np.concatenate([jacobians, *late], axis=2)  # G_t of equation 2, (k, m, d + lags d)
    widest = 1 / precision  # transitions differ by no more than the prior allows
    q = regressors.shape[2] - d
    if start is None:
        noise, spread, lateness = _shrunk(residuals.T @ residuals / k, k), np.minimum(widest, 0.01), np.full(q, 0.1)
    else:
        noise, spread = start.noise, np.maximum(start.spread, _RENEWED)
        lateness = np.maximum(start.lateness[:q], _RENEWED)
    prior = np.concatenate([centre, np.zeros(q)])
    shift = np.zeros(d + q)
    for _ in range(iterations):
        at = _moments(residuals, regressors, jacobians, shift, spread, noise, freedom)
        weight = np.concatenate([precision, 1 / lateness])
        information = at.information.sum(0) + np.diag(weight)
        inverse = np.linalg.inv(information)
        shift = shift + inverse @ (at.score.sum(0) - weight * (shift - prior))
        # e_t given the data has mean S C^-1 (r_t + G_t shift) and variance S - S C^-1 S
        unexplained = at.solved @ noise  # (k, m)
        new_noise = (unexplained.T * at.weights) @ unexplained / k
        new_noise = _shrunk(new_noise + noise - noise @ at.precision.mean(0) @ noise, k)
        # Zhou et al. 2019, equation 7, for each variance in T
        seen = at.weights @ at.projected**2
        growth = np.sqrt(seen / np.maximum(at.expected, 1e-300))
        new_spread = np.clip(spread * growth, _LEAST_SPREAD**2, widest)
        # MacKay 1992, equation 4.7, for each variance of lateness
        known = np.maximum(1 - np.diag(inverse)[d:] / lateness, 1e-3)
        lateness = np.clip(shift[d:] ** 2 / known, _RENEWED, 1.0)
        change = np.abs(np.diag(new_noise) / np.diag(noise) - 1).max()
        change = max(change, (np.abs(new_spread - spread) / (spread + 1e-2 / np.diag(information)[:d])).max())
        spread, noise = new_spread, new_noise
        if change < _TOLERANCE:
            break
    at = _moments(residuals, regressors, jacobians, shift, spread, noise, freedom)
    weight = np.concatenate([precision, 1 / lateness])
    # S was estimated as well: as many of its numbers for each coordinate as `_shrunk` leaves free
    free = 1 + (m - 1) * (1 - _drawn(m, k))
    covariance = np.linalg.inv(at.information.sum(0) + np.diag(weight)) * (1 + free / max(k - free - 1, 1))
    inflation = _disagreement(at.information, at.score, weight, blocks)
    return Mixed(
        shift[:d],
        covariance[:d, :d],
        spread,
        noise,
        lateness,
        shift[d:],
        regressors[:, :, d:] @ shift[d:],
        at.precision,
        inflation,
        widest,
    )


class _Moments(NamedTuple):
    """What the iterations need at one point."""

    information: Array  # w_t J_t' C_t^-1 J_t, (k, d, d)
    score: Array  # -w_t J_t' C_t^-1 e_t, (k, d)
    weights: Array  # (k,)
    solved: Array  # C_t^-1 e_t, (k, m)
    precision: Array  # C_t^-1, (k, m, m)
    projected: Array  # J_t' C_t^-1 e_t, (k, d)
    expected: Array  # sum of diag(J_t' C_t^-1 J_t), (d,)


def _moments(
    residuals: Array,
    regressors: Array,
    jacobians: Array,
    shift: Array,
    spread: Array,
    noise: Array,
    freedom: float,
) -> _Moments:
    m = residuals.shape[1]
    error = residuals + regressors @ shift
    turned = np.swapaxes(regressors, 1, 2)  # (k, d + q, m)
    marginal = noise + (jacobians * spread) @ np.swapaxes(jacobians, 1, 2)  # C_t of equation 1
    precision = np.asarray(np.linalg.inv(marginal), np.float64)
    solved = (precision @ error[:, :, None])[:, :, 0]
    distance = (error * solved).sum(1)
    weights: Array = np.ones(len(residuals)) if np.isinf(freedom) else (freedom + m) / (freedom + distance)
    information = turned @ precision @ regressors
    projected = (turned @ solved[:, :, None])[:, :, 0]
    d = len(spread)
    return _Moments(
        weights[:, None, None] * information,
        -weights[:, None] * projected,
        weights,
        solved,
        precision,
        projected[:, :d],
        np.einsum("kdd->d", information)[:d],
    )


def _drawn(m: int, k: int) -> float:
    """The share of a covariance of m coordinates that k samples leave to its diagonal alone."""
    return 2 * m / (2 * m + k)


def _shrunk(covariance: Array, k: int) -> Array:
    """A covariance of few samples drawn towards its diagonal, and away from 0."""
    m = len(covariance)
    share = _drawn(m, k)
    return (1 - share) * covariance + np.diag(share * np.diag(covariance) + _FLOOR**2)


def _disagreement(information: Array, score: Array, precision: Array, blocks: int) -> float:
    """How far blocks lie from what the others say, as a ratio of variances; 1 where they agree or cannot tell.

    With A and s the sums of information and score at the fit: the others' estimate lies at -(A - A_b)^-1 s_b from
    it, where block b's score becomes s_b + A_b (A - A_b)^-1 s_b, of covariance A_b + A_b (A - A_b)^-1 A_b.
    """
    parts = [part for part in np.array_split(np.arange(len(score)), blocks) if len(part)]
    if len(parts) < 3:
        return 1.0
    total = information.sum(0) + np.diag(precision)
    ratios = []
    for part in parts:
        own, s = information[part].sum(0), score[part].sum(0)
        others = np.linalg.inv(total - own)
        moved = s + own @ others @ s
        values, vectors = np.linalg.eigh(own + own @ others @ own)
        kept = values > 1e-9 * values.max()
        ratios.append(((vectors[:, kept].T @ moved) ** 2 / values[kept]).sum() / max(kept.sum(), 1))
    return float(max(1.0, np.mean(ratios)))

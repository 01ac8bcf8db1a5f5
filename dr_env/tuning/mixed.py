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

Where the states that transitions start from are measured with noise n_t, of variances N in each coordinate, the
simulation carries it on: with A_t the slopes of its end over its start, A_t n_t joins the residual, more of it where
things touch (an error in variables; Fuller, "Measurement error models", 1987):

    C_t = S + J_t T J_t' + A_t N A_t',    N <= diag S                                                          (3)

since the end is measured with the same noise. What the model lacks may look the same. But the noise of a state that
ends one transition and starts the next is in both residuals, so that E[e_{t-1} e_t'] = -N A_t'. The `echo` is how
much of that is found.
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
_START = 1e-3  # variance of start states to begin with, in their coordinates' scales
_WIDEST_START = 0.1  # and the greatest
_RIDGE = 1e-10  # added to correlations before they are inverted
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
        late_covariance: of eta, (lags d, lags d).
        offset: what lateness adds to errors, (k, m).
        precision: C_t^-1, (k, m, m).
        inflation: by how much blocks of transitions that were left out disagree with the others, at least 1.
        widest: variances of the prior, (d,).
        echo: how much of the echo that noise of the start states would leave is there, 1 for all, and its standard
            error; infinite where nothing could tell.
    """

    shift: Array
    covariance: Array
    spread: Array
    noise: Array
    lateness: Array
    late: Array
    late_covariance: Array
    offset: Array
    precision: Array
    inflation: float
    widest: Array
    echo: tuple[float, float] = (0.0, np.inf)

    def loss(self, errors: Array, freedom: float) -> Array:
        """Minus the log likelihood of errors elsewhere, (n, k, m) to (n,), up to a constant; infinite for NaN."""
        m = errors.shape[2]
        moved = errors + self.offset
        distance = ((moved[:, :, None, :] @ self.precision)[:, :, 0] * moved).sum(2)  # (n, k)
        each = distance / 2 if np.isinf(freedom) else (freedom + m) / 2 * np.log1p(distance / freedom)
        total = each.sum(1)
        return np.where(np.isfinite(total), total, np.inf)

    def lag(self) -> tuple[Array, Array]:
        """How much of each parameter comes late, times the number of transitions, (d,); the standard error (d,).

        Divided by the whole of the parameter, it is the number of transitions by which its effect is late.
        """
        d = len(self.shift)
        weights = np.kron(np.arange(1.0, len(self.late) // d + 1), np.eye(d))  # (d, lags d)
        errors = self.inflation * np.diag(weights @ self.late_covariance @ weights.T)
        return weights @ self.late, np.sqrt(errors)

    def total(self) -> Array:
        """The covariance to believe: `inflation` times that of mu, and T, (d, d); never beyond the prior."""
        return drawn_in(self.inflation * self.covariance + np.diag(self.spread), self.widest)


def drawn_in(covariance: Array, widest: Array) -> Array:
    """A covariance (d, d) whose variances are none above the widest, (d,), with its correlations."""
    share = np.minimum(1.0, np.sqrt(widest / np.diag(covariance)))
    return np.asarray(covariance * share[:, None] * share)


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
    chained: NDArray[np.bool_] | None = None,
    states: Array | None = None,
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
        chained: whether a transition follows on the one before it, (k,); by default all but the first do.
        states: A_t, slopes of residuals over measured start states, each number in the scale of its coordinate,
            (k, m, m), for equation 3; None for states without noise.
    """
    k, m, d = jacobians.shape
    follows = np.arange(k) > 0 if chained is None else chained
    late = _late(jacobians, follows, min(lags, k - 1))
    regressors = np.concatenate([jacobians, *late], axis=2)  # G_t of equation 2, (k, m, d + lags d)
    # what differs between transitions: parameters, by no more than the prior allows, and noise of the start
    effects = jacobians if states is None else np.concatenate([jacobians, states], axis=2)
    widest = np.concatenate([1 / precision, np.full(effects.shape[2] - d, _WIDEST_START)])
    q = regressors.shape[2] - d
    if start is None:
        noise, spread, lateness = _shrunk(residuals.T @ residuals / k, k), np.minimum(widest[:d], 0.01), np.full(q, 0.1)
    else:
        noise, spread = start.noise, np.maximum(start.spread, _RENEWED)
        lateness = np.maximum(start.lateness[:q], _RENEWED)
    spread = np.concatenate([spread, np.full(effects.shape[2] - d, _START)])
    prior = np.concatenate([centre, np.zeros(q)])
    shift = np.zeros(d + q)
    for _ in range(iterations):
        at = _moments(residuals, regressors, effects, shift, spread, noise, freedom)
        weight = np.concatenate([precision, 1 / lateness])
        information = at.information.sum(0) + np.diag(weight)
        inverse = _inverse(information)
        shift = shift + inverse @ (at.score.sum(0) - weight * (shift - prior))
        # e_t given the data has mean S C^-1 (r_t + G_t shift) and variance S - S C^-1 S
        unexplained = at.solved @ noise  # (k, m)
        new_noise = (unexplained.T * at.weights) @ unexplained / k
        new_noise = _shrunk(new_noise + noise - noise @ at.precision.mean(0) @ noise, k)
        # Zhou et al. 2019, equation 7, for each variance in T
        seen = at.weights @ at.projected**2
        with np.errstate(over="ignore"):
            growth = np.sqrt(seen / np.maximum(at.expected, 1e-300))
        new_spread = np.clip(spread * growth, _LEAST_SPREAD**2, widest)
        if states is not None:
            new_spread[d:] = np.minimum(new_spread[d:], np.diag(new_noise))
        # MacKay 1992, equation 4.7, for each variance of lateness
        known = np.maximum(1 - np.diag(inverse)[d:] / lateness, 1e-3)
        lateness = np.clip(shift[d:] ** 2 / known, _RENEWED, 1.0)
        change = np.abs(np.diag(new_noise) / np.diag(noise) - 1).max()
        moved = np.abs(new_spread - spread)[:d] / (spread[:d] + 1e-2 / np.diag(information)[:d])
        change = max(change, moved.max())
        spread, noise = new_spread, new_noise
        if change < _TOLERANCE:
            break
    at = _moments(residuals, regressors, effects, shift, spread, noise, freedom)
    weight = np.concatenate([precision, 1 / lateness])
    # S was estimated as well: as many of its numbers for each coordinate as `_shrunk` leaves free
    free = 1 + (m - 1) * (1 - _drawn(m, k))
    covariance = _inverse(at.information.sum(0) + np.diag(weight)) * (1 + free / max(k - free - 1, 1))
    inflation = _disagreement(at.information, at.score, weight, blocks)
    return Mixed(
        shift[:d],
        covariance[:d, :d],
        spread[:d],
        noise,
        lateness,
        shift[d:],
        covariance[d:, d:],
        regressors[:, :, d:] @ shift[d:],
        at.precision,
        inflation,
        widest[:d],
        (0.0, np.inf) if states is None else _echo(states, follows, at, spread[d:]),
    )


def _late(jacobians: Array, chained: NDArray[np.bool_], lags: int) -> list[Array]:
    """J_{t-l} - J_t for each lag l, (k, m, d); 0 where the transition l before is none of the same motion."""
    unbroken, late = np.ones(len(jacobians), bool), []
    for lag in range(1, lags + 1):
        unbroken &= np.roll(chained, lag - 1)  # the first follows nothing, so what comes round is out already
        late.append(np.where(unbroken[:, None, None], np.roll(jacobians, lag, axis=0) - jacobians, 0.0))
    return late


class _Moments(NamedTuple):
    """What the iterations need at one point."""

    information: Array  # w_t J_t' C_t^-1 J_t, (k, d, d)
    score: Array  # -w_t J_t' C_t^-1 e_t, (k, d)
    weights: Array  # (k,)
    solved: Array  # C_t^-1 e_t, (k, m)
    precision: Array  # C_t^-1, (k, m, m)
    projected: Array  # Z_t' C_t^-1 e_t, (k, z)
    expected: Array  # sum of diag(Z_t' C_t^-1 Z_t), (z,)


def _moments(
    residuals: Array,
    regressors: Array,
    effects: Array,
    shift: Array,
    spread: Array,
    noise: Array,
    freedom: float,
) -> _Moments:
    """With Z_t the effects (k, m, z) of what differs between transitions, and `spread` (z,) its variances."""
    m = residuals.shape[1]
    error = residuals + regressors @ shift
    turned = np.swapaxes(regressors, 1, 2)  # (k, d + q, m)
    differing = np.swapaxes(effects, 1, 2)  # (k, z, m)
    marginal = noise + (effects * spread) @ differing  # C_t
    precision = _inverse(marginal)
    solved = (precision @ error[:, :, None])[:, :, 0]
    distance = (error * solved).sum(1)
    weights: Array = np.ones(len(residuals)) if np.isinf(freedom) else (freedom + m) / (freedom + distance)
    information = turned @ precision @ regressors
    return _Moments(
        weights[:, None, None] * information,
        -weights[:, None] * (turned @ solved[:, :, None])[:, :, 0],
        weights,
        solved,
        precision,
        (differing @ solved[:, :, None])[:, :, 0],
        ((differing @ precision) * differing).sum((0, 2)),
    )


def _inverse(covariances: Array) -> Array:
    """Inverses of covariances (..., m, m), definite however alike their coordinates or small some of them are."""
    scale = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))  # (..., m)
    both = scale[..., :, None] * scale[..., None, :]
    inverse = np.linalg.inv(covariances / both + _RIDGE * np.eye(covariances.shape[-1]))
    return np.asarray((inverse + np.swapaxes(inverse, -2, -1)) / (2 * both))


def _echo(states: Array, chained: NDArray[np.bool_], at: _Moments, noise: Array) -> tuple[float, float]:
    """The share of the covariance -N A_t' between neighbouring residuals that is found, and its standard error.

    It is the regression of e_{t-1} e_t' on -N A_t', all numbers weighted by C^-1 on either side.
    """
    pairs = np.flatnonzero(chained[1:])
    solved = np.sqrt(at.weights)[:, None] * at.solved
    wanted = -noise[:, None] * np.swapaxes(states[pairs + 1], 1, 2)  # -N A_t', (p, m, m)
    found = np.einsum("pi,pij,pj->", solved[pairs], wanted, solved[pairs + 1])
    sides = at.precision[pairs] @ wanted @ at.precision[pairs + 1]
    information = float((sides * wanted).sum())
    if not information > 0:
        return 0.0, np.inf
    return float(found / information), float(1 / np.sqrt(information))


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
    ratios = []
    for part in parts:
        own, s = information[part].sum(0), score[part].sum(0)
        rest = np.setdiff1d(np.arange(len(score)), part)
        others = _inverse(information[rest].sum(0) + np.diag(precision))
        moved = s + own @ others @ s
        values, vectors = np.linalg.eigh(own + own @ others @ own)
        kept = values > 1e-9 * values.max()
        ratios.append(((vectors[:, kept].T @ moved) ** 2 / values[kept]).sum() / max(kept.sum(), 1))
    return float(max(1.0, np.mean(ratios)))

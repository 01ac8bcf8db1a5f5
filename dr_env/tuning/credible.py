"""Ranges that can be believed: Gauss-Newton on a mixed model of the misfit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.tuning.latency import delays_of
from dr_env.tuning.likelihood import LikelihoodTuner
from dr_env.tuning.mixed import Mixed, fit
from dr_env.tuning.problem import Problem

Array = NDArray[np.float64]

_LINE = np.array([1.0, 0.5, 0.25, 0.1])  # shares of a step that are tried
_STEPS = 1e-5, 0.05  # least and greatest of finite differences, of a parameter's range
_CLOSE = 0.1  # a step of so many standard deviations is the last
_INNER = 8  # iterations of the mixed model on the way
_LAST = 80  # and at the end
_DRIFT = 3.0  # of the change that the last lag made, beyond what noise makes of it
_ECHO = 0.2  # of what noise of start states would leave between neighbours, beyond doubt, for it to be believed
_LATE = 0.2  # transitions by which an effect must come late to be spoken of
_TINY = 1e-12

_TOGETHER = (
    "samples of one window err together, which credible takes as telling something each, so its ranges may be too "
    "narrow; it is made for windows of one sample, and gauss_newton for longer ones"
)


@dataclasses.dataclass(frozen=True)
class CredibleOptions:
    """Numbers of `credible`."""

    starts: int = 16  # points of the prior that are tried first
    iterations: int = 15  # Gauss-Newton steps, at most
    freedom: float = 4.0  # of the Student t that residuals have
    lags: int = 2  # transitions by which an effect may come late, where the Spec varies no actuator's delay
    blocks: int = 10  # parts of the recordings that must agree with each other

    def __post_init__(self) -> None:
        for key, least in (("starts", 1), ("iterations", 1), ("freedom", 1), ("lags", 0), ("blocks", 1)):
            if not getattr(self, key) >= least:
                raise DREnvError(f"credible.{key}: got {getattr(self, key):g}, expected at least {least}")


class Credible(LikelihoodTuner[CredibleOptions]):
    """Our own: a posterior whose intervals allow for what the model lacks.

    The likelihood is the mixed model of `mixed`: noise of unknown covariance with heavy tails, parameters that seem
    to differ from transition to transition, effects that may come late, and noise of the measured states from which
    transitions start, where neighbouring residuals show its echo. It is maximised by Gauss-Newton steps with
    central differences as wide as the posterior (a statistical linearisation, which looks past the small jumps that
    contacts make), from the best of a few points that fill the prior. What is believed is the covariance of the
    estimate, times the disagreement of recordings that were left out, plus the spread between transitions, plus what
    one lag less would have changed beyond what noise makes of it.

    DROPO (`dropo`) likewise looks for a distribution of parameters under which every transition is likely; it
    samples what is linearised here, and takes the noise as known. A fit costs 2 d + 1 simulations of each transition
    for each step, a few for the line search, and at its end two for each coordinate that is compared.
    """

    name: ClassVar[str] = "credible"
    Options: ClassVar[type[Any]] = CredibleOptions

    def _fit(self, problem: Problem, rng: np.random.Generator) -> tuple[Array, Array]:
        d, options = problem.size, self.options
        point = self._start(problem, rng)
        step = np.full(d, _STEPS[1])
        found: Mixed | None = None
        for _ in range(options.iterations):
            here, slopes = problem.jacobians(point, step)
            if not np.isfinite(here).all():
                break
            found = self._mixed(problem, here, slopes, point, found, _INNER)
            candidates = np.clip(point + _LINE[:, None] * found.shift, 0.0, 1.0)
            losses = found.loss(np.concatenate([here[None], problem.errors(candidates)]), options.freedom)
            best = int(np.argmin(losses))
            moved = candidates[best - 1] if best else point
            distance, stds = np.abs(moved - point), np.sqrt(np.diag(found.total()))
            point, step = moved, np.clip(stds, *_STEPS)
            if (distance < _CLOSE * stds).all() or distance.max() < _TINY:
                break
        here, slopes = problem.jacobians(point, step)
        if not np.isfinite(here).all():
            return point, np.diag(problem.variances)
        self._around = here, slopes
        last = self._mixed(problem, here, slopes, point, found, _LAST)
        states = problem.states(point, np.sqrt(np.diag(last.noise)))
        if states is not None:
            noisy = self._mixed(problem, here, slopes, point, last, _LAST, states=states)
            heard, doubt = noisy.echo
            last, states = (noisy, states) if heard - doubt > _ECHO else (last, None)
        covariance = last.total()
        lags = self._lags(problem)
        if lags and len(here) > lags:
            # what the last lag changed, those that are left out may change as well, but for what noise makes of a lag:
            # estimates of which one tells more differ by the difference of their variances (Hausman, "Specification
            # tests in econometrics", Econometrica 1978)
            fewer = self._mixed(problem, here, slopes, point, last, _LAST, lags - 1, states)
            change = np.clip(point + last.shift, 0.0, 1.0) - np.clip(point + fewer.shift, 0.0, 1.0)
            noise = np.diag(last.inflation * last.covariance - fewer.inflation * fewer.covariance)
            covariance = covariance + _DRIFT**2 * np.diag(np.maximum(change**2 - np.maximum(noise, 0.0), 0.0))
        mean = np.clip(point + last.shift, 0.0, 1.0)
        self.notes = tuple(self._late(problem, mean, last))
        return mean, covariance

    def _lags(self, problem: Problem) -> int:
        """A delay that is simulated needs no second account of it, which is linear and would compete.

        Windows of several samples tell nothing of lags by the sample: what acts late in one accumulates.
        """
        return self.options.lags if problem.single and not delays_of(self.prior) else 0

    def _late(self, problem: Problem, mean: Array, found: Mixed) -> Iterator[str]:
        """Actuators that act late, in words, and windows whose samples err together."""
        if not problem.single:
            yield _TOGETHER
        lags, errors = (each / problem.coordinates.whole(mean) for each in found.lag())
        for name, lag, error in zip(problem.coordinates.names, lags, np.abs(errors), strict=True):
            if max(_LATE, 3 * error) < lag <= self._lags(problem):
                late = f"{lag:.1f} transitions ({1000 * lag * self._window:.0f} ms)"
                yield (
                    f"{name} acts {late} late, which the model does not; fit again with an entry that varies the delay "
                    "of its actuators (`dr-env tune fit --latency 0.05`)"
                )

    def _start(self, problem: Problem, rng: np.random.Generator) -> Array:
        """The point of the prior that fits best, by the sum over coordinates of the log mean square."""
        spread = scipy.stats.qmc.Halton(problem.size, rng=rng).random(self.options.starts - 1)
        points = np.concatenate([problem.mean[None], spread])
        errors = problem.errors(points)
        losses = np.log((errors**2).mean(axis=1) + _TINY).sum(axis=1)
        return np.asarray(points[int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))])

    def _mixed(
        self,
        problem: Problem,
        here: Array,
        slopes: Array,
        point: Array,
        start: Mixed | None,
        iterations: int,
        lags: int = -1,
        states: Array | None = None,
    ) -> Mixed:
        options = self.options
        return fit(
            here,
            slopes,
            1 / problem.variances,
            problem.mean - point,
            lags=self._lags(problem) if lags < 0 else lags,
            freedom=options.freedom,
            blocks=options.blocks,
            start=start,
            iterations=iterations,
            chained=problem.chained,
            states=states,
        )

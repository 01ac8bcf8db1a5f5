"""Distributions of several numbers at once: what a posterior over parameters is."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from dr_env.distributions.base import Array, Distribution
from dr_env.errors import DREnvError

_SAMPLES = 4096  # for numbers without a closed form


@dataclasses.dataclass(frozen=True)
class Joint(Distribution):
    """A distribution of named numbers; a formula reads one of them as `variable.name`."""

    names: tuple[str, ...]

    def _check_names(self) -> None:
        names = self.names
        if isinstance(names, str) or not isinstance(names, list | tuple) or not names:
            raise self._error("names", names, "a list of names")
        object.__setattr__(self, "names", tuple(str(name) for name in names))
        for name in self.names:
            if not name.isidentifier():
                raise self._error("names", name, "names of letters, digits and underscores")
        if len(set(self.names)) < len(self.names):
            raise self._error("names", list(self.names), "different names")

    def _numbers(self, key: str, value: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Nested tuples of finite numbers of a shape."""
        try:
            array = np.array(value, np.float64)
        except (TypeError, ValueError):
            array = np.full((), np.nan)
        if array.ndim != len(shape) or any(w not in (-1, n) for w, n in zip(shape, array.shape, strict=True)):
            wanted = " by ".join("any number" if n < 0 else str(n) for n in shape)
            raise self._error(key, value, f"{wanted} numbers, for {', '.join(self.names)}")
        if not np.isfinite(array).all():
            raise self._error(key, value, "finite numbers")
        return tuple(map(tuple, array.tolist())) if len(shape) == 2 else tuple(array.tolist())

    @property
    def size(self) -> int:
        return len(self.names)

    def standardize(self, value: ArrayLike) -> Array:
        low, high = self._box()
        return (2 * np.asarray(value, np.float64) - (low + high)) / np.where(high > low, high - low, 1.0)

    @abstractmethod
    def _box(self) -> tuple[Array, Array]:
        """The ends of each number's range, or of its middle 99 %, (size,) each."""

    @abstractmethod
    def means(self) -> Array:
        """The expected values, (size,)."""

    def mean(self) -> float:
        raise DREnvError(f"a {self.type_name} distribution has {self.size} means; see means()")

    def support(self) -> tuple[float, float]:
        low, high = self._box()
        return float(low.min()), float(high.max())


@dataclasses.dataclass(frozen=True)
class JointNormal(Joint):
    """A Gaussian over several numbers, restricted to a box where `low` and `high` are given.

    YAML: `{type: joint_normal, names: [mass, friction], mean: [1, 0.8], covariance: [[.04, .01], [.01, .02]]}`.
    Draws outside the box are refused and drawn again.
    """

    mean_: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    type_name: ClassVar[str] = "joint_normal"

    def __post_init__(self) -> None:
        self._check_names()
        n = self.size
        object.__setattr__(self, "mean_", self._numbers("mean", self.mean_, (n,)))
        object.__setattr__(self, "covariance", self._numbers("covariance", self.covariance, (n, n)))
        for key in ("low", "high"):
            if getattr(self, key) is not None:
                object.__setattr__(self, key, self._numbers(key, getattr(self, key), (n,)))
        covariance = np.array(self.covariance)
        if not np.allclose(covariance, covariance.T, rtol=1e-9, atol=0):
            raise self._error("covariance", self.covariance, "a symmetric matrix")
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            raise self._error("covariance", self.covariance, "a positive definite matrix") from None
        object.__setattr__(self, "_factor", factor)
        low, high = self._limits()
        if (high <= low).any():
            raise self._error("high", list(high), f"numbers above low = {list(low)}")
        mass = 1.0
        if self.low is not None or self.high is not None:
            # Genz, "Numerical computation of multivariate normal probabilities", 1992
            mass = float(
                scipy.stats.multivariate_normal.cdf(
                    high, np.array(self.mean_), covariance, lower_limit=low, rng=np.random.default_rng(0)
                )
            )
        if not mass > 1e-4:
            raise self._error("low", self.low, "a box that holds more than one draw in ten thousand")
        object.__setattr__(self, "_log_mass", math.log(mass))

    def _limits(self) -> tuple[Array, Array]:
        low = np.full(self.size, -np.inf) if self.low is None else np.array(self.low)
        return low, np.full(self.size, np.inf) if self.high is None else np.array(self.high)

    @property
    def uniforms(self) -> int:
        return self.size

    def quantile(self, uniform: ArrayLike) -> Array:
        factor: Array = self.__dict__["_factor"]
        return np.asarray(self.mean_) + special.ndtri(np.asarray(uniform, np.float64)) @ factor.T

    def accepts(self, value: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        low, high = self._limits()
        return np.asarray(((value >= low) & (value <= high)).all(axis=-1))

    def log_prob(self, value: ArrayLike) -> Array:
        """Of vectors (..., size)."""
        x = np.asarray(value, np.float64)
        factor: Array = self.__dict__["_factor"]
        z = np.linalg.solve(factor, (x - np.array(self.mean_))[..., None])[..., 0]
        constant = np.log(np.diag(factor)).sum() + 0.5 * self.size * math.log(2 * math.pi)
        density = -0.5 * (z * z).sum(-1) - constant - self.__dict__["_log_mass"]
        return np.where(self.accepts(x), density, -np.inf)

    def _inside(self) -> Array:
        """Draws inside the box, always the same."""
        unit = scipy.stats.qmc.Halton(self.size, rng=np.random.default_rng(0)).random(_SAMPLES)
        values = self.quantile(np.clip(unit, 1e-12, 1 - 1e-12))
        kept: Array = values[self.accepts(values)]
        return kept if len(kept) else np.array([self.mean_])

    def entropy(self) -> float:
        """Exact without a box, else to about two digits."""
        if self.low is None and self.high is None:
            factor: Array = self.__dict__["_factor"]
            return float(np.log(np.diag(factor)).sum() + 0.5 * self.size * math.log(2 * math.pi * math.e))
        return float(-self.log_prob(self._inside()).mean())

    def means(self) -> Array:
        unbounded = self.low is None and self.high is None
        return np.array(self.mean_) if unbounded else np.asarray(self._inside().mean(axis=0))

    def _box(self) -> tuple[Array, Array]:
        low, high = self._limits()
        mean, std = np.array(self.mean_), np.sqrt(np.diag(np.array(self.covariance)))
        ends = np.array([np.maximum(low, mean - 2.576 * std), np.minimum(high, mean + 2.576 * std)])  # (2, size)
        beyond = (mean < low) | (mean > high)  # where the box holds no more than a tail
        if beyond.any():
            a, b = ((limit - mean) / std for limit in (low, high))
            tails = scipy.stats.truncnorm.ppf([[0.005], [0.995]], a, b, mean, std)
            ends = np.where(beyond, tails, ends)
        return ends[0], ends[1]

    def narrowed(self, share: float, centre: float) -> JointNormal:
        """Narrower about its own mean, or where its box leaves that out, the mean of what is inside.

        `centre` is not used.
        """
        covariance = np.array(self.covariance) * max(share, 1e-6) ** 2
        mean, (low, high) = np.array(self.mean_), self._limits()
        if ((mean < low) | (mean > high)).any():
            mean = mean + (1 - share) * (self.means() - mean)
        return dataclasses.replace(self, mean_=tuple(mean.tolist()), covariance=tuple(map(tuple, covariance.tolist())))

    def to_dict(self) -> dict[str, Any]:
        form: dict[str, Any] = {"type": self.type_name, "names": list(self.names), "mean": list(self.mean_)}
        form["covariance"] = [list(row) for row in self.covariance]
        for key in ("low", "high"):
            if getattr(self, key) is not None:
                form[key] = list(getattr(self, key))
        return form


@dataclasses.dataclass(frozen=True)
class Empirical(Joint):
    """Rows of numbers that were found elsewhere, such as samples of a posterior; any row may come again.

    With `bandwidth` above 0 each number is smeared by a Gaussian of that many standard deviations of the
    samples (a kernel density estimate), which makes the distribution continuous.
    YAML: `{type: empirical, names: [mass, friction], samples: [[1.0, 0.8], [1.1, 0.7]], weights: [1, 2]}`.
    """

    samples: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...] | None = None
    bandwidth: float = 0.0
    type_name: ClassVar[str] = "empirical"

    def __post_init__(self) -> None:
        self._check_names()
        object.__setattr__(self, "samples", self._numbers("samples", self.samples, (-1, self.size)))
        if not self.samples:
            raise self._error("samples", [], "at least one row")
        if self.weights is not None:
            weights = self._numbers("weights", self.weights, (len(self.samples),))
            if min(weights) < 0 or sum(weights) <= 0:
                raise self._error("weights", list(weights), "numbers not below 0, one of them above")
            object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "bandwidth", self._number("bandwidth", self.bandwidth))
        if self.bandwidth < 0:
            raise self._error("bandwidth", self.bandwidth, "a number not below 0")
        if self.bandwidth > 0 and (self._kernel() == 0).any():
            raise self._error("bandwidth", self.bandwidth, "0, since a name has the same number in every row")
        weights_ = np.ones(len(self.samples)) if self.weights is None else np.array(self.weights)
        object.__setattr__(self, "_rows", np.array(self.samples))  # (rows, size)
        object.__setattr__(self, "_p", weights_ / weights_.sum())  # (rows,)

    @property
    def discrete(self) -> bool:
        return self.bandwidth == 0

    @property
    def uniforms(self) -> int:
        return 1 if self.bandwidth == 0 else 1 + self.size

    def _kernel(self) -> Array:
        """Standard deviations of the smearing, (size,)."""
        return np.asarray(self.bandwidth * np.std(np.array(self.samples), axis=0))

    def quantile(self, uniform: ArrayLike) -> Array:
        u = np.asarray(uniform, np.float64)
        rows, p = self.__dict__["_rows"], self.__dict__["_p"]
        last = int(np.flatnonzero(p)[-1])
        chosen = rows[np.minimum(np.searchsorted(np.cumsum(p), u[..., 0], side="right"), last)]
        if self.bandwidth == 0:
            return np.asarray(chosen)
        return np.asarray(chosen + self._kernel() * special.ndtri(u[..., 1:]))

    def log_prob(self, value: ArrayLike) -> Array:
        """Of vectors (..., size): a mass without bandwidth, a density with it."""
        x = np.asarray(value, np.float64)[..., None, :]
        rows, p = self.__dict__["_rows"], self.__dict__["_p"]
        with np.errstate(divide="ignore"):
            if self.bandwidth == 0:
                return np.asarray(np.log(((x == rows).all(-1) * p).sum(-1)))
            kernel = self._kernel()
            logs = scipy.stats.norm.logpdf((x - rows) / kernel).sum(-1) - np.log(kernel).sum() + np.log(p)
        return np.asarray(special.logsumexp(logs, axis=-1))

    def entropy(self) -> float:
        """Exact without bandwidth, else to about two digits."""
        if self.bandwidth == 0:
            _, which = np.unique(self.__dict__["_rows"], axis=0, return_inverse=True)
            p = np.bincount(which.reshape(-1), self.__dict__["_p"])
            return float(-(p[p > 0] * np.log(p[p > 0])).sum())
        unit = scipy.stats.qmc.Halton(1 + self.size, rng=np.random.default_rng(0)).random(_SAMPLES)
        return float(-self.log_prob(self.quantile(np.clip(unit, 1e-12, 1 - 1e-12))).mean())

    def means(self) -> Array:
        return np.asarray(self.__dict__["_p"] @ self.__dict__["_rows"])

    def _box(self) -> tuple[Array, Array]:
        rows = self.__dict__["_rows"]
        margin = 2.576 * self._kernel()
        return rows.min(axis=0) - margin, rows.max(axis=0) + margin

    def narrowed(self, share: float, centre: float) -> Empirical:
        """The rows drawn towards their mean; `centre` is not used."""
        if share == 1:
            return self
        means = self.means()
        rows = means + max(share, 1e-6) * (self.__dict__["_rows"] - means)
        return dataclasses.replace(self, samples=tuple(map(tuple, rows.tolist())))

    def to_dict(self) -> dict[str, Any]:
        form: dict[str, Any] = {"type": self.type_name, "names": list(self.names)}
        form["samples"] = [list(row) for row in self.samples]
        if self.weights is not None:
            form["weights"] = list(self.weights)
        if self.bandwidth:
            form["bandwidth"] = self.bandwidth
        return form


def labels_of(distributions: Mapping[str, Distribution]) -> dict[str, tuple[str, int]]:
    """What a formula may call the columns of joint variables: `variable.name` -> (variable, column)."""
    return {
        f"{variable}.{name}": (variable, i)
        for variable, joint in distributions.items()
        if isinstance(joint, Joint)
        for i, name in enumerate(joint.names)
    }

"""Continuous distributions."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from dr_env.distributions.base import Array, Distribution, Tunable, scaled, widened

_REACH = 37.0  # standard deviations to which a Gaussian's mass is above 0
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def _values(value: ArrayLike) -> Array:
    return np.asarray(value, np.float64)


def _log_density(inside: np.ndarray, log_density: ArrayLike) -> Array:
    return np.where(inside, log_density, -np.inf)


def _drawn_in(numbers: tuple[float, ...], share: float, centre: float) -> list[float]:
    """Numbers moved towards the centre; all of the way at share 0, unmoved at 1."""
    return [number if share == 1 else centre + share * (number - centre) for number in numbers]


def _spread(std: float, bounds: tuple[float, float] | None) -> Tunable:
    if bounds is None:
        return Tunable("std", std, std / 100, std * 10, log=True)
    width = bounds[1] - bounds[0]
    return Tunable("std", std, min(std, width * 1e-3), max(std, width / 2), log=True)


@dataclasses.dataclass(frozen=True)
class Uniform(Distribution):
    """Every value between `low` and `high` alike; `low == high` is that value, exactly."""

    low: float
    high: float
    type_name: ClassVar[str] = "uniform"

    def _validate(self) -> None:
        if self.high < self.low:
            raise self._error("high", self.high, f"a number not below low = {self.low:g}")

    def quantile(self, uniform: ArrayLike) -> Array:
        value = self.low + _values(uniform) * (self.high - self.low)
        return np.asarray(value.clip(self.low, self.high))

    def log_prob(self, value: ArrayLike) -> Array:
        x = _values(value)
        return _log_density((x >= self.low) & (x <= self.high), -self.entropy())

    def entropy(self) -> float:
        width = self.high - self.low
        return math.log(width) if width > 0 else -math.inf

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def narrowed(self, share: float, centre: float) -> Uniform:
        return Uniform(*_drawn_in((self.low, self.high), share, centre))

    def mean(self) -> float:
        return self.low + 0.5 * (self.high - self.low)

    def tunables(self, bounds: tuple[float, float] | None = None) -> tuple[Tunable, ...]:
        least, most = bounds or widened(self.low, self.high)
        return Tunable("low", self.low, least, most), Tunable("high", self.high, least, most)


@dataclasses.dataclass(frozen=True)
class LogUniform(Distribution):
    """Uniform in the logarithm, for scales: halving is as likely as doubling. 0 < low <= high."""

    low: float
    high: float
    type_name: ClassVar[str] = "log_uniform"

    def standardize(self, value: ArrayLike) -> Array:
        return scaled(np.log(_values(value)), math.log(self.low), math.log(self.high))

    def _validate(self) -> None:
        if self.low <= 0:
            raise self._error("low", self.low, "a number above 0")
        if self.high < self.low:
            raise self._error("high", self.high, f"a number not below low = {self.low:g}")
        if math.isinf(self.high / self.low):
            raise self._error("high", self.high, f"one less than 1e308 times low = {self.low:g}")

    def quantile(self, uniform: ArrayLike) -> Array:
        ratio = math.log(self.high / self.low)
        return np.asarray((self.low * np.exp(_values(uniform) * ratio)).clip(self.low, self.high))

    def log_prob(self, value: ArrayLike) -> Array:
        x = _values(value)
        inside = (x >= self.low) & (x <= self.high)
        ratio = math.log(self.high / self.low)
        scale = math.log(ratio) if ratio > 0 else -math.inf
        return _log_density(inside, -np.log(np.where(inside, x, 1.0)) - scale)

    def entropy(self) -> float:
        ratio = math.log(self.high / self.low)
        return math.log(ratio) + 0.5 * math.log(self.low * self.high) if ratio > 0 else -math.inf

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def narrowed(self, share: float, centre: float) -> LogUniform:
        middle = math.log(centre) if centre > 0 else 0.5 * math.log(self.low * self.high)
        low, high = _drawn_in((math.log(self.low), math.log(self.high)), share, middle)
        return LogUniform(math.exp(low), math.exp(high)) if share < 1 else self

    def mean(self) -> float:
        ratio = math.log(self.high / self.low)
        return (self.high - self.low) / ratio if ratio > 0 else self.low

    def tunables(self, bounds: tuple[float, float] | None = None) -> tuple[Tunable, ...]:
        ratio = self.high / self.low if self.high > self.low else math.e
        least, most = bounds or (self.low / ratio, self.high * ratio)
        return (
            Tunable("low", self.low, least, most, log=True),
            Tunable("high", self.high, least, most, log=True),
        )


@dataclasses.dataclass(frozen=True)
class Normal(Distribution):
    """Gaussian with mean `mean` and standard deviation `std`; unbounded.

    In Python the number is `mean_`, since `mean()` is every distribution's expected value.
    """

    mean_: float
    std: float
    type_name: ClassVar[str] = "normal"

    def _validate(self) -> None:
        if self.std < 0:
            raise self._error("std", self.std, "a number not below 0")

    def quantile(self, uniform: ArrayLike) -> Array:
        return self.mean_ + self.std * special.ndtri(_values(uniform))

    def log_prob(self, value: ArrayLike) -> Array:
        if self.std == 0:
            return np.where(_values(value) == self.mean_, np.inf, -np.inf)
        z = (_values(value) - self.mean_) / self.std
        return np.asarray(-0.5 * z * z - math.log(self.std) - _HALF_LOG_2PI)

    def entropy(self) -> float:
        return 0.5 + _HALF_LOG_2PI + math.log(self.std) if self.std > 0 else -math.inf

    def support(self) -> tuple[float, float]:
        return (-math.inf, math.inf) if self.std > 0 else (self.mean_, self.mean_)

    def narrowed(self, share: float, centre: float) -> Normal:
        return Normal(_drawn_in((self.mean_,), share, centre)[0], self.std * share)

    def mean(self) -> float:
        return self.mean_

    def tunables(self, bounds: tuple[float, float] | None = None) -> tuple[Tunable, ...]:
        if self.std == 0:
            return ()
        least, most = bounds or (self.mean_ - 4 * self.std, self.mean_ + 4 * self.std)
        return Tunable("mean", self.mean_, least, most), _spread(self.std, bounds)


@dataclasses.dataclass(frozen=True)
class TruncatedNormal(Distribution):
    """A Gaussian restricted to `low` .. `high`; `mean` and `std` are those before truncation."""

    mean_: float
    std: float
    low: float
    high: float
    type_name: ClassVar[str] = "truncated_normal"

    def _validate(self) -> None:
        if self.std <= 0:
            raise self._error("std", self.std, "a number above 0")
        if self.high <= self.low:
            raise self._error("high", self.high, f"a number above low = {self.low:g}")
        if self._mass() <= 0:
            raise self._error("mean", self.mean_, f"one within about {_REACH:g} std of {self.low:g} .. {self.high:g}")

    def _limits(self) -> tuple[float, float, float]:
        """Standardised limits and a sign, mirrored so that precision is kept in the upper tail."""
        a = (self.low - self.mean_) / self.std
        b = (self.high - self.mean_) / self.std
        return (-b, -a, -1.0) if a > 0 else (a, b, 1.0)

    def _mass(self) -> float:
        a, b, _ = self._limits()
        return float(special.ndtr(b) - special.ndtr(a))

    def quantile(self, uniform: ArrayLike) -> Array:
        a, b, sign = self._limits()
        u = _values(uniform)
        lower = special.ndtr(a) + (u if sign > 0 else 1 - u) * (special.ndtr(b) - special.ndtr(a))
        return np.clip(self.mean_ + self.std * sign * special.ndtri(lower), self.low, self.high)

    def log_prob(self, value: ArrayLike) -> Array:
        x = _values(value)
        z = (x - self.mean_) / self.std
        density = -0.5 * z * z - math.log(self.std) - _HALF_LOG_2PI - math.log(self._mass())
        return _log_density((x >= self.low) & (x <= self.high), density)

    def entropy(self) -> float:
        a, b, _ = self._limits()
        mass = self._mass()
        edge = (a * _density(a) - b * _density(b)) / (2 * mass)
        return math.log(self.std * mass) + 0.5 + _HALF_LOG_2PI + edge

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def narrowed(self, share: float, centre: float) -> Distribution:
        mean, low, high = _drawn_in((self.mean_, self.low, self.high), share, centre)
        return TruncatedNormal(mean, self.std * share, low, high) if high > low else Uniform(low, high)

    def mean(self) -> float:
        a, b, sign = self._limits()
        # density(a) - density(b), without the digits that a narrow box would lose
        fall = (self.high - self.low) / self.std * (a + b) / 2
        edge = math.copysign(_density(min(abs(a), abs(b))) * -math.expm1(-abs(fall)), fall)
        return min(max(self.mean_ + sign * self.std * edge / self._mass(), self.low), self.high)

    def tunables(self, bounds: tuple[float, float] | None = None) -> tuple[Tunable, ...]:
        """Mean and standard deviation; `low` and `high` stay, and bounds beyond them allow nothing more."""
        least, most = (self.low, self.high) if bounds is None else (max(bounds[0], self.low), min(bounds[1], self.high))
        away = max(self.low - self.mean_, self.mean_ - self.high, 0.0)
        std = _spread(self.std, (least, most))
        return (
            Tunable("mean", self.mean_, min(least, self.mean_), max(most, self.mean_)),
            dataclasses.replace(std, low=max(std.low, min(self.std, away / _REACH))),
        )


def _density(z: float) -> float:
    return math.exp(-0.5 * z * z - _HALF_LOG_2PI)


@dataclasses.dataclass(frozen=True)
class ScaledBeta(Distribution):
    """A Beta(alpha, beta) stretched over `low` .. `high`; alpha = beta = 1 is uniform."""

    alpha: float
    beta: float
    low: float
    high: float
    type_name: ClassVar[str] = "beta"

    def _validate(self) -> None:
        for key in ("alpha", "beta"):
            if getattr(self, key) <= 0:
                raise self._error(key, getattr(self, key), "a number above 0")
        if self.high <= self.low:
            raise self._error("high", self.high, f"a number above low = {self.low:g}")

    def quantile(self, uniform: ArrayLike) -> Array:
        unit = special.betaincinv(self.alpha, self.beta, _values(uniform))
        return np.clip(self.low + (self.high - self.low) * unit, self.low, self.high)

    def log_prob(self, value: ArrayLike) -> Array:
        width = self.high - self.low
        unit = (_values(value) - self.low) / width
        inside = (unit >= 0) & (unit <= 1)
        unit = np.where(inside, unit, 0.5)
        density = (
            special.xlogy(self.alpha - 1, unit)
            + special.xlog1py(self.beta - 1, -unit)
            - special.betaln(self.alpha, self.beta)
            - math.log(width)
        )
        return _log_density(inside, density)

    def entropy(self) -> float:
        a, b = self.alpha, self.beta
        unit = (
            special.betaln(a, b)
            - (a - 1) * special.digamma(a)
            - (b - 1) * special.digamma(b)
            + (a + b - 2) * special.digamma(a + b)
        )
        return float(unit) + math.log(self.high - self.low)

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def narrowed(self, share: float, centre: float) -> Distribution:
        low, high = _drawn_in((self.low, self.high), share, centre)
        return ScaledBeta(self.alpha, self.beta, low, high) if high > low else Uniform(low, high)

    def mean(self) -> float:
        return self.low + (self.high - self.low) * self.alpha / (self.alpha + self.beta)

    def tunables(self, bounds: tuple[float, float] | None = None) -> tuple[Tunable, ...]:
        return tuple(
            Tunable(key, value, min(value, 0.1), max(value, 1000.0), log=True)
            for key, value in (("alpha", self.alpha), ("beta", self.beta))
        )

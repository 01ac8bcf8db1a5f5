"""Distributions of one number, and the vector of the numbers that describe them."""

from dr_env.distributions.base import Distribution, Tunable
from dr_env.distributions.continuous import LogUniform, Normal, ScaledBeta, TruncatedNormal, Uniform
from dr_env.distributions.discrete import Choice, Constant, Integer
from dr_env.distributions.vector import ParameterVector

__all__ = [
    "Choice",
    "Constant",
    "Distribution",
    "Integer",
    "LogUniform",
    "Normal",
    "ParameterVector",
    "ScaledBeta",
    "TruncatedNormal",
    "Tunable",
    "Uniform",
]

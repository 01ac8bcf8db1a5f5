"""Distributions of one number or several, and the vector of the numbers that describe them."""

from dr_env.distributions.base import Distribution, Tunable
from dr_env.distributions.composite import Categorical, Expression, Mixture, Switch
from dr_env.distributions.continuous import LogUniform, Normal, ScaledBeta, TruncatedNormal, Uniform
from dr_env.distributions.discrete import Choice, Constant, Integer
from dr_env.distributions.formula import Formula
from dr_env.distributions.joint import Empirical, Joint, JointNormal
from dr_env.distributions.vector import ParameterVector

__all__ = [
    "Categorical",
    "Choice",
    "Constant",
    "Distribution",
    "Empirical",
    "Expression",
    "Formula",
    "Integer",
    "Joint",
    "JointNormal",
    "LogUniform",
    "Mixture",
    "Normal",
    "ParameterVector",
    "ScaledBeta",
    "Switch",
    "TruncatedNormal",
    "Tunable",
    "Uniform",
]

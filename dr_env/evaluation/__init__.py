"""Transfer measured, explained and reported."""

from dr_env.evaluation.coverage import Coverage, Law, Marginal, cover
from dr_env.evaluation.estimators import EstimatorScore, read_scores
from dr_env.evaluation.explanation import WORLD, Explanation, explain
from dr_env.evaluation.report import encode_video, write_report
from dr_env.evaluation.sensitivity import Effect, Sensitivity, analyse
from dr_env.evaluation.statistics import Estimate, estimate, interquartile_mean
from dr_env.evaluation.transfer import Arm, Comparison, Outcome

__all__ = [
    "WORLD",
    "Arm",
    "Comparison",
    "Coverage",
    "Effect",
    "Estimate",
    "EstimatorScore",
    "Explanation",
    "Law",
    "Marginal",
    "Outcome",
    "Sensitivity",
    "analyse",
    "cover",
    "encode_video",
    "estimate",
    "explain",
    "interquartile_mean",
    "read_scores",
    "write_report",
]

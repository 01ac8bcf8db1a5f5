"""Transfer measured, and reported."""

from dr_env.evaluation.report import encode_video, write_report
from dr_env.evaluation.statistics import Estimate, estimate, interquartile_mean
from dr_env.evaluation.transfer import Arm, Comparison, Outcome

__all__ = ["Arm", "Comparison", "Estimate", "Outcome", "encode_video", "estimate", "interquartile_mean", "write_report"]

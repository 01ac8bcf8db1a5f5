"""Tuning: from evidence of a target to the ranges of a Spec."""

from dr_env.tuning.evidence import Evidence, Log, SimEpisodes, TargetImages, TargetReturns, TargetTransitions
from dr_env.tuning.held import HeldControls
from dr_env.tuning.latency import LATENCY, tells_latency, with_latency
from dr_env.tuning.ledger import Ledger
from dr_env.tuning.ranges import spread_of
from dr_env.tuning.registry import make_tuner, tuner_class, tuner_names
from dr_env.tuning.tuner import NoOptions, Restartable, Simulate, Simulator, Tuner

__all__ = [
    "LATENCY",
    "Evidence",
    "HeldControls",
    "Ledger",
    "Log",
    "NoOptions",
    "Restartable",
    "SimEpisodes",
    "Simulate",
    "Simulator",
    "TargetImages",
    "TargetReturns",
    "TargetTransitions",
    "Tuner",
    "make_tuner",
    "spread_of",
    "tells_latency",
    "tuner_class",
    "tuner_names",
    "with_latency",
]

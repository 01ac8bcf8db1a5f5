"""Conformance suites: inherit one in your own tests, and your class is held to what ours are."""

from dr_env.testing.tasks import TaskConformance
from dr_env.testing.tuners import TunerConformance

__all__ = ["TaskConformance", "TunerConformance"]

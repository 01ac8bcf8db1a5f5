"""Recordings of real mechanisms: files of any common format in, checked `Log`s out."""

from dr_env.logs.mapping import CHECKS, UNITS, LogMap
from dr_env.logs.quality import Finding
from dr_env.logs.reading import Layout, read_logs

__all__ = ["CHECKS", "UNITS", "Finding", "Layout", "LogMap", "read_logs"]

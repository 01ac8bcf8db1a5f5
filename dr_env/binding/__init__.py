"""Binding a Spec to a compiled MuJoCo model."""

from dr_env.binding.build import Build
from dr_env.binding.compile import build_model, compile_model
from dr_env.binding.describe import describe_fields
from dr_env.binding.fields import FIELDS, Field
from dr_env.binding.held import held_row
from dr_env.binding.indexing import JOINT_WIDTHS, object_names
from dr_env.binding.offers import Offer, offers, propose
from dr_env.binding.plan import Plan, bind
from dr_env.binding.rows import BatchRows, Rows

__all__ = [
    "FIELDS",
    "JOINT_WIDTHS",
    "BatchRows",
    "Build",
    "Field",
    "Offer",
    "Plan",
    "Rows",
    "bind",
    "build_model",
    "compile_model",
    "describe_fields",
    "held_row",
    "object_names",
    "offers",
    "propose",
]

"""Binding a Spec to a compiled MuJoCo model."""

from dr_env.binding.compile import compile_model
from dr_env.binding.fields import FIELDS, Field
from dr_env.binding.indexing import JOINT_WIDTHS, object_names
from dr_env.binding.offers import Offer, offers, propose
from dr_env.binding.plan import Plan, bind
from dr_env.binding.rows import BatchRows

__all__ = [
    "FIELDS",
    "JOINT_WIDTHS",
    "BatchRows",
    "Field",
    "Offer",
    "Plan",
    "bind",
    "compile_model",
    "object_names",
    "offers",
    "propose",
]

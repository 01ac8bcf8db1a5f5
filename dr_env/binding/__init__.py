"""Binding a Spec to a compiled MuJoCo model."""

from dr_env.binding.build import Build
from dr_env.binding.compile import build_model, compile_model
from dr_env.binding.delays import in_time, whole_steps
from dr_env.binding.describe import describe_fields
from dr_env.binding.fields import FIELDS, Field, find_field
from dr_env.binding.fields_image import IMAGE_NEUTRAL, IMAGED
from dr_env.binding.guards import same_form
from dr_env.binding.held import HELD, held_row
from dr_env.binding.indexing import JOINT_WIDTHS, object_names
from dr_env.binding.limits import limited, seen_entries
from dr_env.binding.looks import propose_looks
from dr_env.binding.offers import Offer, offers, propose
from dr_env.binding.plan import Plan, bind
from dr_env.binding.rows import BatchRows, Rows
from dr_env.binding.simulations import DIVERGED, is_more_than_state, make_batch, unheard
from dr_env.binding.textures import image_files, read_image

__all__ = [
    "DIVERGED",
    "FIELDS",
    "HELD",
    "IMAGED",
    "IMAGE_NEUTRAL",
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
    "find_field",
    "held_row",
    "image_files",
    "in_time",
    "is_more_than_state",
    "limited",
    "make_batch",
    "object_names",
    "offers",
    "propose",
    "propose_looks",
    "read_image",
    "same_form",
    "seen_entries",
    "unheard",
    "whole_steps",
]

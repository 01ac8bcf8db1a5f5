"""The Spec: what may vary and how, in and out of YAML; knows no simulator."""

from dr_env.spec.entry import Entry, Variable
from dr_env.spec.explain import read_settings
from dr_env.spec.io import dump_yaml, read_yaml
from dr_env.spec.randomization import FORMAT, Curriculum, Spec, json_schema
from dr_env.spec.selector import KINDS, Selector

__all__ = [
    "FORMAT",
    "KINDS",
    "Curriculum",
    "Entry",
    "Selector",
    "Spec",
    "Variable",
    "dump_yaml",
    "json_schema",
    "read_settings",
    "read_yaml",
]

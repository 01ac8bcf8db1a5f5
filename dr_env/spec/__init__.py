"""The Spec: what may vary and how, in and out of YAML; knows no simulator."""

from dr_env.spec.entry import Entry, Variable
from dr_env.spec.explain import read_settings
from dr_env.spec.io import dump_yaml, read_yaml
from dr_env.spec.randomization import FORMAT, Curriculum, Spec, json_schema
from dr_env.spec.scene import SceneGrammar
from dr_env.spec.scene_objects import SHAPES, TOBIN
from dr_env.spec.selector import KINDS, Selector
from dr_env.spec.textures import TexturePool

__all__ = [
    "FORMAT",
    "KINDS",
    "SHAPES",
    "TOBIN",
    "Curriculum",
    "Entry",
    "SceneGrammar",
    "Selector",
    "Spec",
    "TexturePool",
    "Variable",
    "dump_yaml",
    "json_schema",
    "read_settings",
    "read_yaml",
]

"""Scenes composed from a grammar: rooms, objects, distractors, and how they are arranged."""

from dr_env.scene.compose import Scene, SceneObject, Scenes, build_scene
from dr_env.scene.mesh import Mesh
from dr_env.scene.meshes import load_mesh
from dr_env.scene.objects import ObjectModel
from dr_env.scene.pool import CAMERA
from dr_env.scene.symmetry import SymmetryGroup, find_symmetries, shape_symmetries

__all__ = [
    "CAMERA",
    "Mesh",
    "ObjectModel",
    "Scene",
    "SceneObject",
    "Scenes",
    "SymmetryGroup",
    "build_scene",
    "find_symmetries",
    "load_mesh",
    "shape_symmetries",
]

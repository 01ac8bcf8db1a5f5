"""Objects: a mesh of a class, and what labelling and placing it need."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dr_env.distributions import Distribution
from dr_env.rng import generator
from dr_env.scene import shapes
from dr_env.scene.mesh import Mesh, check_mesh, join
from dr_env.scene.meshes import decompose, load_mesh
from dr_env.scene.rests import Rest, Rests, find_rests, upright
from dr_env.scene.symmetry import SymmetryGroup, find_symmetries
from dr_env.spatial import box_corners
from dr_env.spec.scene_objects import TOBIN, ObjectClass

Array = NDArray[np.float64]

_DEFAULT_SIZE = 0.08  # m
_PART_SIZE = (0.4, 0.9)  # of a compound's parts, of the first one's size


@dataclasses.dataclass(frozen=True, eq=False)
class ObjectModel:
    """One kind of object as it was drawn: what all its copies in all scenes share.

    Args:
        name: the class's name.
        class_id: 1 for the first labelled class; 0 for what is never labelled.
        mesh: in the object's own frame, m.
        given: what the class says.
        flying: whether it is a distractor that hangs in the air.
    """

    name: str
    class_id: int
    mesh: Mesh
    given: ObjectClass
    flying: bool = False

    @property
    def labelled(self) -> bool:
        """Whether it has labels."""
        return self.class_id > 0

    @functools.cached_property
    def keypoints(self) -> Array:
        """Points (K, 3) in the object's frame, m; by default the corners of its box."""
        if self.given.keypoints is not None:
            return np.array(self.given.keypoints, np.float64).reshape(-1, 3)
        return box_corners(*self.mesh.box)

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """One a keypoint."""
        kind = "corner" if self.given.keypoints is None else "point"
        return tuple(f"{kind}_{i}" for i in range(len(self.keypoints)))

    @functools.cached_property
    def symmetries(self) -> SymmetryGroup:
        """Given with the class, or found."""
        given = self.given.symmetries
        if given is None:
            return find_symmetries(self.mesh)
        return SymmetryGroup.of(
            [np.reshape(motion, (4, 4)) for motion in given.discrete],
            [each.axis for each in given.continuous],
            [each.offset for each in given.continuous],
        )

    @functools.cached_property
    def pieces(self) -> tuple[Mesh, ...]:
        """Convex pieces that collide for it; empty where the hull does."""
        return decompose(self.mesh) if self.given.contact == "decomposition" else ()

    @functools.cached_property
    def mass_properties(self) -> tuple[float, Array, Array]:
        """Mass, kg, its centre (3,), m, and the inertia about it (3, 3), kg m^2, of what collides, filled evenly."""
        solid = join(list(self.pieces)) if self.pieces else self.mesh.hull
        body = trimesh.Trimesh(solid.vertices, solid.faces, process=False)
        body.density = self.given.density
        return float(body.mass), np.asarray(body.center_mass), np.asarray(body.moment_inertia)

    @functools.cached_property
    def rests(self) -> Rests:
        """The poses in which it rests on a plane."""
        return find_rests(self.mesh, self.mass_properties[1])

    @functools.cached_property
    def standing(self) -> Rests:
        """The pose in which it was made."""
        return upright(self.mesh, self.mass_properties[1])

    def lying(self, rotation: Array) -> Rest:
        """How it looks from above when it is turned so."""
        return Rest.of(self.mesh, self.mass_properties[1], rotation)


def make_object(name: str, class_id: int, given: ObjectClass, *key: object, flying: bool = False) -> ObjectModel:
    """Draws an object of a class; it depends on `key` and the class's name alone.

    Args:
        name: the class's name.
        class_id: its id, 0 where it is not labelled.
        given: the class.
        key: the seed, and the build where each has its own.
        flying: whether it hangs in the air.
    """
    if given.mesh is not None:
        mesh = load_mesh(given.mesh, given.units or "m")
    else:
        mesh = _shape(given, generator("object", *key, name))
    return ObjectModel(name, class_id, check_mesh(mesh, f"object '{name}'"), given, flying)


def draw(quantity: Distribution, rng: np.random.Generator) -> float:
    """A value of a quantity."""
    return float(quantity.sample(rng))


def _shape(given: ObjectClass, rng: np.random.Generator) -> Mesh:
    sizes = [draw(size, rng) for size in given.size] if given.size is not None else [_DEFAULT_SIZE]
    mesh = _unit_shape(given, rng).centred()
    extents = mesh.box[1] - mesh.box[0]
    factors = sizes[0] / extents.max() if len(sizes) == 1 else np.array(sizes) / extents
    return mesh.scaled(factors).with_box_uv()


def _unit_shape(given: ObjectClass, rng: np.random.Generator) -> Mesh:
    shape = str(given.shape)
    if shape == "superquadric":
        exponents = given.exponents
        north, east = (draw(e, rng) for e in exponents) if exponents is not None else rng.uniform(0.2, 1.6, 2)
        return shapes.superquadric(north, east)
    if shape == "extrusion":
        corners = round(draw(given.corners, rng)) if given.corners is not None else int(rng.integers(5, 10))
        return shapes.extrusion(given.outline if given.outline is not None else shapes.star(rng, corners))
    if shape == "compound":
        return _compound(round(draw(given.parts, rng)) if given.parts is not None else int(rng.integers(2, 5)), rng)
    return shapes.MAKERS[shape]()


def _compound(parts: int, rng: np.random.Generator) -> Mesh:
    """Simple shapes, each centred somewhere in an earlier one, so that all hang together."""
    made: list[Mesh] = []
    for _ in range(parts):
        part = shapes.MAKERS[TOBIN[int(rng.integers(len(TOBIN)))]]().centred()
        turn = Rotation.random(rng=rng).as_matrix()
        part = part.scaled(rng.uniform(*_PART_SIZE, 3) if made else 1.0).turned(turn)
        if made:
            host = made[int(rng.integers(len(made)))]
            a, b, c = host.vertices[host.faces[int(rng.integers(len(host.faces)))]]
            share = rng.dirichlet(np.ones(3))
            part = part.moved(share[0] * a + share[1] * b + share[2] * c)
        made.append(part)
    return join(made)

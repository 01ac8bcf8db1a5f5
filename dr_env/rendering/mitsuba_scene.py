"""A model's state as Mitsuba describes scenes: shapes with materials, lights, and the sky around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.rendering.cubemaps import on_cube, panorama
from dr_env.rendering.surfaces import Surface, surface_of

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
_GEOM, _LIGHT, _TEXTURE = mujoco.mjtGeom, mujoco.mjtLightType, mujoco.mjtTexture
_RESIZED = (_GEOM.mjGEOM_MESH, _GEOM.mjGEOM_SDF, _GEOM.mjGEOM_HFIELD)  # their vertices have their true size
_EXPOSURE = 1 / (1.2 * 2**15)  # of candela a square metre, at f/16, 1/125 s, ISO 100; Filament's camera
_CLIPPED = 0.5 / 255  # opacity below which nothing is drawn


class SceneBuilder:
    """Turns what MuJoCo would draw into Mitsuba's description; textures and surfaces are kept from image to image.

    Args:
        mi: the mitsuba module, with its variant set.
        model: whose meshes and textures are used.
    """

    def __init__(self, mi: Any, model: mujoco.MjModel) -> None:
        self._mi = mi
        self._model = model
        self._images: dict[int, Image] = {}
        self._surfaces: dict[tuple[Any, ...], Surface | None] = {}
        self._skies: dict[int, Any] = {}

    def describe(self, model: mujoco.MjModel, scene: mujoco.MjvScene) -> dict[str, Any]:
        """Shapes and emitters of an updated scene, by name.

        Args:
            model: the model, or one that shares its textures and meshes.
            scene: after `mjv_updateScene`.
        """
        found: dict[str, Any] = {}
        for i, geom in enumerate(scene.geoms[: scene.ngeom]):
            if geom.rgba[3] > _CLIPPED and (shape := self._shape(model, geom, f"shape_{i}")) is not None:
                found[f"shape_{i}"] = shape
        center = np.array(model.stat.center)
        photometric = bool((model.light_intensity > 0).any())
        lights = list(scene.lights[: scene.nlight])
        for i, light in enumerate(lights):
            if (emitter := self._light(light, center, photometric)) is not None:
                found[f"light_{i}"] = emitter
        found["sky"] = self._sky(model, lights, photometric)
        return found

    # shapes

    def _shape(self, model: mujoco.MjModel, geom: Any, name: str) -> Any:
        size = np.array(geom.size, np.float64)
        kind = int(geom.type)
        data = int(geom.dataid) // 2 if kind in (_GEOM.mjGEOM_MESH, _GEOM.mjGEOM_SDF) else int(geom.dataid)
        texture = int(geom.texid)
        cube = texture >= 0 and model.tex_type[texture] != _TEXTURE.mjTEXTURE_2D
        surface = self._surface(kind, data, size, int(model.tex_width[texture]) if cube else 0, bool(geom.texuniform))
        if surface is None:
            return None
        mi = self._mi
        props = mi.Properties()
        material = self._material(model, geom, texture if cube or surface.uv is not None else -1)
        props["mesh_bsdf"] = mi.load_dict(material)
        if geom.emission > 0:
            glow = self._linear(np.array(geom.rgba[:3]) * float(geom.emission))
            props["emitter"] = mi.load_dict({"type": "area", "radiance": {"type": "rgb", "value": glow}})
        axes, place = np.array(geom.mat, np.float64).reshape(3, 3), np.array(geom.pos, np.float64)
        textured = texture >= 0 and surface.uv is not None
        mesh = mi.Mesh(
            name, len(surface.vertices), len(surface.faces),
            has_vertex_normals=True, has_vertex_texcoords=textured, props=props,
        )  # fmt: skip
        parts = mi.traverse(mesh)
        parts["vertex_positions"] = _flat(surface.vertices @ axes.T + place)
        parts["faces"] = np.ascontiguousarray(surface.faces, np.uint32).reshape(-1)
        if textured and surface.uv is not None:
            uv = surface.uv if cube else self._placed(surface.uv, geom, size)
            parts["vertex_texcoords"] = _flat(uv)
        parts.update()
        parts["vertex_normals"] = _flat(surface.normals @ axes.T)  # now, since new positions make new normals
        parts.update()
        return mesh

    def _surface(self, kind: int, data: int, size: Array, texels: int, uniform: bool) -> Surface | None:
        """A geom's surface, and where it has a cube texture, of faces so many pixels wide, its coordinates in it."""
        meshed = kind in _RESIZED
        key = (kind, data, texels, uniform, *(() if meshed and not uniform else size.tolist()))
        if key not in self._surfaces:
            surface = surface_of(self._model, kind, data, size)
            if surface is not None and texels:
                # directions as OpenGL sees them: of primitives of size 1, and of meshes as large as they are
                scale = size if uniform else np.ones(3)
                if not meshed:
                    scale = scale / np.where(size > 0, size, 1)
                surface = on_cube(surface, surface.vertices * scale, texels)
            elif surface is not None and surface.uv is None:
                across, down = surface.vertices[:, 0] / size[0], -surface.vertices[:, 1] / size[1]
                surface = Surface(
                    surface.vertices, surface.normals, 0.5 + 0.5 * np.stack([across, down], -1), surface.faces
                )
            self._surfaces[key] = surface
        return self._surfaces[key]

    def _placed(self, uv: Array, geom: Any, size: Array) -> Array:
        """Coordinates in a repeated picture: as often over a side, or over half a metre's worth of it."""
        if geom.texcoord:
            return uv
        repeat = np.array(geom.texrepeat, np.float64)
        if geom.texuniform:
            repeat = repeat * np.where(size[:2] > 0, size[:2], 1)
        if int(geom.type) in _RESIZED:
            return np.asarray((uv - 0.5) * repeat + 0.5)
        return np.asarray(uv * repeat)

    # materials

    def _material(self, model: mujoco.MjModel, geom: Any, texture: int) -> dict[str, Any]:
        rgba = np.array(geom.rgba, np.float64)
        color: dict[str, Any] = {"type": "rgb", "value": self._linear(rgba[:3])}
        if texture >= 0:
            tinted = np.round(self._image(texture) * np.clip(rgba[:3], 0, 1)).astype(np.uint8)
            cube = model.tex_type[texture] != _TEXTURE.mjTEXTURE_2D
            color = {"type": "bitmap", "bitmap": self._mi.Bitmap(tinted), "raw": False,
                     "wrap_mode": "clamp" if cube else "repeat"}  # fmt: skip
        metallic = roughness = -1.0
        if geom.matid >= 0:
            metallic, roughness = float(model.mat_metallic[geom.matid]), float(model.mat_roughness[geom.matid])
        if roughness < 0:
            # a Phong lobe of this exponent is about as wide as a microfacet lobe of this alpha (Walter et al. 2007)
            roughness = (2 / (128 * float(geom.shininess) + 2)) ** 0.25  # alpha is roughness squared
        material: dict[str, Any] = {
            "type": "principled",
            "base_color": color,
            "metallic": min(max(metallic, 0.0), 1.0),
            "roughness": min(max(roughness, 0.05), 1.0),
            "specular": min(max(float(geom.specular), 0.01), 1.0),  # at 0 Mitsuba divides by it
        }
        if geom.reflectance > 0:
            mirror = {"type": "conductor", "material": "none"}
            material = {"type": "blendbsdf", "weight": float(geom.reflectance), "base": material, "mirror": mirror}
        material = {"type": "twosided", "bsdf": material}
        if rgba[3] < 1 - _CLIPPED:
            material = {"type": "mask", "opacity": float(rgba[3]), "bsdf": material}
        return material

    def _image(self, texture: int) -> Image:
        """The texture (h, w, 3); cube textures with all six faces."""
        if texture not in self._images:
            model = self._model
            height, width, channels = (
                int(each[texture]) for each in (model.tex_height, model.tex_width, model.tex_nchannel)
            )
            first = int(model.tex_adr[texture])
            data = model.tex_data[first : first + height * width * channels].reshape(height, width, channels)
            image = np.asarray(np.repeat(data, 3, -1) if channels < 3 else data[..., :3], np.uint8)
            if model.tex_type[texture] != _TEXTURE.mjTEXTURE_2D and height == width:
                image = np.tile(image, (6, 1, 1))
            self._images[texture] = image
        return self._images[texture]

    def _linear(self, rgb: Array) -> list[float]:
        """Linear light of an encoded colour."""
        mi = self._mi
        encoded = mi.Bitmap(np.asarray(rgb, np.float32).reshape(1, 1, 3))
        encoded.set_srgb_gamma(True)
        light = np.array(encoded.convert(mi.Bitmap.PixelFormat.RGB, mi.Struct.Type.Float32, srgb_gamma=False))
        return [float(each) for each in light.reshape(3)]

    # lights

    def _light(self, light: Any, center: Array, photometric: bool) -> dict[str, Any] | None:
        """One light; None for what gives none.

        Lamps of Phong's model give as much where they face the model's centre as they do there; from there on light
        falls off as it must.
        """
        place, along = np.array(light.pos, np.float64), np.array(light.dir, np.float64)
        away = max(float(np.linalg.norm(center - place)), 1e-3)
        kind = int(light.type)
        if photometric:
            strength = np.array(light.diffuse, np.float64) * float(light.intensity) * _EXPOSURE
            if light.headlight:
                return None
        else:
            constant, linear, quadratic = (float(each) for each in light.attenuation)
            fall = 1.0 if kind == _LIGHT.mjLIGHT_DIRECTIONAL else constant + linear * away + quadratic * away**2
            # a white surface sends 1; MuJoCo leaves the numbers of lamps that OpenGL cannot draw at 0
            strength = np.pi * np.array(light.diffuse, np.float64) / (fall or 1.0)
            if kind != _LIGHT.mjLIGHT_DIRECTIONAL or light.headlight:
                strength = strength * away**2
        if not strength.any() or kind == _LIGHT.mjLIGHT_IMAGE:
            return None
        value = {"type": "rgb", "value": strength.tolist()}
        if light.headlight or kind == _LIGHT.mjLIGHT_POINT:
            return {"type": "point", "position": place.tolist(), "intensity": value}
        if kind == _LIGHT.mjLIGHT_DIRECTIONAL:
            return {"type": "directional", "direction": along.tolist(), "irradiance": value}
        cutoff = min(float(light.cutoff), 89.0)
        if photometric:
            beam = cutoff * (1 - float(light.softness))
        else:  # Phong's cone fades with the cosine to some power: from nine tenths of it to a fiftieth
            power = max(float(light.exponent), 1e-3)
            beam = min(math.degrees(math.acos(0.9 ** (1 / power))), cutoff)
            cutoff = min(math.degrees(math.acos(0.02 ** (1 / power))), cutoff)
        up = [0.0, 0.0, 1.0] if abs(along[2]) < 0.9 else [1.0, 0.0, 0.0]
        aim = self._mi.ScalarTransform4f().look_at(origin=place.tolist(), target=(place + along).tolist(), up=up)
        return {"type": "spot", "to_world": aim, "intensity": value, "cutoff_angle": cutoff,
                "beam_width": min(beam, 0.999 * cutoff)}  # fmt: skip

    def _sky(self, model: mujoco.MjModel, lights: Sequence[Any], photometric: bool) -> dict[str, Any]:
        """What is around everything: the skybox, which also lights; else the lights' ambient part."""
        skies = np.flatnonzero(model.tex_type == _TEXTURE.mjTEXTURE_SKYBOX)
        if len(skies):
            mi, texture = self._mi, int(skies[0])
            if texture not in self._skies:
                self._skies[texture] = mi.Bitmap(panorama(self._image(texture)))
            # the texture's y axis is the world's z axis, its z axis the world's -y axis
            upright = mi.ScalarTransform4f([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
            return {"type": "envmap", "bitmap": self._skies[texture], "to_world": upright}
        ambient = np.zeros(3) if photometric else sum((np.array(light.ambient) for light in lights), np.zeros(3))
        return {"type": "constant", "radiance": {"type": "rgb", "value": np.asarray(ambient).tolist()}}


def _flat(numbers: Array) -> NDArray[np.float32]:
    return np.ascontiguousarray(numbers, np.float32).reshape(-1)

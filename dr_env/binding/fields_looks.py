"""The field table's rows for what a picture shows and physics does not feel, as arguments of `Field`.

They are drawn from a stream of their own and written where pictures are made, never into a batch that trains.
"""

from __future__ import annotations

from typing import Any

from dr_env.binding.fields_image import IMAGED

Row = dict[str, Any]
_XYZ = (0, 1, 2)
_RGB = "red, green, blue"
_VISUAL = ("mat_", "light_", "cam_", "tex_", "vis.", "geom_rgba", "derived.mat_", "derived.light_", "derived.cam_",
           "derived.sky", *IMAGED)  # fmt: skip

POOL = "dr_env/"
"""Beginning of the names of what is compiled in for looks: textures of the pool, materials of single geoms."""


def is_visual(array: str) -> bool:
    """Whether an array is of looks alone."""
    return array.startswith(_VISUAL)


def _row(
    kind: str, name: str, array: str, unit: str = "1", columns: tuple[int, ...] = (), **rest: Any
) -> dict[str, Any]:
    return {"kind": kind, "name": name, "array": array, "unit": unit, "columns": columns, **rest}


def _colour(kind: str, **rest: Any) -> tuple[Row, ...]:
    array = "mat_rgba" if kind == "material" else "geom_rgba"
    return (
        _row(kind, "rgb", array, "1", _XYZ, low=0, high=1, **rest, note=_RGB),
        _row(kind, "rgba", array, "1", (0, 1, 2, 3), low=0, high=1, **rest, note=_RGB + ", opacity"),
    )


def _surface(kind: str, **rest: Any) -> tuple[Row, ...]:
    """What a material has; a geom by way of a material of its own."""
    share: Row = {"low": 0, "high": 1, **rest}
    unset: Row = {**share, "low": -1, "note": "physically based; negative is unset"}
    needs = ", ".join(need for need in (str(rest.get("needs", "")), "pool of textures") if need)
    return (
        _row(kind, "specular", "mat_specular", **share),
        _row(kind, "shininess", "mat_shininess", **share),
        _row(kind, "reflectance", "mat_reflectance", **share, note="mirrors in planes and boxes alone"),
        _row(kind, "emission", "mat_emission", low=0, **rest),
        _row(kind, "metallic", "mat_metallic", **unset),
        _row(kind, "roughness", "mat_roughness", **unset),
        _row(kind, "texrepeat", "mat_texrepeat", "1", (0, 1), low=0, above_low=True, **rest),
        _row(kind, "texture", "derived.mat_texture", "number", (0,), low=0, **{**rest, "needs": needs},
             note="0 is its own, 1, 2, ... those of the Spec's `textures`; its colour tints them"),
    )  # fmt: skip


def _view(kind: str, needs: str) -> tuple[Row, ...]:
    """Where something stands that looks at a point."""
    array = f"derived.{'cam' if kind == 'camera' else kind}_view"
    rows = (
        _row(kind, "target", array, "m", _XYZ, needs=needs, note="the point it faces, in the parent's frame"),
        _row(kind, "distance", array, "m", (3,), low=0, above_low=True, needs=needs, note="from the target"),
        _row(kind, "azimuth", array, "deg", (4,), needs=needs, note="from the target, around z; 0 is towards x"),
        _row(kind, "elevation", array, "deg", (5,), low=-90, high=90, needs=needs, note="above the target's horizon"),
    )
    roll = _row(kind, "roll", array, "deg", (6,), needs=needs, note="about the optical axis; 0 is upright")
    return (*rows, roll) if kind == "camera" else rows


def _colours(kind: str, array: str, prefix: str = "") -> tuple[Row, ...]:
    return tuple(
        _row(kind, prefix + name, array + name, "1", _XYZ, low=0, note=_RGB)
        for name in ("ambient", "diffuse", "specular")
    )


LOOK_ROWS: tuple[Row, ...] = (
    *_colour("geom", needs="coloured geom"),
    *_surface("geom", axis="material", needs="material of its own"),
    *_colour("material"),
    *_surface("material"),
    _row("light", "pos", "light_pos", "m", _XYZ, note="in the body's frame"),
    _row("light", "dir", "light_dir", "1", _XYZ, needs="free light", note="of any length above 0"),
    *_view("light", "free light"),
    *_colours("light", "light_"),
    _row("light", "active", "light_active", allowed=(0, 1),
         note="the classic renderer shows eight, the headlight among them"),
    _row("light", "castshadow", "light_castshadow", allowed=(0, 1)),
    _row("light", "attenuation", "light_attenuation", "1, 1/m, 1/m^2", _XYZ, low=0,
         note="constant, linear, quadratic; classic alone"),
    _row("light", "cutoff", "light_cutoff", "deg", low=0, high=90, needs="spot light"),
    _row("light", "exponent", "light_exponent", low=0, high=128, needs="spot light",
         note="how soft a spot's border is"),
    _row("light", "intensity", "light_intensity", "cd", low=0, note="physically based renderers alone"),
    _row("light", "range", "light_range", "m", low=0, above_low=True, note="physically based renderers alone"),
    _row("light", "bulbradius", "light_bulbradius", "m", low=0,
         note="softness of shadows, where the renderer knows it"),
    _row("camera", "pos", "cam_pos", "m", _XYZ, note="in the body's frame"),
    _row("camera", "rotation", "derived.cam_rotation", "rad", _XYZ, needs="free camera",
         note="a rotation vector in its own frame, nominally 0; on top of where it looks"),
    *_view("camera", "free camera"),
    _row("camera", "fovy", "cam_fovy", "deg", low=0, high=180, above_low=True, needs="camera without a sensor",
         note="vertical field of view"),
    _row("camera", "focal", "cam_intrinsic", "m", (0, 1), low=0, above_low=True, needs="camera with a sensor",
         note="focal length in x and y, on a sensor of `sensorsize`"),
    _row("camera", "principal", "cam_intrinsic", "m", (2, 3), needs="camera with a sensor",
         note="principal point, from the sensor's centre"),
    _row("option", "sky", "derived.sky", "number", (0,), low=0, needs="pool of textures",
         note="0 is the model's own skybox, 1, 2, ... those of the Spec's `textures`"),
    *_colours("option", "vis.headlight.", "headlight_"),
    _row("option", "headlight_active", "vis.headlight.active", allowed=(0, 1, 2), note="2 is as the renderer likes"),
)  # fmt: skip

"""Ranges to start from for everything that pictures of a model show."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from dr_env.binding.indexing import literal, object_names
from dr_env.binding.needs import NEEDS
from dr_env.binding.textures import count_textures
from dr_env.binding.views import camera_views
from dr_env.spec import Spec, TexturePool

_HIDDEN_GROUP = 3  # from this group on renderers show nothing unless told to
Form = dict[str, Any]


def propose_looks(model: mujoco.MjModel, textures: TexturePool | None = None) -> Spec:
    """A Spec of everything visual in a model: surfaces, sky, lights, cameras.

    Surfaces take random textures and colours as in Tobin et al. 2017; lights stand anywhere above; cameras move about
    as much as one that was put up by hand. Compile the model with it (`compile_model`).

    Args:
        model: the model.
        textures: the pool; by default sixty procedural ones.
    """
    pool = textures or TexturePool()
    entries = {**_surfaces(model, pool), **_lights(model), **_cameras(model)}
    return Spec.from_dict(
        {"format": "dr_env/1", "textures": pool.model_dump(mode="json", exclude_defaults=False), "entries": entries}
    )


def _entry(select: object, field: str, operation: str, per: str = "shared", **distribution: Any) -> Form:
    form: Form = {"select": select, "field": field, "operation": operation, "distribution": distribution}
    return form if per == "shared" else {**form, "per": per}


def _uniform(select: object, field: str, operation: str, low: float, high: float, per: str = "shared") -> Form:
    return _entry(select, field, operation, per, type="uniform", low=low, high=high)


def _chosen(model: mujoco.MjModel, kind: str, which: np.ndarray[Any, np.dtype[np.bool_]]) -> Form | None:
    """A selector of some objects of a kind, or None where there are none."""
    names = object_names(model, kind)
    if not which.any():
        return None
    return {kind: "*" if which.all() else [literal(name) for name, taken in zip(names, which, strict=True) if taken]}


def _surfaces(model: mujoco.MjModel, pool: TexturePool) -> dict[str, Form]:
    has = model.geom_matid >= 0
    opacity = model.geom_rgba[:, 3].copy()
    opacity[has] *= model.mat_rgba[model.geom_matid[has], 3]
    geoms = _chosen(model, "geom", (model.geom_group < _HIDDEN_GROUP) & (opacity > 0))
    number: dict[str, Any] = {"type": "integer", "low": 0, "high": count_textures(pool)}
    sky = {"look_sky": _entry("option", "sky", "set", **number)}
    if geoms is None:
        return sky
    return {
        "look_texture": _entry(geoms, "texture", "set", "element", **number),
        "look_colour": _uniform(geoms, "rgb", "set", 0.6, 1.0, "number"),
        "look_specular": _uniform(geoms, "specular", "set", 0.0, 1.0, "element"),
        "look_shininess": _uniform(geoms, "shininess", "set", 0.0, 1.0, "element"),
        **sky,
    }


def _lights(model: mujoco.MjModel) -> dict[str, Form]:
    entries = {
        "headlight_ambient": _uniform("option", "headlight_ambient", "set", 0.1, 0.4),
        "headlight_diffuse": _uniform("option", "headlight_diffuse", "set", 0.1, 0.5),
    }
    ids = np.arange(model.nlight)
    standing = NEEDS["free light"].met(model, ids) & (model.light_bodyid == 0)
    lights = _chosen(model, "light", standing)
    if lights is None:
        return entries
    reach = 0.15 * float(model.stat.extent)
    entries |= {
        "light_target": _uniform(lights, "target", "add", -reach, reach, "number"),
        "light_azimuth": _uniform(lights, "azimuth", "set", -180.0, 180.0, "element"),
        "light_elevation": _uniform(lights, "elevation", "set", 35.0, 85.0, "element"),
        "light_diffuse": _uniform(lights, "diffuse", "set", 0.4, 1.0, "element"),
        "light_tint": _uniform(lights, "diffuse", "scale", 0.85, 1.15, "number"),
        "light_specular": _uniform(lights, "specular", "set", 0.0, 0.6, "element"),
        "light_shadow": _entry(lights, "castshadow", "set", "element", type="choice", values=[0, 1], weights=[1, 3]),
    }
    if standing.sum() > 1:
        entries["light_active"] = _entry(
            lights, "active", "set", "element", type="choice", values=[0, 1], weights=[1, 3]
        )
    return entries


def _cameras(model: mujoco.MjModel) -> dict[str, Form]:
    ids = np.arange(model.ncam)
    free = NEEDS["free camera"].met(model, ids)
    lens = NEEDS["camera with a sensor"].met(model, ids)
    views, entries = camera_views(model), {}
    cameras = _chosen(model, "camera", free)
    if cameras is not None:
        step = 0.05 * float(views[free, 3].min())
        highest, lowest = float(views[free, 5].max()), float(views[free, 5].min())
        entries = {
            "camera_target": _uniform(cameras, "target", "add", -step, step, "number"),
            "camera_distance": _uniform(cameras, "distance", "scale", 0.9, 1.1, "element"),
            "camera_azimuth": _uniform(cameras, "azimuth", "add", -15.0, 15.0, "element"),
            "camera_roll": _uniform(cameras, "roll", "add", -5.0, 5.0, "element"),
        }
        low, high = max(-10.0, -89.0 - lowest), min(10.0, 89.0 - highest)
        if low < high:
            entries["camera_elevation"] = _uniform(cameras, "elevation", "add", low, high, "element")
    wide, calibrated = _chosen(model, "camera", ~lens), _chosen(model, "camera", lens)
    if wide is not None:
        entries["camera_fovy"] = _uniform(wide, "fovy", "scale", 0.9, 1.1, "element")
    if calibrated is not None:
        shift = 0.02 * float(model.cam_sensorsize[lens].min())
        entries["camera_focal"] = _uniform(calibrated, "focal", "scale", 0.95, 1.05, "element")
        entries["camera_principal"] = _uniform(calibrated, "principal", "add", -shift, shift, "number")
    return entries

"""What a Plan asks of the model and the Spec that it is given, and what it keeps of the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import NDArray

from dr_env.binding.build import COMPILED, Build
from dr_env.binding.held import HELD
from dr_env.binding.indexing import BoundEntry
from dr_env.binding.rows import attribute
from dr_env.errors import DREnvError
from dr_env.spec import Spec

if TYPE_CHECKING:
    from dr_env.binding.plan import Plan

Arrays = dict[str, NDArray[np.float64]]


def unbuilt(spec: Spec, entries: Iterable[BoundEntry], model: mujoco.MjModel) -> Build:
    """A model that the Spec had no part in compiling. Raises DREnvError where it should have had one."""
    for entry in entries:
        if entry.field.array.startswith(COMPILED):
            raise DREnvError(
                f"{spec.where(entry.name, 'trigger')}: got compile, but this model is compiled already; use an "
                "environment of dr_env, or build = dr_env.build_model(mjspec, spec) and "
                "spec.bind(build.model, build=build)"
            )
    return Build(model, 0)


def check_start(plan: Plan) -> None:
    """Refuses a curriculum that begins with ranges which the model does not take, or that leave no Draw."""
    curriculum = plan.spec.curriculum
    if curriculum is None:
        return
    first = np.zeros(1, np.uint64)
    try:
        plan.with_spec(plan.spec.at(0.0)).sample_columns(first, first, first)
    except DREnvError as error:
        raise DREnvError(
            f"curriculum: begins with {curriculum.share(0.0):g} of each range's width, at which there is no Draw; give "
            f"it a greater start, or move the ranges: {error}"
        ) from None


def check_same(mine: Spec, other: Spec) -> None:
    if mine.textures != other.textures:
        raise DREnvError(f"{other.where_textures()}: differs from that of the Spec that is bound")
    for group, ours, theirs in (
        ("variables", mine.variables, other.variables),
        ("entries", mine.entries, other.entries),
    ):
        if list(ours) != list(theirs):
            raise DREnvError(f"{group}: got {', '.join(theirs) or 'none'}, expected those of the Spec that is bound: "
                             f"{', '.join(ours) or 'none'}")  # fmt: skip
        for name, drawn in theirs.items():
            if drawn.structure() != ours[name].structure():
                raise DREnvError(f"{other.where(name)}: differs from the Spec that is bound in more than numbers")


def same_form(mine: Spec, other: Spec) -> bool:
    """Whether two Specs differ in numbers alone, none of which are drawn when a model is compiled."""
    try:
        check_same(mine, other)
    except DREnvError:
        return False
    compiled = [
        {name: drawn for name, drawn in spec.drawn.items() if drawn.trigger == "compile"} for spec in (mine, other)
    ]
    return compiled[0] == compiled[1] and mine.backgrounds == other.backgrounds


def snapshot(model: mujoco.MjModel, written: Iterable[str], recompute: bool) -> Arrays:
    """Copies of what applying may change: the written arrays, and all others if constants follow."""
    names = {name for name in written if not name.startswith(("opt.", "vis.", *HELD))}
    if recompute:
        names |= {name for name in batch.MODEL_FIELDS if isinstance(getattr(model, name, None), np.ndarray)}
    return {name: getattr(model, name).copy() for name in names}


def is_single(model: mujoco.MjModel, name: str) -> bool:
    """Whether the model holds an array in single precision."""
    return bool(getattr(attribute(model, name), "dtype", None) == np.float32)


def sensed(model: mujoco.MjModel) -> tuple[str, ...]:
    """Beginnings of the names of arrays of looks that the model's sensors read."""
    camera = int(mujoco.mjtObj.mjOBJ_CAMERA)
    read = (model.sensor_objtype == camera).any() or (model.sensor_reftype == camera).any()
    return ("cam_", "derived.cam_") if read else ()


def model_name(names: bytes) -> str:
    return names.split(b"\0", 1)[0].decode(errors="replace")

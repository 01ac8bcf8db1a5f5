"""Random Specs over the shipped models: all kinds, fields, operations, distributions and selections."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from dr_env import DREnvError, Plan, Spec, Task, compile_model, make_task, task_names
from dr_env.binding import Offer, offers
from tests.conftest import FULL_MODEL, RICH_MODEL

MODELS = (*task_names(), "full", "rich")


@dataclasses.dataclass(frozen=True)
class Case:
    """A Spec that fits a task, with the model compiled for it."""

    task: Task
    names: tuple[str, ...]
    spec: Spec
    model: mujoco.MjModel
    plan: Plan


@functools.cache
def task_of(name: str) -> Task:
    if name in task_names():
        return make_task(name)
    path = Path(tempfile.mkdtemp()) / f"{name}.xml"
    path.write_text({"full": FULL_MODEL, "rich": RICH_MODEL}[name].replace("<body name", '<body simple="false" name'))
    return make_task(path, reward=lambda before, action, after: after["qpos"][:, 0], reset_noise=0.01, frame_skip=2)


@functools.cache
def _offers(name: str) -> tuple[tuple[str, ...], list[Offer]]:
    task = task_of(name)
    model = compile_model(task.mjspec(), Spec())
    names = task.observation_names(model)
    found = offers(model, names)
    return names, [o for o in found if not (o.field.kind == "action" and not o.names)]


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _number(draw: Any, low: float, high: float) -> float:
    return float(draw(st.floats(low, high)))


def _distribution(draw: Any, low: float, high: float, unbounded: bool) -> dict[str, Any]:
    """A random distribution that draws between low and high, or around them where it may."""
    a, b = sorted((_number(draw, low, high), _number(draw, low, high)))
    assume(b - a > 1e-6 * (high - low))
    kinds = ["uniform", "truncated_normal", "beta", "choice", "constant"]
    kinds += ["log_uniform"] * (a > 1e-9) + ["integer"] * bool(np.ceil(a) <= np.floor(b)) + ["normal"] * unbounded
    kind = draw(st.sampled_from(kinds))
    middle, spread = 0.5 * (a + b), b - a
    forms: dict[str, dict[str, Any]] = {
        "truncated_normal": {"mean": middle, "std": spread * draw(st.floats(0.1, 3)), "low": a, "high": b},
        "beta": {"alpha": draw(st.floats(0.5, 5)), "beta": draw(st.floats(0.5, 5)), "low": a, "high": b},
        "choice": {"values": [a, b], "weights": draw(st.sampled_from([None, [1.0, 3.0]]))},
        "constant": {"value": a},
        "integer": {"low": float(np.ceil(a)), "high": float(np.floor(b))},
        "normal": {"mean": middle, "std": spread},
    }
    form = {"type": kind, **forms.get(kind, {"low": a, "high": b})}
    return {key: value for key, value in form.items() if value is not None}


def _entry(draw: Any, offer: Offer) -> dict[str, Any]:
    field = offer.field
    chosen = sorted(draw(st.sets(st.integers(0, len(offer.names) - 1), min_size=1, max_size=4)))
    index = draw(st.one_of(st.none(), st.integers(0, field.components - 1))) if field.components > 1 else None
    whole = draw(st.booleans()) and len(chosen) == len(offer.names) and "world" not in offer.names
    select: Any = "option" if field.kind == "option" else {
        field.kind: "*" if whole else [_literal(offer.names[i]) for i in chosen]
    }  # fmt: skip
    free = not np.isfinite((*np.ravel(field.low), *np.ravel(field.high))).any() and not field.keeps_sign
    operations = ["add", "set"] * (not field.keeps_sign and not field.ordered) + ["scale"] * (not field.whole)
    operation = draw(st.sampled_from(operations))
    if field.allowed:
        operation = "set"
        distribution = {"type": "choice", "values": draw(st.sampled_from([[1.0, 3.0], [3.0, 6.0, 4.0]]))}
    elif field.whole:
        distribution = {"type": "integer", "low": 0, "high": draw(st.integers(0, 3))}
    elif operation == "scale":
        distribution = _distribution(draw, 0.8, 1.0 if field.name.endswith("solimp") else 1.25, False)
    elif operation == "add":
        distribution = _distribution(draw, 0.0, 0.05, free)
    else:
        lowest = float(np.max(field.low)) if np.isfinite(field.low).any() else 0.0
        distribution = _distribution(draw, lowest + 0.01, lowest + 0.05, free)
    return {
        "select": select,
        "field": field.name if index is None else f"{field.name}[{index}]",
        "operation": operation,
        "distribution": distribution,
        "per": "shared" if field.kind == "option" else draw(st.sampled_from(["shared", "element"])),
        "coupled": draw(st.booleans()),
        "tunable": draw(st.booleans()),
    }


_BUILT = (("actuator", "delay"), ("action", "jitter"), ("sensor", "delay"), ("body", "com"))


@st.composite
def cases(draw: Any, models: tuple[str, ...] = MODELS, most: int = 5, compiled: bool = True) -> Case:
    """A random Spec that fits a random model.

    Args:
        draw: hypothesis's.
        models: which models.
        most: entries at most.
        compiled: whether entries may need something compiled in, such as the buffer of a delay.
    """
    name = draw(st.sampled_from(models))
    names, offered = _offers(name)
    feels = "sensordata" in task_of(name).fields  # else entries on the model's sensors are refused
    kinds = sorted({offer.field.kind for offer in offered if feels or offer.field.kind != "sensor"})
    entries = {}
    for i in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(kinds))
        offer = draw(st.sampled_from([o for o in offered if o.field.kind == kind]))
        assume(compiled or (kind, offer.field.name) not in _BUILT)
        entries[f"entry_{i}"] = _entry(draw, offer)
    spec = Spec.from_dict({"format": "dr_env/1", "entries": entries})
    task = task_of(name)
    try:
        model = compile_model(task.mjspec(), spec, names)
        plan = spec.bind(model, names)
        plan.sample(np.random.default_rng(0))
    except DREnvError:  # what physics refuses has tests of its own
        assume(False)
        raise
    return Case(task, names, spec, model, plan)

"""What a model offers to randomization: its fields, their values, units and limits, and ranges to start from."""

from __future__ import annotations

import dataclasses
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding.checks import expected
from dr_env.binding.fields import FIELDS, Field
from dr_env.binding.indexing import lacking, literal, nominal_array, object_names, resolve
from dr_env.binding.looks import propose_looks
from dr_env.binding.needs import COUNTS
from dr_env.spec import Entry, Spec, dump_yaml

# where a builder starts who knows a robot from its CAD files: (operation, type, low, high, per element)
_START: dict[tuple[str, str], tuple[str, str, float, float, bool]] = {
    ("body", "mass"): ("scale", "uniform", 0.8, 1.2, True),
    ("geom", "friction[0]"): ("scale", "log_uniform", 0.5, 2.0, False),
    ("joint", "damping"): ("scale", "log_uniform", 0.5, 2.0, True),
    ("joint", "armature"): ("scale", "log_uniform", 0.5, 2.0, False),
    ("joint", "frictionloss"): ("scale", "log_uniform", 0.5, 2.0, True),
    ("joint", "stiffness"): ("scale", "uniform", 0.8, 1.2, False),
    ("tendon", "stiffness"): ("scale", "uniform", 0.8, 1.2, False),
    ("tendon", "damping"): ("scale", "log_uniform", 0.5, 2.0, False),
    ("actuator", "gain"): ("scale", "uniform", 0.8, 1.2, True),
    ("actuator", "delay"): ("set", "uniform", 0.0, 0.02, False),
}


@dataclasses.dataclass(frozen=True)
class Offer:
    """One field of a model's objects.

    Args:
        field: the field table's row.
        names: the objects that have it.
        nominal: their values, (rows * components,); a joint has a row for each degree of freedom.
        owner: which object each of the values belongs to, alike.
    """

    field: Field
    names: tuple[str, ...]
    nominal: NDArray[np.float64]
    owner: NDArray[np.intp]

    @property
    def first(self) -> NDArray[np.float64]:
        """The first value of each object, (objects,)."""
        return self.nominal[np.unique(self.owner, return_index=True)[1]]

    @property
    def legal(self) -> str:
        """The values that physics allows."""
        parts = [expected(self.field, c, float(self.nominal[c])) for c in range(self.field.components)]
        return "; ".join(dict.fromkeys(parts)).replace("a finite number", "any")

    @property
    def values(self) -> str:
        """The nominal values of each component, as a range where the objects differ."""
        rows = self.nominal.reshape(-1, self.field.components)
        ends = zip(rows.min(0).tolist(), rows.max(0).tolist(), strict=True)
        return ", ".join(f"{low:.4g}" if low == high else f"{low:.4g} .. {high:.4g}" for low, high in ends)


def offers(model: mujoco.MjModel, observations: tuple[str, ...] = ()) -> list[Offer]:
    """The fields that can vary in a model, in the field table's order."""
    found = []
    for field in FIELDS:
        names = ["option"] if field.kind == "option" else object_names(model, field.kind, observations)
        ids = [
            i
            for i, name in enumerate(names)
            if not (field.kind == "body" and name == "world") and not lacking(model, field, np.array([i]), names)
        ]
        if not ids:
            continue
        chosen = [names[i] for i in ids]
        form = "option" if field.kind == "option" else {field.kind: [literal(name) for name in chosen]}
        nothing: dict[str, Any] = {"operation": "add", "distribution": {"type": "constant", "value": 0}}
        if field.compile == "must":
            nothing["trigger"] = "compile"
        entry = Entry.model_validate({"select": form, "field": field.name, **nothing})
        bound = resolve(Spec(), field.name, entry, model, observations)
        values = nominal_array(model, field.array, len(observations))[bound.flat]
        most = int(COUNTS[field.array](model, np.array(ids)).max()) if field.array in COUNTS else field.components
        kept = bound.component < most
        offered = dataclasses.replace(field, columns=field.columns[:most])
        found.append(Offer(offered, tuple(chosen), values[kept], bound.owner[kept]))
    return found


def propose(model: mujoco.MjModel, looks: bool = False) -> str:
    """A Spec to start from, as YAML with nominal values and limits in comments; with `looks`, of pictures too."""
    by_name = {(offer.field.kind, offer.field.name): offer for offer in offers(model)}
    text = ["# ranges to start from: narrow what you have measured, widen what you have not"]
    visual = propose_looks(model).to_dict() if looks else {"entries": {}}
    text += ["format: dr_env/1"]
    if "textures" in visual:
        text += dump_yaml({"textures": visual["textures"]}).splitlines()
    text += ["entries:"]
    for (kind, name), (operation, distribution, low, high, each) in _START.items():
        offer = by_name.get((kind, name.partition("[")[0]))
        if offer is None:
            continue
        scalable = offer.first != 0 if operation == "scale" else np.ones(len(offer.names), bool)
        chosen = [n for n, taken in zip(offer.names, scalable, strict=True) if taken]
        if not chosen:
            continue
        entry: dict[str, Any] = {
            "select": {kind: "*" if len(chosen) == _count(model, kind) else [literal(n) for n in chosen]},
            "field": name,
            "operation": operation,
            "distribution": {"type": distribution, "low": low, "high": high},
        }
        if each and len(chosen) > 1:
            entry["per"] = "element"
        text.append(f"  # nominal {offer.values} {offer.field.unit}; {offer.field.note or offer.legal}")
        body = dump_yaml({f"{kind}_{name.partition('[')[0]}": entry})
        text += [f"  {line}" for line in body.splitlines()]
    if looks:
        text += ["  # what pictures show, which costs training nothing where nothing renders"]
        text += [f"  {line}" for line in dump_yaml(visual["entries"]).splitlines()]
    return "\n".join(text) + "\n"


def _count(model: mujoco.MjModel, kind: str) -> int:
    """How many objects "*" matches, without the world."""
    return len(object_names(model, kind)) - (kind == "body")

"""How good an estimator is on a collection of images: numbers with intervals, by class and over all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation import recall
from dr_env.evaluation.statistics import (
    Estimate,
    proportion,
    resampled_by_group,
    weighted_mean,
    weighted_quantile,
)
from dr_env.rng import generator
from dr_env.spatial import Array
from dr_env.vision.judge import Judged
from dr_env.vision.samples import ObjectModel

ALL = "all"
"""The group of all objects."""
ADD_SHARE = 0.1
"""Of the diameter, below which ADD counts as right (Hinterstoisser et al., ACCV 2012)."""
REPROJECTION_PX = 5.0
"""Below which a reprojection counts as right (Brachmann et al., CVPR 2016)."""

FORMAT = "dr_env/pose-scores/1"
_WEIGHTS = 2e7  # of a bootstrap, held at once


@dataclass(frozen=True)
class Quantity:
    """A number that is scored.

    Attributes:
        key: its name in files.
        title: its name in tables.
        unit: "%" of shares, which are 0 to 1 in files.
        meaning: in words.
    """

    key: str
    title: str
    unit: str
    meaning: str


QUANTITIES = (
    Quantity("found", "found", "%", "objects that have an estimate at all"),
    Quantity("position_median_cm", "position, median", "cm", "distance of estimated and true origins"),
    Quantity("position_mean_cm", "position, mean", "cm", "the same, on average"),
    Quantity("position_p90_cm", "position, 90 %", "cm", "what nine of ten do not exceed"),
    Quantity("rotation_median_deg", "rotation, median", "°", "angle to the nearest symmetric rotation"),
    Quantity("adds", "ADD(-S) < 0.1 d", "%", "ADD-S of symmetric objects and ADD of others below 0.1 diameters"),
    Quantity("add", "ADD < 0.1 d", "%", "mean distance of model points below 0.1 diameters"),
    Quantity("add_s", "ADD-S < 0.1 d", "%", "mean distance to the nearest point below 0.1 diameters"),
    Quantity("add_auc", "ADD AUC", "%", "area under the recall of ADD up to 10 cm"),
    Quantity("add_s_auc", "ADD-S AUC", "%", "area under the recall of ADD-S up to 10 cm"),
    Quantity("reprojection", "reprojection < 5 px", "%", "mean distance in the image below 5 pixels"),
    Quantity("ar_vsd", "AR VSD", "%", "BOP's recall of visible surface discrepancy"),
    Quantity("ar_mssd", "AR MSSD", "%", "BOP's recall of the largest distance on the surface"),
    Quantity("ar_mspd", "AR MSPD", "%", "BOP's recall of the largest distance in the image"),
    Quantity("ar", "AR", "%", "the mean of BOP's recalls that are there"),
)


@dataclass(frozen=True, eq=False)
class Scores:
    """What `evaluate` found.

    Attributes:
        groups: class name, or `ALL` -> key of `QUANTITIES` -> number with its 95 % interval, a bootstrap over images.
        objects: target objects by class name, and over all.
        images: how many.
        left_out: what is not scored -> why.
        seconds: that an image took, on average.
    """

    groups: Mapping[str, Mapping[str, Estimate]]
    objects: Mapping[str, int]
    images: int
    left_out: Mapping[str, str]
    seconds: float

    def __getitem__(self, key: str) -> Estimate:
        """A number over all objects."""
        return self.groups[ALL][key]

    def quantities(self) -> tuple[Quantity, ...]:
        """Those that are scored, in order."""
        return tuple(quantity for quantity in QUANTITIES if quantity.key in self.groups[ALL])

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        groups = {
            name: {key: {"value": e.value, "low": e.low, "high": e.high} for key, e in found.items()}
            for name, found in self.groups.items()
        }
        return {
            "format": FORMAT,
            "images": self.images,
            "objects": dict(self.objects),
            "scores": groups,
            "left_out": dict(self.left_out),
            "seconds_per_image": self.seconds,
        }


def score(judged: Judged, models: Mapping[int, ObjectModel], left_out: Mapping[str, str], seconds: float) -> Scores:
    """Scores of judged estimates.

    Args:
        judged: of every target object.
        models: by class id.
        left_out: what could not be judged -> why.
        seconds: that an image took, on average.
    """
    members = {ALL: np.arange(len(judged))}
    members |= {name: np.flatnonzero(judged.class_id == k) for k, name in _titles(models).items()}
    members = {name: rows for name, rows in members.items() if len(rows)}
    symmetric = {k for k, model in models.items() if len(model.discrete) or model.continuous}
    diameter = np.array([models[k].diameter for k in judged.class_id.tolist()])
    values = _values(judged, diameter, np.isin(judged.class_id, list(symmetric)))
    groups = {}
    for name, rows in members.items():
        resamples = int(np.clip(_WEIGHTS / len(rows), 200, 2000))
        weights = resampled_by_group(judged.look[rows], generator("vision/scores", name), resamples)
        groups[name] = {
            key: _estimate(statistic, value[rows], judged.look[rows], weights, share=not key.endswith("_cm"))
            for key, (statistic, value) in values.items()
            if np.isfinite(value[rows]).any()
        }
    return Scores(
        groups,
        {name: len(rows) for name, rows in members.items()},
        len(np.unique(judged.look)),
        left_out,
        seconds,
    )


def _titles(models: Mapping[int, ObjectModel]) -> dict[int, str]:
    """What groups of classes are called: by their names, with their numbers where a name says not enough."""
    names = [ALL, *(model.name for model in models.values())]
    return {
        k: model.name if names.count(model.name) == 1 else f"{model.name} {k}" for k, model in sorted(models.items())
    }


def _values(judged: Judged, diameter: Array, symmetric: NDArray[np.bool_]) -> dict[str, tuple[str, Array]]:
    """By key: what is taken of values, and those of each object (N,); infinite values are left out."""
    errors, passed = judged.errors, judged.passed
    centimetres = 100 * errors["position"]
    made: dict[str, tuple[str, Array]] = {
        "found": ("mean", judged.found.astype(np.float64)),
        "position_median_cm": ("median", centimetres),
        "position_mean_cm": ("mean", centimetres),
        "position_p90_cm": ("p90", centimetres),
    }
    if "add" in errors:
        close = {name: errors[name] < ADD_SHARE * diameter for name in ("add", "add_s")}
        shares = {
            "adds": np.where(symmetric, close["add_s"], close["add"]),
            **close,
            "add_auc": recall.area(errors["add"]),
            "add_s_auc": recall.area(errors["add_s"]),
            "reprojection": errors["reprojection"] < REPROJECTION_PX,
            **{f"ar_{name}": share for name, share in passed.items()},
            "ar": np.mean(list(passed.values()), axis=0),
        }
        made["rotation_median_deg"] = ("median", np.degrees(errors["rotation"]))
        made |= {key: ("mean", np.asarray(share, np.float64)) for key, share in shares.items()}
    return made


def _estimate(
    statistic: str, values: Array, look: NDArray[np.intp], weights: NDArray[np.float32], share: bool
) -> Estimate:
    kept = np.isfinite(values)
    given, resampled = values[kept], weights[:, kept]
    if statistic != "mean":
        return weighted_quantile(given, {"median": 0.5, "p90": 0.9}[statistic], resampled)
    if share and len(set(given.tolist())) == 1 and given[0] in (0.0, 1.0):
        # every image says the same, which no resampling questions; Wilson's interval does
        return proportion(np.full(len(np.unique(look[kept])), bool(given[0])))
    return weighted_mean(given, resampled)

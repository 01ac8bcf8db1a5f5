"""What a report says of pose estimators: their scores in each world, as `dr-env vision evaluate` wrote them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dr_env.errors import DREnvError
from dr_env.evaluation.statistics import Estimate

_FORMAT = "dr_env/pose-scores/1"
_FILE, _PAGE, _ALL = "scores.json", "index.html", "all"


@dataclass(frozen=True)
class EstimatorScore:
    """An estimator on one collection of images.

    Attributes:
        name: of the folder of results.
        kind: of estimator.
        images, objects: how many it was judged on.
        median, far: its distance from the truth, and what nine of ten do not exceed, cm, with 95 % intervals.
        page: the folder's page.
    """

    name: str
    kind: str
    images: int
    objects: int
    median: Estimate
    far: Estimate
    page: Path


def read_scores(folder: Path) -> EstimatorScore:
    """The scores in a folder. Raises DREnvError naming the file that is missing or says something else."""
    path = folder / _FILE
    try:
        form = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DREnvError(f"{path}: cannot be read: {error.strerror}; `vision evaluate --out` writes it") from error
    except ValueError as error:
        raise DREnvError(f"{path}: not JSON: {error}") from error
    got = form.get("format") if isinstance(form, dict) else type(form).__name__
    if got != _FORMAT:
        raise DREnvError(f"{path} format: got {got!r}, expected {_FORMAT!r}")
    try:
        found = form["scores"][_ALL]
        median, far = (Estimate(**found[key]) for key in ("position_median_cm", "position_p90_cm"))
        return EstimatorScore(
            folder.name, str(form["kind"]), form["images"], form["objects"][_ALL], median, far, folder / _PAGE
        )
    except (KeyError, TypeError) as error:
        raise DREnvError(f"{path}: no {error}, expected what `dr-env vision evaluate` writes") from error

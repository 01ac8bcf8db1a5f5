"""An evaluation as files: scores, estimates as BOP's tools read them, and a page for eyes."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dr_env.errors import DREnvError
from dr_env.export.catalogue import MM
from dr_env.files import check_writable, write_text
from dr_env.vision.evaluate import Evaluation
from dr_env.vision.judge import Look

SCORES = "scores.json"
ESTIMATES = "estimates.csv"
OBJECTS = "objects.csv"
PAGE = "index.html"

_COLUMNS = ("scene_id", "im_id", "obj_id", "score", "R", "t", "time")


def check_new(folder: Path) -> None:
    """Raises DREnvError unless results can go into `folder`: one that is not there, or is empty."""
    there = folder.exists()
    if there and (not folder.is_dir() or any(folder.iterdir())):
        raise DREnvError(f"{folder}: is there already, and results are not written over; choose another --out")
    check_writable(folder)
    if not there:
        folder.rmdir()  # nothing is left of what fails later


def bop_csv(looks: Iterable[Look]) -> str:
    """Estimates in BOP's format of results: millimetres, one line each; those of an image share its time in seconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for look in looks:
        for estimate in look.estimates:
            pose = estimate.camera_from_object
            rotation = " ".join(f"{x:.8g}" for x in pose[:3, :3].reshape(-1))
            shift = " ".join(f"{x:.8g}" for x in pose[:3, 3] * MM)
            row = (look.scene_id, look.image_id, estimate.class_id, f"{estimate.score:.6g}")
            writer.writerow((*row, rotation, shift, f"{look.seconds:.6g}"))
    return text.getvalue()


def check_numbers(numbers: Iterable[tuple[int, int]], name: str) -> None:
    """Raises DREnvError where two images have the same scene and number, which BOP's results could not tell apart."""
    (scene, image), most = Counter(numbers).most_common(1)[0]
    if most > 1:
        raise DREnvError(
            f"{name}: {most} images are number {image} of scene {scene}, which results could not tell apart; "
            "expected one --split"
        )


def objects_csv(evaluation: Evaluation) -> str:
    """Every target object with its errors, SI units and pixels; empty where it was not found."""
    judged = evaluation.judged
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("scene_id", "im_id", "obj_id", "visible_fraction", "distance", "found", *judged.errors))
    for row in range(len(judged)):
        look = evaluation.looks[judged.look[row]]
        seen = f"{judged.visible[row]:.4g}", f"{judged.distance[row]:.6g}", int(judged.found[row])
        errors = [f"{error[row]:.6g}" if judged.found[row] else "" for error in judged.errors.values()]
        writer.writerow((look.scene_id, look.image_id, judged.class_id[row], *seen, *errors))
    return text.getvalue()


def write_results(evaluation: Evaluation, facts: dict[str, Any], page: str, folder: Path) -> None:
    """Writes scores as JSON, estimates and objects as CSV, and the page into a folder.

    Args:
        evaluation: what was found.
        facts: what else the JSON says, such as where estimator and data are.
        page: HTML.
        folder: see `check_new`.
    """
    write_text(folder / ESTIMATES, bop_csv(evaluation.looks))
    write_text(folder / OBJECTS, objects_csv(evaluation))
    write_text(folder / SCORES, json.dumps({**facts, **evaluation.scores.to_dict()}, indent=1) + "\n")
    write_text(folder / PAGE, page)

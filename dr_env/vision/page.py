"""An evaluation's page: one HTML file that a browser opens from disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dr_env.vision.estimator import Estimator
from dr_env.vision.evaluate import Evaluation
from dr_env.vision.figures import against, extremes, histograms, picture
from dr_env.vision.overlay import ESTIMATED, TRUE, Wire
from dr_env.vision.samples import Images

_TEMPLATE = Path(__file__).parent / "page.html.j2"
_PICTURES = 8  # of the worst, and of the best


def render_page(evaluation: Evaluation, estimator: Estimator, data: Images, facts: Mapping[str, str]) -> str:
    """The page: the table, histograms, what errors depend on, and the worst and best objects with their poses.

    Args:
        evaluation: what was found.
        estimator: what was judged.
        data: the images it was judged on.
        facts: what was run, such as the paths of run and data.
    """
    import jinja2

    judged = evaluation.judged
    present = np.unique(judged.class_id).tolist()
    classes = {k: model.name for k, model in estimator.models.items() if k in present}
    wires = {k: Wire(estimator.models[k]) for k in classes}
    worst, best = extremes(evaluation, _PICTURES)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        name=data.name,
        kind=estimator.kind,
        rotates=estimator.rotates,
        scores=evaluation.scores,
        facts=facts,
        histograms=histograms(evaluation, classes) if judged.found.any() else None,
        against=against(evaluation, classes) if judged.found.any() else None,
        groups={
            "Worst": [picture(evaluation, data, wires, row, estimator.rotates) for row in worst],
            "Best": [picture(evaluation, data, wires, row, estimator.rotates) for row in best],
        },
        colour_true="#" + bytes(TRUE).hex(),
        colour_estimated="#" + bytes(ESTIMATED).hex(),
    )

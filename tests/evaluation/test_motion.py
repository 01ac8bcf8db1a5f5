"""Scores of predicted motion."""

from __future__ import annotations

import numpy as np
import pytest

from dr_env.evaluation.motion import score_motion


def test_what_diverged_under_every_draw_is_not_likely() -> None:
    rng = np.random.default_rng(0)
    ensemble = rng.normal(size=(16, 40, 1))
    window, measured = np.repeat(np.arange(4), 10), np.ones((40, 1), bool)
    held = score_motion(("k",), ensemble[0], ensemble, window, np.zeros(1), (), measured)
    assert np.isfinite([held.log_likelihood, held.rmse["k"]]).all() and held.lost == 0
    ensemble[:, :10] = np.nan
    lost = score_motion(("k",), ensemble[0], ensemble, window, np.zeros(1), (), measured)
    assert lost.log_likelihood == -np.inf and lost.rmse["k"] == np.inf and lost.lost == 0.25
    assert lost.to_dict()["log_likelihood"] is None and lost.to_dict()["rmse"]["k"] is None
    assert lost.coverage["k"]["90"] <= 0.75


def test_what_was_not_measured_changes_no_spread() -> None:
    rng = np.random.default_rng(0)
    ensemble = rng.normal(size=(64, 400, 1)) * 0.5
    window = np.repeat(np.arange(40), 10)
    whole = score_motion(("k",), ensemble[0], ensemble, window, np.zeros(1), [], np.ones((400, 1), bool))
    measured = np.arange(400)[:, None] % 2 == 0
    half = np.where(measured, ensemble, np.nan)
    some = score_motion(("k",), half[0], half, window, np.zeros(1), [], measured)
    assert whole.spread["k"] == pytest.approx(0.5, rel=0.05)
    assert some.spread["k"] == pytest.approx(whole.spread["k"], rel=0.05)

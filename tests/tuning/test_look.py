"""Look tuning: the discrepancy, the evidence of images, and the tuner held to the public suite."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.testing import TunerConformance, target
from dr_env.tuning import TargetImages, make_tuner
from dr_env.tuning.look import Look
from dr_env.tuning.mmd import MMD


class TestLook(TunerConformance):
    tuner = Look
    rounds = 80
    tolerance = 0.15


def test_the_discrepancy_is_unbiased_and_grows_with_distance() -> None:
    rng = np.random.default_rng(0)
    mmd = MMD.of(rng.normal(size=(50, 6)), rng.normal(size=(50, 6)))
    same = [mmd(rng.normal(size=(20, 6)), rng.normal(size=(30, 6))) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(200)
    assert min(same) < 0 < max(same)
    x = rng.normal(size=(40, 6))
    away = [mmd(x, rng.normal(shift, 1.0, size=(40, 6))) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert away == sorted(away)
    assert away[-1] > 10 * np.std(same)
    spread = mmd(x, rng.normal(0.0, 2.0, size=(40, 6)))
    assert spread > 5 * np.std(same), "a different spread is told apart as well"


def test_the_discrepancy_is_equation_3() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 3)), rng.normal(1.0, 1.0, size=(4, 3))
    mmd = MMD(np.ones(3), 2.0)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        squared = float(((a - b) ** 2).sum())
        return float(np.mean([math.exp(-squared / (2 * band * 2.0)) for band in (0.25, 0.5, 1.0, 2.0, 4.0)]))

    expected = (
        np.mean([k(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
        + np.mean([k(y[i], y[j]) for i in range(4) for j in range(4) if i != j])
        - 2 * np.mean([k(a, b) for a in x for b in y])
    )
    assert mmd(x, y) == pytest.approx(expected, rel=1e-12)


def test_units_of_features_and_constants_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(20, 3)), rng.normal(0.5, 1.0, size=(20, 3))
    plain = MMD.of(x, y)(x, y)
    scaled, constant = np.array([1.0, 1e-4, 1e5]), np.full((20, 1), 3.0)
    bent = [np.hstack([rows * scaled, constant]) for rows in (x, y)]
    again = MMD.of(*bent)
    assert again(*bent) == pytest.approx(plain, rel=1e-9)
    read = MMD.from_dict(json.loads(json.dumps(again.to_dict(), allow_nan=False)))
    assert read(*bent) == again(*bent)
    assert math.isnan(again(bent[0][:1], bent[1]))


def test_evidence_of_images_is_checked() -> None:
    spec = target.PRIOR
    with pytest.raises(DREnvError, match="target: got 1 images, expected at least 2"):
        TargetImages(0, np.zeros((1, 3)), np.zeros((4, 3)), spec)
    with pytest.raises(DREnvError, match="rendered: got 4 features, expected 3 as of the target"):
        TargetImages(0, np.zeros((2, 3)), np.zeros((4, 4)), spec)
    none = TargetImages(0, np.zeros((2, 3)), np.zeros(0), spec)
    assert none.rendered.shape == (0, 3)
    assert none.digest() != TargetImages(1, np.zeros((2, 3)), np.zeros(0), spec).digest()


def test_the_first_candidate_is_the_prior() -> None:
    tuner = make_tuner("look", target.PRIOR)
    assert tuner.ask().parameters().to_dict() == target.PRIOR.parameters().to_dict()


def test_the_tasks_own_loss_counts() -> None:
    """Features that say nothing, and a loss on labelled images that says where the target is."""

    def told(tuner: Look, trial: int) -> TargetImages:
        spec = tuner.ask()
        columns = target.drawn(spec, 32, 3)
        gaps = [np.log(columns[name] / value) ** 2 for name, value in target.TRUTH.items()]
        same = np.random.default_rng(0).normal(size=(16, 2))
        return TargetImages(trial, same, same, spec, float(np.mean(gaps)))

    tuner = Look(target.PRIOR, 0)
    for trial in range(80):
        tuner.tell(told(tuner, trial))
    found = target.values_of(target.drawn(tuner.result(), 256, 1))
    before = target.values_of(target.drawn(target.PRIOR, 256, 1))
    truth = np.log(list(target.TRUTH.values()))
    assert np.abs(np.log(found) - truth).mean() < 0.5 * np.abs(np.log(before) - truth).mean()


def test_only_what_is_selected_moves() -> None:
    tuner = make_tuner("look", target.PRIOR, options={"select": ["mass"]})
    for trial in range(8):
        tuner.tell(target.images_of(tuner.ask(), trial))
    result = tuner.result()
    assert result.entries["damping"] == target.PRIOR.entries["damping"]
    assert result.entries["mass"] != target.PRIOR.entries["mass"]
    with pytest.raises(DREnvError, match="no parameter 'mas'; did you mean"):
        make_tuner("look", target.PRIOR, options={"select": ["mas"]})


def test_a_spec_that_cannot_be_rendered_counts_as_the_worst() -> None:
    tuner = make_tuner("look", target.PRIOR, options={"population": 4})
    for trial in range(12):
        spec = tuner.ask()
        low = spec.parameters().to_dict()["mass.low"]
        good = target.images_of(spec, trial)
        tuner.tell(good if low < 0.7 or trial == 0 else TargetImages(trial, good.target, np.zeros(0), spec))
    assert tuner.result().parameters().to_dict()["mass.low"] < 0.9


def test_results_are_ordinary_specs() -> None:
    result = make_tuner("look", target.PRIOR).result()
    assert Spec.from_yaml(result.to_yaml()) == result


def test_before_a_generation_is_whole_the_best_candidate_counts() -> None:
    tuner = make_tuner("look", target.PRIOR, 0)
    for trial in range(2):
        tuner.tell(target.images_of(tuner.ask(), trial))
    best = tuner.points[int(np.argmax(tuner.scores))]  # type: ignore[attr-defined]
    assert np.allclose(tuner._best(), best)  # type: ignore[attr-defined]

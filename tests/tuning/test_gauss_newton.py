"""Gauss-Newton: exact where everything is Gaussian, wide where residuals err together, honest about what is unknown."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_env import DREnvError, Spec
from dr_env.testing import TunerConformance
from dr_env.tuning import Log, TargetTransitions
from dr_env.tuning.coordinates import Coordinates
from dr_env.tuning.gauss_newton import GaussNewton
from tests.conftest import entry, spec_of

Array = NDArray[np.float64]

PRIOR = spec_of(
    a=entry({"body": "x"}, "mass", "scale", type="uniform", low=0.0, high=2.0),
    b=entry({"body": "x"}, "com[0]", "add", type="normal", mean=0.0, std=1.0),
    c=entry({"joint": "x"}, "damping", "scale", type="log_uniform", low=0.1, high=10.0),
)
LOG = Log("log", np.arange(3.0), np.zeros((3, 1)), np.zeros((3, 1)), np.zeros((3, 0)))
EVIDENCE = TargetTransitions((LOG,), 1.0)


class Linear:
    """Residuals D (x - truth) + noise of the values' coordinates x: c counts by its logarithm."""

    names = ("a", "b", "c")
    bounds = np.array([0.0, -4.0, 0.1]), np.array([2.0, 4.0, 10.0])

    def __init__(self, design: Array, truth: Array, noise: Array, per_window: int = 1) -> None:
        self.design, self.truth, self.errors, self.sim_steps = design, truth, noise, 0
        self.clusters = np.arange(len(design)) // per_window

    def predictions(self, values: Array) -> Array:
        self.sim_steps += len(values) * len(self.design)
        x = np.column_stack((values[:, :2], np.log(values[:, 2])))
        return ((x - self.truth) @ self.design.T - self.errors)[:, :, None]

    def residuals(self, values: Array) -> Array:
        return self.predictions(values)[:, :, 0]


def told(simulator: Linear, **options: object) -> GaussNewton:
    tuner = GaussNewton(PRIOR, 0, options, lambda evidence: simulator)
    tuner.tell(EVIDENCE)
    return tuner


def covariance_of(tuner: GaussNewton) -> Array:
    assert tuner.belief is not None
    return tuner.belief.covariance


def believed(tuner: GaussNewton) -> tuple[Array, Array]:
    """Middle and standard deviations, (3,) each, in the coordinates x of `Linear`."""
    assert tuner.belief is not None
    width = np.array([2.0, 8.0, np.log(100)])
    return np.array([0.0, -4.0, np.log(0.1)]) + tuner.belief.mean * width, np.sqrt(
        np.diag(covariance_of(tuner))
    ) * width


def cube(simulator: Linear) -> Coordinates:
    return Coordinates(PRIOR, simulator.names, simulator.bounds)


def test_the_posterior_of_a_linear_gaussian_problem_is_the_exact_one() -> None:
    rng = np.random.default_rng(0)
    design, noise = rng.normal(size=(4000, 3)), 0.5 * rng.normal(size=4000)
    simulator = Linear(design, np.array([0.8, 0.3, 0.5]), noise)
    tuner = told(simulator, spread="parameters", floor=1e-6)
    assert tuner.belief is not None
    point, covariance = tuner.belief.mean, tuner.belief.covariance
    width = np.array([2.0, 8.0, np.log(100)])
    information = (design * width).T @ (design * width) / 0.25
    prior = cube(simulator)
    precision = np.linalg.inv(prior.covariance)
    exact = np.linalg.inv(information + precision)
    truth = np.array([0.4, 4.3 / 8, (0.5 - np.log(0.1)) / np.log(100)])
    target = truth * width
    rhs = (design * width).T @ (design @ target + noise) / 0.25 + precision @ prior.mean
    np.testing.assert_allclose(point, exact @ rhs, atol=0.1 * np.sqrt(np.diag(exact)).max())
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), np.sqrt(np.diag(exact)), rtol=0.15)
    assert not tuner.notes


@pytest.mark.parametrize("per_window", [1, 40])
def test_intervals_hold_the_truth_as_often_as_they_say(per_window: int) -> None:
    """Also where all of a window errs together, which face value takes for forty times the evidence."""
    inside, total = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        windows = 60
        noise = np.repeat(rng.normal(size=windows), per_window)
        design = np.repeat(rng.normal(size=(windows, 3)), per_window, axis=0)
        truth = np.array([rng.uniform(0.4, 1.6), rng.normal(), rng.uniform(-1, 1)])
        tuner = told(Linear(design, truth, noise, per_window), spread="parameters", screen=0)
        x, std = believed(tuner)
        inside += int((np.abs(x - truth) < 1.645 * std).sum())
        total += 3
    assert 0.8 <= inside / total <= 0.97


def test_what_the_data_hardly_tell_is_nearer_the_truth_than_the_best_fit_and_than_the_prior() -> None:
    """The mode under a flat prior is at a bound wherever the data lean by chance."""
    missed, inside = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = np.array([rng.uniform(0.0, 2.0), rng.normal(), rng.uniform(-np.log(10), np.log(10))])
        design, noise = rng.normal(size=(80, 3)) * [1.0, 1.0, 0.2], 5 * rng.normal(size=80)
        tuner = told(Linear(design, truth, noise), spread="parameters", screen=0)
        x, std = believed(tuner)
        best = np.clip(truth + np.linalg.lstsq(design, noise)[0], [0.0, -4.0, -np.log(10)], [2.0, 4.0, np.log(10)])
        middle = np.array([1.0, 0.0, 0.0])
        missed.append([np.abs(found - truth) for found in (x, best, middle)])
        inside.append(np.abs(x - truth) < 1.645 * std)
    ours, mode, prior = np.mean(missed, axis=0)
    assert (ours < mode).all()
    assert (ours < 1.05 * prior).all()
    assert 0.85 <= np.mean(inside) <= 0.97


def test_parameters_that_nothing_tells_are_named_and_keep_the_priors_spread() -> None:
    rng = np.random.default_rng(0)
    design = rng.normal(size=(500, 3)) * [1.0, 1.0, 0.0]
    tuner = told(Linear(design, np.array([0.8, 0.3, 0.0]), 0.1 * rng.normal(size=500)), spread="parameters")
    assert any("not identified" in note and "c (100 %)" in note for note in tuner.notes)
    form = tuner.result().variables["tuned"].distribution.to_dict()
    assert form["covariance"][2][2] == pytest.approx(np.log(100) ** 2 / 12, rel=0.02)
    assert form["covariance"][0][0] < 0.01


def test_values_that_are_only_known_together_are_named() -> None:
    rng = np.random.default_rng(0)
    both = rng.normal(size=(500, 1))
    design = np.concatenate((both, both / 4, rng.normal(size=(500, 1))), axis=1)
    tuner = told(Linear(design, np.array([0.8, 0.3, 0.0]), 0.001 * rng.normal(size=500)))
    assert any("a and b are only known together" in note and "sum" in note for note in tuner.notes)


def test_a_prior_that_excludes_the_data_is_said_so_with_its_entry_and_bound() -> None:
    rng = np.random.default_rng(0)
    tuner = told(Linear(rng.normal(size=(500, 3)), np.array([2.6, 0.0, 0.0]), 0.1 * rng.normal(size=500)))
    assert tuner.notes[0].startswith("a is at its bound 2: the data want it above, which the prior excludes")
    assert tuner.result().provenance is not None
    assert tuner.result().provenance["notes"][0] == tuner.notes[0]


@pytest.mark.parametrize("windows", [300, 100_000])
def test_misfit_widens_the_spread_of_motion_but_never_beyond_the_prior(windows: int) -> None:
    rng = np.random.default_rng(0)
    design = rng.normal(size=(windows, 3))
    per_window = np.array([1.0, 0.3, 0.0]) + 0.2 * rng.normal(size=(windows, 3))  # parameters that differ
    simulator = Linear(design, np.zeros(3), (design * per_window).sum(axis=1))
    narrow, wide = (covariance_of(told(simulator, spread=spread)) for spread in ("parameters", "motion"))
    prior = cube(simulator).covariance
    assert (np.diag(narrow) < np.diag(wide)).all()
    assert (np.diag(wide) < 1.05 * np.diag(prior)).all()
    in_units = np.sqrt(np.diag(wide)) * np.array([2.0, 8.0, np.log(100)])
    np.testing.assert_allclose(in_units, 0.2, rtol=0.35)


def test_outliers_and_diverged_windows_hardly_move_the_estimate() -> None:
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.normal(size=600)
    noise[::20] += 50.0
    simulator = Linear(rng.normal(size=(600, 3)), np.array([0.8, 0.3, 0.5]), noise)
    plain = simulator.predictions
    simulator.predictions = (
        lambda values: np.where(  # type: ignore[method-assign]
            (np.arange(600) % 50 == 7)[None, :, None] & (values[:, :1, None] > 0.9), np.nan, plain(values)
        )
    )
    tuner = told(simulator)
    assert tuner.belief is not None
    values = cube(simulator).from_unit(tuner.belief.mean)
    np.testing.assert_allclose(values, [0.8, 0.3, np.exp(0.5)], atol=0.06)


def several(**options: object) -> tuple[GaussNewton, list[TargetTransitions]]:
    """A tuner, and three recordings whose simulator is that of all that are told at once."""
    rng = np.random.default_rng(0)
    design, noise = rng.normal(size=(3, 300, 3)), 0.05 * rng.normal(size=(3, 300))
    wobble = (design * 0.2 * rng.normal(size=(3, 300, 3))).sum(axis=2)
    logs = [dataclasses.replace(LOG, name=str(i)) for i in range(3)]

    def simulate(evidence: TargetTransitions) -> Linear:
        told = [int(log.name) for log in evidence.logs]
        return Linear(np.concatenate(design[told]), np.array([0.8, 0.3, 0.5]), np.concatenate((noise + wobble)[told]))

    return GaussNewton(PRIOR, 0, options, simulate), [TargetTransitions((log,), 1.0) for log in logs]


def test_more_recordings_leave_less_doubt_and_are_measured_by_the_prior() -> None:
    tuner, evidence = several(spread="parameters", floor=1e-6)
    spreads = []
    for part in evidence:
        tuner.tell(part)
        assert tuner.notes == ()  # all is known far better than before the first
        spreads.append(np.sqrt(np.diag(covariance_of(tuner))))
    assert (spreads[2] < spreads[1]).all() and (spreads[1] < spreads[0]).all()


def test_recordings_told_one_after_another_are_told_at_once() -> None:
    """And one that is told again tells nothing; also where a tuner goes on from its state."""
    (straight, parts), (at_once, _), (resumed, _) = several(), several(), several()
    at_once.tell(TargetTransitions((*parts[0].logs, *parts[1].logs), 1.0))
    straight.tell(parts[0])
    resumed.load_state_dict(json.loads(json.dumps(straight.state_dict(), allow_nan=False)))
    for tuner in (straight, resumed):
        tuner.tell(parts[1])
        tuner.tell(parts[0])
        np.testing.assert_array_equal(covariance_of(tuner), covariance_of(at_once))
        assert tuner._result() == at_once._result()


def test_a_noisy_coordinate_lends_its_doubt_to_what_it_alone_sees() -> None:
    """Each parameter is seen by a sensor of its own; one of them is 25 times as noisy as the others."""
    noise, inside, widths = np.array([0.5, 0.02, 0.02]), [], []
    width = np.array([2.0, 8.0, np.log(100)])
    for seed in range(40):
        rng = np.random.default_rng(seed)
        design, truth = rng.normal(size=(200, 3)), np.array([0.8, 0.3, 0.5])
        simulator = Linear(np.eye(3), truth, np.zeros(3))
        simulator.clusters = np.arange(200)
        errors = noise * rng.normal(size=(200, 3))

        def predictions(values: Array, design: Array = design, errors: Array = errors) -> Array:
            x = np.column_stack((values[:, :2], np.log(values[:, 2])))
            return np.asarray((x - np.array([0.8, 0.3, 0.5]))[:, None] * design - errors)

        simulator.predictions = predictions  # type: ignore[method-assign]
        tuner = told(simulator, spread="parameters", screen=0, floor=1e-6)
        assert tuner.belief is not None
        x = np.array([0.0, -4.0, np.log(0.1)]) + tuner.belief.mean * width
        std = np.maximum(np.sqrt(np.diag(tuner.belief.covariance)) * width, 1e-9)
        inside.append(np.abs(x - truth) < 1.645 * std)
        widths.append(std)
    assert (np.mean(inside, axis=0) >= 0.75).all() and np.mean(inside) < 0.98
    assert np.mean(widths, axis=0)[1] < 0.1 * np.mean(widths, axis=0)[0]


def test_the_spread_of_motion_is_not_thrown_by_a_few_windows() -> None:
    """Where the model is right it stays near what is known, though of twenty windows a few are always outside."""
    ratios = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        simulator = Linear(rng.normal(size=(400, 3)), np.array([0.8, 0.3, 0.5]), 0.3 * rng.normal(size=400), 20)
        stds = [np.sqrt(np.diag(covariance_of(told(simulator, spread=s, screen=0)))) for s in ("motion", "parameters")]
        ratios.append((stds[0] / stds[1]).max())
    assert np.quantile(ratios, 0.7) < 1.3


class Recorded(Linear):
    """Windows of one sample that follow each other; errors of their starts arrive as `carried` times as much."""

    carried = np.ones(1)

    @property
    def chained(self) -> NDArray[np.bool_]:
        return np.arange(len(self.design)) > 0

    def starts(self, values: Array, steps: Array) -> Array:
        return np.broadcast_to(self.carried.reshape(-1, 1, 1), (len(self.design), 1, 1))


@pytest.mark.parametrize("forgetful", [False, True])
def test_only_errors_that_the_next_window_echoes_are_taken_for_noise_of_states(forgetful: bool) -> None:
    rng = np.random.default_rng(0)
    n, truth = 600, np.array([0.8, 0.3, 0.5])
    design = rng.normal(size=(n, 3))
    states = 0.2 * rng.normal(size=n + 1)
    # a state is carried on as it is, or now stronger, now weaker, and seldom much stronger
    carried = np.where(rng.random(n) < 0.05, 5.0, 1.2 * rng.random(n)) if forgetful else np.ones(n)
    motion = carried * states[:-1] - states[1:]
    differing = (design * rng.normal(size=(n, 3))).sum(axis=1)
    simulators = (
        Recorded(design, truth, -motion),
        Recorded(design, truth, 0.2 * differing),
        Linear(design, truth, motion),
    )
    for simulator in simulators[:2]:
        simulator.carried = carried  # type: ignore[attr-defined]
    noisy, differ, alone = (np.sqrt(np.diag(covariance_of(told(simulator)))) for simulator in simulators)
    assert (noisy < 0.02).all()  # noise explains it
    assert (alone > 3 * noisy).all()  # nobody said that it was noise
    width = np.array([2.0, 8.0, np.log(100)])
    np.testing.assert_allclose(differ * width, 0.2, rtol=0.5)  # parameters that differ do, noise does not


def test_the_tuned_spec_reads_back_the_same() -> None:
    rng = np.random.default_rng(0)
    tuner = told(Linear(rng.normal(size=(500, 3)), np.array([0.8, 0.3, 0.5]), 0.1 * rng.normal(size=500)))
    spec = tuner.result()
    assert Spec.from_yaml(spec.to_yaml()) == spec
    read = spec.entries["c"].distribution
    low, high = np.log(0.1), np.log(10)
    inside = read.draw(np.zeros(0), {"tuned.c": np.array([0.5, low - 0.2, high + 0.3, -99.0])})
    np.testing.assert_allclose(inside, np.exp([0.5, low + 0.2, high - 0.3, low]), rtol=1e-9)
    assert read.accepts(inside[:, None]).all()
    state = json.loads(json.dumps(tuner.state_dict()))
    again = GaussNewton(PRIOR, 0, {}, lambda evidence: Linear(np.eye(3), np.zeros(3), np.zeros(3)))
    again.load_state_dict(state)
    assert again.result() == spec
    assert again.notes == tuner.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spread": "wide"}, "gauss_newton.spread: got 'wide', expected motion or parameters"),
        ({"iterations": 0}, "gauss_newton.iterations: got 0, expected at least 1"),
        ({"screen": 1.5}, "gauss_newton.screen: got 1.5, expected int"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        GaussNewton(PRIOR, 0, options, lambda evidence: Linear(np.eye(3), np.zeros(3), np.zeros(3)))


class TestGaussNewton(TunerConformance):
    tuner = GaussNewton
    options = {"screen": 4, "iterations": 6}  # noqa: RUF012
    rounds = 4

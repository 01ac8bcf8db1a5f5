"""Methods that fit to recordings: the laws of every tuner, and posteriors that are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.testing import TunerConformance, target
from dr_env.tuning import Evidence, Ledger, SimEpisodes, npdr
from dr_env.tuning.coordinates import Coordinates
from dr_env.tuning.credible import Credible
from dr_env.tuning.dropo import DROPO
from dr_env.tuning.grown import Grown
from dr_env.tuning.likelihood import Belief, LikelihoodTuner
from dr_env.tuning.mixed import drawn_in, fit
from dr_env.tuning.npdr import NPDR
from dr_env.tuning.problem import Problem
from dr_env.tuning.simopt import SimOpt, _reps

Array = NDArray[np.float64]


class TestCredible(TunerConformance):
    tuner = Credible
    rounds = 2


class TestDROPO(TunerConformance):
    tuner = DROPO
    options: ClassVar[Mapping[str, Any]] = {"evaluations": 48, "samples": 8}
    rounds = 2


class TestSimOpt(TunerConformance):
    tuner = SimOpt
    options: ClassVar[Mapping[str, Any]] = {"samples": 20, "updates": 10}
    rounds = 2


class TestGrown(TunerConformance):
    tuner = Grown
    rounds = 4

    def evidence(self, spec: Spec, trial: int, seed: int = 0) -> Evidence:
        """A recording first, then episodes, every other time."""
        return target.recording(seed + trial) if trial % 2 == 0 else target.episodes_of(spec, 0.05, seed=seed + trial)


@dataclasses.dataclass
class Linear:
    """A Simulator that is linear in its parameters, so that the posterior is known: errors = A theta - y."""

    design: Array  # (k, m, d)
    measured: Array  # (k, m)
    names: tuple[str, ...] = ("a", "b", "c")
    sim_steps: int = 0

    @property
    def bounds(self) -> tuple[Array, Array]:
        d = self.design.shape[2]
        return np.full(d, -1.0), np.full(d, 3.0)

    @property
    def clusters(self) -> NDArray[np.intp]:
        return np.arange(len(self.design))

    def predictions(self, values: Array) -> Array:
        self.sim_steps += len(values) * len(self.design)
        return np.asarray(np.einsum("kmd,nd->nkm", self.design, values) - self.measured)

    def residuals(self, values: Array) -> Array:
        return self.predictions(values).reshape(len(values), -1)


LINEAR = Spec.from_dict(
    {
        "format": "dr_env/1",
        "entries": {
            name: {
                "select": {"body": name},
                "field": "mass",
                "operation": "add",
                "distribution": {"type": "uniform", "low": -1.0, "high": 3.0},
            }
            for name in ("a", "b", "c")
        },
    }
)
TRUTH = np.array([0.5, 1.2, 2.0])


def linear(seed: int, k: int = 60, noise: float = 0.3, wobble: float = 0.0, late: float = 0.0) -> Linear:
    """Recordings of a linear target; `wobble` lets its parameters differ between transitions, `late` delays it."""
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(k, 4, 3))
    acting = (1 - late) * design + late * np.roll(design, 1, axis=0)
    theta = TRUTH + wobble * rng.normal(size=(k, 3))
    measured = np.einsum("kmd,kd->km", acting, theta) + noise * rng.normal(size=(k, 4))
    return Linear(design, measured)


def fitted(tuner: type[LikelihoodTuner[Any]], simulator: Linear, options: Mapping[str, Any]) -> tuple[Array, Array]:
    """Mean and covariance in the parameters' own units."""
    coordinates = Coordinates(LINEAR, simulator.names, simulator.bounds)
    problem = Problem(simulator, coordinates)
    made = tuner(target.PRIOR, 0, options, lambda evidence: target.CartSimulator(evidence))
    mean, covariance = made._fit(problem, np.random.default_rng(0))
    return problem.values(mean), 16.0 * covariance  # ranges are 4 wide


def test_credible_is_least_squares_where_the_model_is_right() -> None:
    """The estimate and its covariance are those of linear regression, within the little that T and lags cost."""
    simulator = linear(0, k=200)
    design, measured = simulator.design.reshape(-1, 3), simulator.measured.reshape(-1)
    exact, *_ = np.linalg.lstsq(design, measured, rcond=None)
    covariance = 0.3**2 * np.linalg.inv(design.T @ design)
    mean, found = fitted(Credible, simulator, {})
    assert np.allclose(mean, exact, atol=0.5 * np.sqrt(np.diag(covariance)).min() + 0.01)
    ratio = np.sqrt(np.diag(found) / np.diag(covariance))
    assert (ratio > 0.8).all()
    assert (ratio < 3).all()


@pytest.mark.parametrize("broken", [{}, {"wobble": 0.3}, {"late": 0.4}], ids=["right", "wobbling", "late"])
def test_credible_intervals_cover(broken: dict[str, float]) -> None:
    inside = []
    for seed in range(16):
        mean, covariance = fitted(Credible, linear(seed, k=40, **broken), {})
        inside.append(np.abs(mean - TRUTH) < 1.645 * np.sqrt(np.diag(covariance)))
    assert np.mean(inside) >= 0.8


def test_lateness_is_found_and_the_sum_kept() -> None:
    late = linear(3, k=200, noise=0.05, late=0.5)
    errors = late.predictions(np.zeros((1, 3)))[0]
    arguments = errors, late.design, np.full(3, 1e-4), np.zeros(3)
    with_lags, without = fit(*arguments, lags=1), fit(*arguments, lags=0)
    assert np.allclose(with_lags.shift, TRUTH, atol=0.05)
    assert np.linalg.norm(without.shift - TRUTH) > 5 * np.linalg.norm(with_lags.shift - TRUTH)
    lag, error = with_lags.lag()
    assert np.allclose(lag / TRUTH, 0.5, atol=0.02)
    assert (error < 0.01).all()


def test_lateness_reaches_no_other_recording() -> None:
    """Recordings of three transitions: in whatever order they are told, the fit is the same."""
    late = linear(3, k=60, noise=0.05, late=0.4)
    errors, chained = late.predictions(np.zeros((1, 3)))[0], np.arange(60) % 3 > 0
    order = np.arange(60).reshape(20, 3)[np.random.default_rng(0).permutation(20)].ravel()
    arguments = np.full(3, 1e-4), np.zeros(3)
    first, other = (fit(errors[at], late.design[at], *arguments, chained=chained) for at in (np.arange(60), order))
    assert np.allclose(first.shift, other.shift, atol=1e-9)
    alike = np.repeat(late.design[:1], 60, axis=0)
    assert not np.allclose(fit(errors, late.design, *arguments).shift, first.shift, atol=1e-4)
    assert not fit(errors, alike, *arguments, chained=chained).offset.any()


def test_noise_and_spread_are_told_apart() -> None:
    for noise, wobble in ((0.3, 0.0), (0.1, 0.4)):
        data = linear(5, k=400, noise=noise, wobble=wobble)
        errors = data.predictions(TRUTH[None])[0]
        found = fit(errors, data.design, np.full(3, 1e-4), np.zeros(3), lags=0)
        assert np.allclose(np.sqrt(np.diag(found.noise)), noise, rtol=0.25)
        assert np.allclose(np.sqrt(found.spread), wobble, atol=0.1)


def test_noise_of_start_states_is_told_by_its_echo() -> None:
    """A noisy state ends one transition and starts the next; noise of other origin, as strong, has no echo."""
    k, m, level = 300, 4, 0.2
    rng = np.random.default_rng(6)
    design, slopes = rng.normal(size=(k, m, 3)), rng.normal(size=(k, m, m))
    state = level * rng.normal(size=(k + 1, m))
    other = level * rng.normal(size=(k, m))
    arguments = design, np.full(3, 1e-4), np.zeros(3)
    exact = -design @ TRUTH
    echoing = exact + (slopes @ state[:-1, :, None])[:, :, 0] - state[1:]
    silent = exact + (slopes @ other[:, :, None])[:, :, 0] - state[1:]
    found = fit(echoing, *arguments, lags=0, states=slopes)
    without = fit(echoing, *arguments, lags=0)
    assert found.echo[0] == pytest.approx(1.0, abs=3 * found.echo[1])
    assert found.echo[1] < 0.1
    assert np.allclose(np.sqrt(np.diag(found.noise)), level, rtol=0.25)
    assert np.linalg.norm(found.shift - TRUTH) < np.linalg.norm(without.shift - TRUTH)
    assert np.trace(found.total()) < 0.8 * np.trace(without.total())
    heard, doubt = fit(silent, *arguments, lags=0, states=slopes).echo
    assert abs(heard) < 3 * doubt < 0.3
    assert fit(echoing, *arguments, lags=0, chained=np.zeros(k, bool), states=slopes).echo == (0.0, np.inf)


def test_transitions_stand_in_the_order_of_recording() -> None:
    """Simulators may sort their windows; what acts late needs neighbours in time."""
    rng = np.random.default_rng(0)
    sound, order = linear(3), rng.permutation(60)

    class Sorted(Linear):
        @property
        def clusters(self) -> NDArray[np.intp]:
            return order

    shuffled = Sorted(sound.design[order], sound.measured[order])
    bounds = Coordinates(LINEAR, sound.names, sound.bounds)
    at = rng.random((2, 3))
    assert np.array_equal(Problem(shuffled, bounds).errors(at), Problem(sound, bounds).errors(at))


def test_clean_recordings_are_recovered_to_the_digit() -> None:
    simulator = linear(1, k=20, noise=0.0)
    mean, _ = fitted(Credible, simulator, {})
    assert np.allclose(mean, TRUTH, atol=1e-5)


def test_dropo_finds_the_likeliest_distribution() -> None:
    """On wobbling parameters with hardly any noise, the means and spreads that made the recordings."""
    simulator = linear(2, k=60, noise=0.003, wobble=0.3)
    mean, covariance = fitted(DROPO, simulator, {"evaluations": 600, "samples": 60, "epsilon": 1e-4, "floor": False})
    assert np.allclose(mean, TRUTH, atol=0.2)
    assert np.allclose(np.sqrt(np.diag(covariance)), 0.3, rtol=0.5)


def test_no_variance_is_wider_than_allowed_and_correlations_stay() -> None:
    wide = np.array([[4.0, 1.0], [1.0, 1.0]])
    assert np.allclose(drawn_in(wide, np.array([1.0, 2.0])), [[1.0, 0.5], [0.5, 1.0]])


def test_dropo_floor_and_entropy_keep_the_spread() -> None:
    simulator = linear(2, k=30, noise=0.3)
    numbers = {"evaluations": 150, "samples": 20}
    plain, floored, entropic = (
        np.trace(fitted(DROPO, simulator, numbers | extra)[1])
        for extra in ({"floor": False}, {}, {"floor": False, "entropy": 10.0})
    )
    assert floored > plain
    assert entropic > plain


def test_reps_weights_respect_the_bound() -> None:
    costs = np.random.default_rng(0).exponential(size=400)
    for bound in (0.1, 0.5, 1.0):
        weights = _reps(costs, bound)
        divergence = float((weights * np.log(np.maximum(weights, 1e-300) * len(costs))).sum())
        assert divergence == pytest.approx(bound, rel=0.02)
        assert weights @ costs < costs.mean()


def test_simopt_closes_in() -> None:
    mean, covariance = fitted(SimOpt, linear(4, k=50, noise=0.05), {"samples": 60, "filter": 0.0})
    assert np.allclose(mean, TRUTH, atol=0.15)
    assert np.sqrt(np.diag(covariance)).max() < 0.3


def test_npdr_comes_nearer_than_the_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sbi")
    monkeypatch.setattr(npdr, "_DRAWS", 200)  # a network that has hardly learned draws mostly outside of the prior
    numbers = {"rounds": 1, "simulations": 150, "features": 6, "epochs": 20}
    mean, covariance = fitted(NPDR, linear(6, k=20, noise=0.1), numbers)
    assert np.linalg.norm(mean - TRUTH) < np.linalg.norm(1.0 - TRUTH)
    assert np.sqrt(np.diag(covariance)).min() < 0.6, "narrower than the prior"


def test_npdr_is_deterministic_and_leaves_the_global_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("sbi")
    monkeypatch.setattr(npdr, "_DRAWS", 50)
    numbers = {"rounds": 1, "simulations": 20, "features": 3, "epochs": 1}
    before = torch.random.get_rng_state()
    first, second = (fitted(NPDR, linear(6, k=10), numbers)[0] for _ in range(2))
    assert np.array_equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_simulator_that_diverges_everywhere_but_somewhere() -> None:
    class Fragile(Linear):
        def predictions(self, values: Array) -> Array:
            found = super().predictions(values)
            found[values[:, 0] > 1.0] = np.nan
            return found

    sound = linear(0)
    mean, covariance = fitted(Credible, Fragile(sound.design, sound.measured), {})
    assert np.allclose(mean, TRUTH, atol=0.2)
    assert np.isfinite(covariance).all()


def test_what_is_not_measured_is_left_out() -> None:
    simulator = linear(0)
    simulator.measured[:, 1] = np.nan  # a coordinate that no sensor has
    simulator.measured[3:6, 0] = np.nan
    problem = Problem(simulator, Coordinates(LINEAR, simulator.names, simulator.bounds))
    assert problem.shape == (57, 3)
    assert np.isfinite(problem.errors(np.full((1, 3), 0.5))).all()


def test_a_belief_becomes_a_spec() -> None:
    covariance = 0.04 * np.array([[1.0, 0.8], [0.8, 1.0]])
    low, high = np.array([0.25, 0.2]), np.array([2.0, 5.0])
    belief = Belief(("mass", "damping"), low, high, np.array([0.5, 0.5]), covariance)
    plain, wide = (target.values_of(target.drawn(belief.spec(target.PRIOR, g), 2000, 0)) for g in (1.0, 1.5))
    assert np.corrcoef(np.log(plain).T)[0, 1] > 0.6
    assert (wide.std(0) > 1.2 * plain.std(0)).all()
    assert (wide >= low - 1e-9).all()
    assert (wide <= high + 1e-9).all()
    assert Belief.from_dict(belief.to_dict()).to_dict() == belief.to_dict()


def test_a_belief_without_spread_still_draws() -> None:
    low, high = np.array([0.25, 0.2]), np.array([2.0, 5.0])
    point = Belief(("mass", "damping"), low, high, np.array([1.0, 0.0]), np.zeros((2, 2)))
    values = target.values_of(target.drawn(point.spec(target.PRIOR), 64, 0))
    assert np.allclose(values, [2.0, 0.2], atol=0.01)


def test_growth_follows_success() -> None:
    tuner = Grown(target.PRIOR, 0, {"limit": 4.0}, lambda evidence: target.CartSimulator(evidence))
    tuner.tell(target.recording())
    first = target.values_of(target.drawn(tuner.result(), 500, 0)).std(0)
    columns = target.drawn(tuner.ask(), 200, 0)
    good = SimEpisodes(columns, np.ones(200), np.ones(200, bool))
    bad = SimEpisodes(columns, np.ones(200), np.zeros(200, bool))
    tuner.tell(good)
    tuner.tell(good)
    wide = target.values_of(target.drawn(tuner.result(), 500, 0)).std(0)
    assert (wide > 1.5 * first).all()
    tuner.tell(bad)
    assert tuner.done
    back = target.values_of(target.drawn(tuner.result(), 500, 0)).std(0)
    assert ((first < back) & (back < wide)).all()
    tuner.tell(good)
    assert np.array_equal(target.values_of(target.drawn(tuner.result(), 500, 0)).std(0), back)


def test_the_spread_that_comes_out_has_been_judged() -> None:
    """At the limit too, which the last step falls short of by less than the factor."""
    tuner = Grown(target.PRIOR, 0, {"limit": 4.0}, lambda evidence: target.CartSimulator(evidence))
    tuner.tell(target.recording())
    judged = []
    while not tuner.done:
        judged.append(tuner.ask())
        tuner.tell(SimEpisodes({}, np.ones(200), np.ones(200, bool)))
    assert tuner.ask() == judged[-1]
    assert tuner.growth == 4.0
    assert len(judged) == 5  # 1, 1.5, 2.25, 3.375, 4


def test_simulation_is_counted() -> None:
    tuner = Credible(target.PRIOR, 0, None, lambda evidence: target.CartSimulator(evidence))
    evidence = target.recording()
    tuner.tell(evidence, Ledger(target_steps=200))
    assert tuner.ledger.target_steps == 200
    assert 200 * 20 < tuner.ledger.sim_steps < 200 * 200


@pytest.mark.parametrize(
    ("tuner", "options", "message"),
    [
        (Credible, {"starts": 0}, "credible.starts: got 0"),
        (DROPO, {"samples": 1}, "dropo.samples: got 1"),
        (SimOpt, {"l1": 0.0, "l2": 0.0}, "simopt.l1: got 0"),
        (NPDR, {"simulations": 1}, "npdr.simulations: got 1"),
        (Grown, {"success": 1.5}, "grown.success: got 1.5"),
    ],
)
def test_impossible_numbers_are_refused(tuner: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        tuner(target.PRIOR, 0, options, lambda evidence: target.CartSimulator(evidence))

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from dr_env import DREnvError, Spec
from dr_env.testing import TunerConformance, target
from dr_env.tuning import SimEpisodes, betas, make_tuner
from dr_env.tuning.active_dr import ActiveDR, _log_belief
from dr_env.tuning.adr import ADR
from dr_env.tuning.doraemon import Doraemon
from dr_env.tuning.ranges import ranges_of, spread_of
from tests.conftest import entry, spec_of

SHAPES = st.lists(st.floats(0.0, 5.0), min_size=2, max_size=2).map(np.array)


class TestDoraemon(TunerConformance):
    tuner = Doraemon
    options: ClassVar[dict[str, Any]] = {"step": 0.3}
    rounds = 20


class TestADR(TunerConformance):
    tuner = ADR
    rounds = 60
    options: ClassVar[dict[str, Any]] = {"step": 0.05}


class TestActiveDR(TunerConformance):
    tuner = ActiveDR
    rounds = 12

    def test_recovers_a_known_optimum(self) -> None:
        """Returns fall with the distance from nominal, so that is where particles go."""
        tuner = self.make()
        tuner.particles = 0.5 + 0.2 * (tuner.particles - 0.5)  # type: ignore[attr-defined]
        before = target.values_of(target.drawn(tuner.result(), 512, 1))
        self.play(tuner, self.rounds)
        after = target.values_of(target.drawn(tuner.result(), 512, 1))
        assert np.abs(np.log(after)).mean() > 1.3 * np.abs(np.log(before)).mean()


@given(SHAPES, SHAPES)
def test_betas_agree_with_scipy_and_their_gradients_with_differences(theta: np.ndarray, old: np.ndarray) -> None:
    one = np.ones(1)
    (a,), (b,) = betas.split(theta)
    p, q = stats.beta(a, b), stats.beta(*np.exp(old))
    assert betas.entropy(theta, one)[0] == pytest.approx(float(p.entropy()), abs=1e-8)
    kl, _ = betas.divergence(theta, old, one)
    assert kl >= -1e-9
    if np.abs(theta - old).max() < 1.0:
        expected, _ = integrate.quad(
            lambda u: p.pdf(u) * (p.logpdf(u) - q.logpdf(u)), 0, 1, points=[float(p.mean())], limit=200
        )
        assert kl == pytest.approx(expected, abs=1e-5, rel=1e-4)
    u = np.array([[0.2], [0.7]])
    sums = np.log(u), np.log1p(-u)
    assert betas.log_density(theta, sums, one)[0] == pytest.approx(p.logpdf(u[:, 0]))
    for function in (lambda t: betas.entropy(t, one), lambda t: betas.divergence(t, old, one)):
        slope = optimize.approx_fprime(theta, lambda t, f=function: f(t)[0], 1e-6)
        np.testing.assert_allclose(function(theta)[1], slope, rtol=1e-3, atol=1e-3)
    for row in (0, 1):
        slope = optimize.approx_fprime(theta, lambda t, r=row: betas.log_density(t, sums, one)[0][r], 1e-6)
        np.testing.assert_allclose(betas.log_density(theta, sums, one)[1][row], slope, rtol=1e-3, atol=2e-3)


@given(SHAPES)
def test_the_divergence_of_a_small_change_is_the_fisher_informations(theta: np.ndarray) -> None:
    two = np.full(1, 2.0)
    change = 1e-3 * np.array([1.0, -0.5])
    expected = 0.5 * change @ betas.fisher(theta, two) @ change
    assert betas.divergence(theta + change, theta, two)[0] == pytest.approx(expected, rel=2e-2, abs=1e-10)


def test_neighbouring_divergences_are_exact() -> None:
    """In float32 this comes out as 0 or negative."""
    old = np.log(np.array([100.0, 100.0]))
    kl, _ = betas.divergence(old + 1e-5, old, np.ones(1))
    assert 0 < kl < 1e-8


def test_entropy_grows_to_its_maximum_where_everything_succeeds() -> None:
    tuner = make_tuner("doraemon", target.PRIOR, options={"step": 0.5, "episodes": 100})
    entropies = [tuner.entropy]  # type: ignore[attr-defined]
    for trial in range(40):
        tuner.tell(target.episodes_of(tuner.ask(), 10.0, 100, trial))
        entropies.append(tuner.entropy)  # type: ignore[attr-defined]
        if tuner.done:
            break
    assert tuner.done
    assert (np.diff(entropies) > 0).all()
    for name in target.TRUTH:
        beta = tuner.result().entries[name].distribution
        assert 1.0 <= min(beta.alpha, beta.beta) <= max(beta.alpha, beta.beta) < 1.1  # type: ignore[attr-defined]
    assert spread_of(tuner.result(), target.PRIOR) > 0.85


def test_a_step_keeps_to_its_size_and_what_fails_is_left() -> None:
    tuner = make_tuner("doraemon", target.PRIOR, options={"step": 0.1})
    rates = []
    for trial in range(30):
        before = tuner.theta.copy()  # type: ignore[attr-defined]
        episodes = target.episodes_of(tuner.ask(), 0.5, 256, trial)
        rates.append(float(episodes.successes.mean()))
        tuner.tell(episodes)
        assert betas.divergence(tuner.theta, before, np.ones(2))[0] <= 0.1001  # type: ignore[attr-defined]
    assert np.mean(rates[-8:]) == pytest.approx(0.5, abs=0.12), "it widens until half of the episodes succeed"
    # a policy that fails everywhere moves nothing
    stuck = make_tuner("doraemon", target.PRIOR)
    before = stuck.ask()
    stuck.tell(target.episodes_of(before, -1.0))
    assert stuck.ask() == before


def test_adr_moves_the_ends_that_deserve_it() -> None:
    tuner = make_tuner("adr", target.PRIOR, options={"step": 0.1, "buffer": 5})
    assert spread_of(tuner.result(), target.PRIOR) == pytest.approx(0, abs=1e-12)
    columns = target.drawn(tuner.ask(), 8, 0)
    assert (columns["mass"] == 1).all()
    for trial in range(40):
        spec = tuner.ask()
        columns = target.drawn(spec, 64, trial)
        low, high = tuner.result().entries["mass"].distribution.support()
        ends = (columns["mass"] == low) | (columns["mass"] == high)
        if low < high:
            assert 0.05 < ends.mean() < 0.6, "a share of the episodes is on an end"
        good = columns["mass"] <= 1.5  # heavy carts fail
        tuner.tell(type(target.episodes_of(spec, 1.0))(columns, np.zeros(64), good))
    low, high = tuner.result().entries["mass"].distribution.support()
    assert low == pytest.approx(0.25)
    assert 1.3 < high < 1.8
    assert tuner.result().entries["damping"].distribution.support()[0] < 0.5


def test_ranges_and_what_has_none() -> None:
    ranges = {part.name: part for part in ranges_of(target.PRIOR)}
    assert set(ranges) == {"mass", "damping"}
    assert ranges["damping"].log
    assert ranges["damping"].from_unit(0.5) == pytest.approx(1.0)
    choice = Spec.from_yaml("""
format: dr_env/1
entries:
  mass:
    select: {body: cart}
    field: mass
    operation: scale
    distribution: {type: choice, values: [1, 2]}
""")
    for method in ("doraemon", "adr"):
        with pytest.raises(DREnvError, match="nothing tunable"):
            make_tuner(method, choice)
    with pytest.raises(DREnvError, match="'damping' is missing; got mass"):
        make_tuner("adr", target.PRIOR).tell(
            type(target.episodes_of(target.PRIOR, 1.0))({"mass": np.ones(2)}, np.zeros(2), np.ones(2, bool))
        )


def test_no_step_stands_still_in_many_dimensions() -> None:
    """Eight numbers and two constraints: each step takes all of the divergence that it may."""
    entries = {f"mass{i}": target.PRIOR.entries["mass"] for i in range(8)}
    tuner = make_tuner("doraemon", Spec(entries=entries))
    rng = np.random.default_rng(0)
    for _ in range(5):
        before = tuner.theta.copy()  # type: ignore[attr-defined]
        spec = tuner.ask()
        draws = {name: spec.entries[name].distribution.sample(rng, (200,)) for name in entries}
        tuner.tell(SimEpisodes(draws, np.zeros(200), rng.random(200) < 0.8))
        assert betas.divergence(tuner.theta, before, np.ones(8))[0] > 0.03  # type: ignore[attr-defined]
        assert tuner.entropy > betas.entropy(before, np.ones(8))[0]  # type: ignore[attr-defined]


def test_the_discriminator_tells_episodes_apart() -> None:
    rng = np.random.default_rng(0)
    randomized = np.arange(200) % 2 == 0
    low = _log_belief(np.where(randomized, -1.0, 1.0) + rng.normal(0, 0.1, 200), randomized)
    assert low[randomized].min() > low[~randomized].max()
    same = _log_belief(rng.normal(0, 1, 200), randomized)
    assert np.abs(same - np.log(0.5)).mean() < 0.05


def test_particles_keep_apart_where_nothing_is_learnt() -> None:
    tuner = make_tuner("active_dr", target.PRIOR)
    tuner.particles = 0.5 + 0.01 * tuner.particles  # type: ignore[attr-defined]
    for trial in range(10):
        episodes = target.episodes_of(tuner.ask(), 1.0, 256, trial)
        tuner.tell(SimEpisodes(episodes.draws, np.zeros(256), episodes.successes))
    assert tuner.particles.std(0).min() > 0.05  # type: ignore[attr-defined]
    share = (episodes.draws["mass"] == 1.0).mean()
    assert share == pytest.approx(0.5, abs=0.15), "half of the episodes are in the reference environment"
    with pytest.raises(DREnvError, match="'active_dr' is missing; got mass"):
        tuner.tell(SimEpisodes({"mass": np.ones(1)}, np.zeros(1), np.ones(1, bool)))


def test_episodes_of_an_earlier_distribution_are_weighted_by_it() -> None:
    """Half of the evidence comes late; the rate that it settles at is the same."""
    tuner = make_tuner("doraemon", target.PRIOR, options={"step": 0.1, "episodes": 256})
    before, rates = tuner.ask(), []
    for trial in range(40):
        now = tuner.ask()
        for spec, seed in ((before, 2 * trial), (now, 2 * trial + 1)):
            found = target.episodes_of(spec, 0.5, 128, seed)
            tuner.tell(SimEpisodes(found.draws, found.returns, found.successes, spec))
        rates.append(float(found.successes.mean()))
        before = now
    assert np.mean(rates[-10:]) == pytest.approx(0.5, abs=0.12)
    with pytest.raises(DREnvError, match="a Spec that it did not ask"):
        tuner.tell(SimEpisodes(found.draws, found.returns, found.successes, target.PRIOR))


@pytest.mark.parametrize("name", ["active_dr", "adr", "doraemon"])
def test_a_single_range_is_learnt(name: str) -> None:
    prior = target.PRIOR.model_copy(update={"entries": {"mass": target.PRIOR.entries["mass"]}})
    tuner = make_tuner(name, prior)
    for round_ in range(3):
        spec = tuner.ask()
        draws = target.drawn(spec, 32, round_)
        tuner.tell(SimEpisodes(draws, np.linspace(0.0, 1.0, 32), np.ones(32, bool), spec))
    assert 0.2 < np.median(target.drawn(tuner.result(), 64, 9)["mass"]) < 2.0


def test_only_what_is_drawn_at_each_episode_widens() -> None:
    mass = entry({"body": "cart"}, "mass", "scale", type="uniform", low=0.5, high=1.5)
    drag = entry({"joint": "slide"}, "damping", "scale", type="uniform", low=0.5, high=1.5)
    for key in ({"trigger": "compile"}, {"trigger": "step"}, {"trigger": "interval", "every": 0.5}):
        prior = spec_of(mass={**mass, **key}, drag=drag)
        for name in ("active_dr", "adr", "doraemon"):
            asked = make_tuner(name, prior).ask()
            assert asked.entries["mass"] == prior.entries["mass"]
            assert asked.entries["drag"] != prior.entries["drag"]
            with pytest.raises(DREnvError, match="nothing tunable; no entry that is drawn at each episode"):
                make_tuner(name, spec_of(mass={**mass, **key}))


def test_half_of_the_episodes_have_a_value_on_an_end_however_many_are_drawn() -> None:
    friction = entry({"geom": "*"}, "friction", "scale", type="uniform", low=0.5, high=1.5)
    for per, count in (("shared", 1), ("number", 3)):
        tuner = make_tuner("adr", spec_of(friction={**friction, "per": per}), options={"step": 0.1, "buffer": 1})
        columns = target.drawn(tuner.ask(), 64, 0)
        tuner.tell(SimEpisodes(columns, np.zeros(64), np.ones(64, bool)))
        drawn = target.drawn(tuner.ask(), 4000, 1)["friction"].reshape(4000, -1)
        assert drawn.shape[1] == count
        ends = np.isin(drawn, tuner.result().entries["friction"].distribution.support())
        assert ends.any(1).mean() == pytest.approx(0.5, abs=0.03)
        resumed = make_tuner("adr", tuner.prior, options={"step": 0.1, "buffer": 1})
        resumed.load_state_dict(tuner.state_dict())
        assert resumed.ask() == tuner.ask()


def test_equal_proposals_are_told_apart_and_from_the_reference() -> None:
    """Where the only range begins at the value that changes nothing, half of what is proposed there is that value."""
    drag = entry({"joint": "slide"}, "damping", "add", type="uniform", low=0.0, high=2.0)
    tuner = make_tuner("active_dr", spec_of(drag=drag), options={"episodes": 10**6})
    tuner.particles = 0.01 * tuner.particles  # type: ignore[attr-defined]
    columns = target.drawn(tuner.ask(), 4000, 0)
    assert (columns["drag"] == 0).mean() > 0.6
    tuner.tell(SimEpisodes(columns, np.zeros(4000), np.ones(4000, bool)))
    shares = np.bincount(np.array(tuner.state_dict()["own"]["owners"]) + 1, minlength=11) / 4000
    assert shares == pytest.approx(np.array([0.5] + [0.05] * 10), abs=0.025)

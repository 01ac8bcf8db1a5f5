"""What every tuner must do, as tests to inherit.

    from dr_env.testing import TunerConformance

    class TestMine(TunerConformance):
        tuner = MyTuner
        options = {"population": 8}

pytest then runs all of them. The target is a mass on a damper (`dr_env.testing.target`), whose answer is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.testing import target
from dr_env.tuning import Evidence, Ledger, SimEpisodes, TargetImages, TargetReturns, TargetTransitions, Tuner


class TunerConformance:
    """The tests; a subclass names its tuner, and changes what its method takes longer or reaches less of."""

    tuner: ClassVar[type[Tuner[Any]]]
    options: ClassVar[Mapping[str, Any]] = {}
    rounds: ClassVar[int] = 40
    """How often the tuner is told before its answer is judged; half of it is enough for every other test."""
    tolerance: ClassVar[float] = 0.25
    """The largest mean distance of the result's Draws from the target, in the logarithm; the prior's is 0.43."""
    radius: ClassVar[float] = 0.8
    """For curricula: episodes succeed where no scale is further than a factor exp(radius) from nominal."""

    # how a tuner is made and told; a subclass seldom changes these

    def make(self, seed: int = 0, prior: Spec = target.PRIOR) -> Tuner[Any]:
        """A fresh tuner; what it simulates is kept in `self.simulated`."""
        self.simulated: list[TargetTransitions] = []
        return self.tuner(prior, seed, self.options, self._simulate if "transitions" in self.tuner.needs else None)

    def _simulate(self, evidence: TargetTransitions) -> target.CartSimulator:
        self.simulated.append(evidence)
        return target.CartSimulator(evidence)

    def evidence(self, spec: Spec, trial: int, seed: int = 0) -> Evidence:
        """What the target answers to a Spec."""
        if "returns" in self.tuner.needs:
            return target.returns_of(spec, trial, seed=seed)
        if "episodes" in self.tuner.needs:
            return target.episodes_of(spec, self.radius, seed=seed + trial)
        if "images" in self.tuner.needs:
            return target.images_of(spec, trial)
        return target.recording(seed + trial)

    def play(self, tuner: Tuner[Any], rounds: int, first: int = 0) -> list[Spec]:
        """Asks and tells; returns what was asked. Stops early where the tuner is done."""
        asked = []
        for trial in range(first, first + rounds):
            if tuner.done:
                break
            spec = tuner.ask()
            asked.append(spec)
            tuner.tell(self.evidence(spec, trial), Ledger(target_episodes=1))
        return asked

    # the laws

    def test_recovers_a_known_optimum(self) -> None:
        """Curricula widen to where episodes still succeed; the others come near the target."""
        tuner = self.make()
        self.play(tuner, self.rounds)
        before, after = (target.values_of(target.drawn(spec, 512, 1)) for spec in (tuner.prior, tuner.result()))
        if self.tuner.needs == {"episodes"}:
            first = target.values_of(target.drawn(self.make().ask(), 512, 1))
            assert np.log(after).std(0).min() > 1.2 * np.log(first).std(0).min(), "the ranges widen"
            assert np.mean(target.episodes_of(tuner.result(), self.radius, seed=99).successes) >= 0.4
            return
        truth = np.log(list(target.TRUTH.values()))
        distance = np.abs(np.log(np.maximum(after, 1e-3)) - truth).mean()
        assert distance < np.abs(np.log(before) - truth).mean(), "better than the prior"
        assert distance <= self.tolerance

    def test_respects_bounds(self) -> None:
        tuner = self.make()
        for spec in (*self.play(tuner, self.rounds // 2), tuner.ask(), tuner.result()):
            columns = target.drawn(spec, 256, 2)
            for name in target.TRUTH:
                low, high = target.PRIOR.entries[name].bounds or (-np.inf, np.inf)
                values = columns.get(name, np.ones(1))
                assert ((values >= low - 1e-9) & (values <= high + 1e-9)).all(), name
            if "gravity" in spec.entries:
                assert spec.entries["gravity"] == target.PRIOR.entries["gravity"], "what is not tunable stays"

    def test_resumes_exactly(self) -> None:
        half = max(1, self.rounds // 4)
        straight = self.make()
        self.play(straight, half)
        stopped = self.make()
        self.play(stopped, half)
        text = json.dumps(stopped.state_dict(), allow_nan=False)
        resumed = self.make()
        resumed.load_state_dict(json.loads(text))
        assert resumed.ask() == stopped.ask()
        assert self.play(resumed, half, half) == self.play(straight, half, half)
        assert resumed.result() == straight.result()
        assert json.dumps(resumed.state_dict()) == json.dumps(straight.state_dict())
        assert resumed.ledger == straight.ledger

    def test_is_deterministic_under_a_seed(self) -> None:
        first, second = self.make(seed=3), self.make(seed=3)
        asked = self.play(first, self.rounds // 2)
        np.random.seed(123)  # noqa: NPY002 - a global generator must not matter, nor be touched
        before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
        assert self.play(second, self.rounds // 2) == asked
        assert first.result() == second.result()
        assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002

    def test_asking_changes_nothing(self) -> None:
        tuner = self.make()
        self.play(tuner, self.rounds // 4)
        state = json.dumps(tuner.state_dict())
        asked = tuner.ask()
        tuner.result()
        tuner.ask(pending=[asked])
        assert tuner.ask() == asked
        assert json.dumps(tuner.state_dict()) == state

    def test_survives_missing_evidence(self) -> None:
        """NaN is told before and between good evidence, and evidence of nothing."""
        tuner = self.make()
        assert tuner.result().to_yaml(), "before any evidence there is a result"
        for trial in range(max(4, self.rounds // 2)):
            good = self.evidence(tuner.ask(), trial)
            tuner.tell(_damaged(good, whole=trial < 2) if trial % 2 == 0 else good)
        target.drawn(tuner.result(), 8, 0)
        json.dumps(tuner.state_dict(), allow_nan=False)

    def test_refuses_evidence_that_it_has_no_use_for(self) -> None:
        tuner = self.make()
        state = tuner.state_dict()
        every: tuple[Evidence, ...] = (
            target.returns_of(tuner.prior, 0),
            target.episodes_of(tuner.prior, 1.0),
            target.recording(),
            target.images_of(tuner.prior, 0),
        )
        for wrong in every:
            if wrong.kind not in self.tuner.needs:
                with pytest.raises(DREnvError, match=f"got evidence of {wrong.kind}"):
                    tuner.tell(wrong)
        assert tuner.state_dict() == state

    def test_refuses_the_state_of_another(self) -> None:
        tuner = self.make()
        self.play(tuner, 2)
        state = tuner.state_dict()
        other = target.PRIOR.model_copy(
            update={"entries": {key: target.PRIOR.entries[key] for key in ("mass", "damping")}}
        )
        for stranger in (self.make(seed=9), self.make(prior=other)):
            before = stranger.state_dict()
            with pytest.raises(DREnvError, match="expected"):
                stranger.load_state_dict(state)
            assert stranger.state_dict() == before

    def test_refuses_a_prior_with_nothing_tunable(self) -> None:
        fixed = Spec(entries={"gravity": target.PRIOR.entries["gravity"]})
        with pytest.raises(DREnvError, match="nothing tunable"):
            self.make(prior=fixed)

    def test_sees_evidence_alone(self) -> None:
        """Nothing is simulated but what was told, and asking simulates nothing."""
        tuner = self.make()
        tuner.ask()
        tuner.result()
        tuner.state_dict()
        assert self.simulated == []
        told = [self.evidence(tuner.ask(), trial) for trial in range(2)]
        for evidence in told:
            tuner.tell(evidence)
        assert all(seen.logs[0] in [log for one in told for log in getattr(one, "logs", ())] for seen in self.simulated)

    def test_the_result_says_where_it_comes_from(self) -> None:
        tuner = self.make()
        self.play(tuner, 3)
        result = tuner.result()
        read = Spec.from_yaml(result.to_yaml())
        assert read == result
        assert read.provenance is not None
        assert read.provenance == result.provenance
        assert read.provenance["method"] == self.tuner.name
        assert read.provenance["ledger"] == tuner.ledger.to_dict()
        assert read.digest() == result.model_copy(update={"provenance": None}).digest()
        for name, column in target.drawn(result, 16, 5).items():
            assert np.array_equal(column, target.drawn(read, 16, 5)[name])


def _damaged(evidence: Evidence, whole: bool) -> Evidence:
    """The same evidence with numbers missing: all that can be, or some."""
    if isinstance(evidence, TargetReturns):
        returns = evidence.returns.copy()
        returns[: len(returns) if whole else 2] = np.nan
        return TargetReturns(evidence.trial, returns, evidence.spec)
    if isinstance(evidence, SimEpisodes):
        kept = slice(0, 0) if whole else slice(0, len(evidence) // 2)
        returns = evidence.returns[kept].copy()
        returns[::3] = np.nan
        draws = {name: column[kept] for name, column in evidence.draws.items()}
        return SimEpisodes(draws, returns, evidence.successes[kept])
    if isinstance(evidence, TargetImages):
        rendered = evidence.rendered.copy()
        rendered[: len(rendered) if whole else 5] = np.nan
        return TargetImages(evidence.trial, evidence.target, rendered, evidence.spec)
    (log,) = evidence.logs
    qpos, qvel = log.qpos.copy(), log.qvel.copy()
    qpos[::7] = np.nan
    qvel[3::5] = np.nan
    return TargetTransitions((type(log)(log.name, log.time, qpos, qvel, log.ctrl),), evidence.window)

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.tuning import Ledger, Log, SimEpisodes, TargetReturns, TargetTransitions

NAN = float("nan")


def log(name: str = "run", samples: int = 11, **arrays: object) -> Log:
    good = {
        "time": np.arange(samples) / 10,
        "qpos": np.zeros((samples, 2)),
        "qvel": np.full((samples, 2), NAN),
        "ctrl": np.zeros((samples, 1)),
    }
    return Log(name, **{**good, **arrays})  # type: ignore[arg-type]


def test_a_log_says_what_was_measured() -> None:
    found = log(qpos=[[0.0, NAN]] * 11)
    assert found.measured_qpos.tolist()[0] == [True, False]
    assert not found.measured_qvel.any()
    assert found.duration == pytest.approx(1.0)
    assert not found.time.flags.writeable


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: log(time=[0, 1, 2]), "run qpos: got 11 samples, expected 3"),
        (lambda: log(time=np.r_[np.arange(10), 3]), "run time: sample 10 is at 3 s, expected later than 9 s"),
        (lambda: log(ctrl=np.full((11, 1), NAN)), "run ctrl: sample 0"),
        (lambda: log(qpos=np.full((11, 2), np.inf)), "run qpos: sample 0"),
        (lambda: log(qpos=np.full((11, 2), NAN)), "nothing measured"),
        (lambda: log(qpos=np.zeros(11)), "run qpos: got shape"),
        (lambda: log(qpos="text"), "run qpos: got str, expected numbers"),
        (lambda: log(samples=1), "at least 2"),
        (lambda: TargetTransitions((), 0.5), "at least one recording"),
        (lambda: TargetTransitions((log(),), 0), "window: got 0"),
        (lambda: TargetTransitions((log(),), 2), "run: 1 s long, expected at least a window of 2 s"),
        (lambda: TargetTransitions((log(), log("b", qpos=np.zeros((11, 3)))), 0.5), "b qpos: got 3 columns"),
        (lambda: TargetReturns(7, np.array([np.inf]), Spec()), "trial 7 returns"),
        (lambda: SimEpisodes({}, np.zeros(3), np.zeros(3)), "successes: got float64"),  # type: ignore[arg-type]
        (lambda: SimEpisodes({"a": np.zeros(2)}, np.zeros(3), np.zeros(3, bool)), "draws.a: got 2 rows"),
        (lambda: Ledger(sim_steps=-1), "ledger.sim_steps: got -1"),
        (lambda: Ledger.from_dict({"sim_step": 1}), "did you mean 'sim_steps'"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DREnvError, match=message.replace("(", r"\(")):
        make()


def test_digests_name_content() -> None:
    assert TargetTransitions((log(),), 0.5).digest() == TargetTransitions([log()], 0.5).digest()  # type: ignore[arg-type]
    assert TargetTransitions((log(),), 0.5).digest() != TargetTransitions((log(),), 0.25).digest()
    assert log().digest() != log(qpos=np.ones((11, 2))).digest()
    one = TargetReturns(0, np.array([1.0, NAN]), Spec())
    assert one.score == 1.0
    assert one.digest() != TargetReturns(1, one.returns, Spec()).digest()
    assert np.isnan(TargetReturns(0, np.array([NAN]), Spec()).score)
    assert np.isnan(TargetReturns(0, np.zeros(0), Spec()).score)


def test_ledgers_add_up_and_round_trip() -> None:
    total = Ledger(target_steps=5, seconds=0.5) + Ledger(target_steps=2, policies=1)
    assert total == Ledger(target_steps=7, policies=1, seconds=0.5)
    assert Ledger.from_dict(json.loads(json.dumps(total.to_dict()))) == total


def test_a_trial_of_which_most_episodes_failed_has_failed() -> None:
    scores = [TargetReturns(0, np.array(returns), Spec()).score for returns in ([1, NAN, 3], [1, NAN], [9, NAN, NAN])]
    assert scores[:2] == [2.0, 1.0] and np.isnan(scores[2])

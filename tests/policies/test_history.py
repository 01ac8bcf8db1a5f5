from __future__ import annotations

import numpy as np
import pytest

from dr_env import make_vector_env
from policies.history import HistoryVecEnv, RememberingPolicy
from policies.vecenv import SB3VecEnv

LENGTH = 4


@pytest.mark.parametrize("context", ["hidden", "critic_only"])
def test_shows_exactly_the_last_observations_and_actions(context: str) -> None:
    """Against a plain record of everything that happened, over falls and time limits."""
    arguments = {
        "task": "hopper",
        "num_envs": 6,
        "randomization": "default",
        "max_episode_steps": 9,
        "context": context,
    }
    plain = SB3VecEnv(make_vector_env(**arguments))
    stacked = HistoryVecEnv(SB3VecEnv(make_vector_env(**arguments)), LENGTH)
    size, actions = 11, 3
    assert stacked.observation_space != plain.observation_space
    keyed = context == "critic_only"

    def observation(seen: object) -> np.ndarray:
        return seen["observation"] if keyed else seen  # type: ignore[index, return-value]

    def expected(record: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        padded = [record[0]] * LENGTH + record
        return np.concatenate([np.concatenate(frame) for frame in padded[-LENGTH:]])

    for env in (plain, stacked):
        env.seed(5)
    first, shown = plain.reset(), stacked.reset()
    nothing = np.zeros(actions, np.float32)
    records = [[(observation(first)[i], nothing)] for i in range(6)]
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(40):
        for i, record in enumerate(records):
            assert np.array_equal(observation(shown)[i], expected(record))
        sent = rng.uniform(-1, 1, (6, actions)).astype(np.float32)
        seen, rewards, dones, infos = plain.step(sent)
        shown, same_rewards, same_dones, same_infos = stacked.step(sent)
        assert np.array_equal(rewards, same_rewards)
        assert np.array_equal(dones, same_dones)
        if keyed:
            assert np.array_equal(seen["context"], shown["context"])
        for i, record in enumerate(records):
            if dones[i]:
                ended += 1
                last = observation(infos[i]["terminal_observation"])
                assert np.array_equal(
                    observation(same_infos[i]["terminal_observation"]), expected([*record, (last, sent[i])])
                )
                records[i] = [(observation(seen)[i], nothing)]
            else:
                record.append((observation(seen)[i], sent[i]))
    assert ended > 20
    assert observation(shown).shape == (6, LENGTH * (size + actions))


def test_a_remembering_policy_sees_what_training_saw() -> None:
    env = HistoryVecEnv(SB3VecEnv(make_vector_env(task="hopper", num_envs=3)), LENGTH)
    seen: list[np.ndarray] = []

    def act(histories: np.ndarray) -> np.ndarray:
        seen.append(histories)
        return np.tanh(histories[:, -3:] + 0.1 * histories[:, :3]).astype(np.float32)

    policy = RememberingPolicy(act, LENGTH, 11, 3)
    for seed in (0, 1):
        env.seed(seed)
        shown = env.reset()
        policy.begin()
        for _ in range(8):
            action = policy(shown[:, -14:-3])
            assert np.array_equal(seen[-1], shown)
            shown, _, dones, _ = env.step(action)
            assert not dones.any()

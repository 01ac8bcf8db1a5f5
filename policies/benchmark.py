"""How fast PPO runs end to end, against SB3's own vector environments."""

from __future__ import annotations

import time
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from dr_env import as_spec, make_task
from dr_env.envs.benchmark import reference_of
from policies.config import PPOConfig
from policies.ppo import build_ppo, ppo_arguments

_RIVAL_ENVS = 8
_ROUNDS = 4


def train(task: str) -> dict[str, Any]:
    """Frames per second of PPO, learning included, over several turns of each.

    Ours: the task's configuration and Spec. `dummy`: the same PPO numbers and normalisation on
    DummyVecEnv(8) of Gymnasium's environment, rollouts equally long. `subproc`: SB3's defaults on
    SubprocVecEnv(8); one rollout and update, which takes most of the time.
    """
    made = make_task(task)
    reference = reference_of(made)
    config = PPOConfig.for_task(task)
    rollout = config.n_steps * config.num_envs
    torch_threads = torch.get_num_threads()  # SB3's default, which ours changes
    ours, _ = build_ppo(task, as_spec("default", made), config, seed=0)
    same = config.model_copy(update={"n_steps": rollout // _RIVAL_ENVS, "num_envs": _RIVAL_ENVS})
    dummy_env = VecNormalize(make_vec_env(reference, _RIVAL_ENVS, vec_env_cls=DummyVecEnv), gamma=config.gamma)
    dummy = PPO(env=dummy_env, **ppo_arguments(same, seed=0))
    subproc = PPO("MlpPolicy", make_vec_env(reference, _RIVAL_ENVS, vec_env_cls=SubprocVecEnv), device="cpu")
    for model in (ours, dummy):
        model.learn(rollout)  # warm: threads started, memory touched
    contenders = {"ours": (ours, 8 * rollout), "dummy": (dummy, 3 * rollout)}
    seconds = dict.fromkeys(contenders, 0.0)
    subproc_steps = subproc.n_steps * _RIVAL_ENVS
    for turn in range(_ROUNDS):
        for name, (model, steps) in contenders.items():
            seconds[name] += _seconds(model, steps)
        if turn == _ROUNDS // 2:
            torch.set_num_threads(torch_threads)
            subproc_fps = subproc_steps / _seconds(subproc, subproc_steps)
            torch.set_num_threads(config.torch_threads)
    fps = {name: _ROUNDS * steps / seconds[name] for name, (_, steps) in contenders.items()}
    for model in (ours, dummy, subproc):
        model.get_env().close()  # type: ignore[union-attr]
    return {
        "task": task,
        "fps": fps["ours"],
        "subproc_fps": subproc_fps,
        "dummy_fps": fps["dummy"],
        "ratio_subproc": fps["ours"] / subproc_fps,
        "ratio_dummy": fps["ours"] / fps["dummy"],
    }


def _seconds(model: PPO, steps: int) -> float:
    began = time.perf_counter()
    model.learn(steps)
    return time.perf_counter() - began

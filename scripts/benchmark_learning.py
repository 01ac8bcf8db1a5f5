"""Does it learn? PPO at a million steps: ours, and RL-Zoo's published settings on Gymnasium's own environment.

python scripts/benchmark_learning.py run hopper ours --seed 0     trains, evaluates, writes docs/results/*.json
python scripts/benchmark_learning.py success reach --seed 0       trains under the task's own Spec, writes success rates
python scripts/benchmark_learning.py table                        prints the Markdown tables of what was run
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from dr_env import DREnvError, Spec, TrainRequest, VectorEnv, as_spec, make_task, rollout
from dr_env.files import write_text
from policies.ppo import PPOTrainer

RESULTS = Path(__file__).parent.parent / "docs" / "results"
STEPS = 1_000_000
EPISODES = 150
SUCCESS_EPISODES = 500
WORLDS = ("nominal", "randomized", "target")
IDS = {"half_cheetah": "HalfCheetah-v5", "hopper": "Hopper-v5"}

# rl-baselines3-zoo, hyperparams/ppo.yml, entries HalfCheetah-v3 and Hopper-v3 (tuned; one environment, normalised)
_ZOO_COMMON: dict[str, Any] = {
    "n_steps": 512,
    "policy_kwargs": {
        "log_std_init": -2,
        "ortho_init": False,
        "activation_fn": torch.nn.ReLU,
        "net_arch": {"pi": [256, 256], "vf": [256, 256]},
    },
}
ZOO: dict[str, dict[str, Any]] = {
    "half_cheetah": {
        "batch_size": 64,
        "gamma": 0.98,
        "learning_rate": 2.0633e-05,
        "ent_coef": 0.000401762,
        "clip_range": 0.1,
        "n_epochs": 20,
        "gae_lambda": 0.92,
        "max_grad_norm": 0.8,
        "vf_coef": 0.58096,
    },
    "hopper": {
        "batch_size": 32,
        "gamma": 0.999,
        "learning_rate": 9.80828e-05,
        "ent_coef": 0.00229519,
        "clip_range": 0.2,
        "n_epochs": 5,
        "gae_lambda": 0.99,
        "max_grad_norm": 0.7,
        "vf_coef": 0.835671,
    },
}
# rl-baselines3-zoo, benchmark.md: one run each, older environment versions (v3)
PUBLISHED = {"half_cheetah": "5819 ± 664", "hopper": "2410 ± 10"}


def run(task: tyro.conf.Positional[str], settings: tyro.conf.Positional[Literal["ours", "zoo"]], seed: int = 0) -> None:
    """Train for a million steps, evaluate 150 episodes, write the result."""
    began = time.perf_counter()
    returns, seconds = (_ours if settings == "ours" else _zoo)(task, seed)
    result = {
        "task": task,
        "settings": settings,
        "seed": seed,
        "steps": STEPS,
        "train_seconds": round(seconds, 1),
        "returns": [round(value, 2) for value in returns],
    }
    path = RESULTS / f"learning-{task}-{settings}-{seed}.json"
    write_text(path, json.dumps(result) + "\n")
    total = time.perf_counter() - began
    print(f"{path}: mean return {np.mean(returns):.0f} ± {np.std(returns):.0f}, {total:.0f} s")


def _ours(task_name: str, seed: int) -> tuple[list[float], float]:
    task = make_task(task_name)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        request = TrainRequest(task_name, Spec(), Path(folder) / "run", seed=seed, steps=STEPS)
        policy = PPOTrainer().load(PPOTrainer().train(request))
        seconds = time.perf_counter() - began
    env = VectorEnv(task, EPISODES)
    return rollout(env, policy.act, seed=10_000 + seed).returns.tolist(), seconds


def _zoo(task_name: str, seed: int) -> tuple[list[float], float]:
    numbers = ZOO[task_name]

    def make() -> VecNormalize:
        return VecNormalize(DummyVecEnv([lambda: Monitor(gym.make(IDS[task_name]))]), gamma=numbers["gamma"])

    env, fresh = make(), make()
    model = PPO("MlpPolicy", env, seed=seed, device="cpu", **_ZOO_COMMON, **numbers)
    began = time.perf_counter()
    model.learn(STEPS)
    seconds = time.perf_counter() - began
    fresh.obs_rms, fresh.training, fresh.norm_reward = env.obs_rms, False, False
    fresh.seed(10_000 + seed)
    returns, _ = evaluate_policy(model, fresh, EPISODES, deterministic=True, return_episode_rewards=True)
    return [float(value) for value in returns], seconds


def success(task_name: tyro.conf.Positional[str], seed: int = 0) -> None:
    """Train under the task's own Spec and configuration, evaluate success in three worlds, write the result."""
    task = make_task(task_name)
    specs = dict(zip(WORLDS, (None, "default", task.file("target.yaml")), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        began, busy = time.perf_counter(), time.process_time()
        request = TrainRequest(task_name, as_spec("default", task), Path(folder) / "run", seed=seed)
        policy = PPOTrainer().load(PPOTrainer().train(request))
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    rates = {}
    for world, randomization in specs.items():
        env = VectorEnv(task, SUCCESS_EPISODES, as_spec(randomization, task), flat_goal=True)
        done = rollout(env, policy.act, seed=10_000 + seed)
        if done.successes is None:
            raise DREnvError(f"task: '{task_name}' does not say what a success is")
        rates[world] = float(done.successes.mean())
    rows = [row for row in policy.curve if "success_rate" in row]
    result = {
        "task": task_name,
        "seed": seed,
        "steps": policy.steps,
        "train_seconds": round(seconds, 1),
        "cpu_seconds": round(busy, 1),
        "episodes": SUCCESS_EPISODES,
        "success": rates,
        "curve": [
            {key: row[key] for key in ("steps", "seconds", "success_rate")} for row in rows[:: -(len(rows) // -20)]
        ],
    }
    path = RESULTS / f"learning-{task_name}-{seed}.json"
    write_text(path, json.dumps(result) + "\n")
    print(f"{path}: success {rates}, {seconds:.0f} s ({busy:.0f} s of processor time)")


def table() -> None:
    """Print the Markdown tables of the results at hand."""
    print("| task | settings | seed | mean return ± std of 150 episodes | training, s |")
    print("|---|---|---|---|---|")
    for task in IDS:
        for settings in ("ours", "zoo"):
            for path in sorted(RESULTS.glob(f"learning-{task}-{settings}-*.json")):
                found = json.loads(path.read_text(encoding="utf-8"))
                mean, std = np.mean(found["returns"]), np.std(found["returns"])
                print(
                    f"| {task} | {settings} | {found['seed']} | {mean:.0f} ± {std:.0f} | {found['train_seconds']:.0f} |"
                )
        print(f"| {task} | zoo, as published (v3) | 1 run | {PUBLISHED[task]} | |")
    print()
    print("| task | seed | steps | success: nominal | randomized | target | training, s | processor, s |")
    print("|---|---|---|---|---|---|---|---|")
    for path in sorted(RESULTS.glob("learning-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if "success" in found:
            rates = " | ".join(
                f"{100 * found['success'][world]:.1f} %" for world in ("nominal", "randomized", "target")
            )
            print(
                f"| {found['task']} | {found['seed']} | {found['steps']:,} | {rates} "
                f"| {found['train_seconds']:.0f} | {found['cpu_seconds']:.0f} |"
            )


if __name__ == "__main__":
    try:
        tyro.extras.subcommand_cli_from_dict({"run": run, "success": success, "table": table})
    except DREnvError as error:
        raise SystemExit(f"error: {error}") from None

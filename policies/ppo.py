"""SB3's PPO over batched environments."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from dr_env import DREnvError, Policy, Spec, TrainedPolicy, TrainRequest, VectorEnv, known_task, make_task, task_name
from dr_env.files import write_text
from dr_env.locks import alone
from dr_env.rng import digest
from dr_env.tuning import Tuner
from policies.checkpoint import Run, load_normalizer, load_weights, read_normalizer, read_steps, read_tuner
from policies.config import LinearRate, PPOConfig, settings_digest
from policies.curriculum import CurriculumCallback
from policies.history import HistoryVecEnv, RememberingPolicy
from policies.lean import LeanPPO
from policies.networks import AsymmetricActorCriticPolicy, Inputs, NoOptimizer
from policies.shown import CheckedPolicy
from policies.tuned import TunerCallback, environment_spec, tuner_of
from policies.vecenv import SB3VecEnv

_EPSILON = 1e-8
_CLIP = 10.0
_CHECKPOINTS = 10
_FAILURES = 20  # Draws kept as files
_ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


class PPOTrainer:
    """Trains, resumes and loads PPO policies; registered as the algorithm `ppo`."""

    def check(self, request: TrainRequest) -> PPOConfig:
        """The configuration that a request means. Raises DREnvError where nothing could be trained with it."""
        settings = dict(request.settings)
        if request.steps is not None:
            settings["total_steps"] = request.steps
        config = PPOConfig.for_task(request.task, request.config, settings)
        if not 0 <= request.seed < 2**32:
            raise DREnvError(f"seed: got {request.seed}, expected 0 to {2**32 - 1}")
        if config.n_steps * config.num_envs < config.batch_size:
            raise DREnvError(
                f"batch_size: got {config.batch_size}, expected at most n_steps * num_envs = "
                f"{config.n_steps * config.num_envs}"
            )
        return config

    def train(self, request: TrainRequest) -> Path:
        """Trains a policy; returns the run folder."""
        config = self.check(request)
        tuner = tuner_of(request.randomization, config, request.seed)
        varied = environment_spec(request.randomization, tuner)
        model, env = build_ppo(request.task, varied, config, request.seed, request.threads)
        if request.warm_start is not None:
            _warm_start(model, Run(request.warm_start).latest())
        recorded = {
            "algorithm": "ppo",
            "task": task_name(request.task),
            "seed": request.seed,
            "threads": request.threads,
            "observations": list(env.env.task.observation_names(env.env.model)),
            "ppo": config.model_dump(mode="json"),
        }
        run = Run.create(request.run, recorded, request.randomization, request.overwrite)
        with alone(run.folder, "training"):
            self._learn(run, model, env, config, 0, request.quiet, tuner)
        return run.folder

    def resume(self, run: Path, steps: int | None, quiet: bool) -> Path:
        """Goes on from the last checkpoint, to the run's own number of steps or to `steps`."""
        folder = Run(run)
        recorded, checkpoint = folder.config, folder.latest()
        config = PPOConfig.checked(recorded["ppo"], f"{run / 'config.json'} ppo:")
        known_task(recorded["task"], run / "config.json")
        done = read_steps(checkpoint)
        if steps is not None and steps != config.total_steps:
            if steps < done:
                raise DREnvError(f"steps: got {steps}, expected at least the {done} that {run} has taken")
            config = config.model_copy(update={"total_steps": steps})
            folder.record({"ppo": config.model_dump(mode="json")})  # the next resumption goes on to there
        # other episodes than those that the first part has seen, the same at every resumption
        seed = digest(recorded["seed"], done) >> 33
        tuner = tuner_of(folder.spec, config, recorded["seed"])
        state = read_tuner(checkpoint)
        if tuner is not None and state is not None:
            tuner.load_state_dict(state)
        model, env = build_ppo(
            recorded["task"], environment_spec(folder.spec, tuner), config, seed, recorded["threads"]
        )
        load_weights(checkpoint, model.policy, model.policy.optimizer)
        norm = model.get_vec_normalize_env()
        assert norm is not None
        load_normalizer(checkpoint, norm)
        with alone(run, "training"):
            folder.rewind(done)
            folder.clear_drafts()
            self._learn(folder, model, env, config, done, quiet, tuner)
        return run

    def _learn(
        self,
        run: Run,
        model: PPO,
        env: SB3VecEnv,
        config: PPOConfig,
        done: int,
        quiet: bool,
        tuner: Tuner[Any] | None,
    ) -> None:
        model.set_logger(configure(str(run.folder / "tensorboard"), ["tensorboard"]))
        model.num_timesteps = done
        curriculum: CurriculumCallback | TunerCallback = (
            CurriculumCallback(env.env, config.total_steps, done)
            if tuner is None
            else TunerCallback(env, tuner, config.success_return)
        )
        callback = _Progress(run, env, curriculum, config.total_steps, done, quiet)
        try:
            with callback.listening():
                if done < config.total_steps:
                    # SB3 counts on from num_timesteps, so it is asked for what is left
                    model.learn(config.total_steps - done, [curriculum, callback], reset_num_timesteps=False)
            callback.save(model.num_timesteps if not callback.stopped else callback.updated_steps, model)
        finally:
            env.close()
        if callback.stopped:
            raise KeyboardInterrupt(f"stopped at {callback.updated_steps:,} steps")

    def load(self, run: Path) -> TrainedPolicy:
        """Reads the policy of a run's last checkpoint, its normaliser frozen."""
        folder = Run(run := Path(run))
        recorded, checkpoint = folder.config, folder.latest()
        config = PPOConfig.checked(recorded["ppo"], f"{run / 'config.json'} ppo:")
        torch.set_num_threads(config.torch_threads)  # more would wait in loops, on the processors that simulate
        task = known_task(recorded["task"], run / "config.json")
        env = VectorEnv(task, 1, folder.spec, context=config.context, flat_goal=True)
        names = list(env.task.observation_names(env.model))
        if names != recorded["observations"]:
            raise DREnvError(f"{run}: trained on observations {recorded['observations']}, the task has {names}")
        venv = _with_history(SB3VecEnv(env), config)
        policy = build_policy(venv.observation_space, venv.action_space, config)
        load_weights(checkpoint, policy)
        stats = read_normalizer(checkpoint, _observation_size(venv)) if config.normalize_observations else None
        act = _frozen(policy, stats)
        size = _observation_size(SB3VecEnv(env))
        if config.history:
            act = RememberingPolicy(act, config.history, size, gym.spaces.flatdim(env.single_action_space))
        context = (f"context[{i}]" for i in range(size - len(names)))
        return TrainedPolicy(
            act=CheckedPolicy(act, (*names, *context)),
            context="observed" if config.context == "observed" else "hidden",
            task=recorded["task"],
            randomization=folder.spec,
            seed=recorded["seed"],
            steps=read_steps(checkpoint),
            curve=folder.curve(),
            settings=settings_digest(recorded),
        )


def build_ppo(task: str, spec: Spec, config: PPOConfig, seed: int, threads: int = 0) -> tuple[PPO, SB3VecEnv]:
    """SB3's PPO on a fresh batch of environments, ready to learn."""
    torch.set_num_threads(config.torch_threads)
    vector = VectorEnv(make_task(task), config.num_envs, spec, context=config.context, flat_goal=True, threads=threads)
    env = SB3VecEnv(vector)
    shown = _with_history(env, config)
    norm = VecNormalize(
        shown,
        norm_obs=config.normalize_observations,
        norm_obs_keys=["observation"] if isinstance(shown.observation_space, gym.spaces.Dict) else None,
        norm_reward=config.normalize_rewards,
        gamma=config.gamma,
        clip_obs=_CLIP,
    )
    return LeanPPO(env=norm, **ppo_arguments(config, seed)), env


def _warm_start(model: PPO, checkpoint: Path) -> None:
    """Begins with the policy and normaliser of another run; its optimizer begins anew."""
    load_weights(checkpoint, model.policy)
    norm = model.get_vec_normalize_env()
    assert norm is not None
    load_normalizer(checkpoint, norm)


def _with_history(env: SB3VecEnv, config: PPOConfig) -> VecEnv:
    return HistoryVecEnv(env, config.history) if config.history else env


def _observation_size(env: VecEnv) -> int:
    """Numbers of an observation, the context of `critic_only` aside."""
    space = env.observation_space
    return gym.spaces.flatdim(space["observation"] if isinstance(space, gym.spaces.Dict) else space)


def ppo_arguments(config: PPOConfig, seed: int) -> dict[str, Any]:
    """SB3's arguments for a configuration, less the environment."""
    return {
        "policy": _policy_class(config),
        "learning_rate": LinearRate(config) if config.schedule == "linear" else config.learning_rate,
        "n_steps": config.n_steps,
        "batch_size": config.batch_size,
        "n_epochs": config.n_epochs,
        "gamma": config.gamma,
        "gae_lambda": config.gae_lambda,
        "clip_range": config.clip_range,
        "ent_coef": config.ent_coef,
        "vf_coef": config.vf_coef,
        "max_grad_norm": config.max_grad_norm,
        "policy_kwargs": _policy_arguments(config),
        "seed": seed,
        "device": "cpu",
    }


def build_policy(observations: gym.Space[Any], actions: gym.Space[Any], config: PPOConfig) -> ActorCriticPolicy:
    """The network alone, for use after training."""
    arguments = {**_policy_arguments(config), "optimizer_class": NoOptimizer}
    return _policy_class(config)(observations, actions, lambda _: config.learning_rate, **arguments)


def _policy_class(config: PPOConfig) -> type[ActorCriticPolicy]:
    return AsymmetricActorCriticPolicy if config.context == "critic_only" else ActorCriticPolicy


def _policy_arguments(config: PPOConfig) -> dict[str, Any]:
    sight: dict[str, Any] = {}
    if config.frames:
        sight = {"features_extractor_class": Inputs, "features_extractor_kwargs": {"frames": config.frames}}
    if config.context == "critic_only":
        sight = {"frames": config.frames}
    return {
        **sight,
        "net_arch": {"pi": list(config.net), "vf": list(config.net)},
        "activation_fn": _ACTIVATIONS[config.activation],
        "log_std_init": config.log_std_init,
        "ortho_init": config.ortho_init,
        "optimizer_kwargs": {"fused": True, "eps": 1e-5},  # SB3's Adam in one kernel instead of a hundred
    }


def _frozen(policy: ActorCriticPolicy, stats: dict[str, NDArray[np.float64]] | None) -> Policy:
    """Observations to the mean action, normalised by statistics that no longer change."""
    policy.set_training_mode(False)
    space = policy.action_space
    assert isinstance(space, gym.spaces.Box)
    keyed = isinstance(policy.observation_space, gym.spaces.Dict)

    def act(observations: NDArray[np.float64]) -> NDArray[np.float32]:
        scaled = observations
        if stats is not None:
            scaled = (observations - stats["obs_mean"]) / np.sqrt(stats["obs_var"] + _EPSILON)
            scaled = np.clip(scaled, -_CLIP, _CLIP)
        seen: Any = torch.as_tensor(scaled, dtype=torch.float32)
        with torch.inference_mode():
            actions = policy._predict({"observation": seen} if keyed else seen, deterministic=True)
        return np.asarray(np.clip(actions.numpy(), space.low, space.high))

    return act


class _Progress(BaseCallback):
    """Progress bar, learning curve, checkpoints, and a stop that loses nothing."""

    def __init__(
        self,
        run: Run,
        env: SB3VecEnv,
        curriculum: CurriculumCallback | TunerCallback,
        total: int,
        done: int,
        quiet: bool,
    ) -> None:
        super().__init__()
        self._run, self._env, self._curriculum = run, env, curriculum
        self._total, self._done = total, done
        self._interval = max(1, total // _CHECKPOINTS)
        self._saved = self.updated_steps = done
        self._began = time.perf_counter()
        self.stopped = False
        self._failures = self._kept = 0
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  return {task.fields[reward]}  {task.fields[rate]} frames/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._task = self._bar.add_task(run.folder.name, total=total, completed=done, reward="-", rate="-")

    def listening(self) -> _Interrupts:
        """Within this, Ctrl-C and SIGTERM stop the training after the step under way."""
        return _Interrupts(self)

    def save(self, steps: int, model: PPO) -> None:
        """Writes a checkpoint."""
        if steps == self._saved and self._run.checkpoints():
            return
        norm = model.get_vec_normalize_env()
        assert norm is not None
        tuner = self._curriculum.tuner if isinstance(self._curriculum, TunerCallback) else None
        self._run.save(model.policy, model.policy.optimizer, norm, steps, tuner.state_dict() if tuner else None)
        if tuner is not None:
            tuner.result().save(self._run.folder / "tuned.yaml")
        self._saved = steps

    def _on_training_start(self) -> None:
        self._bar.start()

    def _on_rollout_start(self) -> None:
        """Just after an update: weights and step count agree, so this is where to save."""
        self.updated_steps = self.num_timesteps
        if self.num_timesteps - self._saved >= self._interval:
            self.save(self.num_timesteps, self.model)  # type: ignore[arg-type]

    def _on_step(self) -> bool:
        if self._env.env.failures > self._failures:
            self._failures = self._env.env.failures
            self._keep_failures()
        return not self.stopped

    def _keep_failures(self) -> None:
        """Writes the Draws that made simulations diverge, the first of them, as files that replay them."""
        for info in self.locals["infos"]:
            draw = info.get("dr_failure")
            if draw is not None and len(draw) and self._kept < _FAILURES:
                write_text(self._run.folder / "failures" / f"{draw.digest()}.json", draw.to_json() + "\n")
                self._kept += 1

    def _on_rollout_end(self) -> None:
        seconds = time.perf_counter() - self._began
        rate = (self.num_timesteps - self._done) / seconds
        row = {"steps": self.num_timesteps, "seconds": round(seconds, 3), "frames_per_s": round(rate, 1)}
        row["reward_mean"] = self._env.pop_reward_mean()
        episodes = self.model.ep_info_buffer
        shown = f"{row['reward_mean']:.2f} a step"  # until the first episodes end
        if episodes:
            row["return_mean"] = float(np.mean([episode["r"] for episode in episodes]))
            row["length_mean"] = float(np.mean([episode["l"] for episode in episodes]))
            shown = f"{row['return_mean']:.0f}"
        if self.model.ep_success_buffer:
            row["success_rate"] = float(np.mean(self.model.ep_success_buffer))
            shown += f"  success {100 * row['success_rate']:.0f} %"
        vector = self._env.env
        row["acceptance_rate"] = vector.acceptance_rate
        if isinstance(self._curriculum, CurriculumCallback):
            row["curriculum_share"] = self._curriculum.share
        else:
            row["spread"] = self._curriculum.spread
        self.logger.record("dr/acceptance_rate", vector.acceptance_rate)
        self.logger.record("dr/failures", vector.failures)
        self._run.log(row)
        self._bar.update(self._task, completed=min(self.num_timesteps, self._total), reward=shown, rate=f"{rate:,.0f}")

    def close(self) -> None:
        """Ends the progress bar."""
        self._bar.stop()


class _Interrupts:
    """Turns the first Ctrl-C or SIGTERM into a clean stop, and the second into the usual one."""

    def __init__(self, callback: _Progress) -> None:
        self._callback = callback
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            heard = (n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN)
            self._previous = {number: signal.signal(number, self._stop) for number in heard}

    def _stop(self, number: int, frame: object) -> None:
        self._callback.stopped = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        self._restore()
        self._callback.close()

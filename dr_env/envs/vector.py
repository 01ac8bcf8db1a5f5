"""Many randomized environments of one task, stepped together in C++ threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from mujoco import batch
from numpy.typing import NDArray

from dr_env.binding import DIVERGED, BatchRows, Plan, build_model, compile_model, make_batch
from dr_env.envs.forces import FIELD, with_external_forces
from dr_env.envs.goals import compute_reward
from dr_env.envs.infos import Info, draw_info, final_info, step_info
from dr_env.envs.initial import InitialState
from dr_env.envs.keys import EpisodeKeys, check_seed
from dr_env.envs.options import check_whole, checked_actions, checked_options, chosen, given_draws
from dr_env.envs.pictures import PictureTaker
from dr_env.envs.randomization import Randomization, as_spec
from dr_env.envs.redraw import Redraws
from dr_env.envs.task import Task, check_observations
from dr_env.envs.view import Context, Observation, View
from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Columns, Draw, rows_of
from dr_env.rendering import check_size
from dr_env.rng import Lookahead, Stream
from dr_env.sensors import Effects
from dr_env.spec import Spec

Array = NDArray[np.float64]
Ids = NDArray[np.intp]


class VectorEnv(gym.vector.VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]):
    """A `gymnasium.vector.VectorEnv` over one `mujoco.batch.Batch`, each environment with its own Draw.

    At the start of an episode: nominal model, Draw, derived constants, reset, initial state, forward,
    observation. Every random number is keyed by (seed, environment, episode, name), so an
    environment's episodes do not depend on how many run beside it, nor on the number of threads.

    `info["dr"]` holds the Draws of the environments that were reset, as columns with Gymnasium's masks;
    `reset(options=...)` takes `draw` (one for all, or one for each environment), `qpos` and `qvel` to start from, and
    `reset_mask`. A simulation that diverges ends its own episode with `info["dr_failure"]`.

    Args:
        task: what to do.
        num_envs: how many environments.
        randomization: what varies: a Spec, a YAML file, its plain data, "default" for the task's own, or None.
        autoreset_mode: Gymnasium's; by default an environment that ends is reset in the same step.
        max_episode_steps: the task's by default.
        context: whether observations tell the Draw: hidden, observed or critic_only (`View`).
        flat_goal: whether a goal stays part of one flat observation.
        threads: C++ threads; by default all of the machine's.
        render_mode: None or "rgb_array".
        width, height: size of rendered images, in pixels.
        compile_from: the seed of what has `trigger: compile`, or a Draw to take it from.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        task: Task,
        num_envs: int = 1,
        randomization: Randomization = None,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        context: Context = "hidden",
        flat_goal: bool = False,
        threads: int = 0,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
        compile_from: int | Mapping[str, Any] = 0,
    ) -> None:
        if not isinstance(task, Task):
            raise DREnvError(f"task: got {task!r}, expected a dr_env.Task, such as make_task('hopper')")
        counts = {"num_envs": num_envs, "width": width, "height": height, "max_episode_steps": max_episode_steps}
        for name, value in counts.items():
            if value is not None or name != "max_episode_steps":
                check_whole(name, value, 1)
        check_whole("threads", threads, 0)
        if not isinstance(compile_from, Mapping):
            check_seed(compile_from, "compile_from")
        if render_mode not in (None, "rgb_array"):
            raise DREnvError(f"render_mode: got {render_mode!r}, expected None or 'rgb_array'")
        check_size(width, height)
        if autoreset_mode not in (*AutoresetMode, *(modes := [mode.value for mode in AutoresetMode])):
            raise DREnvError(f"autoreset_mode: {unknown_name('mode', str(autoreset_mode), modes)}")
        self.num_envs = num_envs
        self.randomization = as_spec(randomization, task)
        self.render_mode = render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        task = task.under(self.randomization)
        self.max_episode_steps = max_episode_steps or task.max_episode_steps

        nominal = compile_model(task.mjspec(), Spec())
        names = task.observation_names(nominal)
        build = build_model(task.mjspec(), self.randomization, names, compile_from)
        self.model = build.model
        self.plan = self.randomization.bind(self.model, names, build)
        self.task = task = task.at(self.model.opt.timestep)
        stepped = with_external_forces(build) if FIELD in task.fields else self.model
        persistent = task.stage != mujoco.mjtStage.mjSTAGE_NONE or FIELD in task.fields
        self._batch = make_batch(stepped, num_envs, threads, persistent=persistent)
        self._redraws = Redraws(self.plan, task.dt, num_envs)
        self._effects = Effects(
            self.plan,
            self.model,
            num_envs,
            len(names),
            task.dt,
            self._batch.bind,
            self._batch.expand,
            senses="sensordata" in task.fields,
            touches=self._redraws.touches,
        )
        self.rows = BatchRows(self._batch, self._effects.arrays)
        """Where a Plan writes: each environment's model fields and the numbers of sensors and effects."""
        self._draws_ahead = Lookahead(self.plan.stream, num_envs)
        self._states_ahead = Lookahead(Stream("reset", ("state",), (task.reset_width(self.model),)), num_envs)
        self._live = {field: _read_only(self._batch.bind(field)) for field in task.fields}
        self._start = InitialState(self._batch, self.model, self._live.values(), self.plan.nominal.keys())
        self._ctrl = self._batch.bind("ctrl")

        self.single_action_space = task.action_space(self.model)
        self._view = View(len(names), task, self.plan, context, flat_goal)
        self.single_observation_space = self._view.space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = self._view.batched(num_envs)
        self.metadata = self.metadata | {"autoreset_mode": self.autoreset_mode, "render_fps": round(1 / task.dt)}

        self._all: Ids = np.arange(num_envs)
        self._keys = EpisodeKeys(num_envs)
        self._elapsed = np.zeros(num_envs, np.int64)
        self._ended = np.ones(num_envs, bool)
        self._warned = np.zeros((num_envs, len(DIVERGED)), self._batch.warning.dtype)
        self._last: Array = np.zeros((num_envs, len(names)))
        # where readings err, what they say was achieved is not what rewards are for
        errs = any(entry.field.kind == "observation" for entry in self.plan.entries)
        self._achieved = np.zeros((num_envs, task.goal)) if task.goal and errs else None
        self._columns: Columns = self.plan.blank_columns(num_envs)
        self._accepted = self._refused = 0
        self.failures = 0
        """Simulations that have diverged so far."""
        self._renderer: PictureTaker | None = None
        self._worn: tuple[Plan, Columns | None] | None = None
        self._size = width, height

    @property
    def acceptance_rate(self) -> float:
        """The share of Draws that physics allowed, of all drawn so far."""
        total = self._accepted + self._refused
        return self._accepted / total if total else 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its pictures, in pixels."""
        return self._size

    @property
    def columns(self) -> Columns:
        """The Draws that the environments run now, as columns."""
        return self._columns

    @property
    def draws(self) -> list[Draw]:
        """The Draw that each environment runs now."""
        if not self._columns:
            return [Draw({}, self.plan.binding)] * self.num_envs
        return list(rows_of(self._columns, self.plan.binding))

    # episodes

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Starts new episodes.

        Args:
            seed: one seed for all that are reset, or one for each environment, which then equals `Env.reset(seed)`, or
                None where its episodes go on.
            options: `draw` (a Draw, one for each, or an `info["dr"]`), `qpos` (n, nq) or (nq,), `qvel`,
                `reset_mask` (n,).

        Returns:
            Observations (n, observations), and `info`.
        """
        options = checked_options(options)
        ids = self._all if options.get("reset_mask") is None else chosen(options["reset_mask"], self.num_envs)
        self._seed(seed, ids)
        draws = options.get("draw")
        columns = None if draws is None else self.plan.columns_from(given_draws(draws, ids, self.num_envs))
        self._begin(ids, columns, self._start.given(len(ids), options))
        check_observations(self.task, self.model, self._last)
        return self._shown(), draw_info(self._columns, ids, self.num_envs)

    def _seed(self, seed: int | Sequence[int | None] | None, ids: Ids) -> None:
        if self._keys.seed(seed, self.np_random, ids):
            self._draws_ahead.forget()
            self._states_ahead.forget()
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))

    def _begin(self, ids: Ids, columns: Columns | None = None, state: Mapping[str, Array] | None = None) -> None:
        """Starts episodes in the environments `ids`; their observations go into `_last`."""
        keys = self._keys.seeds, self._keys.environments, self._keys.episodes
        if columns is None:
            drawn = self._draws_ahead.uniform(ids, *keys)
            columns, refused = self.plan.sample_columns(keys[0][ids], keys[1][ids], keys[2][ids], drawn)
            self._accepted += len(ids)
            self._refused += refused
        for name, values in columns.items():
            self._columns[name][ids] = values
        self.plan.write(self.rows, ids, columns)
        uniform = self._states_ahead.uniform(ids, *keys)
        self._redraws.begin(ids, self._keys)
        self._start.begin(ids, {**self._start.made(self.task, ids, uniform), **(state or {})})
        self._effects.begin(ids, *keys, self._ctrl[ids])
        self._keys.episodes[ids] += np.uint64(1)
        self._elapsed[ids] = 0
        self._ended[ids] = False
        self._warned[ids] = self._batch.warning[ids][:, DIVERGED, 1]
        self._last[ids] = self._observe(ids)

    def _shown(self) -> Observation:
        return self._view.show(self._last, self._columns)

    def _observe(self, ids: Ids) -> Array:
        whole = len(ids) == self.num_envs
        data = self._live if whole else {name: live[ids] for name, live in self._live.items()}
        observed = self.task.observe(self._effects.sense(data, ids))
        if self._achieved is not None:
            self._achieved[ids] = observed[:, -2 * self.task.goal : -self.task.goal]
        return self._effects.read(observed, ids)

    # steps

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Observation, Array, NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Steps every environment once.

        Args:
            actions: (n, actions), clipped by the actuators' control ranges.

        Returns:
            Observations (n, observations), rewards (n,), terminated (n,), truncated (n,) and `info`:
            the reward's terms, `dr_failure`, and for environments that were reset `dr`, `final_obs`
            and `final_info`.
        """
        actions = checked_actions(actions, self.action_space.shape)
        self._check_finite(actions)
        waiting = self._waiting()
        ids = self._all if waiting is None else np.flatnonzero(~waiting)
        redrawn = self._redraw(ids) if self._redraws else ids[:0]
        before = {name: live.copy() for name, live in self._live.items()}
        stepped = before if waiting is None else {name: values[ids] for name, values in before.items()}
        controls = self.task.control(stepped, actions if waiting is None else actions[ids])
        self._ctrl[ids] = self._effects.act(controls, ids)
        failed = self._advance(None if waiting is None else ids)
        reward, terms = self.task.reward(before, actions, self._live)
        terminated = self.task.terminated(self._live) | failed
        self._elapsed[ids] += 1
        truncated = self._elapsed >= self.max_episode_steps
        if waiting is not None:
            reward = np.where(waiting, 0.0, reward)
            terminated, truncated = terminated & ~waiting, truncated & ~waiting
        good = ids if not failed.any() else np.setdiff1d(ids, np.flatnonzero(failed))
        self._last[good] = self._observe(good)
        if failed.any():
            self.failures += int(failed.sum())
            reward = np.where(failed, 0.0, reward)
            terms = {name: np.where(failed, np.zeros((), term.dtype), term) for name, term in terms.items()}
        if not np.isfinite(reward).all():
            worst = int(np.argmin(np.isfinite(reward)))
            raise DREnvError(f"reward: environment {worst} got {reward[worst]}, expected finite numbers")
        if self._achieved is not None:
            terms["achieved_goal"] = self._achieved.copy()
        info = step_info(terms, failed, waiting)
        ended = terminated | truncated
        drawn = [redrawn]
        if waiting is not None:
            drawn.append(np.flatnonzero(waiting))
            self._begin(drawn[-1])
        if ended.any():
            self._ended |= ended
            if self.autoreset_mode is AutoresetMode.SAME_STEP:
                drawn.append(np.flatnonzero(ended))
                info.update(final_info(self._shown(), self._columns, drawn[-1], info, self.num_envs))
                self._begin(drawn[-1])
        if len(new := np.concatenate(drawn)):
            info.update(draw_info(self._columns, new, self.num_envs))
        return self._shown(), reward, terminated, truncated, info

    def _redraw(self, ids: Ids) -> Ids:
        """Draws again what is due within the episodes of `ids`; returns the environments that changed."""
        changed = self._redraws.apply(ids, self._elapsed, self._keys, self._columns)
        if len(changed):
            self.plan.write(self.rows, changed, {name: column[changed] for name, column in self._columns.items()})
            self._effects.refresh()
        return changed

    def refresh(self) -> None:
        """Takes up numbers of sensors and pushes that another object has written into `rows` within an episode."""
        self._effects.refresh()

    def set_randomization(self, randomization: Randomization) -> None:
        """Changes what varies, from each environment's next episode on.

        The Spec may differ from the present one in the numbers of its distributions alone; what was drawn when the
        model was compiled stays as it is. Buffers of delays and
        the scale of the context are those of the Spec that the environment was made with: make it with the widest.

        Raises:
            DREnvError: what differs, or what the model or the context cannot take.
        """
        plan = self.plan.with_spec(as_spec(randomization, self.task))
        self._view.check(plan)
        self.plan, self.randomization = plan, plan.spec
        self._redraws.change(plan)

    def _check_finite(self, actions: NDArray[np.float32]) -> None:
        if not np.isfinite(actions).all():
            check_observations(self.task, self.model, self._last)  # no policy makes numbers of what is none
            worst = int(np.argwhere(~np.isfinite(actions))[0][0])
            raise DREnvError(f"actions: environment {worst} got {actions[worst].tolist()}, expected finite numbers")

    def _waiting(self) -> NDArray[np.bool_] | None:
        """Environments that this step resets instead of stepping, or None."""
        if not self._ended.any():
            return None
        if not self._keys.seeded:
            raise DREnvError("step: call reset() first")
        if self.autoreset_mode is AutoresetMode.DISABLED:
            raise DREnvError(f"step: environments {np.flatnonzero(self._ended).tolist()} have ended; reset them first")
        return self._ended.copy()

    def _advance(self, ids: Ids | None) -> NDArray[np.bool_]:
        """Steps the simulations; returns which of all diverged, (n,)."""
        failed = np.zeros(self.num_envs, bool)
        try:
            self._batch.step(ids, self.task.frame_skip, self.task.stage)
        except batch.SimulationError as error:
            failed[error.ids] = True
        warned = self._batch.warning[:, DIVERGED, 1]
        if not np.array_equal(warned, self._warned):
            failed |= (warned > self._warned).any(1)
            self._warned[:] = warned
        return failed

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """The reward of any goals; see `dr_env.envs.goals.compute_reward`."""
        return compute_reward(self.task, achieved_goal, desired_goal, info)

    def render(self, ids: Sequence[int] | None = None) -> tuple[NDArray[np.uint8], ...] | None:
        """RGB images (height, width, 3) of the environments `ids`, by default all, each with its own model."""
        if self.render_mode is None:
            return None
        plan, columns = self._worn or (self.plan, self._columns)
        if self._renderer is None:
            self._canvas = self._batch.get_model(0)
            self._renderer = PictureTaker(self._canvas, plan, self.task.camera, self._size)
        frames = []
        for i in range(self.num_envs) if ids is None else ids:
            model, data = self._batch.get_model(i, self._canvas), self._batch.get_data(i)
            draw = columns and {name: column[i : i + 1] for name, column in columns.items()}
            plan.dress(model, draw)
            mujoco.mj_forward(model, data)
            key = (*self._keys.of(i), int(self._elapsed[i]))
            frames.append(self._renderer.take(model, data, plan, draw, key))
        return tuple(frames)

    def wear(self, plan: Plan, columns: Columns | None) -> None:
        """Shows the looks that another Plan of this model gives the environments by their Draws; None for none."""
        self._worn = plan, columns

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuses copies: simulations are MuJoCo's own, and cannot be written down."""
        raise DREnvError("env: simulations cannot be copied or pickled; make another environment, of the same seed")

    def close_extras(self, **_: Any) -> None:
        """Frees the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _read_only(live: NDArray[Any]) -> NDArray[Any]:
    view = live.view()
    view.flags.writeable = False
    return view

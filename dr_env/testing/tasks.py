"""What every task must do, as tests to inherit.

    import pytest
    from dr_env import make_task
    from dr_env.testing import TaskConformance

    class TestMine(TaskConformance):
        @pytest.fixture
        def task(self):
            return make_task("crane.py")

pytest then runs all of them.
"""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from dr_env.binding import compile_model
from dr_env.envs import Env, GoalEnv, Task, VectorEnv
from dr_env.envs.task import check_observations
from dr_env.rng import generator
from dr_env.spec import Spec

Array = NDArray[np.float64]


class TaskConformance:
    """The tests; a subclass gives the fixture `task`."""

    steps = 20
    """Actions of each trial; the tests on Specs that ship beside the task take twice as many."""

    @pytest.fixture
    def task(self) -> Task:
        """The task."""
        raise NotImplementedError("expected a fixture `task` that gives a dr_env.Task")

    # the laws

    def test_the_model_compiles_and_every_number_of_an_observation_has_one_name(self, task: Task) -> None:
        model = _compiled(task)
        names = task.observation_names(model)
        assert len(set(names)) == len(names)
        assert VectorEnv(task, 2, flat_goal=True).reset(seed=0)[0].shape == (2, len(names))

    @pytest.mark.filterwarnings("ignore:.*infinity.*", "ignore:.*symmetric and normalized.*")
    def test_it_is_a_gymnasium_environment(self, task: Task) -> None:
        check_env((GoalEnv if task.goal else Env)(task), skip_render_check=True)

    def test_one_alone_and_one_of_many_are_equal(self, task: Task) -> None:
        """Functions see all environments at once; a sum over the wrong axis shows here."""
        many, one = (self._played(task, count, seed=3) for count in (5, 1))
        for kind, values in one.items():
            np.testing.assert_array_equal(many[kind][:, :1], values, err_msg=kind)

    def test_the_same_seed_gives_the_same_episodes_and_another_one_others(self, task: Task) -> None:
        first, again, other = (self._played(task, 3, seed) for seed in (1, 1, 2))
        for kind, values in first.items():
            np.testing.assert_array_equal(again[kind], values, err_msg=kind)
        if task.reset_width(_compiled(task)) and len(np.unique(first["observations"][0], axis=0)) > 1:
            assert not np.array_equal(first["observations"], other["observations"])

    def test_it_keeps_nothing_and_changes_nothing_that_it_is_shown(self, task: Task) -> None:
        """An array that is given away must be a new one, and one that is seen must stay as it is."""
        shown = self._shown(task, 4)
        kept = {name: array.copy() for name, array in shown.items()}
        action = np.zeros((4, *task.action_space(_compiled(task)).shape), np.float32)
        first = (task.observe(shown), task.reward(shown, action, shown)[0], task.terminated(shown))
        again = (task.observe(shown), task.reward(shown, action, shown)[0], task.terminated(shown))
        for name, array in shown.items():
            np.testing.assert_array_equal(array, kept[name], err_msg=f"{name} was written to")
        for mine, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(mine, other, err_msg="the second call gives something else than the first")
        assert not any(np.shares_memory(first[0], array) for array in shown.values()), "observe gives what it was shown"

    def test_rewards_and_ends_are_one_for_each_environment(self, task: Task) -> None:
        shown = self._shown(task, 4)
        action = np.zeros((4, *task.action_space(_compiled(task)).shape), np.float32)
        reward, terms = task.reward(shown, action, shown)
        assert np.shape(reward) == (4,) and np.isfinite(reward).all()
        for name, term in terms.items():
            assert np.shape(term) == (4,), name
        ended = task.terminated(shown)
        assert np.shape(ended) == (4,) and np.asarray(ended).dtype == bool

    def test_episodes_begin_alive(self, task: Task) -> None:
        assert not task.terminated(self._shown(task, 64)).any(), "episodes end in the state that they begin in"

    @pytest.mark.parametrize("file", ["randomization.yaml", "target.yaml"])
    def test_its_own_specs_fit_and_nothing_diverges_under_them(self, task: Task, file: str) -> None:
        if not task.file(file).exists():
            pytest.skip(f"no {file} beside the task")
        env = VectorEnv(task, 8, Spec.load(task.file(file)), flat_goal=True)
        env.reset(seed=0)
        for action in self._actions(env, 2 * self.steps):
            assert np.isfinite(env.step(action)[0]).all()
        assert env.failures == 0

    # how it is played; a subclass seldom changes these

    def _actions(self, env: VectorEnv, count: int) -> NDArray[np.float32]:
        """Random actions, (count, num_envs, actions); environment i gets the same ones among any number of others."""
        space = env.task.action_space(env.model)
        low, high = np.maximum(space.low, -1), np.minimum(space.high, 1)
        draws = [generator("conformance", i).uniform(low, high, (count, *low.shape)) for i in range(env.num_envs)]
        return np.stack(draws, axis=1).astype(np.float32)

    def _played(self, task: Task, count: int, seed: int) -> dict[str, Array]:
        env = VectorEnv(task, count, flat_goal=True)
        observations, _ = env.reset(seed=seed)
        found = [(observations.copy(), np.zeros(count), np.zeros(count, bool))]
        for action in self._actions(env, self.steps):
            observations, rewards, ended, _, _ = env.step(action)
            check_observations(task, env.model, observations)
            found.append((observations.copy(), rewards.copy(), ended.copy()))
        kinds = ("observations", "rewards", "ends")
        return {kind: np.array(part) for kind, part in zip(kinds, zip(*found, strict=True), strict=True)}

    def _shown(self, task: Task, count: int) -> dict[str, Array]:
        """The fields that a task reads, (count, ...), at the start of episodes."""
        model = _compiled(task)
        data = mujoco.MjData(model)
        uniform = np.random.default_rng(0).uniform(1e-6, 1, (count, task.reset_width(model)))
        found: dict[str, list[Array]] = {name: [] for name in task.fields}
        state = task.initial_state(model, uniform)
        for i in range(count):
            mujoco.mj_resetData(model, data)
            for name, values in state.items():
                getattr(data, name)[:] = np.reshape(values[i], getattr(data, name).shape)
            mujoco.mj_forward(model, data)
            for name, rows in found.items():
                rows.append(np.array(getattr(data, name), np.float64))
        return {name: np.stack(rows) for name, rows in found.items()}


def _compiled(task: Task) -> mujoco.MjModel:
    return compile_model(task.mjspec(), Spec())

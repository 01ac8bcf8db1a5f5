"""Start states are measured with noise, which bands of predicted motion know."""

import mujoco
import numpy as np
import pytest
from scipy import signal

from dr_env import Spec, make_task
from dr_env.cli.models import load_mjspec
from dr_env.cli.recordings import Bench, load_bench
from dr_env.cli.tune_score import evaluate_spec, middle_of
from dr_env.envs.recorder import record
from dr_env.envs.replay import Replay
from dr_env.errors import DREnvError

_SHARE = 0.02  # of each number's own deviation
_ARM = """<mujoco><option timestep="0.002" integrator="implicitfast"/><worldbody><body><joint name="j" axis="0 1 0"
 damping="0.05"/><geom type="capsule" size=".02" fromto="0 0 0 0 0 -.5" mass="1"/></body></worldbody>
 <actuator><motor name="m" joint="j"/></actuator></mujoco>"""


def _bench(task, noise):
    logs = record(task, Spec(), 4, 5.0, 0, noise=noise)
    mjspec, observations = load_mjspec(task)
    return Bench(mjspec, observations, tuple(logs))


def _replay(bench) -> Replay:
    return bench.replay(Spec(), bench.logs, 0.5, velocities=True, need_values=False)


@pytest.mark.parametrize("task", ["cartpole", "pendulum", "hopper"])
def test_noise_of_positions_and_velocities_is_found(task):
    bench = _bench(task, _SHARE)
    replay = _replay(bench)
    clean = record(task, Spec(), 4, 5.0, 0)
    states = [np.stack([np.concatenate([log.qpos, log.qvel], 1) for log in logs]) for logs in (bench.logs, clean)]
    true = np.nanstd(states[0] - states[1], (0, 1))  # none of these tasks has a quaternion
    found = replay.noise(replay.differences(middle_of(replay))[0])
    assert np.all(found > 0.7 * true) and np.all(found < 1.5 * true)


def test_motion_is_not_taken_for_noise_where_a_simulation_explains_it():
    replay = _replay(_bench("cartpole", 0.0))
    near = replay.noise(replay.differences(middle_of(replay))[0])
    assert np.all(near < 1e-9) and np.all(replay.noise()[2:] > 1e-5)
    np.testing.assert_array_equal(replay.noise(np.full_like(replay.motion, np.nan)), replay.noise())  # it diverged


@pytest.mark.parametrize(("task", "draws"), [("cartpole", 64), ("pendulum", 64), ("hopper", 24)])
def test_bands_of_the_true_model_hold_what_noise_makes_of_it(task, draws):
    found, _ = evaluate_spec(_bench(task, _SHARE), Spec(), 0.5, draws, 0)
    for name, bands in found.coverage.items():
        assert 0.35 < bands["50"] < 0.65, name
        assert 0.8 < bands["90"] < 0.97, name


def test_bands_hold_what_estimated_velocities_make_of_noisy_positions(tmp_path):
    """A smoothing filter's velocities look less noisy than they are, since they are off for long."""
    (tmp_path / "arm.xml").write_text(_ARM)
    model = mujoco.MjModel.from_xml_string(_ARM)
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    rows = []
    for i in range(5000):
        data.ctrl[0] = 0.95 * data.ctrl[0] + 0.3 * rng.normal()
        rows.append((0.002 * i, data.qpos[0] + 1e-3 * rng.normal(), data.ctrl[0]))
        mujoco.mj_step(model, data)
    np.savetxt(tmp_path / "arm.csv", rows, delimiter=",", header="t,q,u", comments="")
    (tmp_path / "map.yaml").write_text(
        "format: dr_env/logs/1\nfiles: arm.csv\ntime: t\ncolumns: {'qpos[j]': q, 'ctrl[m]': u}\n"
    )
    bench = load_bench(str(tmp_path / "arm.xml"), tmp_path / "map.yaml", None, (), (), 0.5)
    found, replay = evaluate_spec(bench, Spec(), 0.5, 24, 0)
    assert 0.75 < found.coverage["j"]["90"] < 0.97
    moved = [replay.windows.blurred(replay.model, np.array([1e-3, 0.0]), rng).qvel for _ in range(400)]
    norm = np.linalg.norm(signal.savgol_coeffs(25, 3, deriv=1, delta=0.002))
    np.testing.assert_allclose(np.std(moved, axis=0)[1:], 1e-3 * norm, rtol=0.2)


def test_bands_of_the_true_model_and_exact_recordings_are_thin():
    found, replay = evaluate_spec(_bench("cartpole", 0.0), Spec(), 0.5, 16, 0)
    assert max(found.spread.values()) < 1e-6 and max(found.rmse.values()) < 1e-6
    assert replay.model.nv == len(found.rmse)  # velocities are looked at, and not scored


def test_start_states_of_its_own_for_each_draw():
    replay = _replay(_bench("cartpole", 0.0))
    model, rng = replay.model, np.random.default_rng(0)
    moved = [replay.windows.blurred(model, np.full(4, 0.01), rng) for _ in range(3)]
    together = replay.differences({}, moved)
    alone = np.stack([replay.differences({}, each)[0] for each in moved])
    np.testing.assert_array_equal(together, alone)
    assert np.ptp(together, axis=0).max() > 1e-3
    with pytest.raises(DREnvError, match="3 sets of start states"):
        replay.differences({"anything": np.zeros(2)}, moved)
    still = replay.windows.blurred(model, np.zeros(4), rng)
    np.testing.assert_array_equal(replay.differences({}, still), replay.differences({}))


def test_orientations_stay_orientations():
    task = make_task("cube_toss")
    bench = _bench("cube_toss", 0.0)
    replay = bench.replay(Spec(), bench.logs, 0.2, velocities=True, need_values=False)
    moved = replay.windows.blurred(replay.model, np.full(12, 0.1), np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(moved.qpos[:, 3:7], axis=1), 1.0, atol=1e-12)
    assert task.name == "cube_toss" and np.abs(moved.qpos - replay.windows.qpos).max() > 0.05


def test_recorded_orientations_are_some() -> None:
    """Gymnasium's ant begins with quaternions of other lengths, and noise makes more of them."""
    for log in record("ant", Spec(), episodes=2, seconds=0.5, noise=0.05):
        np.testing.assert_allclose(np.linalg.norm(log.qpos[1:, 3:7], axis=1), 1, atol=1e-12)

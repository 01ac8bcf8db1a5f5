"""Replay: what a serial loop of mj_step would predict, for many values at once."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from dr_env import DREnvError, Spec, build_model
from dr_env.envs.readings import Manifold
from dr_env.envs.replay import Replay
from dr_env.tuning import Log
from dr_env.tuning.coordinates import Coordinates
from dr_env.tuning.rotation import rotation_between
from tests.conftest import entry, spec_of

Array = NDArray[np.float64]

ARM = """
<mujoco model="arm">
  <option timestep="0.002" integrator="implicitfast"/>
  <worldbody>
    <body name="upper">
      <joint name="shoulder" type="hinge" axis="0 1 0" damping="0.05" frictionloss="0.02"/>
      <geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.02" mass="0.5" contype="0" conaffinity="0"/>
      <body name="lower" pos="0 0 -0.3">
        <joint name="elbow" type="hinge" axis="0 1 0" damping="0.02"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.2" size="0.02" mass="0.3" contype="0" conaffinity="0"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor name="motor" joint="shoulder" ctrlrange="-3 3"/></actuator>
</mujoco>
"""
CUBE = """
<mujoco model="cube">
  <option timestep="0.002" cone="elliptic"/>
  <worldbody>
    <geom name="table" type="plane" size="1 1 .1"/>
    <body name="cube" pos="0 0 0.2"><freejoint name="cube"/><geom name="cube" type="box" size=".05 .05 .05" mass=".4"/></body>
  </worldbody>
</mujoco>
"""
SPEC = spec_of(
    mass=entry({"body": "*"}, "mass", "scale", type="uniform", low=0.5, high=2.0, per="element"),
    friction=entry({"joint": "shoulder"}, "frictionloss", "scale", type="log_uniform", low=0.1, high=10.0),
    delay=entry({"actuator": "motor"}, "delay", "set", type="uniform", low=0.0, high=0.02),
    noise=entry({"action": "*"}, "noise", "set", type="uniform", low=0.0, high=0.1),
)


def record(
    xml: str, seconds: float, every: int, setting: dict[str, object] | None = None, seed: int = 0, phase: float = 0.0
) -> Log:
    """A recording of a simulation: one sample every so many steps, controls held between."""
    mjspec = mujoco.MjSpec.from_string(xml)
    for actuator in mjspec.actuators:
        actuator.nsample, actuator.delay = 12, float((setting or {}).get("delay", 0.0))  # type: ignore[arg-type]
    model = mjspec.compile()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(seed)
    data.qvel[:] = rng.normal(size=model.nv)
    samples = round(seconds / model.opt.timestep / every) + 1
    qpos, qvel, ctrl = np.zeros((samples, model.nq)), np.zeros((samples, model.nv)), np.zeros((samples, model.nu))
    for i in range(samples):
        qpos[i], qvel[i] = data.qpos, data.qvel
        ctrl[i] = data.ctrl[:] = np.sin(0.3 * i + phase + np.arange(model.nu))
        for _ in range(every):
            mujoco.mj_step(model, data)
    return Log("recording", np.arange(samples) * every * model.opt.timestep, qpos, qvel, ctrl)


def replay(xml: str, spec: Spec, *logs: Log, window: float = 0.1, **arguments: object) -> Replay:
    return Replay(build_model(mujoco.MjSpec.from_string(xml), spec), spec, logs, window, **arguments)  # type: ignore[arg-type]


def test_a_recording_of_the_model_itself_is_predicted_exactly() -> None:
    log = record(ARM, 1.0, 5)
    found = replay(ARM, SPEC, log, velocities=True)
    assert found.names == ("mass[upper]", "mass[lower]", "friction", "delay")
    assert found.values.left_out == {"noise": "random from step to step, which the mean motion does not tell"}
    assert found.coordinates == ("shoulder", "elbow", "d/dt shoulder", "d/dt elbow")
    residuals = found.residuals(np.array([[1.0, 1.0, 1.0, 0.0], [1.3, 1.0, 1.0, 0.0]]))
    assert residuals.shape == (2, 10 * 10 * 4)
    np.testing.assert_allclose(residuals[0], 0, atol=1e-10)
    assert np.abs(residuals[1]).max() > 0.01
    assert found.sim_steps == 2 * 100


def test_delayed_actuators_obey_controls_from_before_the_window() -> None:
    log = record(ARM, 1.0, 5, {"delay": 0.014})
    found = replay(ARM, SPEC, log)
    right, wrong = found.residuals(np.array([[1.0, 1.0, 1.0, 0.014], [1.0, 1.0, 1.0, 0.004]]))
    # in the first window nobody knows the controls from before the recording
    np.testing.assert_allclose(right[20:], 0, atol=1e-10)
    assert np.abs(wrong[20:]).max() > 1e-3


def test_a_recording_after_no_command_has_the_same_windows_and_late_actuators_obey_nothing_at_first() -> None:
    log = record(ARM, 1.0, 5, {"delay": 0.014}, phase=1.0)
    plain, rested = (replay(ARM, SPEC, one, window=0.1) for one in (log, log.uncommanded_before()))
    assert rested.windows.start.tolist() == plain.windows.start.tolist()
    truth = np.array([[1.0, 1.0, 1.0, 0.014]])
    np.testing.assert_allclose(rested.residuals(truth), 0, atol=1e-9)
    wrong = np.abs(plain.residuals(truth)[0])
    assert wrong.max() > 1e-3 and (wrong > 1e-9).sum() <= len(wrong) // 10  # of the first window alone


def test_windows_go_on_where_there_is_a_state_to_start_from() -> None:
    log = record(ARM, 1.0, 5)
    qpos = log.qpos.copy()
    qpos[17:43] = np.nan  # 0.17 to 0.42 s
    starts = replay(ARM, SPEC, Log("gap", log.time, qpos, log.qvel, log.ctrl)).windows.start
    np.testing.assert_allclose(np.sort(starts), [0, 0.1, 0.43, 0.53, 0.63, 0.73, 0.83], atol=1e-9)


def test_samples_between_steps_are_read_between_states() -> None:
    gearless = ARM.replace('ctrlrange="-3 3"', 'ctrlrange="-3 3" gear="0"')
    log = record(gearless, 1.0, 1)
    share = 0.35  # of a timestep: the clock never agrees with the simulator's
    chosen = np.arange(20, 480, 3)
    time = np.concatenate(([0.0], log.time[chosen] + share * 0.002))
    mixed = [
        np.concatenate((part[:1], (1 - share) * part[chosen] + share * part[chosen + 1]))
        for part in (log.qpos, log.qvel)
    ]
    odd = Log("odd", time, *mixed, np.zeros((len(time), 1)))
    found = replay(gearless, SPEC, odd, window=0.8).predictions(np.array([[1.0, 1.0, 1.0, 0.0]]))[0]
    assert len(found) > 100
    np.testing.assert_allclose(found, 0, atol=1e-9)


def test_values_blocks_and_threads_change_nothing() -> None:
    log = record(ARM, 2.0, 5)
    found = replay(ARM, SPEC, log)
    low, high = found.bounds
    values = np.random.default_rng(0).uniform(low, high, (40, 4))
    together = found.predictions(values)
    alone = np.concatenate([found.predictions(row[None]) for row in values])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, replay(ARM, SPEC, log, threads=1).predictions(values))


def test_recordings_of_different_lengths_stay_apart() -> None:
    logs = [record(CUBE, seconds, 4, seed=i) for i, seconds in enumerate((0.4, 0.9, 0.2))]
    spec = spec_of(friction=entry({"geom": "*"}, "friction[0]", "scale", type="log_uniform", low=0.2, high=2.0))
    whole = replay(CUBE, spec, *logs, window=np.inf)
    assert whole.windows.log.tolist() == [1, 0, 2]
    values = np.array([[1.0], [0.3]])
    found = whole.predictions(values)
    np.testing.assert_allclose(found[0], 0, atol=1e-10)
    for i, log in enumerate(logs):
        mine = whole.windows.log[whole.windows.window] == i
        alone = replay(CUBE, spec, log, window=np.inf, scales=whole.scales).predictions(values)
        np.testing.assert_array_equal(found[:, mine], alone)


@pytest.mark.parametrize("xml", [ARM, CUBE], ids=["hinges", "free"])
def test_slopes_over_start_states(xml: str) -> None:
    """What a start state that is off does to the end: as when the recording itself had begun there."""
    free = xml is CUBE
    log = record(xml, 0.3, 5, seed=1)
    spec = spec_of(mass=entry({"body": "*"}, "mass", "scale", type="uniform", low=0.5, high=2.0))
    played = replay(xml, spec, log, window=0.01, velocities=True)
    m, nv = len(played.coordinates), played.model.nv
    step, values = 1e-5, np.ones((1, len(played.names)))
    slopes = played.starts(values[0], np.full(m, step))
    assert slopes.shape == (len(played.windows.window), m, m)
    assert (played.chained[np.argsort(played.clusters)] == (np.arange(len(played.chained)) > 0)).all()
    for coordinate in range(m):
        ends = []
        for sign in (1, -1):
            qpos, qvel = log.qpos.copy(), log.qvel.copy()
            off = np.zeros(2 * nv)
            off[coordinate] = sign * step * played.scales[coordinate]
            for row in qpos:
                mujoco.mj_integratePos(played.model, row, off[:nv], 1.0)
            moved = dataclasses.replace(log, qpos=qpos, qvel=qvel + off[nv:])
            shifted = replay(xml, spec, moved, window=0.01, velocities=True, scales=played.scales)
            found = shifted.predictions(values)[0]
            found[:, coordinate] += sign * step  # the measured ends moved along
            ends.append(found)
        expected = (ends[0] - ends[1]) / (2 * step)
        tolerance = 2e-2 if free else 1e-4  # turned axes: moving the end along is not quite undone
        assert np.allclose(slopes[:, :, coordinate], expected, atol=tolerance)


def test_differences_are_mujocos() -> None:
    model = mujoco.MjModel.from_xml_string(CUBE)
    rng = np.random.default_rng(0)
    quats = rng.normal(size=(2, 50, 4))
    quats /= np.linalg.norm(quats, axis=2, keepdims=True)
    expected = np.zeros((50, 3))
    for row, a, b in zip(expected, *quats, strict=True):
        mujoco.mju_subQuat(row, a, b)
    np.testing.assert_allclose(rotation_between(*quats), expected, atol=1e-12)
    a, b = (np.concatenate((rng.normal(size=(50, 3)), q), axis=1) for q in quats)
    both = Manifold(model).difference(a, b)
    velocity = np.zeros(6)
    for row, one, other in zip(both, a, b, strict=True):
        mujoco.mj_differentiatePos(model, velocity, 1.0, other, one)
        np.testing.assert_allclose(row, velocity, atol=1e-12)


def test_a_simulation_that_diverges_gives_nan_and_disturbs_no_other() -> None:
    log = record(ARM, 1.0, 5)
    spec = spec_of(damping=entry({"joint": "elbow"}, "damping", "set", type="uniform", low=0.0, high=1.0),
                   kick=entry({"actuator": "motor"}, "gain", "scale", type="uniform", low=0.0, high=1e14))  # fmt: skip
    found = replay(ARM, spec, log)
    values = np.array([[0.02, 1.0], [0.02, 1e14], [0.02, 1.0]])
    residuals = found.residuals(values)
    np.testing.assert_allclose(residuals[[0, 2]], 0, atol=1e-10)
    assert np.isnan(residuals[1]).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 5.0}, r"recording: 1 s long, expected at least a window of 5 s"),
        ({"qvel": np.nan}, r"recording qvel: no velocities; estimate them"),
        ({"ctrl": np.zeros((101, 2))}, r"recording ctrl: got 2 columns, expected 1"),
    ],
)
def test_recordings_that_cannot_be_replayed_are_refused(change: dict[str, object], message: str) -> None:
    log = record(ARM, 1.0, 5)
    window = change.pop("window", 0.1)
    changed = {k: np.full_like(getattr(log, k), v) if np.isscalar(v) else v for k, v in change.items()}
    with pytest.raises(DREnvError, match=message):
        replay(ARM, SPEC, dataclasses.replace(log, **changed), window=window)  # type: ignore[arg-type]


def test_a_spec_that_no_recording_could_tune_is_refused() -> None:
    spec = spec_of(noise=entry({"action": "*"}, "noise", "set", type="uniform", low=0.0, high=0.1))
    with pytest.raises(DREnvError, match="nothing that recordings could tune; noise: random"):
        replay(ARM, spec, record(ARM, 1.0, 5))


FILTERED = ARM.replace(
    '<motor name="motor" joint="shoulder" ctrlrange="-3 3"/>',
    '<general name="motor" joint="shoulder" dyntype="filterexact" dynprm="0.15"/>',
)


def filtered(delay: float = 0.0) -> Log:
    """A recording of a filtered actuator, at rest at first, whose commands now and then change."""
    mjspec = mujoco.MjSpec.from_string(FILTERED)
    mjspec.actuators[0].nsample, mjspec.actuators[0].delay = 12, delay
    model = mjspec.compile()
    data = mujoco.MjData(model)
    rng, rows, control = np.random.default_rng(0), [], np.zeros(1)
    for step in range(1000):
        if step % 50 == 0 and step:
            control = rng.uniform(-1, 1, 1)
        if step % 5 == 0:
            rows.append((data.time, data.qpos.copy(), data.qvel.copy(), control.copy()))
        data.ctrl[:] = control
        mujoco.mj_step(model, data)
    return Log("filtered", *(np.array(part) for part in zip(*rows, strict=True)))


def test_states_of_actuators_are_those_that_commands_have_made() -> None:
    """Windows of a recording of a filtered actuator are predicted exactly, though no recording has the filter's state."""
    log = filtered()
    replay = Replay(build_model(mujoco.MjSpec.from_string(FILTERED), Spec()), Spec(), [log], 0.3, need_values=False)
    assert np.abs(replay.differences({})).max() < 1e-9
    integrator = mujoco.MjSpec.from_string(FILTERED.replace("filterexact", "integrator"))
    with pytest.raises(DREnvError, match=r"actuator 'motor': its state \(mjDYN_INTEGRATOR\) is in no recording"):
        Replay(build_model(integrator, Spec()), Spec(), [log], 0.3, need_values=False)


def test_states_of_delayed_actuators_are_as_late() -> None:
    spec = spec_of(delay=entry({"actuator": "motor"}, "delay", "set", type="uniform", low=0.0, high=0.024))
    found = replay(FILTERED, spec, filtered(0.02))
    off = np.sqrt(np.mean(found.residuals(np.array([[0.0], [0.01], [0.016], [0.02], [0.024]])) ** 2, axis=1))
    assert off[3] < 1e-9 and (off[[0, 1, 2, 4]] > 1e-3).all()


def test_noise_is_told_by_windows_of_any_length() -> None:
    log = record(ARM, 4.0, 5)
    rng = np.random.default_rng(1)
    noisy = dataclasses.replace(
        log,
        qpos=log.qpos + 0.003 * rng.normal(size=log.qpos.shape),
        qvel=log.qvel + 0.02 * rng.normal(size=log.qvel.shape),
    )
    for window in (0.01, 0.03, 0.1, 0.5):
        found = replay(ARM, SPEC, noisy, window=window, velocities=True).noise()
        ratio = found / [0.003, 0.003, 0.02, 0.02]  # motion counts for noise where it is quick
        assert (ratio > 0.8).all() and (ratio < 1.6).all()


def test_a_spec_that_was_tuned_keeps_the_priors_bounds() -> None:
    """The numbers of its joint distribution are read within them: to try more would be to try what is not drawn."""
    log = record(ARM, 1.0, 5)
    simulator = replay(ARM, SPEC, log)
    coordinates = Coordinates(SPEC, simulator.names, simulator.bounds)
    d = len(simulator.names)
    again = replay(ARM, coordinates.tuned(np.full(d, 0.99), 0.01 * np.eye(d)), log)
    low, high = (np.where(coordinates.log, np.log(np.maximum(end, 1e-9)), end) for end in simulator.bounds)
    np.testing.assert_allclose(again.bounds, (low, high), rtol=1e-9, atol=1e-12)

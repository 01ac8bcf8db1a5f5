"""Readers of recordings: every format gives the same Log, and what is wrong is said with file and column."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_env import DREnvError
from dr_env.logs import Layout, read_logs

Array = NDArray[np.float64]

LAYOUT = Layout({"hip": (0, 1), "knee": (1, 1)}, {"hip": (0, 1), "knee": (1, 1)}, {"motor": (0, 1)})
FREE = Layout({"cube": (0, 7)}, {"cube": (0, 6)}, {})
COLUMNS = {"qpos[hip]": "p1", "qpos[knee]": "p2", "qvel[hip]": "v1", "qvel[knee]": "v2", "ctrl[motor]": "u"}


def recording(seconds: float = 2.0, rate: float = 200.0) -> dict[str, Array]:
    t = np.arange(0, seconds, 1 / rate)
    return {
        "t": t,
        "p1": np.sin(3 * t),
        "p2": 0.5 * np.cos(5 * t),
        "v1": 3 * np.cos(3 * t),
        "v2": -2.5 * np.sin(5 * t),
        "u": np.sign(np.sin(7 * t)),
    }


def write(folder: Path, suffix: str, table: dict[str, Any]) -> str:
    path = folder / f"log{suffix}"
    if suffix == ".npz":
        np.savez(path, **table)
    elif suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(table), path)
    elif suffix == ".h5":
        import h5py

        with h5py.File(path, "w") as file:
            for name, values in table.items():
                file[name] = values
    else:
        lines = [",".join(table), *(",".join(repr(float(x)) for x in row) for row in zip(*table.values(), strict=True))]
        text = "\n".join(lines) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    return path.name


def mapped(folder: Path, file: str, columns: dict[str, Any] | None = None, **more: Any) -> Path:
    import yaml

    form = {"format": "dr_env/logs/1", "files": file, "time": "t", "columns": columns or COLUMNS, **more}
    path = folder / "logs.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in form.items() if value is not None}, sort_keys=False))
    return path


def read(folder: Path, table: dict[str, Any], suffix: str = ".npz", **more: Any) -> Any:
    return read_logs(mapped(folder, write(folder, suffix, table), **more), LAYOUT)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".csv.gz", ".parquet", ".h5"])
def test_every_format_reads_the_same(tmp_path: Path, suffix: str) -> None:
    table = recording()
    (log,), findings = read(tmp_path, table, suffix)
    assert not findings
    assert log.name == f"log{suffix}"
    np.testing.assert_array_equal(log.time, table["t"])
    np.testing.assert_array_equal(log.qpos, np.stack((table["p1"], table["p2"]), axis=1))
    np.testing.assert_array_equal(log.qvel, np.stack((table["v1"], table["v2"]), axis=1))
    np.testing.assert_array_equal(log.ctrl[:, 0], table["u"])


def test_a_minari_dataset_reads_as_its_episodes(tmp_path: Path) -> None:
    import gymnasium as gym
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_dataset import MinariDataset
    from minari.dataset.minari_storage import MinariStorage

    space = gym.spaces.Box(-10, 10, (4,), np.float64)
    (tmp_path / "set").mkdir()
    storage = MinariStorage.new(tmp_path / "set" / "data", space, gym.spaces.Box(-1, 1, (1,), np.float64))
    table = recording(0.5)
    state = np.stack([table[name] for name in ("p1", "p2", "v1", "v2")], axis=1)
    for episode in range(2):
        actions = table["u"][:-1, None]
        n = len(actions)
        buffer = EpisodeBuffer(
            id=episode, observations=list(state), actions=list(actions), rewards=[0.0] * n,
            terminations=[False] * n, truncations=[False] * (n - 1) + [True],
        )  # fmt: skip
        storage.update_episodes([buffer])
    storage.update_metadata({"dataset_id": "test-v0", "minari_version": minari.__version__})
    assert MinariDataset(storage).total_episodes == 2
    names = {"qpos[hip]": "observations[0]", "qpos[knee]": "observations[1]", "qvel[hip]": "observations[2]",
             "qvel[knee]": "observations[3]", "ctrl[motor]": "actions[0]"}  # fmt: skip
    logs, _ = read_logs(mapped(tmp_path, "set", names, time=None, rate=200.0), LAYOUT)
    assert [log.name for log in logs] == ["set[0]", "set[1]"]
    np.testing.assert_array_equal(logs[1].qpos, state[:, :2])
    assert logs[0].ctrl[-1, 0] == logs[0].ctrl[-2, 0]  # nothing is done in the last state


def test_units_signs_offsets_and_delays(tmp_path: Path) -> None:
    table = recording()
    late = {**table, "v1": 3 * np.cos(3 * (table["t"] - 0.02)), "p2": -np.degrees(table["p2"] - 0.1)}
    columns = {
        **COLUMNS,
        "qvel[hip]": {"source": "v1", "delay": 0.02},
        "qpos[knee]": {"source": "p2", "unit": "deg", "scale": -1, "offset": 0.1},
    }
    (log,), _ = read(tmp_path, late, columns=columns)
    np.testing.assert_allclose(log.qvel[:-4, 0], table["v1"][:-4], atol=1e-9)
    np.testing.assert_allclose(log.qpos[:, 1], table["p2"], atol=1e-12)


@pytest.mark.parametrize("method", ["savitzky_golay", "central"])
def test_velocities_are_estimated_where_no_column_has_them(tmp_path: Path, method: str) -> None:
    table = recording()
    columns = {key: value for key, value in COLUMNS.items() if not key.startswith("qvel")}
    (log,), _ = read(tmp_path, table, columns=columns, velocity={"method": method, "window": 0.05})
    np.testing.assert_allclose(log.qvel, np.stack((table["v1"], table["v2"]), axis=1), atol=5e-3)


def test_a_tumbling_bodys_rates_are_estimated_in_its_own_frame(tmp_path: Path) -> None:
    t = np.arange(0, 1, 0.005)
    axis, rate = np.array([0.6, 0.0, 0.8]), 4.0
    quat = np.concatenate((np.cos(rate * t / 2)[:, None], np.sin(rate * t / 2)[:, None] * axis), axis=1)
    flipped = quat * np.where(np.arange(len(t)) % 7 == 0, -1, 1)[:, None]  # either sign is the same orientation
    np.savez(tmp_path / "log.npz", t=t, pos=np.stack((t, t**2, 0 * t), axis=1), quat=np.roll(flipped, -1, axis=1))
    columns = {"qpos[cube]": {"source": ["pos", "quat"], "quaternion": "xyzw"}}
    (log,), _ = read_logs(mapped(tmp_path, "log.npz", columns), FREE)
    np.testing.assert_allclose(log.qpos[:, 3:], quat * np.sign(log.qpos[:1, 3]), atol=1e-12)
    np.testing.assert_allclose(log.qvel[5:-5, 3:], np.tile(rate * axis, (len(t) - 10, 1)), atol=1e-6)
    np.testing.assert_allclose(log.qvel[5:-5, 1], 2 * t[5:-5], atol=1e-6)


def test_recordings_split_by_lengths_by_an_id_and_by_names(tmp_path: Path) -> None:
    table, twice = recording(1.0), {}
    for name, values in table.items():
        twice[name] = np.concatenate((values, values[:50]))
    lengths = {**twice, "length": np.array([200, 50])}
    ids = {**twice, "episode": np.repeat([4.0, 9.0], [200, 50])}
    names = {f"{k}_{i}": v[: 200 - 150 * i] for i in range(2) for k, v in table.items()}
    found = [
        read(tmp_path, lengths, episodes={"length": "length"})[0],
        read(tmp_path, ids, episodes={"id": "episode"})[0],
        read(tmp_path, names, columns={k: v + "_{i}" for k, v in COLUMNS.items()}, time="t_{i}")[0],
    ]
    for logs in found:
        assert [log.name for log in logs] == ["log.npz[0]", "log.npz[1]"]
        assert [len(log.time) for log in logs] == [200, 50]
        np.testing.assert_array_equal(logs[1].qpos[:, 0], table["p1"][:50])


def test_other_clocks_and_resampling(tmp_path: Path) -> None:
    table = recording()
    slow = np.arange(0, 2, 0.02)
    table |= {"tk": slow, "p2": 0.5 * np.cos(5 * slow)}
    columns = {**{k: v for k, v in COLUMNS.items() if k != "qvel[knee]"}, "qpos[knee]": {"source": "p2", "time": "tk"}}
    (log,), _ = read(tmp_path, table, columns=columns, resample=100.0)
    assert np.diff(log.time) == pytest.approx(0.01)
    np.testing.assert_allclose(log.qpos[:, 1], 0.5 * np.cos(5 * np.minimum(log.time, slow[-1])), atol=2e-3)
    held = np.isin(log.ctrl, (-1.0, 0.0, 1.0))  # or the mean of two, where one ends between samples
    assert held.mean() > 0.9 and set(np.round(log.ctrl[~held], 9)) <= {-0.5, 0.5}


def test_a_gap_cuts_a_recording_in_two(tmp_path: Path) -> None:
    table = {name: np.delete(values, slice(100, 150)) for name, values in recording().items()}
    logs, (finding,) = read(tmp_path, table)
    assert [log.name for log in logs] == ["log.npz part 1", "log.npz part 2"]
    assert str(finding).startswith("log.npz t: no samples for 0.255 s from 0.495 s, 51 periods; cut in two there; what")
    starts = [log.time[log.begin] - log.time[0] for log in logs]
    assert starts == pytest.approx([0.0, 0.1])  # until then commands of the gap may act


def test_a_lag_and_clipping_are_noticed(tmp_path: Path) -> None:
    table = recording(4.0)
    table["v1"] = 3 * np.cos(3 * (table["t"] - 0.03))
    table["p2"] = np.clip(table["p2"], -0.4, 0.4)
    table["v2"] = np.gradient(table["p2"], table["t"])
    said = [str(finding) for finding in read(tmp_path, table)[1]]
    assert "log.npz v1: lags the position by 30 ms; give delay: 0.03, or leave it out to be estimated" in said
    assert any(text.startswith("log.npz p2:") and "stay at 0.4, where it seems to be clipped" in text for text in said)
    table["p1"], table["v1"] = np.sin(3 * (table["t"] - 0.03)), 3 * np.cos(3 * table["t"])
    said = [str(finding) for finding in read(tmp_path, table)[1]]
    assert "log.npz v1: leads the position by 30 ms; the position is late, then: give delay: 0.03 for it" in said


def broken(name: str, change: Any) -> dict[str, Array]:
    table = recording()
    table[name] = change(table[name].copy())
    return table


def put(index: int, value: float) -> Any:
    def change(values: Array) -> Array:
        values[index] = value
        return values

    return change


@pytest.mark.parametrize(
    ("table", "more", "message"),
    [
        (recording(), {"columns": {**COLUMNS, "qpos[hip]": "p11"}}, r"log.npz: no column 'p11'; did you mean 'p1'\?"),
        (recording(), {"columns": {**COLUMNS, "qpos[hop]": "p1"}}, r"columns.qpos\[hop\]: no joint 'hop'; did you mean 'hip'\?"),
        (recording(), {"columns": {"qpos[hip]": "p1", "ctrl[motor]": "u"}}, r"no qpos\[knee\]; the model cannot be replayed"),
        (recording(), {"columns": {**COLUMNS, "qpos[hip]": {"source": "p1", "unit": "dg"}}}, r"unit: no unit 'dg'; did you mean 'deg'"),
        (recording(), {"time": None}, r"expected a column of time or a rate"),
        (recording(), {"accept": ["jumps"]}, r"accept: no check 'jumps'; did you mean 'jump'"),
        (broken("t", put(50, 0.1)), {}, r"log.npz t: out of order, sample 50, 0.245 s after the first, goes back"),
        (broken("t", lambda t: t * 1e-6), {}, r"log.npz t: 2e\+08 samples a second, expected 0.1 to 100,000"),
        (broken("p1", put(80, np.nan)), {"columns": {**COLUMNS, "ctrl[motor]": "p1"}}, r"log.npz p1: sample 80 is no number"),
        (broken("p1", lambda p: np.where(np.arange(400) > 200, p + 1.0, p)), {}, r"log.npz p1: jumps from .* at 1.005 s"),
        (broken("v1", lambda v: -v), {}, r"log.npz v1: its sign is opposite .*; give scale: -1; to use it all the same: accept: \[sign\]"),
        (broken("v1", np.degrees), {}, r"log.npz v1: the position changes 0.0175 times as fast; deg/s while the position is in rad"),
        (broken("p1", lambda p: p[:-7]), {}, r"log.npz p1: 393 samples, expected 400 as in time"),
        ({k: v[:0] for k, v in recording().items()}, {}, r"log.npz t: 0 samples, expected at least 4"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_and_column(
    tmp_path: Path, table: dict[str, Array], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(DREnvError, match=message):
        read(tmp_path, table, **more)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("t,p1\n0,1\n1,2,3\n")
    with pytest.raises(DREnvError, match=r"log.csv:3 3 numbers, expected 2 as in line 1"):
        read_logs(mapped(tmp_path, "log.csv"), LAYOUT)
    (tmp_path / "log.npz").write_bytes(b"nonsense")
    with pytest.raises(DREnvError, match=r"log.npz: cannot read it"):
        read_logs(mapped(tmp_path, "log.npz"), LAYOUT)
    with pytest.raises(DREnvError, match=r"nothing matches 'run_\*.npz'"):
        read_logs(mapped(tmp_path, "run_*.npz"), LAYOUT)
    (tmp_path / "log.txt").write_text("")
    with pytest.raises(DREnvError, match=r"unknown format; expected .npz, .csv"):
        read_logs(mapped(tmp_path, "log.txt"), LAYOUT)


def test_one_hole_switches_no_check_off(tmp_path: Path) -> None:
    table = recording()
    table["v1"] = -table["v1"]
    table["p1"][100] = np.nan
    with pytest.raises(DREnvError, match="its sign is opposite"):
        read(tmp_path, table)


def test_a_free_bodys_velocity_is_checked_too(tmp_path: Path) -> None:
    t = np.arange(0, 2, 0.005)
    upright = np.tile([1.0, 0, 0, 0], (len(t), 1))
    place = np.stack([np.sin(3 * t), np.cos(2 * t), t], 1)
    speed = np.stack([3 * np.cos(3 * t), -2 * np.sin(2 * t), np.ones_like(t)], 1)
    table = {"t": t, "q": np.concatenate([place, upright], 1), "v": np.concatenate([-speed, np.zeros_like(speed)], 1)}
    columns = {"qpos[cube]": "q", "qvel[cube]": "v"}
    with pytest.raises(DREnvError, match="its sign is opposite"):
        read_logs(mapped(tmp_path, write(tmp_path, ".npz", table), columns), FREE)


def test_nothing_is_measured_beyond_a_columns_own_clock(tmp_path: Path) -> None:
    table = recording()
    columns = {**COLUMNS, "qpos[knee]": {"source": "p2", "delay": 0.5}, "qvel[knee]": {"source": "v2", "delay": 0.5}}
    (log,), _ = read(tmp_path, table, columns=columns)
    end = log.time[-1] - 0.5  # of the late column's own numbers
    assert np.isnan(log.qpos[log.time > end + 0.01, 1]).all() and np.isfinite(log.qpos[log.time < end - 0.01, 1]).all()
    assert np.isfinite(log.qpos[:, 0]).all()
    for wrong in ({"delay": 20.0}, {"time": "unix"}):
        table["unix"] = table["t"] + 1.7e9
        with pytest.raises(DREnvError, match=r"p2: runs from .* expected the same clock, and a delay in seconds"):
            read(tmp_path, table, columns={**COLUMNS, "qpos[knee]": {"source": "p2", **wrong}})
    with pytest.raises(DREnvError, match="expected finite numbers"):
        read(tmp_path, table, columns={**COLUMNS, "qpos[knee]": {"source": "p2", "delay": float("nan")}})


def test_angles_within_a_turn_are_put_together(tmp_path: Path) -> None:
    """A wheel recorded in -pi .. pi turns as fast as it does."""
    t = np.arange(0, 2, 0.01)
    angle = 40 * t + np.sin(t)
    table = {"t": t, "p1": (angle + np.pi) % (2 * np.pi) - np.pi, "p2": 0 * t, "v2": 0 * t, "u": 0 * t}
    columns = {key: source for key, source in COLUMNS.items() if key != "qvel[hip]"}
    turning = Layout(LAYOUT.qpos, LAYOUT.qvel, LAYOUT.ctrl, turning=frozenset({"hip"}))
    (log,), findings = read_logs(mapped(tmp_path, write(tmp_path, ".npz", table), columns), turning)
    assert not findings
    assert log.qpos[:, 0] == pytest.approx(angle, abs=1e-9)
    assert log.qvel[5:-5, 0] == pytest.approx((40 + np.cos(t))[5:-5], abs=0.01)


def test_damaged_files_are_one_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix in (".npz", ".csv.gz", ".parquet"):
        whole = bytearray((tmp_path / write(tmp_path, suffix, recording())).read_bytes())
        for _ in range(20):
            damaged = bytearray(whole)
            for place in rng.integers(0, len(whole), 30):
                damaged[place] = rng.integers(256)
            (tmp_path / f"log{suffix}").write_bytes(damaged)
            try:
                read_logs(mapped(tmp_path, f"log{suffix}"), LAYOUT)
            except DREnvError:
                continue


def test_a_spreadsheets_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    name = write(tmp_path, ".csv", recording())
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (tmp_path / name).read_bytes())
    (log,), _ = read_logs(mapped(tmp_path, name), LAYOUT)
    assert len(log.time) == 400


@pytest.mark.parametrize("late", [-0.013, 0.0, 0.007, 0.02, 0.031])
def test_controls_are_late_to_a_fraction_of_a_sample(tmp_path: Path, late: float) -> None:
    time = np.arange(100) * 0.02
    control = np.round(np.random.default_rng(0).normal(size=100), 3)
    table = {"t": time, "p": np.sin(time), "u": control}
    columns = {"qpos[hip]": "p", "qpos[knee]": "p", "ctrl[motor]": {"source": "u", "delay": late}}
    (log,), _ = read(tmp_path, table, columns=columns, velocity={"method": "central"})
    fine = np.arange(0, 1.98 - 1e-9, 1e-4) + 5e-5  # what was in force then
    place = np.clip(np.floor((fine + late) / 0.02 + 1e-9).astype(int), 0, 99)
    expected = control[place].reshape(99, 200).mean(axis=1)
    found = log.ctrl[:-1, 0]
    assert len(found) >= 99 - max(0, np.ceil(late / 0.02 - 1))  # later ones were never logged
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-2 if late % 1e-4 else 1e-9)
    if late in (0.0, 0.02):
        shift = round(late / 0.02)
        np.testing.assert_array_equal(log.ctrl[: 100 - shift, 0], control[shift:])


def test_a_gap_is_cut_before_it_is_resampled(tmp_path: Path) -> None:
    time = np.delete(np.arange(300) * 0.02, np.arange(100, 150))
    table = {"t": time, "p": np.sin(time), "u": np.zeros(len(time))}
    columns = {"qpos[hip]": "p", "qpos[knee]": "p", "ctrl[motor]": "u"}
    logs, findings = read(tmp_path, table, columns=columns, velocity={"method": "central"}, resample=40.0)
    assert [log.name.rpartition(" ")[2] for log in logs] == ["1", "2"] and "cut in two" in str(findings[0])
    assert [round(float(log.time[0]), 6) for log in logs] == [0.0, 3.0]
    with pytest.raises(DREnvError, match="resample: got 1000 samples a second, the recording has 50; expected no more"):
        read(tmp_path, table, columns=columns, velocity={"method": "central"}, resample=1000.0)


def test_durations_are_of_what_was_measured(tmp_path: Path) -> None:
    time = np.arange(100) * 0.01
    table = {"t": time, "p": np.sin(time), "u": np.zeros(100)}
    (log,), _ = read(tmp_path, table, columns={"qpos[hip]": "p", "qpos[knee]": "p", "ctrl[motor]": "u"}, before="zero")
    assert len(log.time) == 101 and log.duration == pytest.approx(0.99)


@pytest.mark.parametrize(("key", "unit"), [("qpos[hip]", "deg/s"), ("qvel[hip]", "mm")])
def test_units_fit_what_they_are_of(tmp_path: Path, key: str, unit: str) -> None:
    table = {"t": np.arange(100) * 0.01, "p": np.zeros(100)}
    with pytest.raises(DREnvError, match=f"got the unit {unit}, expected one of a"):
        read(tmp_path, table, columns={"qpos[hip]": "p", "qpos[knee]": "p", key: {"source": "p", "unit": unit}})


def test_velocities_end_where_nothing_was_measured(tmp_path: Path) -> None:
    """Nobody knows how it moved in a hole, and what is beside it is differenced from one side."""
    table = recording()
    columns = {name: column for name, column in COLUMNS.items() if not name.startswith("qvel")}
    hidden = table["p1"].copy()
    hidden[150:230] = np.nan
    write(tmp_path, ".csv", {**table, "p1": hidden})
    for method in ("savitzky_golay", "central"):
        (log,), _ = read_logs(mapped(tmp_path, "log.csv", columns, velocity={"method": method}), LAYOUT)
        known = ~np.isnan(hidden)
        assert (np.isnan(log.qvel[:, 0]) == ~known).all()
        assert np.abs(log.qvel[known, 0] - table["v1"][known]).max() < 0.02


@pytest.mark.parametrize("measured", [False, True])
def test_what_stood_still_before_starts_with_no_velocity(tmp_path: Path, measured: bool) -> None:
    """A chirp from rest: nothing says so in the samples after it, whose derivative is not zero at the start."""
    time = np.arange(200) * 0.004
    swing = 0.2 * (1 - np.cos(60 * time))
    table = {"t": time, "p": swing, "v": 12 * np.sin(60 * time) + 0.1, "u": np.ones(200)}
    columns = {"qpos[hip]": "p", "qpos[knee]": "p", "ctrl[motor]": "u"} | ({"qvel[hip]": "v"} if measured else {})
    how = {"method": "savitzky_golay", "window": 0.06, "order": 2}
    (hold,), _ = read(tmp_path, table, columns=columns, velocity=how, accept=["lag"])
    (rest,), _ = read(tmp_path, table, columns=columns, velocity=how, accept=["lag"], before="rest")
    assert rest.ctrl[0, 0] == 0 and rest.ctrl[1, 0] == 1
    assert abs(hold.qvel[0, 0]) > 0.05 and (rest.qvel[1] == 0).all()
    assert np.array_equal(rest.qvel[20:], hold.qvel[19:])  # a window later nothing has changed
    if not measured:
        true = 12 * np.sin(60 * time[:8])
        assert np.abs(rest.qvel[1:9, 0] - true).mean() < 0.75 * np.abs(hold.qvel[:8, 0] - true).mean()


def test_commands_that_were_logged_late_end_earlier(tmp_path: Path) -> None:
    columns = {**COLUMNS, "ctrl[motor]": {"source": "u", "delay": 0.3}}
    (log,), findings = read_logs(mapped(tmp_path, write(tmp_path, ".csv", recording()), columns), LAYOUT)
    assert log.time[-1] == pytest.approx(2.0 - 0.005 - 0.3 + 0.005, abs=0.006)
    assert any("no commands from" in str(found) for found in findings)

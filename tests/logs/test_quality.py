"""What is looked for in recordings: clocks, jumps, units, and commands that end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from dr_env import DREnvError
from dr_env.logs import Layout, read_logs
from dr_env.logs.quality import check_pair
from tests.logs.test_reading import COLUMNS, FREE, LAYOUT, mapped, read, recording, write

Array = NDArray[np.float64]


def clocked(missing: slice = slice(0, 0)) -> tuple[dict[str, Array], dict[str, Any]]:
    """A recording whose knee has a clock of its own, with a part missing there."""
    table = recording(4.0)
    own = np.delete(table["t"] + 0.001, np.r_[missing])
    table |= {"tk": own, "p2": 0.5 * np.cos(5 * own), "v2": -2.5 * np.sin(5 * own)}
    knee = {f"{kind}[knee]": {"source": source, "time": "tk"} for kind, source in (("qpos", "p2"), ("qvel", "v2"))}
    return table, {**COLUMNS, **knee}


def test_a_dropout_on_a_clock_of_its_own_is_not_measured(tmp_path: Path) -> None:
    table, columns = clocked(slice(300, 500))
    (log,), findings = read(tmp_path, table, columns=columns)
    assert "not measured there" in str(findings[0]) and "tk" in str(findings[0])
    inside = (log.time > 1.51) & (log.time < 2.49)
    assert np.isnan(log.qpos[inside, 1]).all() and np.isnan(log.qvel[inside, 1]).all()
    known = ~np.isnan(log.qpos[:, 1])
    np.testing.assert_allclose(log.qpos[known, 1], 0.5 * np.cos(5 * log.time[known]), atol=1e-3)
    assert not np.isnan(log.qpos[:, 0]).any()


def test_columns_with_a_clock_of_their_own_are_looked_over(tmp_path: Path) -> None:
    table, columns = clocked()
    table["p2"][400:] += 1.0
    with pytest.raises(DREnvError, match="p2: jumps from"):
        read(tmp_path, table, columns=columns)


def test_a_recording_ends_with_its_commands(tmp_path: Path) -> None:
    table = recording(4.0)
    table |= {"tu": table["t"][:400], "u": table["u"][:400]}
    (log,), findings = read(tmp_path, table, columns={**COLUMNS, "ctrl[motor]": {"source": "u", "time": "tu"}})
    assert "no commands from 2 s" in str(findings[0])
    assert log.time[-1] == pytest.approx(2.0, abs=0.006)


def test_wrapped_angles_are_no_jumps_and_jumps_of_wrapped_angles_are(tmp_path: Path) -> None:
    table = recording(4.0)
    path = mapped(tmp_path, "log.npz", COLUMNS)
    for jump, gap in ((0.0, False), (0.0, True), (0.5, False), (0.5, True)):
        angle = 2.5 * np.sin(table["t"]) + 2.5 + jump * (table["t"] > 2.6)
        wrapped = np.mod(angle * 2, 2 * np.pi)
        if gap:
            wrapped[100] = np.nan
        write(tmp_path, ".npz", table | {"p1": wrapped, "v1": 5 * np.cos(table["t"])})
        layout = Layout(LAYOUT.qpos, LAYOUT.qvel, LAYOUT.ctrl, frozenset({"hip"}))
        if jump:
            with pytest.raises(DREnvError, match="p1: jumps from"):
                read_logs(path, layout)
        else:
            (log,), findings = read_logs(path, layout)
            assert [finding.check for finding in findings] == ["nan"] * gap
            assert np.nanmax(np.abs(np.diff(log.qpos[:, 0]))) < 0.1


@pytest.mark.parametrize(("factor", "said"), [(9.549, "rpm"), (1 / (2 * np.pi), "turn/s"), (100.0, "cm/s")])
def test_velocities_in_other_units_are_said_to_be_so(tmp_path: Path, factor: float, said: str) -> None:
    table = recording(4.0)
    with pytest.raises(DREnvError, match=said):
        read(tmp_path, table | {"v1": table["v1"] * factor})


def test_infinities_are_refused(tmp_path: Path) -> None:
    table = recording()
    table["p1"][5] = np.inf
    with pytest.raises(DREnvError, match="p1: sample 5 is infinite"):
        read(tmp_path, table)


@pytest.mark.parametrize(("unit", "expected"), [("mm/s", [1, 1, 1, 2, 2, 2]), ("deg/s", [1000, 1000, 1000, 2, 2, 2])])
def test_a_free_bodys_rates_have_units_of_their_own(tmp_path: Path, unit: str, expected: list[float]) -> None:
    t = np.arange(0, 1, 0.01)
    turn = np.exp(1j * t)  # about z
    pose = np.column_stack((t, t, t, turn.real, 0 * t, 0 * t, turn.imag))
    rates = np.tile([1000.0, 1000.0, 1000.0, 2.0, 2.0, 2.0], (100, 1))
    rates[:, 3:] *= 180 / np.pi if unit == "deg/s" else 1
    path = write(tmp_path, ".npz", {"t": t, "pose": pose, "rates": rates})
    columns = {"qpos[cube]": "pose", "qvel[cube]": {"source": "rates", "unit": unit}}
    (log,), _ = read_logs(mapped(tmp_path, path, columns, accept=["unit", "sign", "lag"]), FREE)
    np.testing.assert_allclose(log.qvel[50], expected)


def test_recordings_are_told_apart_by_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, ".csv", recording() | {"run": np.zeros(400)})
    text = (tmp_path / path).read_text().replace(",0.0\n", ",first\n")
    (tmp_path / path).write_text(text)
    with pytest.raises(DREnvError, match="run: sample 0 is no number, expected numbers that tell recordings apart"):
        read_logs(mapped(tmp_path, path, episodes={"id": "run"}), LAYOUT)


@pytest.mark.parametrize("lasts", [1, 2])
@pytest.mark.parametrize("height", [50.0, 0.4, -0.4])
def test_a_glitch_away_and_back_is_found_wherever_it_is(tmp_path: Path, lasts: int, height: float) -> None:
    for at in (60, 150, 333):
        table = recording()
        table["p2"][at : at + lasts] += height
        with pytest.raises(
            DREnvError, match=r"p2: jumps from .* and back to .*; to use it all the same: accept: \[jump"
        ):
            read(tmp_path, table, columns=COLUMNS)


@pytest.mark.parametrize("samples", [30, 60, 90, 400])
def test_a_step_is_found_in_recordings_of_any_length(tmp_path: Path, samples: int) -> None:
    table = {name: values[:samples].copy() for name, values in recording().items()}
    table["p2"][samples // 2 :] += 1.0
    with pytest.raises(DREnvError, match="p2: jumps from"):
        read(tmp_path, table, columns=COLUMNS)


def test_what_turns_round_suddenly_is_no_glitch(tmp_path: Path) -> None:
    """A ball that bounces, a fast servo that overshoots, an encoder of few steps."""
    time = np.arange(400) * 0.005
    bounce = np.abs(np.sin(9 * time))
    servo = np.where(time > 1, 1 - np.exp(-(time - 1) * 150) * np.cos((time - 1) * 300), 0.0)
    coarse = np.round(3 * np.sin(time * 4))
    for signal in (bounce, servo, coarse):
        table = {"t": time, "p1": signal, "p2": np.sin(time), "u": np.zeros(400)}
        columns = {"qpos[hip]": "p1", "qpos[knee]": "p2", "ctrl[motor]": "u"}
        read(tmp_path, table, columns=columns)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"v1": lambda table: 0 * table["v1"]}, "v1: is 0 while the position moves"),
        ({"p1": lambda table: 0 * table["p1"]}, "v1: changes while the position stays where it is"),
        ({"v1": lambda table: table["v2"], "v2": lambda table: table["v1"]}, "v1: does not follow the position's change"),
        ({"v1": lambda table: table["v1"] / 3}, "v1: the position changes 3 times as fast; another unit, or a gear"),
    ],
)  # fmt: skip
def test_a_velocity_that_is_not_its_positions_is_noticed(tmp_path: Path, change: dict[str, Any], what: str) -> None:
    table = recording(6.0)
    table |= {name: make(table) for name, make in change.items()}
    try:
        said = [str(found) for found in read(tmp_path, table, columns=COLUMNS)[1]]
    except DREnvError as error:
        said = [str(error)]
    assert any(what in each for each in said), said


def test_units_are_those_of_joints_and_commands(tmp_path: Path) -> None:
    slides = Layout(LAYOUT.qpos, LAYOUT.qvel, LAYOUT.ctrl, slides=frozenset({"knee"}))
    file = write(tmp_path, ".csv", recording())
    for key, unit, match in (
        ("qpos[hip]", "mm", r"columns.qpos\[hip\]: got the unit mm, but the joint turns; expected one of deg, mrad"),
        ("qvel[hip]", "m/s", r"but the joint turns; expected one of deg/s, rad/s"),
        ("qpos[knee]", "deg", r"but the joint slides; expected one of cm, inch"),
        ("ctrl[motor]", "ms", r"got the unit ms, expected one of a control"),
    ):
        source = {"qpos[hip]": "p1", "qvel[hip]": "v1", "qpos[knee]": "p2", "ctrl[motor]": "u"}[key]
        with pytest.raises(DREnvError, match=match):
            read_logs(mapped(tmp_path, file, {**COLUMNS, key: {"source": source, "unit": unit}}), slides)


def test_rates_and_names_of_columns_in_any_order(tmp_path: Path) -> None:
    table = recording()
    np.savez(tmp_path / "short.npz", **{**table, "u": table["u"][:-1]})
    for columns in (COLUMNS, dict(reversed(COLUMNS.items()))):
        (log,), _ = read_logs(mapped(tmp_path, "short.npz", columns, time=None, rate=200.0), LAYOUT)
        assert len(log.time) == 400
    bracketed = {"q[0]" if name == "p1" else name: values for name, values in table.items()}
    file = write(tmp_path, ".csv", bracketed | {"run": np.repeat([0.0, 1.0], 200)})
    columns = {**COLUMNS, "qpos[hip]": "q[0]"}
    logs, _ = read_logs(mapped(tmp_path, file, columns, episodes={"id": "run"}), LAYOUT)
    assert [len(log.time) for log in logs] == [200, 200]


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, ".csv", recording())
    logs, _ = read_logs(mapped(tmp_path, "*/log.csv"), LAYOUT)
    assert [log.name for log in logs] == ["a/log.csv", "b/log.csv"]
    table = recording()
    table["t"][7] = -1
    write(tmp_path / "b", ".csv", table)
    with pytest.raises(DREnvError, match=r"^b/log\.csv t: out of order"):
        read_logs(mapped(tmp_path, "*/log.csv"), LAYOUT)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"columns": {**COLUMNS, "qpos[hip]": {"source": []}}}, "source: got an empty list"),
        ({"columns": {**COLUMNS, "qpos[hip]": {"source": "p1", "dead": 0.1}}}, "dead: is of controls"),
        ({"files": []}, "files: got none"),
        ({"time": "dt"}, r"dt: got an array of shape \(\), expected"),
        ({"time": "both"}, r"both: 2 columns, expected one of seconds; write both\[0\]"),
        ({"columns": {**COLUMNS, "qpos[hip]": "cube"}}, r"cube: got an array of shape \(400, 1, 1\), expected"),
        ({"columns": {**COLUMNS, "qpos[hip]": "wave"}}, "wave: got complex128, expected numbers"),
    ],
)
def test_arrays_of_the_wrong_form_are_named(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    table = recording()
    more = {"dt": np.array(0.005), "both": np.stack([table["t"]] * 2, 1), "cube": table["p1"][:, None, None]}
    np.savez(tmp_path / "odd.npz", **table, **more, wave=table["p1"] * 1j, column=table["t"][:, None])
    with pytest.raises(DREnvError, match=match):
        read_logs(mapped(tmp_path, **{"file": "odd.npz", **change} if "files" not in change else {"file": []}), LAYOUT)  # type: ignore[arg-type]
    (log,), _ = read_logs(mapped(tmp_path, "odd.npz", time="column"), LAYOUT)
    assert np.array_equal(log.time, table["t"])


@pytest.mark.parametrize("kind", ["timestamp[us]", "duration[ms]"])
def test_clocks_of_parquet_files_are_seconds(tmp_path: Path, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = recording()
    ticks = (np.arange(400) * 5) * (1000 if "us" in kind else 1)
    made = pa.timestamp("us", "UTC") if "timestamp" in kind else pa.duration("ms")
    first = 1_700_000_000_000_000 if "us" in kind else 0
    pq.write_table(pa.table({**table, "t": pa.array(ticks + first, pa.int64()).cast(made)}), tmp_path / "log.parquet")
    (log,), _ = read_logs(mapped(tmp_path, "log.parquet"), LAYOUT)
    np.testing.assert_allclose(log.time, table["t"], atol=1e-9)
    pq.write_table(pa.table({**table, "p1": [[1.0, 2.0]] * 399 + [None]}), tmp_path / "log.parquet")
    with pytest.raises(DREnvError, match=r"log.parquet p1: got list<.*>, expected numbers, as many in each row"):
        read_logs(mapped(tmp_path, "log.parquet"), LAYOUT)


def test_a_joint_that_hardly_moves_is_no_other_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = recording(6.0)
    table["p1"] = 1e-4 * np.sin(3 * table["t"]) + 1e-3 * rng.normal(size=1200)
    table["v1"] = 3e-4 * np.cos(3 * table["t"]) + 1e-3 * rng.normal(size=1200)
    assert not read(tmp_path, table, columns=COLUMNS)[1]


def test_a_dropped_bodys_own_velocity_is_right_and_its_opposite_is_not() -> None:
    """Its fall is over before the longest lag; what follows are shocks."""
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><option timestep="0.002"/><worldbody><geom type="plane" size="5 5 .1"/><body pos="0 0 .08"><freejoint/>'
        '<geom type="box" size=".03 .02 .015" mass=".1"/></body></worldbody></mujoco>'
    )
    for seed in range(12):
        data, rng = mujoco.MjData(model), np.random.default_rng(seed)
        data.qvel[:] = rng.normal(0, [0.3] * 3 + [3.0] * 3)
        rows = []
        for _ in range(100):
            rows.append((data.time, *data.qpos[:3], *data.qvel[:3]))
            mujoco.mj_step(model, data, 10)
        time, *columns = np.array(rows).T
        for position, velocity in zip(columns[:3], columns[3:], strict=True):
            assert not [found for found in check_pair("v", time, position, velocity) if found.fatal], seed
            assert next(check_pair("v", time, position, -velocity)).check == "sign"


def test_exchanged_velocities_are_noticed(tmp_path: Path) -> None:
    table = recording(4.0)
    table["p1"] = np.sin(3 * table["t"]) + 0.3 * np.sin(7 * table["t"])
    table["p2"] = 0.5 * np.cos(5 * table["t"]) - 0.3 * np.sin(3 * table["t"])
    table["v2"], table["v1"] = (np.gradient(table[name], table["t"]) for name in ("p1", "p2"))
    said = [str(finding) for finding in read(tmp_path, table)[1]]
    assert "log.npz qvel[hip]: follows the position of knee more closely than that of hip; is it of knee?" in said


def test_positions_far_outside_a_joint_are_of_another_unit(tmp_path: Path) -> None:
    limited = dataclasses.replace(LAYOUT, ranges={"hip": (-1.5, 1.5)})
    table = recording()
    table["p1"] = np.degrees(table["p1"])
    table["v1"] = np.degrees(table["v1"])
    with pytest.raises(DREnvError, match=r"log.npz p1: goes from .* joint from -1.5 to 1.5; is the unit right"):
        read_logs(mapped(tmp_path, write(tmp_path, ".npz", table)), limited)
    (log,), _ = read_logs(mapped(tmp_path, write(tmp_path, ".npz", recording())), limited)
    assert log.name == "log.npz"

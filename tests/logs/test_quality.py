"""What is looked for in recordings: clocks, jumps, units, and commands that end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_env import DREnvError
from dr_env.logs import Layout, read_logs
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

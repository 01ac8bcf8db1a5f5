"""Recordings read by a column map: files in, `Log`s out."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.logs.mapping import ANGLES, LENGTHS, POSITIONS, RATES, UNITS, Column, LogMap, parse_key
from dr_env.logs.quality import (
    Finding,
    check_clock,
    check_exchanged,
    check_jump,
    check_pair,
    check_range,
    check_values,
    gaps,
    moment,
)
from dr_env.logs.sources import open_source
from dr_env.logs.tables import Table, array, located, recordings
from dr_env.logs.velocity import angular_velocity, derivative, gain, held_mean, interpolate, runs, unwrapped, upright
from dr_env.tuning.evidence import Log

Array = NDArray[np.float64]

_LEAST = 4  # samples
_LATE = 0.1  # s after a gap in which commands may act that nobody recorded
_FINER = 1.5  # than samples are on average, that they may be resampled


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where a model keeps the numbers of its joints and actuators.

    Args:
        qpos: (first, count) by joint.
        qvel: likewise.
        ctrl: likewise by actuator, one number each.
        turning: hinges without limits, whose angles may be recorded within a turn.
        slides: joints that slide; the others of one number turn.
        ranges: (low, high) of joints of one number that have limits, rad or m.
    """

    qpos: Mapping[str, tuple[int, int]]
    qvel: Mapping[str, tuple[int, int]]
    ctrl: Mapping[str, tuple[int, int]]
    turning: frozenset[str] = frozenset()
    slides: frozenset[str] = frozenset()
    ranges: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    def size(self, kind: str) -> int:
        """How many numbers qpos, qvel or ctrl has."""
        return sum(count for _, count in getattr(self, kind).values())


def read_logs(path: str | Path, layout: Layout, data: str | Path | None = None) -> tuple[list[Log], list[Finding]]:
    """Reads the recordings that a column map describes.

    Args:
        path: the column map, in YAML (`LogMap`).
        layout: the model's.
        data: the folder of the files; by default the map's own.

    Returns:
        The recordings, cut where they have gaps, and what seems wrong with them.

    Raises:
        DREnvError: naming file and column of what is missing, impossible or of no use.
    """
    mapping = LogMap.load(path)
    for key in mapping.columns:
        kind, name = parse_key(key)
        known: Mapping[str, tuple[int, int]] = getattr(layout, kind)
        if name not in known:
            what = "actuator" if kind == "ctrl" else "joint"
            raise DREnvError(f"{path} columns.{key}: {unknown_name(what, name, known)}")
        _check_unit(f"{path} columns.{key}", mapping.columns[key].unit, kind, name in layout.slides, known[name][1])
    _check_complete(str(path), mapping, layout)
    logs: list[Log] = []
    findings: list[Finding] = []
    folder = Path(data) if data is not None else Path(path).parent
    for file in _files(mapping, Path(path), folder):
        before = len(logs)
        for suffix, table in open_source(file):
            for name, part in recordings(f"{_shown(file, folder)}{suffix}", table, mapping):
                found, wrong = _Recording(name, part, mapping, layout).logs()
                logs += found
                findings += [finding for finding in wrong if finding.check not in mapping.accept]
        if len(logs) == before:
            raise DREnvError(f"{file}: no recording in it")
    fatal = [finding for finding in findings if finding.fatal]
    if fatal:
        more = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
        raise DREnvError(f"{fatal[0]}{more}; to use it all the same: accept: [{fatal[0].check}]")
    return logs, findings


def _check_unit(where: str, unit: str, kind: str, slides: bool, count: int) -> None:
    """An angle is none in mm, and a length none in degrees; free joints have both."""
    wrong = ANGLES if slides else LENGTHS
    if kind != "ctrl" and count == 1 and unit in wrong:
        units = sorted((LENGTHS if slides else ANGLES) & (POSITIONS if kind == "qpos" else RATES).keys())
        what = "slides" if slides else "turns"
        raise DREnvError(f"{where}: got the unit {unit}, but the joint {what}; expected one of {', '.join(units)}")


def _check_complete(path: str, mapping: LogMap, layout: Layout) -> None:
    for kind in ("qpos", "ctrl"):
        missing = [f"{kind}[{name}]" for name in getattr(layout, kind) if f"{kind}[{name}]" not in mapping.columns]
        if missing:
            raise DREnvError(f"{path} columns: no {', '.join(missing)}; the model cannot be replayed without")


def _shown(file: str, folder: Path) -> str:
    """A file's name, with the folders between where its recordings are looked for and itself."""
    path = Path(file)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _files(mapping: LogMap, path: Path, folder: Path) -> list[str]:
    found: list[str] = []
    for pattern in mapping.files:
        if pattern.startswith("minari:"):
            found.append(pattern)
            continue
        whole = folder / pattern
        hits = sorted(str(p) for p in Path(whole.anchor).glob(str(whole.relative_to(whole.anchor)))) if (
            whole.is_absolute() and re.search(r"[*?\[]", pattern)
        ) else sorted(map(str, folder.glob(pattern))) if re.search(r"[*?\[]", pattern) else [str(whole)]  # fmt: skip
        if not hits:
            raise DREnvError(f"{path} files: nothing matches '{pattern}' in {folder}")
        found += hits
    return found


class _Recording:
    """One recording on its way to being a Log."""

    def __init__(self, name: str, table: Table, mapping: LogMap, layout: Layout) -> None:
        self._name, self._table, self._mapping, self._layout = name, table, mapping, layout
        self._findings: list[Finding] = []
        self._commanded = np.inf  # until when commands are known

    def logs(self) -> tuple[list[Log], list[Finding]]:
        time = self._time()
        self._findings += check_clock(f"{self._name} {self._mapping.time or 'rate'}", time, self._cut_in_words())
        raw = {key: self._numbers(key, column, time) for key, column in self._mapping.columns.items()}
        self._pairs(time, raw)
        known = int(np.searchsorted(time, self._commanded, "right"))
        if known < len(time):
            text = f"no commands from {moment(self._commanded)}, its end is at {moment(time[-1])}; cut off there"
            self._findings.append(Finding("gap", self._name, text, False))
        cuts = gaps(time) + 1
        parts = [self._part(time[part], raw, part) for part in np.split(np.arange(known), cuts[cuts < known])]
        logs, several = [], sum(part is not None for part in parts) > 1
        for i, part in enumerate(parts):
            if part is not None:
                name = f"{self._name} part {i + 1}" if several else self._name
                log = Log(name, part[0], **part[1])
                logs.append(log.uncommanded_before() if i == 0 and self._mapping.before != "hold" else log)
        return logs, self._findings

    def _cut_in_words(self) -> str:
        late = f"; what follows counts from {_LATE:g} s on, since commands that nobody recorded may still act"
        return f"cut in two there{late if self._layout.ctrl else ''}"

    def _part(
        self, time: Array, raw: dict[str, Array], samples: NDArray[np.intp]
    ) -> tuple[Array, dict[str, Array]] | None:
        """The clock and the arrays of a part without gaps, or None where it has too few samples."""
        numbers = {key: values[samples] for key, values in raw.items()}
        if self._mapping.resample is not None:
            time, numbers = self._resampled(time, numbers)
        if len(time) < _LEAST:
            return None
        piece = {kind: np.full((len(time), self._layout.size(kind)), np.nan) for kind in ("qpos", "qvel", "ctrl")}
        for key, values in numbers.items():
            kind, joint = parse_key(key)
            first, count = getattr(self._layout, kind)[joint]
            piece[kind][:, first : first + count] = values
        still = self._mapping.before == "rest" and samples[0] == 0
        piece["gain"] = np.zeros(piece["qvel"].shape)
        self._estimate(time, piece, numbers, still)
        if samples[0] > 0 and self._layout.ctrl:
            early = time < time[0] + _LATE
            piece["qpos"][early] = piece["qvel"][early] = np.nan
            if (~early).sum() < _LEAST:
                return None
        if still:
            piece["qvel"][0, ~np.isnan(piece["qvel"][0])] = 0.0
            piece["gain"][0] = 0.0
        return time, piece

    def _time(self) -> Array:
        mapping = self._mapping
        if mapping.time is None:
            assert mapping.rate is not None
            # of positions: controls may end one sample earlier
            first = next(column.source[0] for key, column in mapping.columns.items() if key.startswith("qpos"))
            time = np.arange(len(self._source(first))) / mapping.rate
        else:
            time = self._source(mapping.time) * UNITS[mapping.time_unit]
        label = f"{self._name} {mapping.time or ''}".strip()
        if time.ndim > 1:
            if time.shape[1] > 1:
                raise DREnvError(f"{label}: {time.shape[1]} columns, expected one of seconds; write {mapping.time}[0]")
            time = time[:, 0]
        if len(time) < _LEAST:
            raise DREnvError(f"{label}: {len(time)} samples, expected at least {_LEAST}")
        if not np.isfinite(time).all():
            at = int(np.flatnonzero(~np.isfinite(time))[0])
            raise DREnvError(f"{label}: sample {at} is {time[at]}, expected seconds")
        late = np.flatnonzero(np.diff(time) <= 0)
        if len(late):
            i = int(late[0])
            back = float(time[i] - time[i + 1])
            what = f"goes back by {back:g} s" if back else "has the time of the one before"
            raise DREnvError(
                f"{label}: out of order, sample {i + 1}, {time[i] - time[0]:g} s after the first, {what}; expected "
                "rows in the order of time, each time once"
            )
        rate = 1 / float(np.median(np.diff(time)))
        if not 0.1 <= rate <= 1e5:
            raise DREnvError(
                f"{label}: {rate:.3g} samples a second, expected 0.1 to 100,000; is time_unit right "
                f"({mapping.time_unit})?"
            )
        return np.asarray(time)

    def _source(self, source: str) -> Array:
        key, column = located(self._table, source)
        values = array(self._name, self._table, key)
        if values.ndim > 1 and column is not None:
            if column >= values.shape[1]:
                raise DREnvError(f"{self._name} {source}: the array has {values.shape[1]} columns")
            values = values[:, column]
        elif column is not None:
            raise DREnvError(f"{self._name} {source}: '{key}' is one column, write it without [{column}]")
        return values

    def _numbers(self, key: str, column: Column, time: Array) -> Array:
        """The numbers of one key in SI on the recording's clock, (T, count)."""
        kind, joint = parse_key(key)
        _, count = getattr(self._layout, kind)[joint]
        parts = []
        for source in column.source:
            values = self._source(source)
            values = values.reshape(len(values), -1)
            if kind == "ctrl" and len(values) == len(time) - 1:
                values = np.concatenate((values, values[-1:]))  # nothing is done at the last state
            if column.time is None and len(values) != len(time):
                raise DREnvError(f"{self._name} {source}: {len(values)} samples, expected {len(time)} as in time")
            parts.append(values)
        values = np.concatenate(parts, axis=1)
        where = f"{self._name} {', '.join(column.source)}"
        if values.shape[1] != count:
            raise DREnvError(f"{where}: {values.shape[1]} numbers, expected {count} for {key}")
        turned = kind == "qpos" and count in (4, 7)
        if turned and column.quaternion == "xyzw":
            values = np.concatenate((values[:, :-4], values[:, -1:], values[:, -4:-1]), axis=1)
        if np.isinf(values).any():
            bad = int(np.argwhere(np.isinf(values))[0][0])
            raise DREnvError(
                f"{where}: sample {bad} is infinite, expected finite numbers; leave it empty where unknown"
            )
        linear = count - 4 if turned else count
        factors = np.full(linear, column.scale * UNITS[column.unit])
        if kind == "qvel" and count == 6 and column.unit in LENGTHS | ANGLES:  # of a free body: both kinds
            factors[slice(3, 6) if column.unit in LENGTHS else slice(0, 3)] = column.scale
        values[:, :linear] = values[:, :linear] * factors + column.offset
        clock = time if column.time is None else self._source(column.time) * UNITS[self._mapping.time_unit]
        if column.time is not None and (len(clock) != len(values) or (np.diff(clock) <= 0).any()):
            raise DREnvError(f"{where}: its clock {column.time} has {len(clock)} samples or goes back")
        if column.time is not None:
            self._findings += check_clock(f"{where} {column.time}", clock, "not measured there")
        around = kind == "qpos" and joint in self._layout.turning
        for i in range(count):
            self._findings += check_values(where, clock, values[:, i], kind == "ctrl")
            if kind == "qpos" and i < linear:
                self._findings += check_jump(where, clock, unwrapped(values)[:, i] if around else values[:, i])
        if kind == "qpos" and joint in self._layout.ranges:
            self._findings += check_range(where, values[:, 0], *self._layout.ranges[joint])
        if turned:
            self._check_quaternion(where, values[:, -4:])
            values[:, -4:] = upright(values[:, -4:])
        if np.isnan(values).any() and kind == "ctrl":
            bad = int(np.argwhere(np.isnan(values))[0][0])
            raise DREnvError(f"{where}: sample {bad} is no number, and nobody knows what was commanded then")
        if kind == "ctrl":
            values[clock - clock[0] < column.dead - 1e-9] = 0.0
        if around:
            values = unwrapped(values)
        if column.time is None and column.delay == 0:
            return values
        moved = clock - column.delay
        if min(moved[-1], time[-1]) <= max(moved[0], time[0]):
            raise DREnvError(
                f"{where}: runs from {moment(moved[0])} to {moment(moved[-1])} by its clock and delay, the recording "
                f"from {moment(time[0])} to {moment(time[-1])}; expected the same clock, and a delay in seconds"
            )
        resampled = held_mean(values, moved, time) if kind == "ctrl" else interpolate(values, moved, time)
        period = float(np.median(np.diff(moved)))
        if kind == "ctrl":
            if column.time is not None or column.delay > 0:
                self._commanded = min(self._commanded, float(moved[-1]) + period)
        else:  # beyond its ends, and in its gaps, nothing was measured
            resampled[(time < moved[0] - period / 2) | (time > moved[-1] + period / 2)] = np.nan
            for hole in gaps(moved):
                resampled[(time > moved[hole] + period / 2) & (time < moved[hole + 1] - period / 2)] = np.nan
        if turned:
            resampled[:, -4:] = upright(resampled[:, -4:])
        return resampled

    def _check_quaternion(self, where: str, quaternions: Array) -> None:
        length = np.linalg.norm(quaternions, axis=1)
        wrong = np.flatnonzero(np.abs(length - 1) > 0.05)
        if len(wrong):
            raise DREnvError(
                f"{where}: sample {wrong[0]} holds a quaternion of length {length[wrong[0]]:.3g}, expected 1"
            )

    def _resampled(self, time: Array, raw: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        """All numbers on a uniform clock: states linearly, controls by their mean until the next sample."""
        rate, own = float(self._mapping.resample or 1), (len(time) - 1) / max(float(time[-1] - time[0]), 1e-9)
        if len(time) > 1 and rate > _FINER * own:
            raise DREnvError(
                f"{self._name} resample: got {rate:g} samples a second, the recording has {own:.4g}; expected no more, "
                "since nothing was measured between samples"
            )
        at = np.arange(time[0], time[-1] + 1e-9, 1 / rate)
        out = {}
        for key, values in raw.items():
            kind = parse_key(key)[0]
            out[key] = held_mean(values, time, at) if kind == "ctrl" else interpolate(values, time, at)
            if kind == "qpos" and values.shape[1] in (4, 7):
                out[key][:, -4:] = upright(out[key][:, -4:])
        return at, out

    def _pairs(self, time: Array, raw: dict[str, Array]) -> None:
        single = {key: values[:, 0] for key, values in raw.items() if values.shape[1] == 1}
        states = [{parse_key(k)[1]: x for k, x in single.items() if k.startswith(kind)} for kind in ("qpos", "qvel")]
        self._findings += check_exchanged(self._name, time, *states)
        for key, velocity in raw.items():
            kind, joint = parse_key(key)
            position = raw.get(f"qpos[{joint}]")
            if kind == "qvel" and position is not None and velocity.shape[1] in (1, 6):
                where = f"{self._name} {', '.join(self._mapping.columns[key].source)}"
                for axis in range(1 if velocity.shape[1] == 1 else 3):  # of a free body where it is
                    both = ~np.isnan(position[:, axis] + velocity[:, axis])
                    if both.mean() > 0.5:
                        found = check_pair(where, time[both], position[both, axis], velocity[both, axis])
                        told = {(known.check, known.where) for known in self._findings}
                        self._findings += [each for each in found if (each.check, each.where) not in told]

    def _estimate(self, time: Array, piece: dict[str, Array], raw: dict[str, Array], still: bool) -> None:
        """Velocities of joints that no column gives them for; where all stood still before, with that in mind."""
        how = self._mapping.velocity
        period = float(np.median(np.diff(time)))
        before = math.ceil(how.window / period) if still else 0
        for joint, (first, count) in self._layout.qvel.items():
            if f"qvel[{joint}]" in raw:
                continue
            start, width = self._layout.qpos[joint]
            position = piece["qpos"][:, start : start + width]
            good = ~np.isnan(position).any(axis=1)
            if good.sum() < _LEAST:
                continue
            linear = width - 4 if count in (3, 6) and width in (4, 7) else width
            out, noise = (piece[key][:, first : first + count] for key in ("qvel", "gain"))
            for run in runs(np.flatnonzero(good), time):  # nobody knows how it moved in a hole
                led = before if run[0] == 0 else 0
                at = np.concatenate((time[0] - period * np.arange(led, 0, -1), time[run]))
                there = np.concatenate((np.repeat(position[:1], led, 0), position[run]))
                name = f"{self._name} qpos[{joint}]"
                if linear:
                    out[run, :linear] = derivative(there[:, :linear], at, how, name)[led:]
                    noise[run, :linear] = gain(at, how, False, led, name)[:, None]
                if linear < width:
                    out[run, linear:] = angular_velocity(there[:, linear:], at, how, name)[led:]
                    noise[run, linear:] = gain(at, how, True, led, name)[:, None]

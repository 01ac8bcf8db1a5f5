"""What a tuner is told: arrays alone, checked when made, with a digest each."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.errors import DREnvError
from dr_env.records import Columns
from dr_env.spec import Spec

Array = NDArray[np.float64]
Kind = Literal["returns", "transitions", "episodes", "images"]


_ARRAYS = ("time", "qpos", "qvel", "ctrl", "gain")  # of a Log
_REST = 1.0  # s, how long before a recording nothing was commanded, where that is known


def _array(name: str, value: ArrayLike, ndim: int) -> Array:
    """A read-only copy. Raises DREnvError where it is not numbers of `ndim` axes."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        raise DREnvError(f"{name}: got {type(value).__name__}, expected numbers") from None
    if array.ndim != ndim:
        raise DREnvError(f"{name}: got shape {array.shape}, expected {ndim} {'axis' if ndim == 1 else 'axes'}")
    array.flags.writeable = False
    return array


def _without_nan(value: Any) -> Any:
    """Nested lists with None for NaN."""
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if math.isnan(value) else value


def _digest(*parts: Any) -> str:
    mixed = hashlib.blake2b(digest_size=8)
    for part in parts:
        array = np.ascontiguousarray(part) if isinstance(part, np.ndarray) else None
        head = repr(part) if array is None else f"{array.dtype.str}{array.shape}"
        mixed.update(head.encode() + b"\x1f" + (b"" if array is None else array.tobytes()))
    return mixed.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class Log:
    """One recording of a mechanism: T samples of what was measured and commanded.

    Args:
        name: what to call it in messages.
        time: (T,) seconds, ascending.
        qpos: (T, nq) positions in the model's order, radians and metres; NaN where nothing was measured.
        qvel: (T, nv) velocities, likewise.
        ctrl: (T, nu) controls, each in force from its sample to the next.
        gain: (T, nv) where velocities were estimated from positions: how many times the white noise of these they
            have, 1/s; 0 where they were measured, as all were by default.

    Raises:
        DREnvError: shapes that do not agree, time out of order, infinities, a control that is not known,
            or nothing measured; the message begins with the log's name.
    """

    name: str
    time: Array
    qpos: Array
    qvel: Array
    ctrl: Array
    gain: Array = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        if not np.size(self.gain):
            object.__setattr__(self, "gain", np.zeros(np.shape(self.qvel)))
        for key in _ARRAYS:
            array = _array(f"{self.name} {key}", getattr(self, key), 1 if key == "time" else 2)
            object.__setattr__(self, key, array)
            if len(array) != len(self.time):
                raise DREnvError(f"{self.name} {key}: got {len(array)} samples, expected {len(self.time)} as in time")
            wrong = np.isinf(array) if key in ("qpos", "qvel") else ~np.isfinite(array)
            if wrong.any():
                sample = int(np.argwhere(wrong)[0][0])
                raise DREnvError(f"{self.name} {key}: sample {sample} is {array[sample]}, expected finite numbers")
        if self.gain.shape != self.qvel.shape:
            raise DREnvError(f"{self.name} gain: got {self.gain.shape[1]} columns, expected {self.qvel.shape[1]}")
        if len(self.time) < 2:
            raise DREnvError(f"{self.name}: got {len(self.time)} samples, expected at least 2")
        late = np.flatnonzero(np.diff(self.time) <= 0)
        if len(late):
            i = int(late[0])
            raise DREnvError(
                f"{self.name} time: sample {i + 1} is at {self.time[i + 1]:g} s, expected later than "
                f"{self.time[i]:g} s of the one before"
            )
        if not (self.measured_qpos.any() or self.measured_qvel.any()):
            raise DREnvError(f"{self.name}: nothing measured; every position and velocity is NaN")

    @property
    def measured_qpos(self) -> NDArray[np.bool_]:
        """Where a position was measured, (T, nq)."""
        return ~np.isnan(self.qpos)

    @property
    def measured_qvel(self) -> NDArray[np.bool_]:
        """Where a velocity was measured, (T, nv)."""
        return ~np.isnan(self.qvel)

    @property
    def begin(self) -> int:
        """The first sample at which something was measured."""
        return int((self.measured_qpos.any(axis=1) | self.measured_qvel.any(axis=1)).argmax())

    @property
    def duration(self) -> float:
        """Seconds from the first sample at which something was measured to the last."""
        return float(self.time[-1] - self.time[self.begin])

    def uncommanded_before(self) -> Log:
        """The same recording, told that nothing was commanded before it, which late actuators obey at first.

        A sample of no control, at which nothing was measured, comes before the others. Without it the first control is
        taken to have been in force for ever.
        """
        fills = {"qpos": np.nan, "qvel": np.nan, "ctrl": 0.0, "gain": 0.0}
        parts = {key: np.pad(getattr(self, key), ((1, 0), (0, 0)), constant_values=fill) for key, fill in fills.items()}
        return Log(self.name, np.concatenate(([self.time[0] - _REST], self.time)), **parts)

    def digest(self) -> str:
        """Sixteen hex digits that name this recording's content."""
        return _digest(self.name, self.time, self.qpos, self.qvel, self.ctrl)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON, which has no NaN: None stands for it."""
        return {"name": self.name, **{key: _without_nan(getattr(self, key).tolist()) for key in _ARRAYS}}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Log:
        """Reads what `to_dict` gave."""
        return cls(form["name"], *(np.array(form[key], object).astype(np.float64) for key in _ARRAYS))


@dataclasses.dataclass(frozen=True, eq=False)
class TargetTransitions:
    """Recordings of the target, compared with simulations that start anew every `window` seconds."""

    logs: tuple[Log, ...]
    window: float
    kind: ClassVar[Kind] = "transitions"

    def __post_init__(self) -> None:
        object.__setattr__(self, "logs", tuple(self.logs))
        if not self.logs:
            raise DREnvError("logs: got none, expected at least one recording")
        if not (math.isfinite(self.window) and self.window > 0):
            raise DREnvError(f"window: got {self.window!r}, expected seconds above 0")
        first = self.logs[0]
        for log in self.logs:
            if log.duration < self.window * (1 - 1e-9):
                raise DREnvError(
                    f"{log.name}: {log.duration:g} s long, expected at least a window of {self.window:g} s"
                )
            for key in ("qpos", "qvel", "ctrl"):
                mine, others = getattr(log, key).shape[1], getattr(first, key).shape[1]
                if mine != others:
                    raise DREnvError(f"{log.name} {key}: got {mine} columns, expected {others} as in {first.name}")

    def after(self, logs: Sequence[Log]) -> TargetTransitions:
        """These recordings after others; what is among the others already is no new evidence."""
        known = {log.digest() for log in logs}
        return dataclasses.replace(self, logs=(*logs, *(log for log in self.logs if log.digest() not in known)))

    def digest(self) -> str:
        """Sixteen hex digits that name this evidence."""
        return _digest(self.kind, self.window, *(log.digest() for log in self.logs))


@dataclasses.dataclass(frozen=True, eq=False)
class TargetReturns:
    """What the policy trained under a Spec earned on the target.

    Args:
        trial: the candidate's number.
        returns: (n,) one for each episode; NaN for one that failed, none at all for a policy that failed.
        spec: the Spec that the policy was trained under, as it was asked.
    """

    trial: int
    returns: Array
    spec: Spec
    kind: ClassVar[Kind] = "returns"

    def __post_init__(self) -> None:
        object.__setattr__(self, "returns", _array(f"trial {self.trial} returns", self.returns, 1))
        if np.isinf(self.returns).any():
            raise DREnvError(f"trial {self.trial} returns: got {self.returns.tolist()}, expected numbers or NaN")

    @property
    def score(self) -> float:
        """The mean return of the episodes that did not fail; NaN, a trial that failed, where more than half did."""
        finite = self.returns[~np.isnan(self.returns)]
        return float(finite.mean()) if len(finite) and 2 * len(finite) >= len(self.returns) else math.nan

    def digest(self) -> str:
        """Sixteen hex digits that name this evidence."""
        return _digest(self.kind, self.trial, self.returns, self.spec.digest())


@dataclasses.dataclass(frozen=True, eq=False)
class SimEpisodes:
    """Episodes of a policy in simulation: under which Draw, with what return and success.

    Args:
        draws: entry name -> (n,) or (n, k), as in `info["dr"]`.
        returns: (n,); NaN where a simulation diverged.
        successes: (n,) booleans.
        spec: what they were drawn from; None for the Spec that was asked last.
    """

    draws: Columns
    returns: Array
    successes: NDArray[np.bool_]
    spec: Spec | None = None
    kind: ClassVar[Kind] = "episodes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "returns", _array("returns", self.returns, 1))
        successes = np.array(self.successes)
        if successes.dtype != np.bool_ or successes.shape != self.returns.shape:
            raise DREnvError(f"successes: got {successes.dtype} {successes.shape}, expected bool {self.returns.shape}")
        object.__setattr__(self, "successes", successes)
        if not isinstance(self.draws, Mapping):
            raise DREnvError(f"draws: got {type(self.draws).__name__}, expected entry names to columns")
        for name, column in self.draws.items():
            if len(column) != len(self.returns):
                raise DREnvError(f"draws.{name}: got {len(column)} rows, expected {len(self.returns)} as in returns")

    def __len__(self) -> int:
        return len(self.returns)

    def digest(self) -> str:
        """Sixteen hex digits that name this evidence."""
        columns = [part for name in sorted(self.draws) for part in (name, np.asarray(self.draws[name]))]
        source = None if self.spec is None else self.spec.digest()
        return _digest(self.kind, self.returns, self.successes, source, *columns)


@dataclasses.dataclass(frozen=True, eq=False)
class TargetImages:
    """How images of the target look, beside frames rendered under a Spec: vectors of features of both.

    Args:
        trial: the candidate's number.
        target: (n, d) features of the target's images, the same for every candidate; at least two rows.
        rendered: (m, d) features of the frames; none at all where the Spec cannot be rendered.
        spec: the Spec that they were rendered under, as it was asked.
        loss: the task's own loss on labelled images of the target after learning from these frames, in units of
            its value for whoever knows nothing but the labels' mean; NaN where no image has labels.

    Rows with a NaN count as missing. Raises DREnvError where the two differ in width.
    """

    trial: int
    target: Array
    rendered: Array
    spec: Spec
    loss: float = math.nan
    kind: ClassVar[Kind] = "images"

    def __post_init__(self) -> None:
        if np.size(self.rendered) == 0:
            object.__setattr__(self, "rendered", np.zeros((0, np.shape(self.target)[-1])))
        for key in ("target", "rendered"):
            object.__setattr__(self, key, _array(key, getattr(self, key), 2))
        if len(self.target) < 2:
            raise DREnvError(f"target: got {len(self.target)} images, expected at least 2")
        if self.target.shape[1] != self.rendered.shape[1]:
            raise DREnvError(
                f"rendered: got {self.rendered.shape[1]} features, expected {self.target.shape[1]} as of the target"
            )

    def digest(self) -> str:
        """Sixteen hex digits that name this evidence."""
        return _digest(self.kind, self.trial, self.target, self.rendered, self.spec.digest(), self.loss)


Evidence = TargetTransitions | TargetReturns | SimEpisodes | TargetImages
"""What a tuner may be told; each has a `kind`."""

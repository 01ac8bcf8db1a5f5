"""What a tuner is: it asks for a Spec to try, is told evidence, and says what it thinks best."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.records import versions
from dr_env.spec import Spec
from dr_env.tuning.evidence import Evidence, Kind, TargetTransitions
from dr_env.tuning.ledger import Ledger

Array = NDArray[np.float64]
OptionsT = TypeVar("OptionsT")

STATE_FORMAT = "dr_env/tuner/1"


class Simulator(Protocol):
    """Predictions of what recordings hold, for many values of a Spec's tunable entries at once.

    A value is that of a Draw (a scale of 1.2, say), not a number of a distribution. Names are those of
    entries and variables, `entry[match]` where an entry has one value for each of several matches.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns of values are, (d,)."""

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The least and greatest value that may be tried, (d,) each."""

    @property
    def sim_steps(self) -> int:
        """Control steps simulated so far."""

    @property
    def clusters(self) -> NDArray[np.intp]:
        """The window that each transition is in, (k,), numbered in the order in which they were recorded."""

    def residuals(self, values: Array) -> Array:
        """Predicted minus measured, each divided by the scale of its coordinate.

        Args:
            values: (n, d).

        Returns:
            (n, m); NaN where a simulation diverged. Measurements of one window, and of one moment in it,
            stand beside each other.
        """

    def predictions(self, values: Array) -> Array:
        """The same as `residuals`, by transition: (n, k, m) for k transitions of m coordinates each."""


@runtime_checkable
class Restartable(Simulator, Protocol):
    """A Simulator that can tell what its errors owe to the measured states from which it starts."""

    @property
    def chained(self) -> NDArray[np.bool_]:
        """Whether a transition starts from the very state that ended the one recorded before it, (k,)."""

    def starts(self, values: Array, steps: Array) -> Array:
        """Slopes of `predictions` over the start, each of its numbers in the scale of its coordinate.

        Args:
            values: one point, (d,).
            steps: of the central differences, (m,), in the same scales.

        Returns:
            (k, m, m), the start's coordinate last; 0 where a simulation diverged.
        """


Simulate = Callable[[TargetTransitions], Simulator]
"""Makes the Simulator of some recordings."""


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """For tuners that have no numbers to set."""


class Tuner(ABC, Generic[OptionsT]):
    """A method that rewrites the ranges of a Spec from evidence.

    A subclass names itself and what it needs, declares its numbers as a frozen dataclass `Options`, and
    writes `_ask`, `_tell`, `_result`, `_state` and `_load`. It knows nothing of how evidence is made.

    Args:
        prior: what is believed before any evidence; its tunable numbers are searched within their bounds.
        seed: of everything random.
        options: the method's own numbers, as `Options` or as plain data.
        simulate: makes a Simulator of recordings, for methods that need transitions.

    Raises:
        DREnvError: nothing tunable in the prior, an unknown option, or no `simulate` where it is needed.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[Kind]]
    Options: ClassVar[type[Any]] = NoOptions

    def __init__(
        self,
        prior: Spec,
        seed: int,
        options: OptionsT | Mapping[str, Any] | None = None,
        simulate: Simulate | None = None,
    ) -> None:
        self.prior, self.seed = prior, seed
        self.options: OptionsT = self._checked(options)
        self._simulate = simulate
        self.ledger = Ledger()
        self.notes: tuple[str, ...] = ()
        """What a reader of the result should know: values that evidence did not tell, what the model lacks."""
        self._evidence = hashlib.blake2b(digest_size=8).hexdigest()
        if not any(drawn.tunable for drawn in prior.drawn.values()):
            raise DREnvError(f"{prior.source}: nothing tunable; no entry is there, or all of them say `tunable: false`")
        if "transitions" in self.needs and simulate is None:
            raise DREnvError(f"{self.name}: needs recordings and a simulator for them (simulate=...)")

    def _checked(self, options: OptionsT | Mapping[str, Any] | None) -> OptionsT:
        if isinstance(options, self.Options):
            return typing.cast(OptionsT, options)
        return typing.cast(OptionsT, read_options(self.Options, options or {}, self.name))  # type: ignore[arg-type]

    # the interface

    def ask(self, pending: Sequence[Spec] = ()) -> Spec:
        """The Spec to try next; the same until something is told.

        Args:
            pending: Specs that were asked before and have not been told of yet.
        """
        return self._ask(tuple(pending))

    def tell(self, evidence: Evidence, cost: Ledger | None = None) -> None:
        """Takes evidence, and what it cost.

        Raises DREnvError where the method has no use for evidence of this kind.
        """
        if evidence.kind not in self.needs:
            wanted = " or ".join(sorted(self.needs)) or "no evidence"
            raise DREnvError(f"{self.name}: got evidence of {evidence.kind}, expected {wanted}")
        self._tell(evidence)
        self.ledger += cost or Ledger()
        mixed = f"{self._evidence}{evidence.digest()}".encode()
        self._evidence = hashlib.blake2b(mixed, digest_size=8).hexdigest()

    def result(self) -> Spec:
        """The best Spec so far, with its provenance; before any evidence, what the prior amounts to."""
        return self._result().model_copy(update={"provenance": self.provenance()})

    @property
    def done(self) -> bool:
        """Whether further evidence would change nothing."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly, as plain data for JSON."""
        return {**self._identity(), "ledger": self.ledger.to_dict(), "evidence": self._evidence, "own": self._state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state_dict` of the same method, prior, seed and options.

        Raises DREnvError naming what differs.
        """
        for key, mine in self._identity().items():
            if state.get(key) != mine:
                raise DREnvError(f"{self.name}: a state with {key} {state.get(key)!r}, expected {mine!r}")
        self._load(state["own"])
        self.ledger, self._evidence = Ledger.from_dict(state["ledger"]), state["evidence"]

    def provenance(self) -> dict[str, Any]:
        """How the result came about: method, options, evidence, ledger, date and versions."""
        return {
            "method": self.name,
            "options": _plain(self.options),
            "seed": self.seed,
            "prior": self.prior.digest(),
            "evidence": self._evidence,
            "ledger": self.ledger.to_dict(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "versions": versions("dr-env", "numpy", "scipy"),
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    def _identity(self) -> dict[str, Any]:
        return {
            "format": STATE_FORMAT,
            "method": self.name,
            "options": _plain(self.options),
            "seed": self.seed,
            "prior": self.prior.digest(),
        }

    # what a method writes

    @abstractmethod
    def _ask(self, pending: tuple[Spec, ...]) -> Spec:
        """The Spec to try next; changes nothing."""

    @abstractmethod
    def _tell(self, evidence: Any) -> None:
        """Takes evidence of a kind that `needs` names; raises before it changes anything."""

    @abstractmethod
    def _result(self) -> Spec:
        """The best Spec so far."""

    @abstractmethod
    def _state(self) -> Any:
        """What `_load` needs, as plain data for JSON."""

    @abstractmethod
    def _load(self, state: Any) -> None:
        """Takes what `_state` gave."""


def read_options(cls: type[Any], form: Mapping[str, Any], owner: str) -> Any:
    """A dataclass of options from plain data; whole numbers count as real ones.

    Raises DREnvError naming the option that is unknown, or of another type.
    """
    names = [field.name for field in dataclasses.fields(cls)]
    hints = typing.get_type_hints(cls)
    values = dict(form)
    for key, value in values.items():
        if key not in names:
            raise DREnvError(f"{owner}: {unknown_name('option', key, names)}")
        kinds = typing.get_args(hints[key]) if isinstance(hints[key], types.UnionType) else (hints[key],)
        plain = tuple(typing.get_origin(kind) or kind for kind in kinds)
        if float in plain and isinstance(value, int) and not isinstance(value, bool):
            values[key] = value = float(value)
        if tuple in plain and isinstance(value, list):
            values[key] = value = tuple(value)
        if not isinstance(value, plain) or (isinstance(value, bool) and bool not in plain):
            wanted = " or ".join(getattr(kind, "__name__", str(kind)) for kind in plain)
            raise DREnvError(f"{owner}.{key}: got {value!r}, expected {wanted}")
    return cls(**values)


def _plain(options: Any) -> dict[str, Any]:
    """Options as JSON would give them back."""
    form: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(options)))
    return form

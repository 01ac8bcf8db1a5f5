"""The Plan: a Spec bound to one compiled model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import ArrayLike, NDArray

from dr_env.binding import checks
from dr_env.binding.indexing import BoundEntry, nominal_array, resolve
from dr_env.binding.rows import HELD, Ids, ModelRows, Rows
from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Columns, Draw
from dr_env.rng import Stream, open_uniform
from dr_env.spec import Spec

Arrays = dict[str, NDArray[np.float64]]

MAX_ATTEMPTS = 100
_ONE = np.zeros(1, np.intp)


def bind(spec: Spec, model: mujoco.MjModel, observations: tuple[str, ...] = ()) -> Plan:
    """Binds a Spec to a compiled model.

    Args:
        spec: what may vary.
        model: the compiled model; its present values are the nominal ones.
        observations: names of the observation's numbers, for entries that select them.

    Raises:
        DREnvError: a name, field or index that the model does not have; a distribution that can
            leave a field's support; a delay without a buffer. The message names file, line and key.
    """
    return Plan(spec, model, observations)


class Plan:
    """A Spec bound to one model: frozen indices and nominal values; samples and writes Draws.

    Values are always computed from the nominal ones, in the order of the Spec's entries.
    """

    def __init__(self, spec: Spec, model: mujoco.MjModel, observations: tuple[str, ...] = ()) -> None:
        self.spec = spec
        self.entries: tuple[BoundEntry, ...] = tuple(
            resolve(spec, name, entry, model, observations) for name, entry in spec.entries.items()
        )
        names = {array for entry in self.entries for array in entry.arrays}
        self.nominal: Arrays = {name: nominal_array(model, name, len(observations)) for name in sorted(names)}
        for array in self.nominal.values():
            array.flags.writeable = False
        self.recompute = any(entry.field.recompute for entry in self.entries) or any(
            array in mujoco.MjModel._setconst_inputs for array in self.nominal
        )
        self._model_names = model.names
        self._snapshot = _snapshot(model, self.nominal, self.recompute)
        self._workspace = mujoco.MjData(model) if self.recompute else None
        self.binding = self._digest()
        checks.check_supports(spec, self.entries, self.nominal)
        checks.check_delays(spec, self.entries, model)
        self._groups = checks.risky_groups(self.entries, self.nominal)
        self.stream = Stream(
            "physics",
            tuple(entry.name for entry in self.entries),
            tuple(entry.width for entry in self.entries),
        )
        ends = np.cumsum([entry.width for entry in self.entries]).tolist()
        self._slices = {
            entry.name: slice(end - entry.width, end) for entry, end in zip(self.entries, ends, strict=True)
        }

    def _digest(self) -> str:
        digest = hashlib.blake2b(self._model_names, digest_size=8)
        for entry in self.entries:
            parts = (entry.name, entry.operation, entry.field.array, entry.shared, entry.flat.tolist())
            digest.update(repr(parts).encode())
        for array in self.nominal.values():
            digest.update(array.tobytes())
        return digest.hexdigest()

    # sampling

    def sample(self, rng: np.random.Generator) -> Draw:
        """Draws one realisation, drawing again what leaves a field's support."""
        uniform = open_uniform(rng, (1, self.stream.total))
        columns = self._columns(uniform)
        for _ in range(MAX_ATTEMPTS):
            refused = self._refused(columns)
            if not refused:
                return Draw({name: column[0] for name, column in columns.items()}, self.binding)
            for entries, _rows in refused:
                again = self._columns(open_uniform(rng, (1, self.stream.total)))
                columns.update({name: again[name] for name in entries})
        raise self._exhausted(refused[0][0])

    def sample_columns(
        self,
        seeds: NDArray[np.uint64],
        environments: ArrayLike,
        episodes: ArrayLike,
        uniform: NDArray[np.float64] | None = None,
    ) -> tuple[Columns, int]:
        """Draws n realisations, each a function of its own key.

        Args:
            seeds: (n,) 64-bit seeds.
            environments: (n,) environment numbers.
            episodes: (n,) episode numbers.
            uniform: (n, stream.total) the stream's values for these keys, if they are at hand.

        Returns:
            The columns, and how many Draws were refused on the way and drawn again.
        """
        environments, episodes = np.asarray(environments), np.asarray(episodes)
        columns = self._columns(self.stream.uniform(seeds, environments, episodes) if uniform is None else uniform)
        total = 0
        for attempt in range(1, MAX_ATTEMPTS + 1):
            refused = self._refused(columns)
            if not refused:
                return columns, total
            for entries, rows in refused:
                total += len(rows)
                again = self._columns(self.stream.uniform(seeds[rows], environments[rows], episodes[rows], attempt))
                for name in entries:
                    columns[name][rows] = again[name]
        raise self._exhausted(refused[0][0])

    def _columns(self, uniform: NDArray[np.float64]) -> Columns:
        columns: Columns = {}
        for entry in self.entries:
            values = entry.distribution.quantile(uniform[:, self._slices[entry.name]])
            columns[entry.name] = values[:, 0] if entry.shared else values
        return columns

    def _refused(self, columns: Columns) -> list[tuple[tuple[str, ...], Ids]]:
        """Groups of entries, and the rows in which their arrays leave the support."""
        if not self._groups:
            return []
        arrays = self.realise(columns)
        found = []
        for group in self._groups:
            rows = np.flatnonzero(checks.violations(arrays, group.checks))
            if len(rows):
                found.append((group.entries, rows))
        return found

    def _exhausted(self, entries: Iterable[str]) -> DREnvError:
        name = next(iter(entries))
        return DREnvError(
            f"{self.spec.where(name, 'distribution')}: {MAX_ATTEMPTS} Draws in a row left the field's support "
            f"(entries {', '.join(entries)}); narrow the distributions"
        )

    # what a policy may know

    @property
    def context_size(self) -> int:
        """How many numbers `context` gives for a Draw."""
        return sum(entry.width for entry in self._varying)

    @property
    def _varying(self) -> list[BoundEntry]:
        return [entry for entry in self.entries if entry.distribution.type_name != "constant"]

    def context(self, columns: Mapping[str, ArrayLike], count: int) -> NDArray[np.float64]:
        """Draws as numbers for a network: each scaled by its distribution (`Distribution.standardize`).

        Args:
            columns: the Draws.
            count: how many there are.

        Returns:
            (count, context_size) in the order of the entries; constants are left out.
        """
        parts = [e.distribution.standardize(columns[e.name]).reshape(count, e.width) for e in self._varying]
        return np.concatenate(parts, axis=1) if parts else np.zeros((count, 0))

    # writing

    def realise(self, columns: Mapping[str, ArrayLike]) -> Arrays:
        """Field values of n Draws, computed from the nominal ones: array name -> (n, size)."""
        count = max((len(np.asarray(column)) for column in columns.values()), default=1)
        arrays = {name: np.repeat(nominal[None], count, axis=0) for name, nominal in self.nominal.items()}
        for entry in self.entries:
            drawn = np.asarray(columns[entry.name], np.float64).reshape(count, entry.width)
            value = drawn[:, entry.value]  # (n, r)
            work = arrays[entry.field.array]
            before = work[:, entry.flat]
            if entry.operation == "scale":
                after, factor = before * value, value
            else:
                after = before + value if entry.operation == "add" else value
                factor = np.divide(after, before, out=np.ones_like(value), where=before != 0)
            work[:, entry.flat] = after
            for move in entry.moves:
                arrays[move.array][:, move.flat] *= factor[:, move.primary]
        return arrays

    def write(self, rows: Rows, ids: Ids, columns: Mapping[str, ArrayLike]) -> None:
        """Writes n Draws into the simulations `ids` and renews the derived constants."""
        if not self.entries:
            return
        for name, values in self.realise(columns).items():
            rows.write(name, ids, values)
        if self.recompute:
            rows.recompute(ids)

    def apply(self, model: mujoco.MjModel, draw: Mapping[str, ArrayLike]) -> None:
        """Writes a Draw into a model, in place.

        Raises DREnvError when the Draw or the model is not the Plan's, or a value leaves its
        field's support; the model is then as it was.
        """
        self._check_model(model)
        self.write(ModelRows(model, self._workspace), _ONE, self.columns_from([draw]))

    def restore(self, model: mujoco.MjModel) -> None:
        """Gives a model its nominal values back, bit for bit."""
        self._check_model(model)
        rows = ModelRows(model, self._workspace)
        for name, nominal in self.nominal.items():
            rows.write(name, _ONE, nominal[None])
        if self.recompute:
            rows.recompute(_ONE)  # flags, which no array holds
        for name, values in self._snapshot.items():
            getattr(model, name)[...] = values

    def columns_from(self, draws: Iterable[Mapping[str, ArrayLike]]) -> Columns:
        """Columns of Draws given from outside, each checked: names, shapes, model and support."""
        stacked: dict[str, list[NDArray[np.float64]]] = {entry.name: [] for entry in self.entries}
        for draw in draws:
            self._check_names(draw)
            if isinstance(draw, Draw) and draw.binding and draw.binding != self.binding:
                raise DREnvError(
                    f"draw: made for another model or Spec (binding {draw.binding}), expected {self.binding}"
                )
            for entry in self.entries:
                value = np.asarray(draw[entry.name], np.float64)
                shape = () if entry.shared else (entry.width,)
                if value.shape != shape or not np.isfinite(value).all():
                    wanted = "a finite number" if entry.shared else f"{entry.width} finite numbers, one for each of "
                    raise DREnvError(
                        f"draw.{entry.name}: got {draw[entry.name]!r}, expected {wanted}"
                        + ("" if entry.shared else ", ".join(entry.matches))
                    )
                stacked[entry.name].append(value)
        columns: Columns = {name: np.array(values) for name, values in stacked.items()}
        checks.check_columns(self.entries, self.nominal, self.realise(columns))
        return columns

    def _check_names(self, draw: Mapping[str, ArrayLike]) -> None:
        names = [entry.name for entry in self.entries]
        for name in draw:
            if name not in names:
                raise DREnvError(f"draw.{name}: {unknown_name('entry', name, names, 'entries')}")
        missing = [name for name in names if name not in draw]
        if missing:
            raise DREnvError(f"draw: no value for {', '.join(missing)}; entries: {', '.join(names)}")

    def _check_model(self, model: mujoco.MjModel) -> None:
        if model.names != self._model_names:
            raise DREnvError(
                f"model: got {_model_name(model.names)!r} with other objects than the model this Plan is "
                f"bound to, {_model_name(self._model_names)!r}; bind the Spec to it"
            )

    def log_prob(self, draw: Mapping[str, ArrayLike]) -> float:
        """Log probability of a Draw under the Spec, before any refusals."""
        self._check_names(draw)
        return math.fsum(float(np.sum(entry.distribution.log_prob(draw[entry.name]))) for entry in self.entries)


def _snapshot(model: mujoco.MjModel, written: Iterable[str], recompute: bool) -> Arrays:
    """Copies of what applying may change: the written arrays, and all others if constants follow."""
    names = {name for name in written if not name.startswith(("opt.", *HELD))}
    if recompute:
        names |= {name for name in batch.MODEL_FIELDS if isinstance(getattr(model, name, None), np.ndarray)}
    return {name: getattr(model, name).copy() for name in names}


def _model_name(names: bytes) -> str:
    return names.split(b"\0", 1)[0].decode(errors="replace")

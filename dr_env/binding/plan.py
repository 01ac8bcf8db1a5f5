"""The Plan: a Spec bound to one compiled model."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.binding import checks
from dr_env.binding.build import Build, check_replay, compiled_names
from dr_env.binding.context import Context
from dr_env.binding.delays import DELAYS, Buffers, check_delays, whole_steps
from dr_env.binding.derived import DERIVED
from dr_env.binding.dressing import check_textures
from dr_env.binding.fields_looks import is_visual
from dr_env.binding.guards import check_same, check_start, is_single, model_name, sensed, snapshot, unbuilt
from dr_env.binding.held import HELD
from dr_env.binding.indexing import BoundEntry, nominal_array, resolve
from dr_env.binding.pushes import check_pushes
from dr_env.binding.rows import Ids, ModelRows, Rows
from dr_env.binding.sampler import Sampler
from dr_env.distributions import Categorical
from dr_env.errors import DREnvError
from dr_env.records import Columns, Draw
from dr_env.rng import Stream, open_uniform
from dr_env.spec import Spec

Arrays = dict[str, NDArray[np.float64]]

MAX_ATTEMPTS = 100
_ONE = np.zeros(1, np.intp)


def bind(spec: Spec, model: mujoco.MjModel, observations: tuple[str, ...] = (), build: Build | None = None) -> Plan:
    """Binds a Spec to a compiled model.

    Args:
        spec: what may vary.
        model: the compiled model; its present values are the nominal ones.
        observations: names of the observation's numbers, for entries that select them.
        build: how the model was compiled, if the Spec has a part in that (`build_model`).

    Raises:
        DREnvError: a name, field or index that the model does not have; a distribution that can leave a field's
            support; a curriculum that cannot begin; a delay without a buffer. The message names file, line and key.
    """
    if not isinstance(model, mujoco.MjModel):
        raise DREnvError(f"model: got {type(model).__name__}, expected a compiled mujoco.MjModel (dr_env.build_model)")
    plan = Plan(spec, model, observations, build)
    check_start(plan)
    return plan


class Plan:
    """A Spec bound to one model: frozen indices and nominal values; samples and writes Draws.

    Values are always computed from the nominal ones, in the order of the Spec's entries.
    """

    def __init__(
        self, spec: Spec, model: mujoco.MjModel, observations: tuple[str, ...] = (), build: Build | None = None
    ) -> None:
        self.spec = spec
        self.entries: tuple[BoundEntry, ...] = tuple(
            resolve(spec, name, entry, model, observations) for name, entry in spec.entries.items()
        )
        names = {array for entry in self.entries for array in entry.arrays}
        names |= {array for name in names & DERIVED.keys() for array in DERIVED[name].writes}
        build = build or unbuilt(spec, self.entries, model)
        self.nominal: Arrays = {name: nominal_array(model, name, len(observations)) for name in sorted(names)}
        self.nominal |= {name: values.copy() for name, values in build.nominal.items() if name in names}
        for array in self.nominal.values():
            array.flags.writeable = False
        felt = sensed(model)
        self.visual = frozenset(name for name in names if is_visual(name) and not name.startswith(felt))
        """Arrays that are of looks alone: physics is the same whatever they hold."""
        self._single = {name for name in names if not name.startswith(HELD) and is_single(model, name)}
        inputs = {entry.field.array for entry in self.entries if entry.field.recompute}
        inputs |= names.intersection(mujoco.MjModel._setconst_inputs)
        self.recompute = bool(inputs - self.visual)
        self._reaims = bool(inputs & self.visual)  # MuJoCo derives from them where cameras and lights follow a body
        self._model_names = model.names
        self._snapshot = snapshot(model, self.nominal, self.recompute or self._reaims)
        self._workspace = mujoco.MjData(model) if self.recompute or self._reaims else None
        self.binding = self._digest()
        checks.check_supports(spec, self.entries, self.nominal)
        self._buffers = Buffers.of(model)
        check_delays(spec, self.entries, self._buffers)
        check_pushes(spec, self.entries)
        check_textures(spec, self.entries, model)
        self.sampler = Sampler(spec, self.entries)
        self._judge()
        self._fix(build)

    def _judge(self) -> None:
        """Finds what must be judged Draw by Draw, and the arrays that must be realised for it."""
        self._groups = checks.risky_groups(self.entries, self.nominal)
        names = {check.field.array for group in self._groups for check in group.checks}
        names |= {array for entry in self.entries if names & {*entry.arrays} for array in entry.arrays}
        following = {name for name in self.nominal.keys() & DERIVED.keys() if names & {*DERIVED[name].writes}}
        names |= following | {array for name in following for array in DERIVED[name].writes}
        self._judged = frozenset(names)

    def _fix(self, build: Build) -> None:
        """Draws once what is drawn when a model is compiled, the same for every environment and episode."""
        names = compiled_names(self.spec)
        if names:
            self.sampler.fixed = {name: column for name, column in build.columns.items() if name in names}
            first = np.zeros(1, np.uint64)
            columns, _ = self.sample_columns(first + np.uint64(build.seed), first, first)
            self.sampler.fixed = {name: columns[name] for name in names}

    def _digest(self) -> str:
        digest = hashlib.blake2b(self._model_names, digest_size=8)
        for entry in self.entries:
            parts = (entry.name, entry.operation, entry.field.array, entry.shared, entry.flat.tolist())
            digest.update(repr(parts).encode())
        for name, variable in self.spec.variables.items():
            if isinstance(variable.distribution, Categorical):
                digest.update(repr((name, variable.distribution.labels)).encode())
        for array in self.nominal.values():
            digest.update(array.tobytes())
        return digest.hexdigest()

    # sampling

    @property
    def stream(self) -> Stream:
        """The uniforms that a Draw is made of."""
        return self.sampler.stream

    def sample(self, rng: np.random.Generator) -> Draw:
        """Draws one realisation, drawing again what leaves a field's support."""
        columns = self.sampler.draw(open_uniform(rng, (1, self.stream.total)))
        for _ in range(MAX_ATTEMPTS):
            refused = self._refused(columns)
            if not refused:
                return Draw({name: column[0] for name, column in columns.items()}, self.binding)
            for names, _rows in refused:
                only = self.sampler.family(names)
                columns = self.sampler.draw(open_uniform(rng, (1, self.stream.total)), columns, only)
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
            seeds, environments, episodes: (n,) the keys; seeds are 64-bit.
            uniform: (n, stream.total) the stream's values for these keys, if they are at hand.

        Returns:
            The columns, and how many Draws were refused on the way and drawn again.
        """
        uniform = self.stream.uniform(seeds, environments, episodes) if uniform is None else uniform
        columns = self.sampler.draw(uniform)
        return self._accepted(columns, None, seeds, np.asarray(environments), np.asarray(episodes), 0)

    def redraw_columns(
        self,
        columns: Columns,
        names: frozenset[str],
        seeds: NDArray[np.uint64],
        environments: ArrayLike,
        episodes: ArrayLike,
        steps: ArrayLike,
    ) -> Columns:
        """The Draws that columns hold, with some names drawn again within their episodes.

        Args:
            columns: n Draws.
            names: what is drawn again; what depends on it follows.
            seeds, environments, episodes: (n,) the keys.
            steps: (n,) the steps of the episodes.
        """
        only = self.sampler.dependents(names)
        again = self.sampler.draw(self.stream.uniform(seeds, environments, episodes, 0, steps), columns, only)
        return self._accepted(again, only, seeds, np.asarray(environments), np.asarray(episodes), steps)[0]

    def _accepted(
        self,
        columns: Columns,
        only: frozenset[str] | None,
        seeds: NDArray[np.uint64],
        environments: NDArray[Any],
        episodes: NDArray[Any],
        steps: ArrayLike,
    ) -> tuple[Columns, int]:
        """Columns with the rows drawn again that anything refuses, and how many these were."""
        when = np.broadcast_to(np.asarray(steps), np.shape(seeds))
        total = 0
        for attempt in range(1, MAX_ATTEMPTS + 1):
            refused = self._refused(columns)
            if not refused:
                return columns, total
            for names, rows in refused:
                total += len(rows)
                again = self.sampler.family(names)
                again = again if only is None else again & only
                uniform = self.stream.uniform(seeds[rows], environments[rows], episodes[rows], attempt, when[rows])
                fresh = self.sampler.draw(uniform, {name: column[rows] for name, column in columns.items()}, again)
                for name in again:
                    columns[name] = columns[name].copy()
                    columns[name][rows] = fresh[name]
        raise self._exhausted(refused[0][0])

    def _refused(self, columns: Columns) -> list[tuple[tuple[str, ...], Ids]]:
        """Names that are drawn again together, and the rows in which they leave a support."""
        found = self.sampler.refused(columns)
        if not self._groups or found:  # what a distribution refuses need not be written to be judged
            return found
        arrays = self.realise(columns, self._judged)
        for group in self._groups:
            rows = np.flatnonzero(checks.violations(arrays, group.checks))
            if len(rows):
                found.append((group.entries, rows))
        return found

    def allowed(self, columns: Columns) -> NDArray[np.bool_]:
        """Which of n Draws stay within every support, (n,)."""
        good = np.ones(len(next(iter(columns.values()), ())), bool)
        for _, rows in self._refused(columns):
            good[rows] = False
        return good

    def _exhausted(self, entries: Iterable[str]) -> DREnvError:
        name = next(iter(entries))
        return DREnvError(
            f"{self.spec.where(name, 'distribution')}: {MAX_ATTEMPTS} Draws in a row left the field's support "
            f"(entries {', '.join(entries)}); move or narrow the distributions"
        )

    def blank_columns(self, count: int) -> Columns:
        """Columns for n Draws, all 0."""
        nodes = self.sampler.nodes.items()
        return {name: np.zeros((count,) if node.scalar else (count, node.width)) for name, node in nodes}

    # what a policy may know

    @functools.cached_property
    def told(self) -> Context:
        """The Draw as numbers for a network."""
        looks = {entry.name for entry in self.entries if entry.field.array in self.visual}
        return Context(node for node in self.sampler.nodes.values() if node.name not in looks)

    @property
    def context_size(self) -> int:
        """How many numbers `context` gives for a Draw."""
        return self.told.size

    def context(self, columns: Mapping[str, ArrayLike], count: int) -> NDArray[np.float64]:
        """Draws as numbers for a network, (count, context_size); see `Context`."""
        return self.told.show(columns, count)

    # writing

    def realise(
        self, columns: Mapping[str, ArrayLike], names: frozenset[str] | None = None, whole: bool = True
    ) -> Arrays:
        """Field values of n Draws, computed from the nominal ones: array name -> (n, size).

        Args:
            columns: the Draws.
            names: the arrays to compute, with those that they follow from; by default all.
            whole: whether delays are the nearest whole timesteps, as simulations have them.
        """
        names = names if names is not None else frozenset(self.nominal)
        count = len(np.asarray(next(iter(columns.values()), _ONE)))
        arrays = {name: self.nominal[name][None].repeat(count, axis=0) for name in sorted(names)}
        for entry in self.entries:
            if entry.field.array not in names:
                continue
            drawn = np.asarray(columns[entry.name], np.float64).reshape(count, entry.width)
            value = drawn[:, entry.value]  # (n, r)
            work = arrays[entry.field.array]
            before = work[:, entry.flat]
            scales = entry.operation == "scale"
            after = before * value if scales else before + value if entry.operation == "add" else value
            work[:, entry.flat] = after
            if entry.moves:
                factor = value if scales else np.divide(after, before, out=np.ones_like(value), where=before != 0)
            for move in entry.moves:
                arrays[move.array][:, move.flat] *= factor[:, move.primary]
        for name, derived in DERIVED.items():
            if name in arrays and arrays.keys() >= set(derived.writes):
                derived.apply(arrays[name], self.nominal[name], arrays)
        for name in names.intersection(DELAYS if whole else ()):
            arrays[name] = whole_steps(arrays[name], self._buffers.timestep)
        for name in self._single & names:
            arrays[name] = arrays[name].astype(np.float32).astype(np.float64)  # what the model will hold
        return arrays

    def write(self, rows: Rows, ids: Ids, columns: Mapping[str, ArrayLike]) -> None:
        """Writes n Draws into the simulations `ids` and renews the derived constants."""
        names = frozenset(self.nominal) if rows.visual else self.nominal.keys() - self.visual
        if not names:
            return
        for name, values in self.realise(columns, frozenset(names)).items():
            rows.write(name, ids, values)
        if self.recompute or (rows.visual and self._reaims):
            rows.recompute(ids)

    def dress(self, model: mujoco.MjModel, columns: Mapping[str, ArrayLike] | None) -> None:
        """Writes looks into a copy of the bound model, for a picture: those of a Draw, or the nominal ones.

        Args:
            model: the copy.
            columns: the Draw, columns of one row; None for the nominal looks.
        """
        if not self.visual:
            return
        rows = ModelRows(model, self._workspace)
        nominal = {name: self.nominal[name][None] for name in self.visual}
        for name, values in (nominal if columns is None else self.realise(columns, self.visual)).items():
            rows.write(name, _ONE, values)
        if self._reaims:
            rows.recompute(_ONE)

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
        if self.recompute or self._reaims:
            rows.recompute(_ONE)  # flags, which no array holds
        for name, values in self._snapshot.items():
            getattr(model, name)[...] = values

    def columns_from(self, draws: Iterable[Mapping[str, ArrayLike]]) -> Columns:
        """Columns of Draws given from outside, each checked: names, shapes, model and support."""
        draws = list(draws)
        for draw in draws:
            if isinstance(draw, Draw) and draw.binding and draw.binding != self.binding:
                self.sampler.check_names(draw)
                raise DREnvError(
                    f"draw: made for another model or Spec (binding {draw.binding}), expected {self.binding}"
                )
        columns = self.sampler.columns_from(draws)
        check_replay(self.sampler.fixed, columns)
        checks.check_columns(self.entries, self.nominal, self.realise(columns))
        return columns

    def _check_model(self, model: mujoco.MjModel) -> None:
        if model.names != self._model_names:
            raise DREnvError(
                f"model: got {model_name(model.names)!r} with other objects than the model this Plan is "
                f"bound to, {model_name(self._model_names)!r}; bind the Spec to it"
            )

    def log_prob(self, draw: Mapping[str, ArrayLike]) -> float:
        """Log probability of a Draw under the Spec, before any refusals."""
        return self.sampler.log_prob(draw)

    # other numbers

    def with_spec(self, spec: Spec) -> Plan:
        """This Plan with the distributions of another Spec, which must have the same structure.

        Raises DREnvError naming what differs, or what the model cannot take.
        """
        check_same(self.spec, spec)
        kept = {name: drawn.distribution for name, drawn in self.spec.drawn.items() if drawn.trigger == "compile"}
        if kept:  # what was drawn when the model was compiled was drawn from these
            spec = spec.with_distributions(kept)
        plan = copy.copy(self)
        plan.__dict__.pop("told", None)  # kept of the other numbers
        plan.spec = spec
        plan.entries = tuple(
            dataclasses.replace(entry, distribution=spec.entries[entry.name].distribution) for entry in self.entries
        )
        checks.check_supports(spec, plan.entries, plan.nominal)
        check_delays(spec, plan.entries, plan._buffers, later=True)
        check_pushes(spec, plan.entries)
        plan.sampler = Sampler(spec, plan.entries)
        plan.sampler.fixed = self.sampler.fixed
        plan._judge()
        return plan

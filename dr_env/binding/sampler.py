"""From uniforms to Draws: every number of a Spec, in an order in which each knows what it depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.binding.indexing import BoundEntry
from dr_env.distributions import Categorical, Distribution, Joint, Switch
from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Columns, Draw, numbers_of
from dr_env.rng import Stream
from dr_env.spec import Spec

Array = NDArray[np.float64]
Ids = NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class Node:
    """One name of a Draw.

    Args:
        name: the variable's or entry's.
        distribution: what it is drawn from.
        width: how many numbers it has.
        scalar: whether its column is (n,) rather than (n, width).
        parents: names of the nodes that it depends on.
        of: what its numbers are of: names of matches, or of a joint distribution's numbers.
        leader: the node whose draw it takes, in a group that shares one.
        uniforms: its columns of the stream.
    """

    name: str
    distribution: Distribution
    width: int
    scalar: bool
    parents: tuple[str, ...]
    of: tuple[str, ...]
    leader: str | None
    uniforms: slice

    @property
    def derived(self) -> bool:
        """Whether its value follows from others."""
        return bool(self.uniforms.start == self.uniforms.stop)


class Sampler:
    """Draws the variables and entries of a Spec.

    Args:
        spec: what may vary.
        entries: its entries, bound to a model.
    """

    def __init__(self, spec: Spec, entries: Sequence[BoundEntry]) -> None:
        self.spec = spec
        self.fixed: Columns = {}
        """Columns of one row that every Draw has: what was drawn when the model was compiled."""
        self._labels = _joint_columns(spec)
        leaders = _leaders(spec, entries)
        widths = {name: variable.distribution.size for name, variable in spec.variables.items()}
        widths |= {entry.name: entry.width for entry in entries}
        labels = {entry.name: entry.labels for entry in entries}
        nodes: dict[str, Node] = {}
        names: list[str] = []
        counts: list[int] = []
        for name, drawn in spec.drawn.items():
            leader = leaders.get(name)
            per_value = drawn.distribution.uniforms
            joint = drawn.distribution.size > 1
            count = 0 if leader not in (None, name) else per_value * (1 if joint else widths[name])
            start = sum(counts)
            share = getattr(drawn, "share", None)
            names.append(f"share.{share}" if share is not None else name)
            counts.append(count)
            shared = drawn.distribution.size == 1 if name in spec.variables else drawn.per == "shared"  # type: ignore[attr-defined]
            nodes[name] = Node(
                name=name,
                distribution=self._resolved(name, drawn.distribution),
                width=widths[name],
                scalar=shared,
                parents=tuple(dict.fromkeys(self._node_of(name, p) for p in drawn.distribution.parents)),
                of=labels[name] if name in labels else getattr(drawn.distribution, "names", ()),
                leader=None if leader == name else leader,
                uniforms=slice(start, start + count),
            )
        self.nodes: Mapping[str, Node] = nodes
        """Variables and entries by name, in the Spec's order."""
        self._order = self._sorted()
        looks = {entry.name for entry in entries if entry.field.visual}
        streams = tuple("visual" if name in looks else "physics" for name in nodes)
        self.stream = Stream(streams, tuple(names), tuple(counts))
        self._picky = [n for n in self._order if type(n.distribution).accepts is not Distribution.accepts]

    # structure

    def _node_of(self, name: str, parent: str) -> str:
        """The node that a parent's name means."""
        if parent in self._labels:
            return self._labels[parent][0]
        drawn = self.spec.drawn
        if parent in drawn and drawn[parent].distribution.size == 1:
            return parent
        known = [n for n in drawn if drawn[n].distribution.size == 1] + list(self._labels)
        where = self.spec.where(name, "distribution")
        raise DREnvError(f"{where}: {unknown_name('variable or entry', parent, known, 'names')}")

    def _resolved(self, name: str, distribution: Distribution) -> Distribution:
        """A switch with its cases in the variable's order; a joint only among the variables."""
        where = self.spec.where(name, "distribution")
        if isinstance(distribution, Joint) and name in self.spec.entries:
            raise DREnvError(
                f"{where}: a {distribution.type_name} has several numbers; make it a variable, and the entry an "
                f"expression such as {{type: expression, formula: {name}.{distribution.names[0]}}}"
            )
        if not isinstance(distribution, Switch):
            return distribution
        on = self.spec.variables.get(distribution.variable)
        if on is None or not isinstance(on.distribution, Categorical):
            cases = [n for n, v in self.spec.variables.items() if isinstance(v.distribution, Categorical)]
            raise DREnvError(f"{where}: variable: {unknown_name('categorical variable', distribution.variable, cases)}")
        try:
            return distribution.ordered(on.distribution.labels)
        except DREnvError as error:
            raise DREnvError(f"{where}: {error}") from None

    def _sorted(self) -> list[Node]:
        """Nodes after all that they depend on. Raises DREnvError naming a cycle."""
        order: list[Node] = []
        state: dict[str, bool] = {}  # False while being visited

        def visit(name: str, path: tuple[str, ...]) -> None:
            if state.get(name):
                return
            if name in state:
                cycle = " -> ".join((*path[path.index(name) :], name))
                raise DREnvError(f"{self.spec.where(name, 'distribution')}: depends on itself: {cycle}")
            state[name] = False
            node = self.nodes[name]
            for parent in (*node.parents, *([node.leader] if node.leader else [])):
                visit(parent, (*path, name))
            state[name] = True
            order.append(node)

        for name in self.nodes:
            visit(name, ())
        return order

    def dependents(self, names: Iterable[str]) -> frozenset[str]:
        """These nodes and all that depend on them."""
        found = set(names)
        for node in self._order:
            if found & {*node.parents, node.leader}:
                found.add(node.name)
        return frozenset(found)

    def family(self, names: Iterable[str]) -> frozenset[str]:
        """All that must be drawn again with these nodes: what they depend on, and what depends on that."""
        found = set(names)
        for node in reversed(self._order):
            if node.name in found:
                found |= {*node.parents, *([node.leader] if node.leader else [])}
        return self.dependents(found)

    # drawing

    def draw(self, uniform: Array, base: Columns | None = None, only: frozenset[str] | None = None) -> Columns:
        """Columns of n Draws.

        Args:
            uniform: (n, stream.total) values in (0, 1).
            base: columns that hold where a node is not among `only`.
            only: the nodes to draw; all by default.
        """
        count = len(uniform)
        columns: Columns = {}
        for node in self._order:
            if node.name in self.fixed:
                columns[node.name] = np.repeat(self.fixed[node.name], count, axis=0)
            elif only is not None and base is not None and node.name not in only:
                columns[node.name] = base[node.name]
            elif node.leader is not None:
                columns[node.name] = columns[node.leader]
            else:
                given = self._given(node, columns, count) if node.parents else {}
                columns[node.name] = self._column(node, node.distribution.draw(uniform[:, node.uniforms], given), count)
        return {name: columns[name] for name in self.nodes}

    def _given(self, node: Node, columns: Mapping[str, Array], count: int) -> dict[str, Array]:
        """What a node's distribution reads, (n, 1) or (n, width) each."""
        given = {}
        for parent in node.distribution.parents:
            name, place = self._labels.get(parent, (parent, None))
            column = np.asarray(columns[name]).reshape(count, -1)
            given[parent] = column if place is None else column[:, place : place + 1]
        return given

    def _column(self, node: Node, value: Array, count: int) -> Array:
        found = value.shape[-1] if value.ndim > 1 else 1
        if found not in (1, node.width):
            where = self.spec.where(node.name, "distribution")
            raise DREnvError(f"{where}: gives {found} numbers, expected {node.width}; names of `per: element` entries "
                             "can only be read by entries with as many matches")  # fmt: skip
        if node.scalar:
            return np.broadcast_to(value, (count, 1))[:, 0] if value.ndim < 2 else value[:, 0]
        return value if value.shape == (count, node.width) else np.broadcast_to(value, (count, node.width)).copy()

    def refused(self, columns: Columns) -> list[tuple[tuple[str, ...], Ids]]:
        """Nodes that refuse some rows, and which."""
        found: list[tuple[tuple[str, ...], Ids]] = []
        for node in self._picky:
            column = columns[node.name]
            wrong = np.flatnonzero(~node.distribution.accepts(column.reshape(len(column), -1)))
            if len(wrong):
                found.append(((node.name,), wrong))
        return found

    # Draws from outside

    def columns_from(self, draws: Iterable[Mapping[str, ArrayLike]]) -> Columns:
        """Columns of Draws, each with every name that does not follow from others."""
        rows = list(draws)
        given = {name for draw in rows for name in draw}
        for draw in rows:
            self.check_names(draw)
        columns: Columns = {}
        for node in self._order:
            if node.name not in given:
                continue
            values = [self._value(node, draw[node.name]) for draw in rows if node.name in draw]
            if len(values) < len(rows):
                raise DREnvError(f"draw.{node.name}: given in some of {len(rows)} Draws only")
            columns[node.name] = np.array(values)
        missing = frozenset(name for name in self.nodes if name not in given)
        if missing:
            columns = self.draw(np.full((len(rows), self.stream.total), 0.5), columns, missing)
        return {name: columns[name] for name in self.nodes}

    def _value(self, node: Node, value: ArrayLike) -> Array:
        array = numbers_of(value)
        shape = () if node.scalar else (node.width,)
        if array.shape != shape or not np.isfinite(array).all():
            wanted = (
                "a finite number"
                if node.scalar
                else f"{node.width} finite numbers, one for each of {', '.join(node.of)}"
            )
            raise DREnvError(f"draw.{node.name}: got {value!r}, expected {wanted}")
        if isinstance(node.distribution, Categorical) and array not in range(len(node.distribution.labels)):
            cases = ", ".join(f"{i} ({label})" for i, label in enumerate(node.distribution.labels))
            raise DREnvError(f"draw.{node.name}: got {value!r}, expected a case: {cases}")
        return array

    def check_names(self, draw: Mapping[str, ArrayLike]) -> None:
        """Raises DREnvError for an unknown name, or one that is missing and does not follow from others."""
        for name in draw:
            if name not in self.nodes:
                raise DREnvError(f"draw.{name}: {unknown_name('entry', name, self.nodes, 'entries')}")
        missing = [name for name, node in self.nodes.items() if name not in draw and not node.derived]
        if missing:
            raise DREnvError(f"draw: no value for {', '.join(missing)}; entries: {', '.join(self.nodes)}")

    def log_prob(self, draw: Mapping[str, ArrayLike]) -> float:
        """Log probability of a Draw, before any refusals; -inf where a value does not follow as it should."""
        columns = self.columns_from([draw])
        total = 0.0
        for node in self._order:
            value = columns[node.name].reshape(1, -1)
            if node.leader is not None:
                agree = np.array_equal(value, columns[node.leader].reshape(1, -1))
                total += 0.0 if agree else -np.inf
            else:
                given = self._given(node, columns, 1)
                total += float(np.sum(node.distribution.log_prob_given(value, given)))
        return total


def _joint_columns(spec: Spec) -> dict[str, tuple[str, int]]:
    """What a formula may call the numbers of joint variables: `variable.name` -> (variable, place)."""
    return {
        f"{variable}.{name}": (variable, place)
        for variable, drawn in spec.variables.items()
        if isinstance(drawn.distribution, Joint)
        for place, name in enumerate(drawn.distribution.names)
    }


def _leaders(spec: Spec, entries: Sequence[BoundEntry]) -> dict[str, str]:
    """The first entry of each group that shares its draw, for all of them. Raises DREnvError where they differ."""
    bound = {entry.name: entry for entry in entries}
    first: dict[str, str] = {}
    leaders: dict[str, str] = {}
    for name, entry in spec.entries.items():
        if entry.share is None:
            continue
        leader = leaders[name] = first.setdefault(entry.share, name)
        other = spec.entries[leader]
        for key in ("distribution", "per", "trigger", "every"):
            mine, its = getattr(entry, key), getattr(other, key)
            if mine != its:
                raise DREnvError(
                    f"{spec.where(name, key)}: entries that share '{entry.share}' take the same draw, but this one has "
                    f"{_shown(mine)} and '{leader}' has {_shown(its)}"
                )
        if bound[name].width != bound[leader].width:
            raise DREnvError(
                f"{spec.where(name, 'select')}: entries that share '{entry.share}' take the same draw, but this "
                f"one has {bound[name].width} matches and '{leader}' has {bound[leader].width}"
            )
    return leaders


def _shown(value: object) -> str:
    return str(value.to_dict()) if isinstance(value, Distribution) else str(value)


def labelled(draw: Mapping[str, ArrayLike], spec: Spec) -> dict[str, object]:
    """A Draw's values with the names of cases in place of their numbers."""
    named = {n: v.distribution.labels for n, v in spec.variables.items() if isinstance(v.distribution, Categorical)}
    return {
        name: named[name][int(np.asarray(value))] if name in named else Draw({name: value})[name]
        for name, value in draw.items()
    }

"""Recordings in tables: arrays by name, of one recording or several."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.logs.mapping import LogMap, parse_source

Array = NDArray[np.float64]
Table = Mapping[str, Any]


def recordings(name: str, table: Table, mapping: LogMap) -> Iterator[tuple[str, Table]]:
    """The recordings of one table: by an index in the names of arrays, by lengths, by a column, or one."""
    sources = [s for column in mapping.columns.values() for s in column.source]
    if any("{i}" in s for s in sources) or "{i}" in (mapping.time or ""):
        indices = _indices(name, table, mapping)
        for i in indices:
            yield f"{name}[{i}]", _Renamed(table, str(i))
        return
    if mapping.episodes is None:
        yield name, table
        return
    total = len(array(name, table, located(table, sources[0])[0]))
    if mapping.episodes.length is not None:
        lengths = array(name, table, mapping.episodes.length).astype(int)
        ends = np.cumsum(lengths)
        if not len(ends) or ends[-1] != total or (lengths < 1).any():
            raise DREnvError(
                f"{name} {mapping.episodes.length}: lengths sum to {int(lengths.sum())}, expected {total} samples"
            )
    else:
        key = str(mapping.episodes.id)
        ids = array(name, table, key)
        if np.isnan(ids).any():
            bad = int(np.flatnonzero(np.isnan(ids))[0])
            raise DREnvError(f"{name} {key}: sample {bad} is no number, expected numbers that tell recordings apart")
        changes = np.flatnonzero(np.diff(ids) != 0) + 1
        ends = np.append(changes, total)
    for i, (begin, end) in enumerate(zip(np.concatenate(([0], ends[:-1])), ends, strict=True)):
        rows = slice(int(begin), int(end))
        yield f"{name}[{i}]", {k: v[rows] for k, v in table.items() if np.ndim(v) and len(v) == total}


class _Renamed(dict[str, Any]):
    """A table in which `{i}` of a name stands for an index."""

    def __init__(self, table: Table, index: str) -> None:
        super().__init__(table)
        self._index = index

    def __missing__(self, key: str) -> Any:
        return super().__getitem__(key.replace("{i}", self._index)) if "{i}" in key else self._fail(key)

    def _fail(self, key: str) -> Any:
        raise KeyError(key)


def _indices(name: str, table: Table, mapping: LogMap) -> list[int]:
    stem = next(s for s in (*(s for c in mapping.columns.values() for s in c.source), mapping.time or "") if "{i}" in s)
    pattern = re.compile(re.escape(parse_source(stem)[0]).replace(r"\{i\}", r"(\d+)") + "$")
    found = sorted(int(match[1]) for key in table if (match := pattern.match(key)))
    if not found:
        raise DREnvError(f"{name}: {unknown_name('array', parse_source(stem)[0], table)}")
    return found


def array(name: str, table: Table, key: str) -> Array:
    """A column of numbers (T,) or (T, n). Raises DREnvError naming it where it is none."""
    try:
        value = np.asarray(table[key])
    except KeyError:
        raise DREnvError(f"{name}: {unknown_name('column', key, table)}") from None
    real = np.issubdtype(value.dtype, np.integer) or np.issubdtype(value.dtype, np.floating)
    if not real and value.dtype != np.bool_:
        raise DREnvError(f"{name} {key}: got {value.dtype}, expected numbers")
    if value.ndim not in (1, 2):
        raise DREnvError(
            f"{name} {key}: got an array of shape {value.shape}, expected (samples,) or (samples, numbers)"
        )
    return value.astype(np.float64)


def located(table: Table, source: str) -> tuple[str, int | None]:
    """Which array a source names, and which of its columns: `q[0]` may be a column's own name."""
    return (source, None) if source in table else parse_source(source)

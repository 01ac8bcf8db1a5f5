"""Files of numbers, whatever their format, as named arrays."""

from __future__ import annotations

import csv
import gzip
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError

Array = NDArray[np.float64]
Tables = Iterator[tuple[str, Mapping[str, Any]]]
"""Recordings of a file: a suffix of their name, and arrays by name."""

SUFFIXES = (".npz", ".csv", ".csv.gz", ".parquet", ".h5", ".hdf5", "a Minari dataset's folder or name")


def open_source(path: str | Path) -> Tables:
    """The recordings in a file or a Minari dataset.

    Raises DREnvError where there is no such file, its format is unknown or broken, or a package is missing.
    """
    name, file = str(path), Path(path)
    readers: dict[str, Callable[[Path], Tables]] = {
        ".npz": _npz,
        ".csv": _csv,
        ".csv.gz": _csv,
        ".parquet": _parquet,
        ".h5": _hdf5,
        ".hdf5": _hdf5,
    }
    if not file.exists() and not name.startswith("minari:"):
        raise DREnvError(f"{name}: no such file")
    read = next((reader for suffix, reader in readers.items() if name.endswith(suffix)), None)
    if name.startswith("minari:") or file.is_dir():
        read = _minari
    if read is None:
        raise DREnvError(f"{name}: unknown format; expected {', '.join(SUFFIXES)}")
    try:
        yield from read(file)
    except ImportError as error:
        raise DREnvError(f"{name}: needs {error.name}; pip install 'dr-env[logs]'") from error
    except (OSError, ValueError, KeyError, EOFError, *_DAMAGED) as error:
        raise DREnvError(f"{name}: cannot read it: {error or type(error).__name__}") from error


_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
    SyntaxError,
    csv.Error,
    struct.error,
    MemoryError,
    NotImplementedError,
)
_TEXT = "utf-8-sig"  # a spreadsheet's file may begin with a mark of its encoding


def _npz(path: Path) -> Tables:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        yield "", {name: file[name] for name in file.files}


def _csv(path: Path) -> Tables:
    with (
        gzip.open(path, "rt", newline="", encoding=_TEXT)
        if path.suffix == ".gz"
        else path.open(newline="", encoding=_TEXT) as file
    ):
        rows = csv.reader(file)
        names = [name.strip() for name in next(rows, [])]
        if not names:
            raise DREnvError(f"{path}: empty, expected a line of column names")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise DREnvError(f"{path}:1 column {repeated[0]!r} is there twice")
        table: list[list[float]] = []
        for row in rows:
            if len(row) != len(names):
                if not row:
                    continue
                raise DREnvError(f"{path}:{rows.line_num} {len(row)} numbers, expected {len(names)} as in line 1")
            table.append([_number(cell) for cell in row])
    columns = np.array(table, np.float64).reshape(-1, len(names))
    yield "", dict(zip(names, columns.T, strict=True))


def _number(cell: str) -> float:
    """A cell; NaN where it is no number."""
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _parquet(path: Path) -> Tables:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):  # in seconds, since the first
            kind = pa.timestamp("ns", column.type.tz) if pa.types.is_timestamp(column.type) else pa.duration("ns")
            ticks = column.cast(kind).cast(pa.int64()).to_numpy()
            columns[name] = (ticks - ticks[:1]) * 1e-9
            continue
        try:
            columns[name] = np.array([np.nan if value is None else value for value in column.to_pylist()])
        except ValueError as error:
            raise DREnvError(f"{path} {name}: got {column.type}, expected numbers, as many in each row") from error
    yield "", columns


def _hdf5(path: Path) -> Tables:
    import h5py

    columns: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: columns.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    yield "", columns


def _minari(path: Path) -> Tables:
    import minari

    name = str(path)
    if name.startswith("minari:"):
        dataset = minari.load_dataset(name.removeprefix("minari:"))
    else:
        dataset = minari.MinariDataset(path / "data" if (path / "data").is_dir() else path)
    for episode in dataset.iterate_episodes():
        found: dict[str, Any] = {}
        _flatten("observations", episode.observations, found)
        _flatten("actions", episode.actions, found)
        _flatten("infos", episode.infos or {}, found)
        yield f"[{episode.id}]", found


def _flatten(name: str, value: Any, found: dict[str, Any]) -> None:
    """Nested dictionaries of arrays, as `observations/position`."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            _flatten(f"{name}/{key}", part, found)
    else:
        found[name] = np.asarray(value)

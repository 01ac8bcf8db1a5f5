"""Results of long comparisons: a JSON file for each cell, written when it is done, so that any of them goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dr_env.errors import DREnvError
from dr_env.files import write_text
from dr_env.locks import taken
from dr_env.rng import digest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def cell_name(parts: list[str], form: Mapping[str, Any]) -> str:
    """A file's name, without its ending, of readable parts; cells whose plain data differ have different names."""
    key = f"{digest(json.dumps(form, sort_keys=True)):016x}"[:6]
    return "-".join([*(part.replace("+", "_") for part in parts), key])


@dataclasses.dataclass(frozen=True)
class CellStore:
    """The results of a comparison.

    Args:
        folder: of the comparison; its `cells` holds them.
        format: what each file says that it is.
    """

    folder: Path
    format: str

    def path(self, name: str) -> Path:
        """Where a cell's result goes."""
        return self.folder / "cells" / f"{name}.json"

    @contextlib.contextmanager
    def claimed(self, name: str) -> Iterator[bool]:
        """Gives whether a cell is to be run: it has no result, and no other process is at it until the block ends."""
        lock = self.folder / "cells" / f".{name}.lock"
        with taken(lock) as free:
            try:
                yield free and not self.path(name).exists()
            finally:
                if free:
                    lock.unlink(missing_ok=True)

    def write(self, name: str, cell: DataclassInstance, result: Mapping[str, Any]) -> None:
        """Writes a cell's result, atomically."""
        form = {"format": self.format, "cell": dataclasses.asdict(cell), **result}
        write_text(self.path(name), json.dumps(form, indent=None, allow_nan=False) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All results, in the order of their names. Raises DREnvError naming a file that is none."""
        found = []
        for path in sorted((self.folder / "cells").glob("*.json")):
            try:
                form = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise DREnvError(f"{path}: cannot read it as JSON: {error}; delete it to run the cell again") from error
            if not isinstance(form, dict) or form.get("format") != self.format:
                raise DREnvError(f"{path}: got format {form.get('format') if isinstance(form, dict) else form!r}, "
                                 f"expected {self.format}; is this a comparison's folder?")  # fmt: skip
            found.append(form)
        return found

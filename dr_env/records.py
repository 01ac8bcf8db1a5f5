"""Records of what was drawn, so that any episode can be told apart, stored and played again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.errors import DREnvError

DRAW_FORMAT = "dr_env/draw/1"

Columns = dict[str, NDArray[np.float64]]
"""The Draws of n environments: entry name -> (n,) for shared values, (n, k) for one a match."""


class Draw(dict[str, Any]):
    """One realisation of a Spec: entry name -> float, or (k,) array for `per: element`.

    Immutable and hashable; equal when every value is bit-equal. A Draw remembers the structure it
    was drawn for (`binding`, a digest of model and entries), so that replaying it on another model
    is refused.
    """

    binding: str

    def __init__(self, values: Mapping[str, ArrayLike], binding: str = "") -> None:
        frozen: dict[str, Any] = {}
        for name, value in values.items():
            array = np.array(value, np.float64)
            if array.ndim > 1 or not np.isfinite(array).all():
                raise DREnvError(f"draw.{name}: got {value!r}, expected a finite number or a flat list of them")
            array.flags.writeable = False
            frozen[name] = float(array) if array.ndim == 0 else array
        super().__init__(frozen)
        self.binding = binding

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple((name, _bits(self[name])) for name in sorted(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping) or self.keys() != other.keys():
            return False
        return all(_bits(value) == _bits(other[name]) for name, value in self.items())

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __reduce__(self) -> tuple[Any, ...]:
        return (Draw, (dict(self), self.binding))

    def __copy__(self) -> Draw:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Draw:
        return Draw(self, self.binding)

    def _frozen(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a Draw is immutable; make a new one with Draw({**draw, name: value})")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = _frozen
    __ior__ = _frozen

    def digest(self) -> str:
        """Sixteen hex digits that name these values."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()

    def to_json(self) -> str:
        """The Draw as one line of JSON; floats round-trip exactly."""
        values = {name: np.asarray(value).tolist() for name, value in self.items()}
        return json.dumps({"format": DRAW_FORMAT, "binding": self.binding, "values": values})

    @classmethod
    def from_json(cls, text: str, source: str = "draw") -> Draw:
        """Reads what `to_json` wrote. Raises DREnvError naming `source` when it is not a Draw."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise DREnvError(f"{source}:{error.lineno} not JSON: {error.msg}") from error
        if not isinstance(data, dict) or data.get("format") != DRAW_FORMAT:
            got = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise DREnvError(f"{source} format: got {got!r}, expected {DRAW_FORMAT!r}")
        if not isinstance(data.get("values"), dict):
            raise DREnvError(f"{source} values: expected a mapping of entry names to numbers")
        try:
            return cls(data["values"], str(data.get("binding", "")))
        except (TypeError, ValueError) as error:
            raise DREnvError(f"{source} values: expected numbers, {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> Draw:
        """Reads a Draw from a JSON file."""
        try:
            text = Path(path).read_text()
        except OSError as error:
            raise DREnvError(f"{path}: cannot read the Draw: {error.strerror}") from error
        return cls.from_json(text, str(path))


def _bits(value: ArrayLike) -> bytes:
    return np.asarray(value, np.float64).tobytes()


def versions(*packages: str) -> dict[str, str]:
    """The versions of Python and of installed packages, by name, as a record's provenance."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def rows_of(columns: Mapping[str, NDArray[np.float64]], binding: str = "") -> Iterator[Draw]:
    """Yields the Draws that columns hold, row by row."""
    count = min((len(column) for column in columns.values()), default=0)
    for row in range(count):
        yield Draw({name: column[row] for name, column in columns.items()}, binding)

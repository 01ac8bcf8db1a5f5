"""What is wrong with a dataset: findings, each of a file and, where it has one, a frame."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError

Number = int | float
Progress = Callable[[int, int], None]
"""Told how many frames are done, and of how many."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Args:
        file: which file, relative to the dataset.
        frame: which frame, as the format names it; nothing for what concerns them all.
        text: what was got and what was expected.
    """

    file: str
    frame: str
    text: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.file}{f' frame {self.frame}' if self.frame else ''}: {self.text}"


class Findings:
    """Findings as they come up while a dataset below `root` is read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.found: list[Finding] = []

    def add(self, file: Path | str, frame: object, text: str) -> None:
        """Notes one."""
        path = Path(file)
        name = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        self.found.append(Finding(str(name), str(frame), text))

    def require(self, met: object, file: Path | str, frame: object, text: str) -> bool:
        """Notes one unless `met`; returns whether it was."""
        if not met:
            self.add(file, frame, text)
        return bool(met)

    @contextmanager
    def reading(self, file: Path | str, frame: object = "") -> Iterator[None]:
        """Turns what cannot be read, or is not there, into a finding."""
        try:
            yield
        except FileNotFoundError as error:
            self.add(error.filename or file, frame, "missing")
        except (DREnvError, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            self.add(file, frame, f"cannot be read: {what}")


def load_json(path: Path) -> Any:
    """What a JSON file holds. Raises DREnvError naming the line where it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DREnvError(f"line {error.lineno}: not JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise DREnvError(f"not text: {error.reason}") from None


def numbers(form: Any, count: int, what: str) -> NDArray[np.float64]:
    """A list of finite numbers. Raises DREnvError naming `what`."""
    if not isinstance(form, list) or len(form) != count:
        raise DREnvError(f"{what}: got {str(form)[:60]}, expected {count} numbers")
    try:
        found = np.array(form, np.float64)
    except (TypeError, ValueError):
        found = np.full(count, np.nan)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise DREnvError(f"{what}: got {str(form)[:60]}, expected {count} finite numbers")
    return found


def rotation(form: Any, what: str) -> NDArray[np.float64]:
    """A rotation matrix (3, 3) from nine numbers in rows. Raises DREnvError naming `what`."""
    matrix = numbers(form, 9, what).reshape(3, 3)
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 1e-4 or np.linalg.det(matrix) < 0:
        raise DREnvError(f"{what}: got {matrix.round(3).tolist()}, expected a rotation matrix")
    return matrix


def mask_box(mask: NDArray[np.bool_]) -> list[int] | None:
    """x, y, width and height, counted in pixels, of the box around a mask; None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]


def same_numbers(got: Any, expected: list[int], slack: float = 0) -> bool:
    """Whether a list has these numbers, each within `slack`."""
    return (
        isinstance(got, list)
        and len(got) == len(expected)
        and all(
            isinstance(a, Number) and math.isfinite(a) and abs(a - b) <= slack
            for a, b in zip(got, expected, strict=True)
        )
    )


def missing_keys(form: Mapping[str, Any], keys: tuple[str, ...]) -> list[str]:
    """Those of `keys` that a mapping lacks."""
    return [key for key in keys if key not in form]

"""The one exception that users meet, and the near match that its messages name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DREnvError(Exception):
    """Bad input: the message names file, line or key, what was got and what was expected."""


class StorageError(DREnvError):
    """Nothing is wrong with the input, but a file cannot be written: a full disk, say. What is there is intact."""


def near_match(name: object, available: Iterable[str]) -> str | None:
    """Returns the available name nearest to `name`, or None when nothing is near."""
    lowered = {candidate.lower(): candidate for candidate in available}
    found = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.5)
    return lowered[found[0]] if found else None


def unknown_name(what: str, got: object, available: Iterable[str], plural: str | None = None) -> str:
    """Returns "no WHAT 'GOT'; did you mean 'NEAR'? WHATS: A, B, C"."""
    names = sorted(set(available))
    near = near_match(got, names)
    shown = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    hint = f"; did you mean '{near}'?" if near else ";"
    return f"no {what} '{got}'{hint} {plural or what + 's'}: {shown or 'none'}"

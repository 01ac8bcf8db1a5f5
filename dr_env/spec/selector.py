"""Which objects of a model an entry varies, by kind and name."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence
from typing import Any

from dr_env.errors import DREnvError, unknown_name

KINDS = (
    "body",
    "geom",
    "site",
    "joint",
    "pair",
    "equality",
    "tendon",
    "actuator",
    "sensor",
    "material",
    "light",
    "camera",
    "option",
    "action",
    "observation",
    "image",
    "depth",
)
_PLURALS = {"body": "bodies", "equality": "equalities"}


@dataclasses.dataclass(frozen=True)
class Selector:
    """Objects of one kind whose names match; `option`, the global fields, has no names.

    YAML: `{body: torso}`, `{geom: ["*foot", floor]}`, `option`. Patterns are shell globs and
    match whole names, case and all.
    """

    kind: str
    patterns: tuple[str, ...] = ()

    @classmethod
    def parse(cls, form: object) -> Selector:
        """Reads the YAML form. Raises DREnvError that says what was expected."""
        if form == "option":
            return cls("option")
        if isinstance(form, str) and form in KINDS:
            raise DREnvError(f"got {form!r}, expected names as well, such as {{{form}: '*'}}")
        if isinstance(form, str):
            raise DREnvError(unknown_name("selector", form, ("option",)) + ", or {kind: names}")
        if not isinstance(form, dict) or len(form) != 1:
            raise DREnvError(f"got {form!r}, expected one kind and its names, such as {{body: torso}}, or option")
        ((kind, names),) = form.items()
        if kind not in KINDS:
            raise DREnvError(unknown_name("kind", kind, KINDS))
        if kind == "option":
            raise DREnvError("option takes no names; write `select: option` and name the field")
        patterns = [names] if isinstance(names, str) else names
        if not isinstance(patterns, list | tuple) or not patterns:
            raise DREnvError(f"{kind}: got {names!r}, expected a name, a glob or a list of them")
        for pattern in patterns:
            if not isinstance(pattern, str) or not pattern:
                raise DREnvError(f"{kind}: got {pattern!r}, expected a name or a glob")
        return cls(kind, tuple(patterns))

    def to_form(self) -> Any:
        """The YAML form."""
        if self.kind == "option":
            return "option"
        return {self.kind: self.patterns[0] if len(self.patterns) == 1 else list(self.patterns)}

    @property
    def plural(self) -> str:
        """The kind's plural, for messages."""
        return _PLURALS.get(self.kind, self.kind + "s")

    def match(self, names: Sequence[str]) -> list[int]:
        """Indices of the matching names, in the order of `names`.

        Raises DREnvError when a pattern matches nothing. A glob never matches the body `world`.
        """
        found: set[int] = set()
        for pattern in self.patterns:
            hits = {
                i
                for i, name in enumerate(names)
                if name == pattern
                or (fnmatch.fnmatchcase(name, pattern) and not (self.kind == "body" and name == "world"))
            }
            if not hits:
                raise DREnvError(self._unmatched(pattern, names))
            found |= hits
        return sorted(found)

    def _unmatched(self, pattern: str, names: Sequence[str]) -> str:
        verb = unknown_name(self.kind, pattern, names, self.plural)
        return verb.replace(f"no {self.kind} '", f"no {self.kind} matches '", 1)

"""Whether what a Spec says of pushes makes pushes: when, how hard and how long."""

from __future__ import annotations

from collections.abc import Sequence

from dr_env.binding.indexing import BoundEntry
from dr_env.errors import DREnvError
from dr_env.spec import Spec

# what a push field lacks unless one of these varies on the same body
_NEEDS = {
    "push_force": ("push_duration",),
    "push_duration": ("push_force",),
    "push_rate": ("push_force", "push_impulse"),
    "push_interval": ("push_force", "push_impulse"),
    "push_axes": ("push_force", "push_impulse"),
}
_TIMES = ("push_rate", "push_interval")


def check_pushes(spec: Spec, entries: Sequence[BoundEntry]) -> None:
    """Refuses pushes that nothing times, that have no strength or no length, or that two clocks time."""
    named: dict[str, dict[str, str]] = {}  # body -> field -> entry
    for entry in entries:
        if entry.field.array.startswith("push."):
            for body in entry.matches:
                named.setdefault(body, {})[entry.field.name] = entry.name
    for body, fields in named.items():
        if all(time in fields for time in _TIMES):
            raise DREnvError(
                f"{spec.where(fields['push_interval'], 'field')}: got push_interval for body '{body}', whose pushes "
                f"entry '{fields['push_rate']}' times with push_rate; expected one of the two"
            )
        for field, name in fields.items():
            wanted = _TIMES if field in ("push_force", "push_impulse") else ()
            for options in (wanted, _NEEDS.get(field, ())):
                if options and not any(option in fields for option in options):
                    raise DREnvError(
                        f"{spec.where(name, 'field')}: got {field} for body '{body}' without "
                        f"{' or '.join(options)}, so there is no push; add an entry for it"
                    )

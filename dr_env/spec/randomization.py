"""The Spec: what may vary and how, as pure data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from dr_env.distributions import Distribution, ParameterVector
from dr_env.errors import DREnvError
from dr_env.files import write_text
from dr_env.spec import schema
from dr_env.spec.explain import explain, locate
from dr_env.spec.io import Lines, dump_yaml, parse_yaml, read_yaml
from dr_env.spec.selector import Selector

if TYPE_CHECKING:
    import mujoco

    from dr_env.binding import Plan

FORMAT: Literal["dr_env/1"] = "dr_env/1"
_FIELD = re.compile(r"^([a-z_][a-z0-9_]*)(?:\[(\d+)\])?$")


def _select(form: object) -> Selector:
    return form if isinstance(form, Selector) else Selector.parse(form)


def _distribution(form: object) -> Distribution:
    return form if isinstance(form, Distribution) else Distribution.from_dict(form)


class Entry(BaseModel):
    """One thing that varies: a field of the selected objects, an operation and a distribution."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    select: Annotated[
        Selector,
        BeforeValidator(_select),
        PlainSerializer(lambda selector: selector.to_form()),
        WithJsonSchema(schema.SELECTOR),
    ] = Field(description="which objects: one kind and its names, globs or a list of them; or option")
    field: str = Field(description="the field, with an index for one component: mass, friction[0], gravity[2]")
    operation: Literal["scale", "add", "set"] = Field(
        description="scale: nominal * value; add: nominal + value; set: value"
    )
    distribution: Annotated[
        Distribution,
        BeforeValidator(_distribution),
        PlainSerializer(lambda distribution: distribution.to_dict()),
        WithJsonSchema(schema.DISTRIBUTION),
    ] = Field(description="the distribution of the value")
    per: Literal["shared", "element"] = Field(
        default="shared", description="shared: one value for all matches; element: one for each"
    )
    coupled: bool = Field(
        default=True, description="move what physically belongs to the field with it (mass moves inertia)"
    )
    tunable: bool = Field(default=True, description="whether tuners may change the distribution")
    bounds: tuple[float, float] | None = Field(
        default=None, description="the widest range of values that tuners may explore"
    )

    @field_validator("field")
    @classmethod
    def _field_form(cls, value: str) -> str:
        if not _FIELD.match(value):
            raise DREnvError(f"got {value!r}, expected a field name, with an index if need be: friction[0]")
        return value

    @model_validator(mode="after")
    def _bounds_order(self) -> Entry:
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise DREnvError(f"bounds: got {list(self.bounds)}, expected [low, high] with low < high")
        return self

    @property
    def field_name(self) -> str:
        """The field without its index."""
        return self.field.partition("[")[0]

    @property
    def field_index(self) -> int | None:
        """The component, or None for all of them."""
        match = _FIELD.match(self.field)
        return int(match[2]) if match and match[2] else None


class Spec(BaseModel):
    """What may vary in a scene and how: a named mapping of entries, in and out of YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["dr_env/1"] = Field(default=FORMAT, description="the version of this file format")
    entries: dict[str, Entry] = Field(default_factory=dict, description="what varies, by name")

    _source: str = PrivateAttr(default="spec")
    _lines: Lines = PrivateAttr(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and list(self.entries.items()) == list(other.entries.items())

    def __hash__(self) -> int:
        return hash(self.digest())

    @classmethod
    def load(cls, path: str | Path) -> Spec:
        """Reads a Spec from a YAML file. Raises DREnvError naming file, line and key."""
        data, lines = read_yaml(path)
        return cls._build(data, str(path), lines)

    @classmethod
    def from_yaml(cls, text: str, source: str = "spec") -> Spec:
        """Reads a Spec from YAML text; `source` names it in errors."""
        data, lines = parse_yaml(text, source)
        return cls._build(data, source, lines)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "spec") -> Spec:
        """Reads a Spec from plain data."""
        return cls._build(data, source, {})

    @classmethod
    def _build(cls, data: object, source: str, lines: Lines) -> Spec:
        if not isinstance(data, Mapping):
            raise DREnvError(f"{source}:1 got {type(data).__name__}, expected a mapping with `format` and `entries`")
        if "format" not in data:
            raise DREnvError(f"{source}:1 format: missing, expected `format: {FORMAT}`")
        if not isinstance(data.get("entries", {}), Mapping):
            where = lines.get(("entries",), 1)
            raise DREnvError(
                f"{source}:{where} entries: got {data['entries']!r}, expected a mapping of names to entries"
            )
        try:
            spec = cls.model_validate(dict(data))
        except ValidationError as error:
            raise DREnvError(explain(error, source, lines, lambda path: Entry if len(path) > 1 else Spec)) from None
        except DREnvError as error:
            raise DREnvError(_locate_entry(data, source, lines, error)) from None
        spec._source, spec._lines = source, lines
        return spec

    def save(self, path: str | Path) -> None:
        """Writes the Spec as YAML, atomically."""
        write_text(path, self.to_yaml())

    def to_dict(self) -> dict[str, Any]:
        """The Spec as plain data; what equals its default is left out."""
        entries = {name: entry.model_dump(exclude_defaults=True) for name, entry in self.entries.items()}
        for form in entries.values():
            if "bounds" in form:
                form["bounds"] = list(form["bounds"])
        return {"format": self.format, "entries": entries}

    def to_yaml(self) -> str:
        """The Spec as YAML text."""
        return dump_yaml(self.to_dict())

    def digest(self) -> str:
        """Sixteen hex digits that name this Spec's content."""
        return hashlib.blake2b(self.to_yaml().encode(), digest_size=8).hexdigest()

    def parameters(self) -> ParameterVector:
        """The tunable numbers, named `entry.number`."""
        tunable = {name: entry for name, entry in self.entries.items() if entry.tunable}
        return ParameterVector.of(
            {name: entry.distribution for name, entry in tunable.items()},
            {name: entry.bounds for name, entry in tunable.items()},
        )

    def with_parameters(self, parameters: ParameterVector) -> Spec:
        """The Spec with these tunable numbers; everything else stays."""
        changed = parameters.update({name: entry.distribution for name, entry in self.entries.items()})
        entries = {
            name: entry.model_copy(update={"distribution": changed[name]}) for name, entry in self.entries.items()
        }
        return self.model_copy(update={"entries": entries})

    def where(self, entry: str, *keys: str) -> str:
        """Where an entry's key stands, for messages: `file.yaml:12 entries.name.key`."""
        path: tuple[str | int, ...] = ("entries", entry, *keys)
        return locate(self._source, self._lines, path)

    def bind(self, model: mujoco.MjModel, observations: tuple[str, ...] = ()) -> Plan:
        """Binds the Spec to a compiled model; see `dr_env.binding.bind`."""
        from dr_env.binding import bind  # the one door from a Spec to the simulator

        return bind(self, model, observations)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a Spec file, for editors."""
    form = Spec.model_json_schema()
    form["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    form["title"] = "dr_env randomization"
    form["required"] = ["format"]
    return form


def _locate_entry(data: Mapping[str, Any], source: str, lines: Lines, error: DREnvError) -> str:
    """Finds the entry and key that a distribution, selector or field refused, by asking each again."""
    for name, form in data.get("entries", {}).items():
        if not isinstance(form, Mapping):
            continue
        checks = {"select": _select, "distribution": _distribution}
        for key, check in checks.items():
            try:
                if key in form:
                    check(form[key])
            except DREnvError as found:
                path: tuple[str | int, ...] = ("entries", name, key)
                inner = str(found).partition(":")[0]
                if (*path, inner) in lines:
                    return f"{locate(source, lines, (*path, inner))}:{str(found).partition(':')[2]}"
                return f"{locate(source, lines, path)}: {found}"
        try:
            Entry.model_validate(dict(form))
        except ValidationError:
            continue
        except DREnvError as found:
            key = "bounds" if str(found).startswith("bounds") else "field"
            return f"{locate(source, lines, ('entries', name, key))}: {str(found).removeprefix('bounds: ')}"
    return f"{source}: {error}"

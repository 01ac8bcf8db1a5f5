"""The Spec: what may vary and how, as pure data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from dr_env.distributions import Distribution, ParameterVector
from dr_env.distributions.formula import CONSTANTS
from dr_env.errors import DREnvError, unknown_name
from dr_env.files import write_text
from dr_env.spec import schema
from dr_env.spec.entry import Entry, Variable, read_distribution, read_selector
from dr_env.spec.explain import explain, locate
from dr_env.spec.io import Lines, dump_yaml, parse_yaml, read_yaml
from dr_env.spec.scene import SceneGrammar
from dr_env.spec.scene_numbers import scene_distributions, with_scene_distributions
from dr_env.spec.textures import TexturePool

if TYPE_CHECKING:
    import mujoco

    from dr_env.binding import Build, Plan

SCENE = "scene."
"""Beginning of the names of a scene grammar's tunable numbers."""
FORMAT: Literal["dr_env/1"] = "dr_env/1"


class Curriculum(BaseModel):
    """Ranges that widen with training: from a share of their width to all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: float = Field(default=0.0, ge=0, le=1, description="the share of each range's width to begin with")
    begin: float = Field(default=0.0, ge=0, le=1, description="the progress of training, 0 .. 1, at which it widens")
    end: float = Field(default=0.5, ge=0, le=1, description="the progress at which all of the width is reached")

    @model_validator(mode="after")
    def _order(self) -> Curriculum:
        if self.end < self.begin:
            raise DREnvError(f"end: got {self.end}, expected a progress not before begin = {self.begin}")
        return self

    def share(self, progress: float) -> float:
        """The share of the ranges' width at a progress of training, 0 .. 1."""
        if progress >= self.end:
            return 1.0
        ramp = max(0.0, progress - self.begin) / (self.end - self.begin)
        return self.start + (1 - self.start) * ramp


class Spec(BaseModel):
    """What may vary in a scene and how: named entries, and variables that they may depend on; in and out of YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["dr_env/1"] = Field(default=FORMAT, description="the version of this file format")
    variables: dict[str, Variable] = Field(
        default_factory=dict, description="what is drawn for entries to depend on, by name"
    )
    entries: dict[str, Entry] = Field(default_factory=dict, description="what varies, by name")
    curriculum: Curriculum | None = Field(default=None, description="how ranges widen while a policy trains")
    scene: SceneGrammar | None = Field(default=None, description="what scenes are made of, for tasks that compose them")
    textures: TexturePool | None = Field(default=None, description="the textures that entries number")
    backgrounds: str | None = Field(
        default=None, description="a folder of images that entries number as backgrounds; relative to the Spec"
    )
    provenance: dict[str, Any] | None = Field(
        default=None, description="where the numbers come from, as a tuner records it; changes no draw"
    )

    _source: str = PrivateAttr(default="spec")
    _lines: Lines = PrivateAttr(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spec):
            return False
        mine, others = (
            (list(s.variables.items()), list(s.entries.items()), s.curriculum, s.textures, s.backgrounds, s.scene)
            for s in (self, other)
        )
        return mine == others

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
        for key in ("variables", "entries"):
            if not isinstance(data.get(key, {}), Mapping):
                line = lines.get((key,), 1)
                raise DREnvError(f"{source}:{line} {key}: got {data[key]!r}, expected a mapping of names to {key}")
        try:
            spec = cls.model_validate(dict(data))
        except ValidationError as error:
            raise DREnvError(explain(error, source, lines, _owner)) from None
        except DREnvError as error:
            raise DREnvError(_locate(data, source, lines, error)) from None
        for name in spec.variables:
            if name in spec.entries:
                where = locate(source, lines, ("entries", name))
                raise DREnvError(f"{where}: a variable has this name too; give one of them another")
        groups = {f"share.{entry.share}" for entry in spec.entries.values() if entry.share is not None}
        for name in spec.drawn:
            where = locate(source, lines, ("variables" if name in spec.variables else "entries", name))
            if name in groups:
                raise DREnvError(f"{where}: a group that shares its draw is called so; give one of them another name")
            if name.startswith("_"):
                raise DREnvError(f"{where}: begins with _, as the masks of `info` do; give it another name")
            if name in CONSTANTS:
                raise DREnvError(f"{where}: formulas read '{name}' as {CONSTANTS[name]:g}; give it another name")
        if spec.textures is not None:
            spec = spec.model_copy(update={"textures": spec.textures.beside(Path(source).parent)})
        if spec.backgrounds is not None:
            spec = spec.model_copy(update={"backgrounds": str(Path(source).parent.resolve() / spec.backgrounds)})
        if spec.scene is not None:
            spec = spec.model_copy(update={"scene": spec.scene.beside(Path(source).parent)})
        spec._source, spec._lines = source, lines
        spec._check_groups()
        return spec

    def _check_groups(self) -> None:
        """Refuses groups that tuners could not move as one; what else they must have in common, `bind` says."""
        leaders: dict[str, str] = {}
        for name, entry in self.entries.items():
            leader = name if entry.share is None else leaders.setdefault(entry.share, name)
            for key in ("tunable", "bounds"):
                mine, its = getattr(entry, key), getattr(self.entries[leader], key)
                if mine != its:
                    raise DREnvError(
                        f"{self.where(name, key)}: entries that share '{entry.share}' are tuned as one, but this one "
                        f"has {mine} and '{leader}' has {its}"
                    )

    def save(self, path: str | Path) -> None:
        """Writes the Spec as YAML, atomically."""
        write_text(path, self.to_yaml())

    def to_dict(self) -> dict[str, Any]:
        """The Spec as plain data; what equals its default is left out."""
        form: dict[str, Any] = {"format": self.format}
        if self.textures is not None:
            form["textures"] = self.textures.model_dump(mode="json", exclude_defaults=True)
        if self.backgrounds is not None:
            form["backgrounds"] = self.backgrounds
        if self.variables:
            form["variables"] = {name: _plain(variable) for name, variable in self.variables.items()}
        form["entries"] = {name: _plain(entry) for name, entry in self.entries.items()}
        if self.curriculum is not None:
            form["curriculum"] = self.curriculum.model_dump(exclude_defaults=True)
        if self.scene is not None:
            form["scene"] = _lists(self.scene.model_dump(exclude_defaults=True))
        if self.provenance is not None:
            form["provenance"] = self.provenance
        return form

    def to_yaml(self) -> str:
        """The Spec as YAML text."""
        return dump_yaml(self.to_dict())

    def digest(self) -> str:
        """Sixteen hex digits that name this Spec's content, its provenance aside."""
        content = {key: value for key, value in self.to_dict().items() if key != "provenance"}
        return hashlib.blake2b(dump_yaml(content).encode(), digest_size=8).hexdigest()

    @property
    def source(self) -> str:
        """The file that the Spec was read from, or what stands for it in messages."""
        return self._source

    @property
    def drawn(self) -> dict[str, Variable]:
        """Variables and entries by name."""
        return {**self.variables, **self.entries}

    def parameters(self, scene: bool = False) -> ParameterVector:
        """The tunable numbers, named `entry.number`; a group that shares its draw has one set of them.

        Args:
            scene: whether to add those of the scene's grammar, such as `scene.areas.clutter.count.low`.
        """
        seen: set[str] = set()
        tunable = {}
        for name, drawn in self.drawn.items():
            share = getattr(drawn, "share", None)
            if drawn.tunable and share not in seen:
                tunable[name] = drawn
            if share is not None:
                seen.add(share)
        distributions = {name: drawn.distribution for name, drawn in tunable.items()}
        bounds = {name: drawn.bounds for name, drawn in tunable.items()}
        if scene and self.scene is not None:
            for name, (distribution, widest) in scene_distributions(self.scene).items():
                distributions[f"{SCENE}{name}"], bounds[f"{SCENE}{name}"] = distribution, widest
        return ParameterVector.of(distributions, bounds)

    def with_parameters(self, parameters: ParameterVector) -> Spec:
        """The Spec with these tunable numbers, of the scene's grammar or of what is drawn; everything else stays."""
        known = {name: drawn.distribution for name, drawn in self.drawn.items()}
        arranged = {} if self.scene is None else {name: d for name, (d, _) in scene_distributions(self.scene).items()}
        changed = parameters.update({**known, **{f"{SCENE}{name}": d for name, d in arranged.items()}})
        leaders: dict[str, str] = {}
        for name, entry in self.entries.items():
            if entry.share is not None:
                changed[name] = changed[leaders.setdefault(entry.share, name)]
        spec = self.with_distributions({name: changed[name] for name in known})
        moved = {name: new for name, d in arranged.items() if (new := changed[f"{SCENE}{name}"]) != d}
        if self.scene is not None and moved:
            spec = spec.model_copy(update={"scene": with_scene_distributions(self.scene, moved)})
        return spec

    def with_distributions(self, changed: Mapping[str, Distribution]) -> Spec:
        """The Spec with other distributions, by name of entry or variable; what is not named stays."""
        for name in changed:
            if name not in self.drawn:
                raise DREnvError(unknown_name("entry", name, self.drawn, "entries"))
        variables, entries = (
            {
                name: drawn.model_copy(update={"distribution": changed[name]}) if name in changed else drawn
                for name, drawn in group.items()
            }
            for group in (self.variables, self.entries)
        )
        # other numbers have another origin
        return self.model_copy(update={"variables": variables, "entries": entries, "provenance": None})

    def narrowed(self, share: float) -> Spec:
        """The Spec with `share`, 0 .. 1, of each range's width, around the value that changes nothing.

        What sets a value, and variables, narrow around the middle of their range or their mean; cases keep
        their odds, and what is drawn when the model is compiled stays as it is.
        """
        if not 0 <= share <= 1:
            raise DREnvError(f"share: got {share:g}, expected a number within 0 .. 1")
        around = {name: variable.middle for name, variable in self.variables.items()}
        around |= {name: entry.neutral for name, entry in self.entries.items()}
        return self.with_distributions(
            {
                name: drawn.distribution.narrowed(share, around[name])
                for name, drawn in self.drawn.items()
                if drawn.trigger != "compile"
            }
        )

    def at(self, progress: float) -> Spec:
        """The Spec at a progress of training, 0 .. 1, by its curriculum; without one, the Spec itself."""
        return self if self.curriculum is None else self.narrowed(self.curriculum.share(progress))

    def where(self, entry: str, *keys: str) -> str:
        """Where a key of an entry or a variable stands, for messages: `file.yaml:12 entries.name.key`."""
        group = "variables" if entry in self.variables else "entries"
        return locate(self._source, self._lines, (group, entry, *keys))

    def where_textures(self) -> str:
        """Where the pool of textures stands, for messages."""
        return locate(self._source, self._lines, ("textures",))

    def bind(self, model: mujoco.MjModel, observations: tuple[str, ...] = (), build: Build | None = None) -> Plan:
        """Binds the Spec to a compiled model; see `dr_env.binding.bind`."""
        from dr_env.binding import bind  # the one door from a Spec to the simulator

        return bind(self, model, observations, build)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a Spec file, for editors."""
    form: dict[str, Any] = _referring(Spec.model_json_schema())
    form["$defs"]["Distribution"] = schema.DISTRIBUTION
    form["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    form["title"] = "dr_env randomization"
    form["required"] = ["format"]
    return form


def _plain(drawn: Variable) -> dict[str, Any]:
    form = drawn.model_dump(exclude_defaults=True)
    first: dict[str, Any] = {
        key: form.pop(key) for key in ("select", "field", "operation", "distribution") if key in form
    }
    return {**first, **{key: list(value) if isinstance(value, tuple) else value for key, value in form.items()}}


def _referring(form: Any) -> Any:
    """The schema with a reference for each of the many places that take a distribution."""
    if isinstance(form, dict):
        if form.get("anyOf") == schema.DISTRIBUTION["anyOf"]:
            return {**{key: value for key, value in form.items() if key != "anyOf"}, "$ref": "#/$defs/Distribution"}
        return {key: _referring(value) for key, value in form.items()}
    return [_referring(value) for value in form] if isinstance(form, list) else form


def _lists(form: Any) -> Any:
    """Plain data with lists for tuples, as YAML has them."""
    if isinstance(form, dict):
        return {key: _lists(value) for key, value in form.items()}
    return [_lists(value) for value in form] if isinstance(form, list | tuple) else form


def _owner(path: tuple[str | int, ...]) -> type[BaseModel]:
    """The model that a path's last key belongs to."""
    owner: type[BaseModel] = Spec
    for key in path[:-1]:
        field = owner.model_fields.get(str(key))  # another key is a name in a mapping, or a place in a list
        owner = owner if field is None else _model_in(field.annotation) or owner
    return owner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as `dict[str, Entry] | None` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


def _locate(data: Mapping[str, Any], source: str, lines: Lines, error: DREnvError) -> str:
    """Finds the entry and key that a distribution, selector or field refused, by asking each again."""
    groups: tuple[tuple[str, type[Variable]], ...] = (("variables", Variable), ("entries", Entry))
    for group, model in groups:
        for name, form in data.get(group, {}).items():
            if isinstance(form, Mapping):
                found = _refused(model, form, source, lines, (group, name))
                if found is not None:
                    return found
    key, _, rest = str(error).partition(": ")
    for part, owner in (("curriculum", Curriculum),):
        if key in owner.model_fields and (part,) in lines:
            return f"{locate(source, lines, (part, key) if (part, key) in lines else (part,))}: {rest}"
    return f"{source}: {error}"


def _refused(
    model: type[Variable], form: Mapping[str, Any], source: str, lines: Lines, path: tuple[str | int, ...]
) -> str | None:
    """What is wrong with one entry or variable, and where."""
    for key, check in {"select": read_selector, "distribution": read_distribution}.items():
        try:
            if key in form:
                check(form[key])
        except DREnvError as found:
            inner, _, rest = str(found).partition(":")
            keys = inner.replace("[", ".").replace("]", "").split(".")
            nested = (*path, key, *(int(k) if k.isdigit() else k for k in keys))
            if nested in lines:
                return f"{locate(source, lines, nested)}:{rest}"
            return f"{locate(source, lines, (*path, key))}: {found}"
    try:
        model.model_validate(dict(form))
    except ValidationError:
        return None
    except DREnvError as found:
        key, _, rest = str(found).partition(": ")
        known = key in model.model_fields
        return f"{locate(source, lines, (*path, key if known else 'field'))}: {rest if known else found}"
    return None

"""What a Spec is made of: entries, which vary fields, and variables, which entries may depend on."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from dr_env.distributions import Categorical, Distribution, Expression
from dr_env.errors import DREnvError
from dr_env.spec import schema
from dr_env.spec.selector import Selector

Trigger = Literal["compile", "episode", "interval", "step"]

_FIELD = re.compile(r"^([a-z_][a-z0-9_]*)(?:\[(\d+)\])?$")


def read_selector(form: object) -> Selector:
    """A selector from its YAML form."""
    return form if isinstance(form, Selector) else Selector.parse(form)


def read_distribution(form: object) -> Distribution:
    """A distribution from its YAML form."""
    return form if isinstance(form, Distribution) else Distribution.from_dict(form)


class Variable(BaseModel):
    """One thing that is drawn: a distribution, and when it is drawn again."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    distribution: Annotated[
        Distribution,
        BeforeValidator(read_distribution),
        PlainSerializer(lambda distribution: distribution.to_dict()),
        WithJsonSchema(schema.DISTRIBUTION),
    ] = Field(description="the distribution of the value")
    trigger: Trigger = Field(
        default="episode",
        description="when it is drawn: compile (once, with the model), episode, interval (every so many seconds), step",
    )
    every: float | tuple[float, float] | None = Field(
        default=None, description="for interval: seconds from one draw to the next, or the range they are drawn from"
    )
    tunable: bool = Field(default=True, description="whether tuners may change the distribution")
    bounds: tuple[float, float] | None = Field(
        default=None, description="the widest range of values that tuners may explore"
    )

    @model_validator(mode="after")
    def _bounds_order(self) -> Variable:
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise DREnvError(f"bounds: got {list(self.bounds)}, expected [low, high] with low < high")
        return self

    @property
    def middle(self) -> float:
        """The middle of the support, or its mean where unbounded; for several numbers, nothing in particular."""
        low, high = self.distribution.support()
        if math.isfinite(low) and math.isfinite(high):
            return 0.5 * (low + high)
        follows = self.distribution.size > 1 or isinstance(self.distribution, Expression)
        return 0.0 if follows else self.distribution.mean()

    def structure(self) -> tuple[object, ...]:
        """All but the numbers: what a Plan is bound to."""
        drawn = self.distribution
        labels = drawn.labels if isinstance(drawn, Categorical) else ()  # values are their numbers
        return (self.trigger, self.every, drawn.parents, drawn.size, drawn.uniforms, labels)

    @model_validator(mode="after")
    def _every_form(self) -> Variable:
        if (self.every is None) != (self.trigger != "interval"):
            raise DREnvError(
                "every: missing, expected seconds for trigger: interval"
                if self.every is None
                else f"every: got {self.every}, but trigger is {self.trigger}; only interval takes it"
            )
        ends = (self.every, self.every) if isinstance(self.every, float) else self.every
        if ends is not None and not 0 < ends[0] <= ends[1] < float("inf"):
            raise DREnvError(f"every: got {self.every}, expected seconds above 0, or [low, high] of them")
        return self


class Entry(Variable):
    """One thing that varies: a field of the selected objects, an operation and a distribution."""

    select: Annotated[
        Selector,
        BeforeValidator(read_selector),
        PlainSerializer(lambda selector: selector.to_form()),
        WithJsonSchema(schema.SELECTOR),
    ] = Field(description="which objects: one kind and its names, globs or a list of them; or option")
    field: str = Field(description="the field, with an index for one component: mass, friction[0], gravity[2]")
    operation: Literal["scale", "add", "set"] = Field(
        description="scale: nominal * value; add: nominal + value; set: value"
    )
    per: Literal["shared", "element", "number"] = Field(
        default="shared",
        description="shared: one value for all matches; element: one for each; number: one for each component",
    )
    share: str | None = Field(default=None, description="a group's name: all its entries take the same draw")
    coupled: bool = Field(
        default=True, description="move what physically belongs to the field with it (mass moves inertia)"
    )

    @field_validator("field")
    @classmethod
    def _field_form(cls, value: str) -> str:
        if not _FIELD.match(value):
            raise DREnvError(f"got {value!r}, expected a field name, with an index if need be: friction[0]")
        return value

    @property
    def field_name(self) -> str:
        """The field without its index."""
        return self.field.partition("[")[0]

    @property
    def field_index(self) -> int | None:
        """The component, or None for all of them."""
        match = _FIELD.match(self.field)
        return int(match[2]) if match and match[2] else None

    @property
    def neutral(self) -> float:
        """The value of the support nearest to the one that changes nothing; for `set`, the middle."""
        if self.operation == "set":
            return self.middle
        low, high = self.distribution.support()
        return min(max(1.0 if self.operation == "scale" else 0.0, low), high)

    def structure(self) -> tuple[object, ...]:
        return (self.select, self.field, self.operation, self.per, self.coupled, self.share, *super().structure())

"""The pool of textures that a Spec declares, as pure data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dr_env.errors import DREnvError

Family = Literal[
    "flat", "gradient", "checker", "stripes", "noise", "perlin", "wood", "bricks", "weave", "terrazzo", "print"
]
FAMILIES: tuple[str, ...] = get_args(Family)


class TexturePool(BaseModel):
    """Textures that are made once and swapped from then on: procedural ones, then the images of a folder.

    They are numbered from 1. Number k is of the family that comes k-th, going round, and depends on seed, family and
    k alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    families: tuple[Family, ...] = Field(
        default=("flat", "gradient", "checker", "stripes", "noise", "perlin"),
        min_length=1,
        description="what they look like, in turn: " + ", ".join(FAMILIES),
    )
    count: int = Field(default=60, ge=0, le=900, description="how many are procedural")
    size: int = Field(default=128, ge=4, le=1024, description="their width and height in pixels")
    seed: int = Field(default=0, ge=0, description="what they are made from")
    folder: str | None = Field(
        default=None, description="a folder of images that follow the procedural ones, by name; relative to the Spec"
    )

    @model_validator(mode="after")
    def _not_empty(self) -> TexturePool:
        if not self.count and self.folder is None:
            raise DREnvError("textures.count: got 0 and no folder, expected textures")
        return self

    def beside(self, folder: Path) -> TexturePool:
        """The pool with a relative folder found beside a file of this folder."""
        if self.folder is None or Path(self.folder).is_absolute():
            return self
        return self.model_copy(update={"folder": str(folder.resolve() / self.folder)})

"""Where frames stand in a dataset: shards, splits and names."""

from __future__ import annotations

from dataclasses import dataclass

from dr_env.errors import DREnvError
from dr_env.rendering import check_size

SUFFIXES = (".png", ".jpg")


@dataclass(frozen=True)
class Layout:
    """Which shard, split and name each frame has; a function of the frame's number alone.

    Attributes:
        frames: how many frames the dataset has.
        width, height: image size in pixels.
        shard: frames a shard: a BOP scene, a tar file; at most 1000.
        split: the split's name, such as "train".
        every: each frame whose number ends a run of so many belongs to the split "val"; 0 is none.
        suffix: of colour images, .png or .jpg.
    """

    frames: int
    width: int
    height: int
    shard: int = 1000
    split: str = "train"
    every: int = 0
    suffix: str = ".png"

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise DREnvError(f"frames: got {self.frames}, expected at least 1")
        if not 1 <= self.shard <= 1000:
            raise DREnvError(f"shard: got {self.shard}, expected 1 to 1000 frames")
        check_size(self.width, self.height)
        if self.suffix not in SUFFIXES:
            raise DREnvError(f"suffix: got {self.suffix!r}, expected one of {', '.join(SUFFIXES)}")
        if not self.split.replace("_", "").isalnum() or self.split == "val":
            raise DREnvError(f"split: got {self.split!r}, expected letters and digits, such as train or test_pbr")

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.frames // self.shard)

    def frames_of(self, shard: int) -> range:
        """The frames of a shard."""
        return range(shard * self.shard, min((shard + 1) * self.shard, self.frames))

    def place(self, frame: int) -> tuple[int, int]:
        """The shard of a frame, and its number in it."""
        return divmod(frame, self.shard)

    def split_of(self, frame: int) -> str:
        """The split that a frame belongs to."""
        return "val" if self.every and frame % self.every == self.every - 1 else self.split

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have frames."""
        return tuple(dict.fromkeys(self.split_of(k) for k in range(min(self.frames, self.every + 1))))

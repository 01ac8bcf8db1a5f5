"""What an export is: everything that its bytes depend on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dr_env.errors import DREnvError
from dr_env.export.layout import Layout
from dr_env.export.quota import Quota
from dr_env.export.source import SourceRequest
from dr_env.export.writers import check_formats


@dataclass(frozen=True)
class ExportRequest:
    """What an export is. Neither where it goes nor how many workers make it changes a byte.

    Attributes:
        source: where frames come from.
        layout: how many there are, and where they stand.
        formats: what they are written as.
        quotas: texts that `Quota.parse` reads.
        attempts: how many candidates for a frame are drawn at most; the last is taken, and counted as missed.
    """

    source: SourceRequest
    layout: Layout
    formats: tuple[str, ...]
    quotas: tuple[str, ...] = ()
    attempts: int = 100

    def __post_init__(self) -> None:
        check_formats(self.formats)
        if self.attempts < 1:
            raise DREnvError(f"attempts: got {self.attempts}, expected at least 1")
        for text in self.quotas:
            Quota.parse(text)

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the Spec, which a dataset keeps as a file."""
        return {
            "source": self.source.to_json(),
            "layout": asdict(self.layout),
            "formats": list(self.formats),
            "quotas": list(self.quotas),
            "attempts": self.attempts,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], spec: str) -> ExportRequest:
        """Undoes `to_json`."""
        return cls(
            SourceRequest.from_json(data["source"], spec),
            Layout(**data["layout"]),
            tuple(data["formats"]),
            tuple(data["quotas"]),
            data["attempts"],
        )

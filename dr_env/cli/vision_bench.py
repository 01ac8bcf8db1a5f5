"""`dr-env bench vision`: whether training waits for its images."""

from __future__ import annotations

from typing import Any


def vision(task: str) -> dict[str, Any]:
    """Training examples per second of the position estimator on the task tabletop at 96 x 96.

    Args:
        task: not used.
    """
    from dr_env.cli.export import spec_text
    from dr_env.export import SourceRequest
    from dr_env.vision.benchmark import measure

    text, name = spec_text("tabletop", "default")
    return measure(SourceRequest("tabletop", text, name, 0, 96, 96))

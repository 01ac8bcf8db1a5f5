"""The comparison's rows and verdicts, on results whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env.vision.arms import arms
from dr_env.vision.standings import markdown, rows, verdicts
from dr_env.vision.standings_page import write_standings

ARMS = arms("structured")


def result(arm: str, labels: int, seed: int, errors: np.ndarray) -> dict[str, Any]:
    cell = {"arm": arm, "labels": labels, "seed": seed, "model": "position", "steps": 10, "frames": 20, "tested": 40}
    listed = [None if np.isinf(e) else float(e) for e in errors]
    return {"cell": cell, "errors_cm": listed, "images": list(range(len(errors))), "seconds": 1.0}


def group(arm: str, centre: float, labels: int = 0, spread: float = 0.5) -> list[dict[str, Any]]:
    rng = np.random.default_rng(len(arm))
    return [result(arm, labels, seed, np.abs(centre + spread * rng.standard_normal(60))) for seed in range(3)]


def test_rows_hold_medians_and_their_intervals() -> None:
    found = {row.arm: row for row in rows([*group("plain", 5.0), *group("dann", 2.0)], ARMS)}
    assert list(found) == ["plain", "dann"]  # in the arms' order
    assert found["plain"].error.value == pytest.approx(5.0, abs=0.3)
    assert found["plain"].error.low < 5.0 < found["plain"].error.high
    assert found["plain"].error.high - found["plain"].error.low < 0.6
    assert found["plain"].seeds == 3 and found["plain"].simple and not found["dann"].simple
    assert found["plain"].far.value > found["plain"].error.value


def test_verdicts_say_which_arm_wins_and_when_nobody_can_tell() -> None:
    (clear,) = verdicts([*group("plain", 5.0), *group("randomized", 3.0), *group("dann", 1.0)], ARMS)
    assert clear.best == "dann" and clear.level == () and "No simple arm does as well" in clear.text
    (close,) = verdicts([*group("plain", 5.0), *group("dann", 1.0), *group("randomized", 1.02)], ARMS)
    assert {close.best, *close.level} == {"dann", "randomized"}
    assert "simple" in close.text and "No simple" not in close.text
    (once,) = verdicts([*group("plain", 5.0)[:1], *group("dann", 1.0)[:1]], ARMS)
    assert once.text.endswith("whose luck no interval counts.") and "luck" not in clear.text
    (simple,) = verdicts([*group("simgan", 5.0), *group("randomized", 1.0)], ARMS)
    assert simple.best == "randomized" and simple.text.endswith("A simple arm wins.")


def test_arms_are_compared_with_those_of_as_many_labels() -> None:
    found = verdicts(
        [*group("plain", 5.0), *group("dann", 2.0), *group("target", 9.0, 5), *group("hybrid", 1.0, 5)], ARMS
    )
    assert [(verdict.labels, verdict.best) for verdict in found] == [(0, "dann"), (5, "hybrid")]


def test_arms_are_compared_on_the_seeds_that_they_share() -> None:
    """Whose lucky seed the other lacks is no better."""
    base = np.random.default_rng(0).gamma(3, 1, 60)
    luck = {0: 0.5, 1: 1.0, 2: 1.0}
    plain = [result("plain", 0, seed, luck[seed] * base) for seed in (0, 1, 2)]
    better = [result("randomized", 0, seed, 0.5 * base) for seed in (1, 2)]
    (said,) = verdicts([*plain, *better], ARMS)
    assert said.best == "randomized" and said.level == () and "luck" not in said.text
    (same,) = verdicts([*plain, *(result("randomized", 0, seed, base) for seed in (1, 2))], ARMS)
    assert len(same.level) == 1
    assert not verdicts([*plain[:1], *better], ARMS)  # nothing in common


def test_objects_that_were_missed_count_as_far_away() -> None:
    errors = np.full(20, 1.0)
    errors[:3] = np.inf
    (row,) = rows([result("plain", 0, 0, errors)], ARMS)
    assert row.error.value == 1.0 and np.isinf(row.far.value)


def test_the_page_is_whole(tmp_path: Path) -> None:
    results = [*group("plain", 5.0), *group("dann", 2.0), *group("target", 9.0, 5), *group("hybrid", 1.0, 5)]
    page = write_standings(results, ARMS, tmp_path, {}).read_text()
    assert page.count("data:image/png") == 2 and "structured, DANN" in page
    table = (tmp_path / "table.md").read_text()
    assert table == markdown(rows(results, ARMS), verdicts(results, ARMS))
    assert "| labels alone | 5 |" in table

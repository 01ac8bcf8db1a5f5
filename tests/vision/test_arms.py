"""The worlds that arms are trained in."""

from __future__ import annotations

import pytest

from dr_env import DREnvError, Spec, make_task
from dr_env.vision.arms import arms, world

SPEC = Spec.load(make_task("tabletop").file("randomization.yaml"))


def test_plain_keeps_the_arrangement_alone() -> None:
    plain = world("plain", SPEC).to_dict()
    assert not plain["entries"]
    assert "distractors" not in plain["scene"]
    assert plain["scene"]["areas"] == SPEC.to_dict()["scene"]["areas"]


def test_randomized_lacks_context_and_nothing_else() -> None:
    mine, own = world("randomized", SPEC).to_dict(), SPEC.to_dict()
    assert mine["entries"] == own["entries"]
    assert all(not area.get("relations") for area in mine["scene"]["areas"].values())
    assert "contextual" not in mine["scene"]["distractors"]
    count = mine["scene"]["distractors"]["flying"]["count"]
    assert (count["low"], count["high"]) == (0, 7)  # three that lay there and four that hung in the air


def test_structured_is_the_spec_itself() -> None:
    assert world("structured", SPEC) is SPEC


def test_bad_names_are_refused() -> None:
    with pytest.raises(DREnvError, match="no scene"):
        world("plain", Spec())
    with pytest.raises(DREnvError, match="expected one of plain, randomized, structured, tuned"):
        arms("real")

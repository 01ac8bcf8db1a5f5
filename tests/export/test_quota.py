"""Targets are balanced for any number of frames, and mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from dr_env import spatial
from dr_env.export import Layout
from dr_env.export.quota import Quota, Targets, measured

LAYOUT = Layout(1, 640, 480)


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_every_prefix_is_balanced(seed: int) -> None:
    targets = Targets([Quota.parse("class=a,b*2,c*5"), Quota.parse("visibility=0..0.5,0.5..1")], seed, LAYOUT)
    shares = {("a", "0..0.5"): 1 / 16, ("b", "0..0.5"): 2 / 16, ("c", "0..0.5"): 5 / 16,
              ("a", "0.5..1"): 1 / 16, ("b", "0.5..1"): 2 / 16, ("c", "0.5..1"): 5 / 16}  # fmt: skip
    counts = dict.fromkeys(shares, 0)
    singles = {"a": 0, "b": 0, "c": 0}
    for k in range(2000):
        target = targets.of(k)
        counts[target["class"].text, target["visibility"].text] += 1
        singles[target["class"].text] += 1
        for name, share in (("a", 1 / 8), ("b", 2 / 8), ("c", 5 / 8)):
            assert abs(singles[name] - share * (k + 1)) <= 3
        for pair, share in shares.items():
            assert abs(counts[pair] - share * (k + 1)) <= 12
    assert targets.of(7) == Targets(targets.quotas, seed, LAYOUT).of(7)


def test_what_is_measured() -> None:
    turned = spatial.quat_to_matrix(spatial.axis_angle([1, 0, 0], np.deg2rad(90)))  # z towards the camera's -y
    view = {
        "class": "mug",
        "visible_fraction": 0.25,
        "box_amodal": [-10, 0, 64, 32],
        "camera_from_object": spatial.transform(turned, [0.0, 0.0, 2.0]).reshape(-1).tolist(),
    }
    assert measured(view, "class", LAYOUT) == "mug"
    assert measured(view, "visibility", LAYOUT) == 0.25
    assert measured(view, "size", LAYOUT) == 0.1
    assert measured(view, "distance", LAYOUT) == 2.0
    assert measured(view, "angle", LAYOUT) == pytest.approx(90)
    facing = spatial.quat_to_matrix(spatial.axis_angle([1, 0, 0], np.pi))  # z towards the camera
    view["camera_from_object"] = spatial.transform(facing, [0.0, 0.0, 2.0]).reshape(-1).tolist()
    assert measured(view, "angle", LAYOUT) == pytest.approx(0, abs=1e-5)


def test_a_range_that_ends_at_1_holds_1() -> None:
    bins = Quota.parse("visibility=0..0.5,0.5..1").bins
    assert [made.holds(1.0) for made in bins] == [False, True]
    assert [made.holds(0.5) for made in bins] == [False, True]

"""Mask images made from a silhouette's rectangle are those of the whole mask."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dr_env.export.encode import decode_image
from dr_env.export.outlines import encode_outline
from dr_env.records import Silhouette


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.2, 0.9, 1.0]), st.integers(-30, 60), st.integers(-30, 40))
def test_images_are_those_of_the_mask(seed: int, density: float, x: int, y: int) -> None:
    rng = np.random.default_rng(seed)
    outline = Silhouette.of(rng.random(rng.integers(1, 40, 2)) < density, x, y)
    mask = outline.mask(24, 32)
    image = decode_image(encode_outline(outline, 24, 32))
    assert image.dtype == np.uint8 and (image == mask * 255).all()

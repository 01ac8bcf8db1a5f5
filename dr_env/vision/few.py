"""A few labelled images of a collection, for what they are worth to a model trained in simulation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dr_env import rng
from dr_env.errors import DREnvError
from dr_env.vision import card
from dr_env.vision.align import AdaBN
from dr_env.vision.hooks import Hook
from dr_env.vision.part import Part
from dr_env.vision.run import Run
from dr_env.vision.samples import Images
from dr_env.vision.train import fingerprint

FEWEST = 2
"""Labelled images that can be learned from: one of them is held out."""


class Few(Part):
    """So many random images of a collection; those of a smaller number are among those of a larger one.

    Args:
        images: the collection.
        count: how many.
        seed: of which; one order of all images belongs to each seed.

    Raises:
        DREnvError: there are fewer, or fewer than `FEWEST` are asked for.
    """

    def __init__(self, images: Images, count: int, seed: int) -> None:
        if not FEWEST <= count <= len(images):
            raise DREnvError(
                f"{images.name}: got {count} labelled images asked for, expected {FEWEST} to {len(images)}"
            )
        rows = rng.generator("labels", seed).permutation(len(images))[:count].tolist()
        super().__init__(images, rows, f"{images.name} ({count} labels of seed {seed})")


def without_labels(init: Path, out: Path, hooks: Sequence[Hook] = ()) -> Path:
    """Writes a trained estimator as the run that no labels lead to: no step of training, but what hooks do at its end.

    Args:
        init: the trained run.
        out: the run's folder: new, empty or this run's.
        hooks: what takes part; a re-estimation of statistics, which needs no training.

    Returns:
        `out`.

    Raises:
        DREnvError: a hook that works while training, or `out` holds something else.
    """
    for hook in hooks:
        if not isinstance(hook, AdaBN):
            raise DREnvError(f"labels: got 0, which trains nothing, and {hook.name}, which works in training")
    estimator = card.load(init)
    used = {hook.name: hook.settings() for hook in hooks}
    run = Run(out)
    run.begin({"begins": fingerprint(estimator), "labels": 0, "hooks": used})
    if not run.finished:
        for hook in hooks:
            hook.begin(estimator)
            hook.finish(estimator)
        card.save(estimator, out, {**card.read(init)["training"], "init": str(init), "labels": 0, "hooks": used})
    return out

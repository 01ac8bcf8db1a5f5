"""Whether refined images still show what their labels say: objects are found again, from the image alone.

A small segmentation network learns, on images as they were rendered and in colours of all kinds, which pixels are
labelled objects. It then looks at other images before and after refinement. An image has kept its objects where the
two masks that it finds agree: their intersection over union is at least a bound.

Training images are shifted round and mirrored, or the network would learn where objects are wont to be. Whether it
looks at the object at all is tried as well, on images from which objects were erased: it must miss them there.

It sees objects that moved, shrank, grew, vanished, or appeared where there are none. It cannot see what leaves the
outline of all objects together as it is: a texture that turns, two objects that change places, a shift of less than a
few pixels; nor objects that it does not find in the images as rendered, which is why those are counted too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dr_env import rng
from dr_env.errors import DREnvError
from dr_env.spatial import Array
from dr_env.vision.augment import augmentation
from dr_env.vision.estimator import to_images

Pixels = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Progress = Callable[[int, int], None]

_SIDE = 96  # px that larger images are squeezed to
_BATCH = 16
_LEAST_PIXELS = 12  # of an object at that size, to be looked for
_WORST = 0.1  # share of images that may be below the bound: the segmentation errs as well
_LEAST_SEEN = 0.5  # share of images in which objects must be found before
_LEAST_FOUND = 0.5  # intersection over union by which an object counts as found
_LEAST_MISSED = 0.8  # share of images in which objects that were erased must not be found


@dataclass(frozen=True, eq=False)
class Verdict:
    """What was found before and after refinement.

    Attributes:
        agreement: (n,) intersection over union of the masks found before and after, of images that could be judged.
        judged: (n,) which images those are, by number.
        found: (m,) intersection over union of the labelled masks and those found before, of all images with objects.
        bound: the least agreement.
    """

    agreement: Array
    judged: NDArray[np.intp]
    found: Array
    bound: float

    @property
    def worst(self) -> float:
        """The agreement that all but a tenth of the images reach."""
        return float(np.quantile(self.agreement, _WORST))

    @property
    def kept(self) -> bool:
        """Whether objects are where they were."""
        return self.worst >= self.bound


class Finder(nn.Module):
    """Finds labelled objects in images: logits (n, S, S) of images (n, 3, S, S), convolutions at two scales."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            )

        self.fine = block(3, width, 2)
        self.coarse = nn.Sequential(
            block(width, 2 * width, 2), *(block(2 * width, 2 * width, 1, d) for d in (1, 2, 4, 1))
        )
        self.merge = block(3 * width, width)
        self.last = nn.Conv2d(width, 4, 1)  # the four pixels of each place

    def forward(self, images: Tensor) -> Tensor:
        """Logits of being an object."""
        fine = self.fine((images - 0.5) * 4)
        around = functional.interpolate(self.coarse(fine), scale_factor=2.0, mode="nearest")
        merged = self.merge(torch.cat([fine, around], 1))
        return functional.pixel_shuffle(self.last(merged), 2)[:, 0]

    @torch.no_grad()
    def found(self, images: Pixels) -> Masks:
        """Masks (n, S, S) of images (n, S, S, 3)."""
        device = next(self.parameters()).device
        parts = [
            self(to_images(torch.from_numpy(images[k : k + 64]).to(device))).cpu().numpy() > 0
            for k in range(0, len(images), 64)
        ]
        return np.concatenate(parts)


def train_finder(
    images: Pixels,
    masks: Masks,
    *,
    steps: int = 400,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = lambda *_: None,
) -> Finder:
    """A Finder that has learned from images as rendered.

    Args:
        images: (n, h, w, 3).
        masks: (n, h, w) of all labelled objects together.
        steps: of sixteen images.
        seed: of everything.
        device: where.
        progress: is told of steps done, and of all.

    Raises:
        DREnvError: no image shows an object that is large enough to be found.
    """
    small, wanted = squeezed(images, masks)
    if not _large(wanted).any():
        raise DREnvError(
            f"check: no labelled object covers {_LEAST_PIXELS} pixels of images of {small.shape[2]} x {small.shape[1]}"
        )
    colours = augmentation("strong")
    with torch.random.fork_rng([]):
        torch.manual_seed(rng.digest("finder", seed) >> 2)
        finder = Finder().to(device)
    optimizer = torch.optim.AdamW(finder.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        generator = rng.generator("finder", seed, step)
        rows = generator.integers(len(small), size=_BATCH)
        pairs = [_shifted(small[row], wanted[row], generator) for row in rows]
        batch = to_images(torch.from_numpy(np.stack([image for image, _ in pairs])))
        if colours is not None:
            batch = colours.augment(batch, torch.Generator().manual_seed(int(generator.integers(2**62))))
        target = torch.from_numpy(np.stack([mask for _, mask in pairs])).float().to(device)
        logits = finder(batch.to(device))
        share = logits.sigmoid()
        # Dice beside cross entropy, so that small objects count (Milletari et al., "V-Net", 2016, equation 5)
        overlap = (2 * (share * target).sum((1, 2)) + 1) / (share.sum((1, 2)) + target.sum((1, 2)) + 1)
        loss = functional.binary_cross_entropy_with_logits(logits, target) + (1 - overlap).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress(step + 1, steps)
    return finder.eval()


def judge(finder: Finder, before: Pixels, after: Pixels, masks: Masks, bound: float) -> Verdict:
    """Compares what is found in images before and after refinement.

    Args:
        finder: that learned from other images of the same kind.
        before, after: (n, h, w, 3).
        masks: (n, h, w) of all labelled objects together.
        bound: the least intersection over union.

    Raises:
        DREnvError: in more than half of the images before refinement objects were not found, or they were found where
            they had been erased, so nothing can be said.
    """
    small, wanted = squeezed(before, masks)
    shown = _large(wanted)
    first = finder.found(small)
    found = overlap(first, wanted)[shown]
    judged = np.flatnonzero(shown)[found >= max(bound, _LEAST_FOUND)]
    what = ""
    if not len(found) or len(judged) < _LEAST_SEEN * len(found):
        what = (
            f"were found again in {len(judged)} of {len(found)} unrefined images, expected {_LEAST_SEEN:.0%} at least"
        )
    else:
        gone = finder.found(_erased(small[judged], wanted[judged]))
        missed = float((overlap(first[judged], gone) < bound).mean())
        if missed < _LEAST_MISSED:
            what = f"were missed in {missed:.0%} of images they were erased from, expected {_LEAST_MISSED:.0%} at least"
    if what:
        raise DREnvError(
            f"check: objects {what}, so whether refinement moved them cannot be said; give it more images or "
            "--check-steps, or look yourself and take --bound 0, which does not check"
        )
    second = finder.found(squeezed(after[judged], masks[judged])[0])
    return Verdict(overlap(first[judged], second), judged, found, bound)


def _shifted(image: Pixels, mask: Masks, generator: np.random.Generator) -> tuple[Pixels, Masks]:
    """An image and its mask, shifted round by anything and mirrored or not."""
    down, across, mirrored = generator.integers(image.shape[0]), generator.integers(image.shape[1]), generator.random()
    step = -1 if mirrored < 0.5 else 1
    return (
        np.roll(image, (down, across), (0, 1))[:, ::step],
        np.roll(mask, (down, across), (0, 1))[:, ::step],
    )


def _erased(images: Pixels, masks: Masks) -> Pixels:
    """Images whose objects are painted over with what lies around them (Telea 2004)."""
    grow = np.ones((5, 5), np.uint8)
    return np.stack(
        [
            cv2.inpaint(image, cv2.dilate(mask.astype(np.uint8), grow), 3, cv2.INPAINT_TELEA)
            for image, mask in zip(images, masks, strict=True)
        ]
    )


def overlap(a: Masks, b: Masks) -> Array:
    """Intersection over union (n,) of masks (n, h, w); 1 where both are empty."""
    union = (a | b).sum((1, 2))
    return np.asarray(np.where(union > 0, (a & b).sum((1, 2)) / np.maximum(union, 1), 1.0))


def squeezed(images: Pixels, masks: Masks) -> tuple[Pixels, Masks]:
    """Images and masks at the size that they are looked at: squares of at most 96 pixels."""
    length = min(_SIDE, *(size // 4 * 4 for size in images.shape[1:3]))
    side = (length, length)
    small = [cv2.resize(image, side, interpolation=cv2.INTER_AREA) for image in images]
    shares = [cv2.resize(mask.astype(np.float32), side, interpolation=cv2.INTER_AREA) for mask in masks]
    return np.array(small, np.uint8), np.array(shares) > 0.5


def picture(finder: Finder, before: Pixels, after: Pixels, masks: Masks, verdict: Verdict, rows: int = 6) -> Pixels:
    """The images in which least was found again, worst first: before, after, and each with what was found outlined.

    Args:
        finder, before, after, masks: as `judge` had them.
        verdict: what it said.
        rows: how many images.
    """
    worst = verdict.judged[np.argsort(verdict.agreement)[:rows]]
    lines = []
    for old, new, mask in zip(before[worst], after[worst], masks[worst], strict=True):
        pair = squeezed(np.stack([old, new]), np.stack([mask, mask]))[0]
        tiles = [_tile(image, None) for image in pair]
        tiles += [_tile(image, seen) for image, seen in zip(pair, finder.found(pair), strict=True)]
        lines.append(np.concatenate(tiles, 1))
    return np.concatenate(lines, 0)


def _tile(image: Pixels, mask: Masks | None, scale: int = 2) -> Pixels:
    big = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    if mask is not None:
        large = cv2.resize(mask.astype(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(big, outlines, -1, (255, 0, 255), 1)
    return np.asarray(big, np.uint8)


def _large(masks: Masks) -> NDArray[np.bool_]:
    return np.asarray(masks.sum((1, 2)) >= _LEAST_PIXELS)

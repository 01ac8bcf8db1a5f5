"""Photometric augmentation by kornia: images that look otherwise and whose labels stay true.

Nothing here moves a pixel: colours, blur, noise, compression, and patches that hide what is behind them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import kornia.augmentation as K
import torch
from torch import Generator, Tensor, nn

from dr_env.errors import DREnvError, unknown_name
from dr_env.vision.hooks import Hook

PRESETS = ("none", "light", "strong")


def augmentation(name: str) -> Augmentation | None:
    """The augmentation of that name, or None for "none". Raises DREnvError for a name that is none of PRESETS."""
    if name not in PRESETS:
        raise DREnvError(unknown_name("augmentation", name, PRESETS))
    return None if name == "none" else Augmentation(name)


class Augmentation(Hook):
    """A chain of kornia's augmentations, each drawn for each image on its own.

    Args:
        preset: "light" (what another exposure and a little noise do) or "strong" (also hue, gamma, JPEG's blocks, lost
            colour, and patches that hide up to a tenth of the image).
    """

    name: ClassVar[str] = "augment"

    def __init__(self, preset: str) -> None:
        self.preset = preset
        self._chain = nn.Sequential(*(_light() if preset == "light" else _strong())).eval()

    def settings(self) -> dict[str, Any]:
        """The preset."""
        return {"preset": self.preset}

    @torch.no_grad()
    def augment(self, images: Tensor, generator: Generator) -> Tensor:
        """Images (n, 3, S, S) in 0..1, drawn by the generator alone."""
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        devices = [images.device] if images.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # kornia draws from torch's own generator
            torch.manual_seed(seed)
            made: Tensor = self._chain(images)
        return made.clamp(0, 1)


def _light() -> tuple[nn.Module, ...]:
    return (
        K.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, p=0.8),
        K.RandomGaussianBlur((5, 5), (0.2, 1.0), p=0.2),
        K.RandomGaussianNoise(std=0.02, p=0.3),
    )


def _strong() -> tuple[nn.Module, ...]:
    return (
        K.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.5, hue=0.1, p=0.9),
        K.RandomRGBShift(0.15, 0.15, 0.15, p=0.4),  # a cast
        K.RandomGamma((0.6, 1.6), p=0.4),
        K.RandomGrayscale(p=0.05),
        K.RandomErasing(scale=(0.005, 0.05), value=0.1, p=0.25),
        K.RandomErasing(scale=(0.005, 0.05), value=0.8, p=0.25),
        K.RandomGaussianBlur((5, 5), (0.2, 1.6), p=0.3),
        K.RandomGaussianNoise(std=0.04, p=0.5),
        K.RandomJPEG(jpeg_quality=(35.0, 90.0), p=0.1),
    )

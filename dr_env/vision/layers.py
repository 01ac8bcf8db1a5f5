"""Building blocks of the estimators' networks: small enough to train on two cores."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; the normalisation is what re-estimation on other images moves."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Residual(nn.Module):
    """Two convolutions whose result is added to what goes in: (n, c, h, w) to the same (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = block(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        """The features, refined."""
        return functional.relu(features + cast(Tensor, self.second(self.first(features))))


class Pyramid(nn.Module):
    """Feature maps (n, width, S/4, S/4) of images (n, 3, S, S) that know what lies around each place.

    Down to S/16, then up again with what was seen on the way (Lin et al., "Feature pyramid networks", CVPR 2017).
    Strides come early, so that most of the work is done on small maps.

    Args:
        width: channels at S/4; twice as many at S/8, three times at S/16.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(block(3, width // 2, 5, 2), block(width // 2, width, 3, 2), Residual(width))
        self.middle = nn.Sequential(block(width, 2 * width, 3, 2), Residual(2 * width))
        self.deep = nn.Sequential(block(2 * width, 3 * width, 3, 2), Residual(3 * width), Residual(3 * width))
        self.from_deep = block(3 * width, 2 * width, 1)
        self.merge_middle = block(2 * width, 2 * width)
        self.from_middle = block(2 * width, width, 1)
        self.merge_stem = block(width, width)

    def forward(self, images: Tensor) -> Tensor:
        """The feature maps."""
        # centred, so that the first normalisation starts near what it ends at
        fine = self.stem((images - 0.5) * 4)
        middle = self.middle(fine)
        middle = self.merge_middle(middle + _double(self.from_deep(self.deep(middle))))
        return cast(Tensor, self.merge_stem(fine + _double(self.from_middle(middle))))


def _double(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """The middles (height, width, 2) of a map's cells, x then y, where the image's edges are at -1 and 1."""
    x = (torch.arange(width, device=device) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, device=device) + 0.5) * (2 / height) - 1
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)


def bumps(places: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Gaussian heatmaps (..., height, width), each of sum 1, about places (..., 2) in `grid`'s coordinates.

    Args:
        places: x and y; those outside the map are drawn at its border.
        height, width: cells.
        sigma: standard deviation in cells.
    """
    x = (torch.arange(width, device=places.device) + 0.5) - (places[..., :1].clamp(-1, 1) + 1) * (width / 2)
    y = (torch.arange(height, device=places.device) + 0.5) - (places[..., 1:].clamp(-1, 1) + 1) * (height / 2)
    heat = torch.exp(-(y * y)[..., :, None] / (2 * sigma**2)) * torch.exp(-(x * x)[..., None, :] / (2 * sigma**2))
    return heat / heat.sum((-2, -1), keepdim=True)

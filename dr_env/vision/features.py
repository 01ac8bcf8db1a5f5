"""Features: numbers that say how an image looks, in which worlds are compared."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_env.errors import DREnvError, unknown_name
from dr_env.spatial import Array
from dr_env.vision.estimator import Estimator, pooled, squeezed, to_images
from dr_env.vision.filters import FilterBank

Pixels = NDArray[np.uint8]

_BATCH = 64


class Features(Protocol):
    """Feature vectors (n, d) of images (n, h, w, 3) uint8 RGB; a function of each image alone."""

    @property
    def name(self) -> str:
        """What it is, for cards and provenance."""

    def __call__(self, images: Pixels) -> Array: ...


class EncodedFeatures:
    """An estimator's own: the mean over the image of the maps that its encoder makes.

    Args:
        estimator: trained; images are squeezed to the square that it takes.
        name: where it is from.
    """

    def __init__(self, estimator: Estimator, name: str) -> None:
        self.name = name
        self._estimator = estimator.eval()

    def __call__(self, images: Pixels) -> Array:
        shown = np.stack([squeezed(image, self._estimator.size) for image in images])
        return _batches(lambda batch: pooled(self._estimator.encode(batch)), shown, self.name)


class ModuleFeatures:
    """The user's own: a torch module that takes images (n, 3, h, w), float in 0..1 RGB.

    Args:
        module: gives vectors (n, d), or maps (n, c, h, w), of which the mean over the image is taken.
        name: where it is from.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self.name = name
        self._module = module.eval()

    def __call__(self, images: Pixels) -> Array:
        return _batches(self._module, images, self.name)


def _batches(network: Callable[[Tensor], Tensor], images: Pixels, name: str) -> Array:
    """A network's feature vectors. Raises DREnvError where it gives something else."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            batch = to_images(torch.from_numpy(np.ascontiguousarray(images[start : start + _BATCH])))
            try:
                found = network(batch)
            except (RuntimeError, TypeError, ValueError) as error:
                shape = " x ".join(map(str, batch.shape))
                raise DREnvError(f"{name}: fails on {shape} numbers of images, 0 to 1: {error}") from error
            if not isinstance(found, Tensor) or found.ndim not in (2, 4) or len(found) != len(batch):
                got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
                raise DREnvError(
                    f"{name}: got {got} for {len(batch)} images, expected vectors ({len(batch)}, d) or maps "
                    f"({len(batch)}, c, h, w)"
                )
            parts.append((pooled(found) if found.ndim == 4 else found).double().numpy())
    features = np.concatenate(parts)
    if not np.isfinite(features).all():
        raise DREnvError(f"{name}: gives features that are not finite")
    return features


def make_features(text: str, load: Callable[[Path], Estimator]) -> Features:
    """Features by name.

    Args:
        text: `bank` for the filter bank, `package.module:factory` for a function that makes a torch module, or else
            the folder of a trained estimator.
        load: reads a trained estimator.

    Raises:
        DREnvError: for what is none of these.
    """
    if text == "bank":
        return FilterBank()
    if ":" in text:
        return ModuleFeatures(_made(text), text)
    if not Path(text).is_dir():
        raise DREnvError(
            f"features: got {text!r}, expected bank, package.module:factory, or the folder of a trained estimator"
        )
    return EncodedFeatures(load(Path(text)), text)


def _made(text: str) -> nn.Module:
    """What `package.module:factory` makes."""
    place, _, factory = text.partition(":")
    try:
        module = importlib.import_module(place)
    except ImportError as error:
        raise DREnvError(f"features: {place}: cannot import it: {error}") from error
    names = cast(Mapping[str, object], vars(module))
    if factory not in names:
        known = [name for name, value in names.items() if callable(value) and not name.startswith("_")]
        raise DREnvError(f"features: {place}: {unknown_name('function', factory, known)}")
    make = names[factory]
    try:
        found = make() if callable(make) else make
    except Exception as error:
        raise DREnvError(f"features: {text}: {factory}() fails: {type(error).__name__}: {error}") from error
    if not isinstance(found, nn.Module):
        raise DREnvError(f"features: {text}: made {type(found).__name__}, expected a torch.nn.Module")
    return found

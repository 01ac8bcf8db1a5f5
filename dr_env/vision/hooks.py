"""What may take part in an estimator's training beside its own loss: augmentation and adaptation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dr_env.vision.estimator import Estimator


class Hook:
    """Takes part in training; every method does nothing unless a subclass says otherwise.

    Whatever is random in it must follow from the generator or the step that it is given, and whatever it remembers
    must be in its `state_dict`, so that a training that goes on after an interruption ends at the same weights.

    Attributes:
        name: in run.json and in the card.
    """

    name: ClassVar[str]

    def settings(self) -> dict[str, Any]:
        """Plain data that says what it does, for run.json and the card."""
        return {}

    def begin(self, estimator: Estimator) -> None:
        """Called once before training and before `load_state_dict`, with the estimator on its device."""

    def augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Training images (n, 3, S, S), 0..1, looking different; labels stay, so nothing in them may move.

        Args:
            images: of a training step.
            generator: on the CPU, set anew for each step.
        """
        return images

    def loss(self, features: Tensor, step: int, total: int) -> Tensor | None:
        """A scalar to minimise too, of feature maps (n, c, h, w) of the step's images; None for nothing.

        Args:
            features: `estimator.encode` of the augmented images, with gradients.
            step: the number of the step, from 0.
            total: how many steps there are.
        """
        return None

    def parameters(self) -> Iterable[nn.Parameter]:
        """Its own parameters, trained along; the same ones in the same order after `begin`."""
        return ()

    def state_dict(self) -> dict[str, Tensor]:
        """What it remembers, parameters too, by name."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what `state_dict` gave."""

    def finish(self, estimator: Estimator) -> None:
        """Called once after training with the best weights, which it may change, before the last card is written."""

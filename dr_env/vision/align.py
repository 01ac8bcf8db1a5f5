"""Features of target images made like those of training images, without labels: hooks of a training.

Each reads a stream of target images of its own. Batch normalisation sees to it that a target batch is normalised by its
own statistics and not by the training images', in training as when the trained network is asked: so all of them end by
counting the running statistics on target images, as AdaBN does and nothing else (Chang et al., "Domain-specific batch
normalization", CVPR 2019, keep two sets). With the training images' statistics instead, the adversary drives target
features out of all bounds.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from dr_env import rng
from dr_env.errors import DREnvError, unknown_name
from dr_env.vision.estimator import Estimator, pooled, to_images
from dr_env.vision.hooks import Hook
from dr_env.vision.known import known_by
from dr_env.vision.samples import Images

_MOST = 4000  # target images that are kept in memory: 110 MB of 96 x 96 pixels


class TargetStream:
    """What an estimator looks at in unlabelled images, in random batches; a batch depends on (seed, step) alone.

    Args:
        estimator: whose input it is.
        images: the target's; of more than 4000, 4000 at equal intervals.
        batch: images a batch.
        seed: of the batches.

    Raises:
        DREnvError: fewer target images than a batch.
    """

    def __init__(self, estimator: Estimator, images: Images, batch: int, seed: int) -> None:
        picked = np.linspace(0, len(images) - 1, min(len(images), _MOST)).round().astype(int)
        views = [
            view
            for index in picked.tolist()
            for view in estimator.unlabelled(images[index], rng.generator("target views", seed, index))
        ]
        if len(views) < batch:
            raise DREnvError(f"{images.name}: got {len(views)} target images, expected a batch of {batch} at least")
        self.views: NDArray[np.uint8] = np.stack(views)  # (N, S, S, 3)
        self.batch, self.seed = batch, seed

    def at(self, step: int, device: torch.device) -> Tensor:
        """The batch (batch, 3, S, S) of a step."""
        rows = rng.generator("target batch", self.seed, step).choice(len(self.views), self.batch, replace=False)
        return to_images(torch.from_numpy(self.views[rows]).to(device))

    def all(self, device: torch.device) -> Iterator[Tensor]:
        """All of them (n, 3, S, S) in batches of equal size but for the last."""
        for start in range(0, len(self.views), self.batch):
            yield to_images(torch.from_numpy(self.views[start : start + self.batch]).to(device))


class Alignment(Hook):
    """What the hooks here share: a stream of target images, and statistics counted on them at the end.

    Args:
        target: images, whose labels are not looked at.
        batch: target images a step.
        seed: of their batches.

    Raises:
        DREnvError: when training begins, where there are fewer target images than a batch.
    """

    def __init__(self, target: Images, batch: int = 32, seed: int = 0) -> None:
        self.target, self.batch, self.seed = target, batch, seed
        self._known = known_by(target)

    def settings(self) -> dict[str, Any]:
        """Which images, how many at a time, and the seed."""
        return {"target": self._known, "batch": self.batch, "seed": self.seed}

    def begin(self, estimator: Estimator) -> None:
        """Opens the stream."""
        self._estimator = estimator
        self._stream = TargetStream(estimator, self.target, self.batch, self.seed)

    def _features(self, step: int, like: Tensor) -> Tensor:
        """Feature maps of a step's target images, which leave the running statistics as they are."""
        with _own(self._estimator):
            return self._estimator.encode(self._stream.at(step, like.device))

    @torch.no_grad()
    def finish(self, estimator: Estimator) -> None:
        """Counts the statistics of batch normalisation, where there is any, on target images.

        The variance of a layer is the mean of its batches' variances, from one pass over all target images.
        """
        layers = _normalisations(estimator)
        was = [layer.momentum for layer in layers]
        training = estimator.training
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the mean of all batches
        estimator.train()
        for images in self._stream.all(next(estimator.parameters()).device):
            if len(images) == self._stream.batch:  # each batch counts alike
                estimator(images)
        for layer, momentum in zip(layers, was, strict=True):
            layer.momentum = momentum
        estimator.train(training)


def alignment(name: str, target: Images, batch: int = 32, seed: int = 0) -> Alignment:
    """The method of that name: coral, dann or adabn. Raises DREnvError for other names."""
    if name not in METHODS:
        raise DREnvError(unknown_name("adaptation", name, METHODS))
    return METHODS[name](target, batch, seed)


class Coral(Alignment):
    """CORAL: the covariance of target features is drawn to that of training features.

    Sun and Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV workshops 2016, equations 1 to
    3: L = |C_S - C_T|_F^2 / 4 d^2. Here every place of a feature map is a sample, since theirs were vectors; the means
    are drawn together as well, since these features are read where they stand and not only compared; and both are
    divided by the training features' own size, so that one weight serves all networks and features gain nothing by
    shrinking.

    Args:
        target, batch, seed: as in `Alignment`.
        weight: beside the estimator's own loss.
    """

    name: ClassVar[str] = "coral"

    def __init__(self, target: Images, batch: int = 32, seed: int = 0, weight: float = 1.0) -> None:
        super().__init__(target, batch, seed)
        self.weight = weight

    def settings(self) -> dict[str, Any]:
        """The weight too."""
        return {**super().settings(), "weight": self.weight}

    def loss(self, features: Tensor, step: int, total: int) -> Tensor:
        """The distance of means and covariances, growing in weight as `ramp` says."""
        target = self._features(step, features)
        mean, covariance = _moments(features)
        mean_target, covariance_target = _moments(target)
        second = (covariance - covariance_target).square().sum() / covariance.detach().square().sum()
        first = (mean - mean_target).square().sum() / mean.detach().square().sum()
        return self.weight * ramp(step, total) * (first + second)


class Dann(Alignment):
    """DANN: features from which a classifier cannot tell training images from target images.

    Ganin and Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML 2015, section 3: between features and
    a classifier of domains stands a layer that turns gradients round, lambda times (equation 14's schedule). The
    classifier looks at the mean and the deviation of each feature over the image.

    Args:
        target, batch, seed: as in `Alignment`.
        weight: of the turned gradients, at the end of the schedule.
        hidden: width of the classifier.
    """

    name: ClassVar[str] = "dann"

    def __init__(self, target: Images, batch: int = 32, seed: int = 0, weight: float = 0.3, hidden: int = 64) -> None:
        super().__init__(target, batch, seed)
        self.weight, self.hidden = weight, hidden

    def settings(self) -> dict[str, Any]:
        """Weight and width too."""
        return {**super().settings(), "weight": self.weight, "hidden": self.hidden}

    def begin(self, estimator: Estimator) -> None:
        """Opens the stream and makes the classifier."""
        super().begin(estimator)
        with torch.no_grad():
            channels = self._features(0, next(estimator.parameters())).shape[1]
        with torch.random.fork_rng([]):
            torch.manual_seed(rng.digest("dann", self.seed) >> 2)
            self._classifier = nn.Sequential(
                nn.Linear(2 * channels, self.hidden), nn.ReLU(),
                nn.Linear(self.hidden, self.hidden), nn.ReLU(),
                nn.Linear(self.hidden, 1),
            ).to(next(estimator.parameters()).device)  # fmt: skip

    def loss(self, features: Tensor, step: int, total: int) -> Tensor:
        """The classifier's cross entropy, whose gradients reach the features turned round."""
        target = self._features(step, features)
        share = self.weight * ramp(step, total)
        described = torch.cat([_described(features), _described(target)])
        logits = self._classifier(_Reversed.apply(described, share))[:, 0]  # type: ignore[no-untyped-call]
        domain = torch.cat([torch.ones(len(features)), torch.zeros(len(target))]).to(logits.device)
        return functional.binary_cross_entropy_with_logits(logits, domain)

    def parameters(self) -> Iterable[nn.Parameter]:
        """The classifier's."""
        return self._classifier.parameters()

    def state_dict(self) -> dict[str, Tensor]:
        """The classifier's weights."""
        return self._classifier.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes the classifier's weights back."""
        self._classifier.load_state_dict(state)


class AdaBN(Alignment):
    """AdaBN: statistics of batch normalisation counted on target images, once training is over.

    Li, Wang, Shi, Liu, Hou, "Revisiting batch normalization for practical domain adaptation", 2016, algorithm 1.

    Raises:
        DREnvError: when training begins, where the estimator has no such layer.
    """

    name: ClassVar[str] = "adabn"

    def begin(self, estimator: Estimator) -> None:
        """Opens the stream."""
        if not _normalisations(estimator):
            raise DREnvError(f"adabn: the estimator {estimator.kind!r} has no batch normalisation to re-estimate")
        super().begin(estimator)


METHODS: dict[str, type[Alignment]] = {cls.name: cls for cls in (Coral, Dann, AdaBN)}


def ramp(step: int, total: int) -> float:
    """From 0 to 1 over a training: 2 / (1 + exp(-10 p)) - 1 at the share p of its steps (Ganin and Lempitsky)."""
    return 2 / (1 + math.exp(-10 * step / max(total, 1))) - 1


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is turned round and scaled."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradients[0], None


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (c,) and covariance (c, c) of feature maps (n, c, h, w), a sample a place."""
    rows = features.transpose(0, 1).flatten(1)  # (c, n h w)
    return rows.mean(1), torch.cov(rows)


def _described(features: Tensor) -> Tensor:
    """Mean and deviation (n, 2 c) of each feature over the image."""
    deviation = (features.var((2, 3), unbiased=False) + 1e-5).sqrt()
    return torch.cat([pooled(features), deviation], 1)


def _normalisations(estimator: nn.Module) -> list[_BatchNorm]:
    return [module for module in estimator.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]


@contextlib.contextmanager
def _own(estimator: nn.Module) -> Iterator[None]:
    """Batch normalisation by each batch's own statistics, which running statistics do not learn of."""
    layers = _normalisations(estimator)
    was = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, was, strict=True):
            layer.momentum = momentum

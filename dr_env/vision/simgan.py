"""SimGAN: a network that makes rendered images look like target images and leaves what they show where it is.

Shrivastava, Pfister, Tuzel, Susskind, Wang, Webb, "Learning from simulated and unsupervised images through adversarial
training", CVPR 2017 (arXiv 1612.07828): the refiner R is fully convolutional and strides nowhere; a critic D tells
refined from target images patch by patch (section 2.3); half of what it learns from are earlier refined images (section
2.4); and R pays for every pixel that it changes (equation 4). Algorithm 1 alternates K_g steps of R with K_d of D.

Where this differs: R adds to the image what starts as nothing, so that its own warm-up is not needed; both are trained
by Adam and on crops, being fully convolutional; and the price of a change is the mean over the object's pixels and the
mean over the others, each with a weight of its own (after Wang et al.), so that a small object is no prey of what lies
around it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from dr_env import rng
from dr_env.errors import DREnvError
from dr_env.files import atomic_path

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]

_SAVE_EVERY = 100  # steps


@dataclass(frozen=True)
class SimGanSettings:
    """How a refiner is trained.

    Attributes:
        steps: of the alternation, after the critic's warm-up.
        batch: crops a step.
        crop: their side, px; images that are smaller give smaller ones.
        width, blocks: channels and residual blocks of the refiner.
        rate: learning rate.
        keep_object, keep_background: what a change of an object's pixels, or of others, costs.
        refiner_steps, critic_steps: K_g and K_d of algorithm 1.
        warm_up: steps of the critic alone at the beginning.
        history: refined crops that are kept.
        seed: of everything.
    """

    steps: int = 800
    batch: int = 16
    crop: int = 64
    width: int = 32
    blocks: int = 4
    rate: float = 2e-4
    keep_object: float = 6.0
    keep_background: float = 3.0
    refiner_steps: int = 2
    critic_steps: int = 1
    warm_up: int = 100
    history: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "crop", "width", "blocks", "refiner_steps", "critic_steps", "history"):
            if getattr(self, name) < 1:
                raise DREnvError(f"simgan {name}: got {getattr(self, name)}, expected at least 1")
        if self.batch < 2 or self.batch % 2 or self.history < self.batch:
            raise DREnvError(
                f"simgan batch, history: got {self.batch} and {self.history}, expected an even batch and no fewer kept"
            )
        if min(self.keep_object, self.keep_background) < 0 or not self.rate > 0:
            raise DREnvError("simgan: expected weights of 0 or more and a learning rate above 0")


class Refiner(nn.Module):
    """Images (n, 3, h, w) in 0..1 of any size to the same, looking otherwise.

    Args:
        width: channels.
        blocks: residual blocks of two convolutions; a pixel depends on those within 2 blocks + 1 of it.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1, padding_mode="replicate")
        self.blocks = nn.ModuleList(_Residual(width) for _ in range(blocks))
        self.last = nn.Conv2d(width, 3, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast(Tensor, self.last.bias))

    def forward(self, images: Tensor) -> Tensor:
        """Refined images; below 0 and above 1 as well, so that gradients reach what is black or white."""
        features = functional.relu(self.first(images * 2 - 1))
        for block in self.blocks:
            features = block(features)
        return images + cast(Tensor, self.last(features))

    @torch.no_grad()
    def refined(self, image: Pixels) -> Pixels:
        """An image (h, w, 3) refined."""
        made = self(_floats(image[None]).to(next(self.parameters()).device))
        return np.asarray((made[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")
        self.second = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + cast(Tensor, self.second(functional.relu(self.first(features)))))


class Critic(nn.Sequential):
    """Logits (n, 1, h', w') of each patch of images (n, 3, h, w) being refined and not the target's."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 48, 3, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(48, 64, 3, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(64, 64, 3, 1, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(64, 32, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(32, 1, 1),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Crops:
    """Images of one size, of which random crops are taken.

    Attributes:
        images: (N, h, w, 3).
        masks: (N, h, w) where objects are; None for target images.
    """

    images: Pixels
    masks: NDArray[np.bool_] | None = None

    def at(self, side: int, count: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Crops (count, 3, side, side) in 0..1 anywhere in any image, and their objects' masks (count, 1, side, side).

        Rendered and target crops are taken alike: had one kind more of the object, the critic would learn to count it.
        """
        height, width = self.images.shape[1:3]
        down, across = min(side, height), min(side, width)
        which = generator.integers(len(self.images), size=count)
        tops = generator.integers(height - down + 1, size=count)
        lefts = generator.integers(width - across + 1, size=count)
        places = [(i, slice(y, y + down), slice(x, x + across)) for i, y, x in zip(which, tops, lefts, strict=True)]
        images = np.stack([self.images[place] for place in places])
        masks = np.zeros(images.shape[:3], bool) if self.masks is None else np.stack([self.masks[p] for p in places])
        return _floats(images), torch.from_numpy(masks)[:, None]


class SimGan:
    """A refiner and its critic in training.

    Args:
        source: rendered images with masks.
        target: target images.
        settings: how.
        device: where.
    """

    def __init__(self, source: Crops, target: Crops, settings: SimGanSettings, device: str = "cpu") -> None:
        self._source, self._target, self.settings, self._device = source, target, settings, torch.device(device)
        self.done = 0
        with torch.random.fork_rng([]):
            torch.manual_seed(rng.digest("simgan", settings.seed) >> 2)
            self.refiner = Refiner(settings.width, settings.blocks).to(device)
            self.critic = Critic().to(device)
        self._tune_refiner = _adam(self.refiner, settings.rate)
        self._tune_critic = _adam(self.critic, settings.rate)
        side = (min(settings.crop, source.images.shape[1]), min(settings.crop, source.images.shape[2]))
        self._history = torch.zeros(settings.history, 3, *side)
        self._kept = 0

    @property
    def total(self) -> int:
        """Steps in all, the warm-up's too."""
        return self.settings.warm_up + self.settings.steps

    def step(self) -> tuple[float, float]:
        """One step of algorithm 1; the refiner's loss and the critic's. Its randomness depends on its number alone."""
        generator = rng.generator("simgan", self.settings.seed, self.done)
        refiner_loss = 0.0
        if self.done >= self.settings.warm_up:
            for _ in range(self.settings.refiner_steps):
                refiner_loss = self._step_refiner(generator)
        for _ in range(self.settings.critic_steps):
            critic_loss = self._step_critic(generator)
        self.done += 1
        if not np.isfinite(refiner_loss + critic_loss):
            raise DREnvError(f"simgan: the loss is not a number after {self.done} steps; try a lower learning rate")
        return refiner_loss, critic_loss

    def _step_refiner(self, generator: np.random.Generator) -> float:
        images, masks = self._drawn(self._source, self.settings.batch, generator)
        refined = self.refiner(images)
        logits = self.critic(refined)
        fooled = functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))  # equation 3
        change = (refined - images).abs().mean(1, keepdim=True)
        price = self.settings.keep_object * _mean(change, masks) + self.settings.keep_background * _mean(change, ~masks)
        loss = fooled + price  # equation 4
        self._tune_refiner.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._tune_refiner.step()
        return float(loss.detach())

    def _step_critic(self, generator: np.random.Generator) -> float:
        batch = self.settings.batch
        images, _ = self._drawn(self._source, batch, generator)
        with torch.no_grad():
            refined = self.refiner(images).clamp(0, 1)
        fresh = refined.cpu()
        if self._kept >= batch // 2:
            old = generator.choice(self._kept, batch // 2, replace=False)
            refined = torch.cat([refined[: batch // 2], self._history[old].to(self._device)])
        self._remember(fresh[: batch // 2], generator)
        target, _ = self._drawn(self._target, batch, generator)
        ours, theirs = self.critic(refined), self.critic(target)
        loss = functional.binary_cross_entropy_with_logits(ours, torch.ones_like(ours))  # equation 2
        loss = loss + functional.binary_cross_entropy_with_logits(theirs, torch.zeros_like(theirs))
        self._tune_critic.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._tune_critic.step()
        return float(loss.detach())

    def _drawn(self, crops: Crops, count: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        images, masks = crops.at(self.settings.crop, count, generator)
        return images.to(self._device), masks.to(self._device)

    def _remember(self, refined: Tensor, generator: np.random.Generator) -> None:
        """Fills the history, then replaces half a batch of it (section 2.4)."""
        room = min(len(refined), len(self._history) - self._kept)
        self._history[self._kept : self._kept + room] = refined[:room]
        self._kept += room
        if room < len(refined):
            rows = generator.choice(len(self._history), len(refined) - room, replace=False)
            self._history[rows] = refined[room:]

    def fit(self, folder: Path, progress: Progress = lambda *_: None) -> Refiner:
        """Trains, going on where an interrupted run saved; the result is that of a run without interruption.

        Args:
            folder: of what is saved.
            progress: is told of steps done, and of all.
        """
        path = folder / "simgan.safetensors"
        if path.is_file():
            self.load(path)
        progress(self.done, self.total)
        while self.done < self.total:
            self.step()
            if self.done % _SAVE_EVERY == 0 or self.done == self.total:
                self.save(path)
            progress(self.done, self.total)
        return self.refiner.eval()

    def save(self, path: Path) -> None:
        """Writes everything that the next step depends on, atomically."""
        tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in self._state()}
        about = {"step": str(self.done), "kept": str(self._kept), "settings": repr(dataclasses.asdict(self.settings))}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, about)

    def load(self, path: Path) -> None:
        """Takes back what `save` wrote. Raises DREnvError for a damaged file, or one of other settings."""
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata()
            found = load_file(path)
        except (OSError, SafetensorError) as error:
            raise DREnvError(f"{path}: damaged: {error}; remove it to begin again") from error
        if about.get("settings") != repr(dataclasses.asdict(self.settings)):
            raise DREnvError(f"{path}: was trained with other settings; choose another --out, or --overwrite")
        with torch.no_grad():
            for key, tensor in self._state():
                tensor.copy_(found[key])
        self.done, self._kept = int(about["step"]), int(about["kept"])

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        networks: Sequence[tuple[str, nn.Module, torch.optim.Adam]] = (
            ("refiner", self.refiner, self._tune_refiner),
            ("critic", self.critic, self._tune_critic),
        )
        for name, network, optimizer in networks:
            for key, parameter in network.named_parameters():
                yield f"{name}.{key}", parameter
                for moment, value in optimizer.state[parameter].items():
                    yield f"{name}.{key}.{moment}", value
        yield "history", self._history


def _adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    """Adam, with the state that it would make at its first step, so that it can be saved before."""
    optimizer = torch.optim.Adam(network.parameters(), rate, betas=(0.5, 0.999))
    for parameter in network.parameters():
        zeros = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": torch.zeros(()), **zeros}
    return optimizer


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """The mean of values (n, 1, h, w) where a mask is set; 0 where it is set nowhere."""
    return (values * where).sum() / where.sum().clamp(min=1)


def _floats(images: Pixels) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)

"""Trains an estimator on labelled images: deterministic, resumable, the best kept by its error on held-out images."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_env.errors import DREnvError, unknown_name
from dr_env.locks import alone
from dr_env.records import versions
from dr_env.rng import digest
from dr_env.vision import card
from dr_env.vision.bank import Bank
from dr_env.vision.estimator import Estimator, Labels, to_images
from dr_env.vision.hooks import Hook
from dr_env.vision.known import known_by, seen
from dr_env.vision.run import Run, Tensors
from dr_env.vision.samples import Images

_PACKAGES = ("dr-env", "torch", "numpy", "kornia")
_PRECISIONS = ("float32", "bfloat16")
_WARM_UP = 0.05  # share of the steps in which the learning rate rises
_MAX_NORM = 5.0  # of the gradient
_PREPARE = 4096  # examples that outputs are scaled by
_JUDGED = 256  # held-out images at a time
_LONGEST = 60.0  # s without a checkpoint


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes:
        epochs: how often each training image is seen; `steps` goes before it.
        steps: how many steps.
        batch: examples a step.
        learning_rate: at its highest: it rises for a twentieth of the steps and then falls to 0 as a cosine does.
        weight_decay: of AdamW (Loshchilov & Hutter 2019).
        held_out: share of the images that are only judged on; at least one image.
        seed: of everything random.
        threads: of torch; 0 for all. Results depend on it in their last bits.
        workers: processes that make training examples; None for as many as are worth it.
        device: "cpu", "cuda" or "auto" for the latter where there is one.
        precision: "float32", or "bfloat16" for the network's forward and backward pass (weights, losses and what
            is judged stay float32), half the work where the processor has bfloat16 and more where it has not.
        checkpoint_every: steps between checkpoints to go on from; slow steps have one every minute as well.
        evaluate_every: steps between looks at the held-out images; 0 for twenty in all.
    """

    epochs: float = 20.0
    steps: int | None = None
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    held_out: float = 0.05
    seed: int = 0
    threads: int = 0
    workers: int | None = None
    device: str = "auto"
    precision: str = "float32"
    checkpoint_every: int = 500
    evaluate_every: int = 0

    def __post_init__(self) -> None:
        least = {"epochs": 1e-9, "batch": 2, "learning_rate": 1e-12, "weight_decay": 0, "held_out": 1e-9}
        least |= {"seed": 0, "threads": 0, "checkpoint_every": 1, "evaluate_every": 0}
        for name, value in least.items():
            if not value <= getattr(self, name) < math.inf:
                raise DREnvError(f"{name}: got {getattr(self, name)}, expected at least {value}, and finite")
        if self.precision not in _PRECISIONS:
            raise DREnvError(unknown_name("precision", self.precision, _PRECISIONS))
        if self.steps is not None and self.steps < 1:
            raise DREnvError(f"steps: got {self.steps}, expected at least 1")
        if self.held_out > 0.9:
            raise DREnvError(f"held_out: got {self.held_out}, expected a share of up to 0.9")

    @property
    def emulates(self) -> bool:
        """Whether the processor that trains has no bfloat16 and nothing that is quick at imitating it."""
        on_cpu = self.device == "cpu" or not torch.cuda.is_available()
        return on_cpu and self.precision == "bfloat16" and torch.backends.cpu.get_cpu_capability() == "AVX2"


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        step, steps: done, and in all.
        loss: its mean over the latest steps.
        error: on the held-out images when they were last looked at, in the estimator's unit; nan before.
        best: the least such error.
        rate: training examples a second since this process began.
    """

    step: int
    steps: int
    loss: float
    error: float
    best: float
    rate: float


def train(
    estimator: Estimator,
    data: Sequence[Images],
    out: Path,
    settings: TrainSettings,
    *,
    hooks: Sequence[Hook] = (),
    progress: Callable[[Progress], None] = lambda _: None,
    preparing: Callable[[int, int], None] = lambda *_: None,
    fresh: bool = True,
    bank: Path | None = None,
) -> Path:
    """Trains an estimator, or goes on where an earlier call with the same arguments stopped, to the same weights.

    Args:
        estimator: what to train; left with the best weights.
        data: what to train and judge on; of the estimator's classes.
        out: the run's folder: new, empty or this run's.
        settings: how.
        hooks: augmentation and adaptation that take part.
        progress: is told how far it is after every step.
        preparing: is told how many images are made into training examples, and of how many, from another thread.
        fresh: whether the estimator takes its scales from this data; not one that goes on from trained weights.
        bank: where training examples are kept for other runs; by default in `out`, and only until the end.

    Returns:
        `out`, from which `card.load` gives the best estimator.

    Raises:
        DREnvError: where the data does not fit, `out` holds something else, or the loss is no longer a number.
    """
    for images in data:
        card.check_models(estimator, images)
        if not fresh:
            card.check_symmetries(estimator, images)
    run = Run(out)
    run.begin(_what(estimator, data, settings, hooks, fresh))
    if run.finished:
        trained = card.load(out)
        estimator.load_state_dict(trained.state_dict())
        estimator.trained_on = trained.trained_on
        return out
    if settings.emulates:
        print("bfloat16 is emulated on this processor, and takes many times as long as float32", file=sys.stderr)
    estimator.trained_on = (*(() if fresh else estimator.trained_on), *map(seen, data))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(settings.threads or os.cpu_count() or 1)
        with alone(out, "training"), torch.random.fork_rng():
            with Bank(
                estimator,
                data,
                bank or run.bank,
                seed=settings.seed,
                held_out=settings.held_out,
                workers=settings.workers,
                progress=preparing,
            ) as prepared:
                _Training(estimator, prepared, run, settings, hooks, progress, fresh).go()
            if bank is None:
                prepared.discard()
    finally:
        torch.set_num_threads(threads)
    return out


class _Training:
    """One call of `train`."""

    def __init__(
        self,
        estimator: Estimator,
        bank: Bank,
        run: Run,
        settings: TrainSettings,
        hooks: Sequence[Hook],
        progress: Callable[[Progress], None],
        fresh: bool,
    ) -> None:
        self.settings, self.run, self.hooks, self.progress = settings, run, hooks, progress
        self.device = pick_device(settings.device)
        self.bank = bank
        if fresh:
            estimator.prepare(bank.labels(_PREPARE))
        self.estimator = estimator.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for hook in hooks:
            hook.begin(self.estimator)
        self.steps = settings.steps or max(1, math.ceil(settings.epochs * bank.size / settings.batch))
        self.evaluate_every = settings.evaluate_every or max(1, self.steps // 20)
        self.parameters = [*self.estimator.parameters(), *(p for hook in hooks for p in hook.parameters())]
        self.optimizer = torch.optim.AdamW(
            self.parameters, settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.step, self.error, self.best, self.loss = 0, math.nan, math.inf, math.nan
        self.kept: str | None = None  # the newest checkpoint, for messages

    def go(self) -> None:
        """Runs to the end."""
        self._resume()
        began, first = time.perf_counter(), self.step
        kept = began
        for batch in self.bank.batches(self.settings.batch, self.step, self.steps):
            self._advance(batch)
            self.step += 1
            if self.step % self.evaluate_every == 0 or self.step == self.steps:
                self._evaluate()
            due = self.step % self.settings.checkpoint_every == 0 or time.perf_counter() > kept + _LONGEST
            if due or self.step == self.steps:
                self._checkpoint()
                kept = time.perf_counter()
            rate = (self.step - first) * self.settings.batch / (time.perf_counter() - began)
            self.progress(Progress(self.step, self.steps, self.loss, self.error, self.best, rate))
        card.load_weights(self.estimator, card.load(self.run.folder).state_dict(), self.run.folder)
        for hook in self.hooks:
            hook.finish(self.estimator)
        card.save(self.estimator, self.run.folder, self._card(finished=True))

    def _advance(self, batch: Mapping[str, NDArray[Any]]) -> None:
        """One step of the optimiser. Raises DREnvError where loss or gradient are no numbers; nothing is changed."""
        generator = torch.Generator().manual_seed(digest("vision", self.settings.seed, self.step) >> 1)
        torch.manual_seed(digest("vision", "global", self.settings.seed, self.step) >> 1)
        rate = self.settings.learning_rate * _schedule(self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.estimator.train()
        images, labels = self.estimator.view(*self._tensors(batch), generator)
        for hook in self.hooks:
            images = hook.augment(images, generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            features = self.estimator.encode(images.contiguous(memory_format=torch.channels_last))
            output = self.estimator.decode(features)
        features = features.float()
        loss = self.estimator.loss(output.float(), labels).mean()
        for hook in self.hooks:
            if (extra := hook.loss(features, self.step, self.steps)) is not None:
                loss = loss + extra
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, _MAX_NORM)
        value = loss.item()
        if not (math.isfinite(value) and math.isfinite(norm.item())):
            left = f"checkpoint {self.kept} is intact" if self.kept else "there is no earlier checkpoint"
            raise DREnvError(
                f"{self.run.folder}: step {self.step}: the loss is {value:g} and its gradient's norm {norm.item():g}, "
                f"expected numbers; {left}; try a smaller learning rate than {self.settings.learning_rate:g}"
            )
        self.optimizer.step()
        self.loss = value if math.isnan(self.loss) else 0.95 * self.loss + 0.05 * value

    def _tensors(self, batch: Mapping[str, NDArray[Any]]) -> tuple[Tensor, Labels]:
        """Images 0..1 and labels, on the device."""
        tensors = {name: torch.from_numpy(value).to(self.device) for name, value in batch.items()}
        return to_images(tensors.pop("image")), tensors

    @torch.inference_mode()
    def _held_out(self) -> Iterator[tuple[Tensor, Labels]]:
        """Outputs and labels of the held-out images."""
        self.estimator.eval()
        for batch in self.bank.held_out(_JUDGED):
            images, labels = self.estimator.view(*self._tensors(batch), None)
            yield self.estimator(images.contiguous(memory_format=torch.channels_last)), labels

    def _evaluate(self) -> None:
        """Judges on the held-out images, and keeps the weights where they are the best so far."""
        found = [self.estimator.errors(output, labels).double().cpu() for output, labels in self._held_out()]
        self.error = torch.cat(found).nanmean().item()
        line = {"step": self.step, "loss": self.loss, "error": _plain(self.error), "unit": self.estimator.unit}
        self.run.log(line)
        # a run whose errors are never numbers still ends with a card
        if self.error < self.best or not (self.run.folder / card.CARD).exists():
            self.best = min(self.best, self.error)
            card.save(self.estimator, self.run.folder, self._card(finished=False))

    def _card(self, finished: bool) -> dict[str, Any]:
        return {
            **self.bank.about,
            "data": self.estimator.trained_on,
            "step": self.step,
            "steps": self.steps,
            "error": _plain(self.best),
            "unit": self.estimator.unit,
            "finished": finished,
            "settings": dataclasses.asdict(self.settings),
            "hooks": {hook.name: hook.settings() for hook in self.hooks},
            "versions": versions(*_PACKAGES),
        }

    # going on

    def _checkpoint(self) -> None:
        tensors: dict[str, Tensors] = {"network": self.estimator.state_dict(), "optimizer": {}}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors["optimizer"] |= {f"{index}.{name}": value for name, value in state.items()}
        tensors["hooks"] = {
            f"{i}.{name}": v for i, hook in enumerate(self.hooks) for name, v in hook.state_dict().items()
        }
        numbers = {"error": self.error, "best": self.best, "loss": self.loss}
        self.run.checkpoint(self.step, tensors, numbers)
        self.kept = f"{self.step}"

    def _resume(self) -> None:
        """Goes on from the newest checkpoint; makes the first one where there is none."""
        found = self.run.newest()
        if found is None:
            self._checkpoint()
            return
        tensors, state = found
        card.load_weights(self.estimator, tensors["network"], self.run.folder)
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors["optimizer"].items():
            index, name = key.split(".", 1)
            parameter = self.parameters[int(index)]
            if value.shape == parameter.shape:
                # laid out in memory as the parameter is, which the fused step takes for granted
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            moments.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        for i, hook in enumerate(self.hooks):
            own = {k.removeprefix(f"{i}."): v for k, v in tensors["hooks"].items() if k.startswith(f"{i}.")}
            hook.load_state_dict(own)
        self.step, self.error, self.best, self.loss = (state[name] for name in ("step", "error", "best", "loss"))
        self.kept = f"{self.step}"
        self.run.rewind(self.step)


def _plain(value: float) -> float | None:
    """A number as JSON has it; None for what is none."""
    return value if math.isfinite(value) else None


def _schedule(step: int, steps: int) -> float:
    """The learning rate's share of its highest."""
    return min(1.0, (step + 1) / (_WARM_UP * steps + 1)) * (1 + math.cos(math.pi * step / steps)) / 2


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one. Raises DREnvError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise DREnvError(f"device: got {name!r}, expected 'auto', 'cpu' or 'cuda'")
    if name == "cuda" and not torch.cuda.is_available():
        raise DREnvError("device: got 'cuda', and torch finds none; expected 'auto' or 'cpu'")
    return torch.device(name)


def _what(
    estimator: Estimator, data: Sequence[Images], settings: TrainSettings, hooks: Sequence[Hook], fresh: bool
) -> dict[str, Any]:
    """What makes this run another than that; the machine does not."""
    plain = dataclasses.asdict(settings)
    for name in ("threads", "workers", "device", "checkpoint_every"):
        del plain[name]
    return {
        "kind": estimator.kind,
        "estimator": estimator.settings(),
        "data": [known_by(images) for images in data],
        "settings": plain,
        "hooks": [{"name": hook.name, **hook.settings()} for hook in hooks],
        "fresh": fresh,
        "begins": "" if fresh else fingerprint(estimator),
    }


def fingerprint(estimator: Estimator) -> str:
    """Sixteen hex digits of an estimator's weights."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(estimator.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()

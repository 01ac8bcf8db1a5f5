"""The comparison of ways to a model for a target: equal budgets, judged on the same target images."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dr_env.cells import CellStore, cell_name
from dr_env.errors import DREnvError, unknown_name
from dr_env.export import ExportRequest, Layout, SourceRequest, export
from dr_env.records import versions
from dr_env.rng import generator
from dr_env.spec import Spec
from dr_env.vision import card
from dr_env.vision.align import alignment
from dr_env.vision.arms import Arm, arms, world
from dr_env.vision.augment import augmentation
from dr_env.vision.evaluate import examine
from dr_env.vision.few import FEWEST, Few
from dr_env.vision.hooks import Hook
from dr_env.vision.images import open_images
from dr_env.vision.known import identity
from dr_env.vision.part import Part
from dr_env.vision.refine import REFUSED, RefineSettings, refine
from dr_env.vision.rendered import RenderedImages
from dr_env.vision.samples import Images
from dr_env.vision.train import TrainSettings, train

FORMAT = "dr_env/vision-comparison/1"

_TUNED_SHARE = 0.8  # of the steps that an arm with labels trains before it sees them
_BATCH = 64
_RATE = 2e-3
_FINE_RATE = 4e-4

Told = Callable[[str, int, int], None]
"""Told what is being done, how far, and of how much."""

_ALIKE = ("model", "base", "frames", "steps", "size", "tested", "world")  # in what is compared


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        arm: its name in `arms`.
        labels: labelled target images that it is given.
        seed: of the training, and of which images are labelled.
        model: kind of estimator.
        base: the world that arms with means of their own begin from.
        frames: rendered images.
        steps: of training.
        size: side of the images that the network takes; 0 for its own.
        tested: of the target images, how many are judged on.
        world: what is rendered and the target images, by their content.
    """

    arm: str
    labels: int
    seed: int
    model: str
    base: str
    frames: int
    steps: int
    size: int
    tested: int
    world: str

    @property
    def name(self) -> str:
        """The file's name, without its ending."""
        return cell_name([self.arm, str(self.labels), str(self.seed)], dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What is compared.

    Attributes:
        source: what renders training images, under the Spec that worlds are made of.
        names: of arms; empty for all.
        labels: numbers of labelled target images.
        seeds: trainings of each.
        model, base, frames, steps, size: as in `Cell`.
        tested: of the target images, how many are judged on; the others may be seen in training.
        threads: of training; 0 for all.
        device: of training.
        workers: processes that render.
        bound: the least overlap of objects before and after a refinement; see `RefineSettings`.
    """

    source: SourceRequest
    names: tuple[str, ...] = ()
    labels: tuple[int, ...] = (5, 20, 100)
    seeds: int = 3
    model: str = "position"
    base: str = "structured"
    frames: int = 3000
    steps: int = 1500
    size: int = 0
    tested: int = 200
    threads: int = 0
    device: str = "auto"
    workers: int = 0
    bound: float = 0.6

    def __post_init__(self) -> None:
        least = {"seeds": 1, "frames": 10, "steps": 10, "size": 0, "tested": 2}
        for key, low in least.items():
            if getattr(self, key) < low:
                raise DREnvError(f"{key}: got {getattr(self, key)}, expected at least {low}")
        if min(self.labels, default=FEWEST) < FEWEST:
            raise DREnvError(
                f"labels: got {min(self.labels)}, expected at least {FEWEST}, of which one is held out; arms without "
                "labels stand for 0"
            )
        known = arms(self.base)
        for name in self.names:
            if name not in known:
                raise DREnvError(unknown_name("arm", name, known))

    @property
    def arms(self) -> dict[str, Arm]:
        """Those that are compared."""
        known = arms(self.base)
        return {name: arm for name, arm in known.items() if not self.names or name in self.names}


class Comparison:
    """The comparison in a folder: what is there is not made again.

    Args:
        folder: holds `data`, `runs` and `cells`.
        protocol: what is compared.
        target: labelled images of the world that models are for.
        tune: makes a Spec whose images look like some, for the arm that needs it: told the file to write it to, the
            Spec to begin from and the images.

    Raises:
        DREnvError: too few target images for what is to be judged on and learned from.
    """

    def __init__(
        self, folder: Path, protocol: Protocol, target: Images, tune: Callable[[Path, Spec, Images], Spec]
    ) -> None:
        self.folder, self.protocol, self._tune = folder, protocol, tune
        self.results = CellStore(folder, FORMAT)
        order = generator("vision comparison", len(target)).permutation(len(target))
        rest = len(target) - protocol.tested
        needed = max([8, *(protocol.labels if any(arm.labels for arm in protocol.arms.values()) else ())])
        if rest < needed:
            raise DREnvError(
                f"{target.name}: got {len(target)} images, expected {protocol.tested} to judge on and {needed} more"
            )
        self.test = Part(target, sorted(order[rest:].tolist()), f"{target.name}, judged on")
        self._pool = Part(target, sorted(order[:rest].tolist()), f"{target.name}, the others")
        self._seen = Part(target, self._pool.rows, f"{target.name}, the others, unlabelled", labelled=False)
        self.target = target
        known = json.dumps([dataclasses.asdict(protocol.source), identity(target), len(target)])
        self._world = hashlib.blake2b(known.encode(), digest_size=8).hexdigest()

    def cells(self) -> list[Cell]:
        """All cells, seed by seed, so that what has run at any time is balanced."""
        p = self.protocol
        return [
            Cell(name, k, seed, p.model, p.base, p.frames, p.steps, p.size, p.tested, self._world)
            for seed in range(p.seeds)
            for name, arm in p.arms.items()
            for k in (p.labels if arm.labels else (0,))
        ]

    def check(self, report_only: bool = False) -> None:
        """Refuses a folder with trainings of another protocol, with which these could not be compared."""
        found = [result["cell"] for result in self.results.read()]
        own = found[0] if report_only and found else dataclasses.asdict(self.cells()[0])
        for cell in found:
            for key in _ALIKE:
                theirs, ours = cell.get(key, ""), own.get(key, "")
                if theirs != ours:
                    what = "Spec, renderer, image size, camera or target images" if key == "world" else key
                    raise DREnvError(
                        f"{self.folder}: holds trainings with another {what} ({theirs!r}, not {ours!r}), which cannot "
                        "be compared; choose another --out"
                    )
        worlds = [arm.world for arm in self.protocol.arms.values() if arm.world not in (None, "tuned")]
        if worlds and not report_only and self.left():
            name = str(worlds[0])
            made = RenderedImages(self._request(name, 1))
            card.check_classes(made.models, f"the world '{name}'", self.target)  # else nothing could be judged

    def left(self) -> list[Cell]:
        """Cells without a result."""
        return [cell for cell in self.cells() if not self.results.path(cell.name).exists()]

    def run(self, cell: Cell, told: Told = lambda *_: None) -> None:
        """Trains and judges one cell, and writes its result."""
        began = time.perf_counter()
        run = self._trained(cell, told)
        seconds = time.perf_counter() - began
        estimator = card.load(run)
        found = examine(estimator, self.test, depth=False, progress=lambda done, total: told("judging", done, total))
        judged = found.judged
        result: dict[str, Any] = {
            "errors_cm": [round(100 * float(e), 4) if np.isfinite(e) else None for e in judged.errors["position"]],
            "images": judged.look.tolist(),
            "seconds": round(seconds, 1),
            "held_out": card.read(run)["training"].get("error"),
            "versions": versions("dr-env", "mujoco", "numpy", "torch"),
        }
        if "add" in judged.errors:
            diameters = {k: model.diameter for k, model in self.test.models.items()}
            limit = 0.1 * np.array([diameters[int(k)] for k in judged.class_id])
            symmetric = np.array([len(self.test.models[int(k)].motions()) > 1 for k in judged.class_id])
            error = np.where(symmetric, judged.errors["add_s"], judged.errors["add"])
            result["add_right"] = (error < limit).tolist()
        self.results.write(cell.name, cell, result)

    # training

    def _trained(self, cell: Cell, told: Told) -> Path:
        arm, out = self.protocol.arms[cell.arm], self.folder / "runs" / cell.name
        if arm.labels and arm.world is None:
            return self._train(out, (Few(self._pool, cell.labels, cell.seed),), cell.seed, cell.steps, arm, told)
        assert arm.world is not None  # every other arm has one
        data = self.dataset(arm, told)
        if not arm.labels:
            return self._train(out, (data,), cell.seed, cell.steps, arm, told)
        first = round(_TUNED_SHARE * cell.steps)
        begun = self.folder / "runs" / f"begun-{self.protocol.base}-{cell.seed}-{first}-{cell.frames}"
        before = self._train(begun, (data,), cell.seed, first, dataclasses.replace(arm, augment="none"), told)
        few = (Few(self._pool, cell.labels, cell.seed),)
        return self._train(out, few, cell.seed, cell.steps - first, arm, told, before)

    def _train(
        self, out: Path, data: Sequence[Images], seed: int, steps: int, arm: Arm, told: Told, init: Path | None = None
    ) -> Path:
        p = self.protocol
        if init is None:
            size = {"size": p.size} if p.size else {}
            estimator = card.make(p.model, data[0].models, seed, **size)
        else:
            estimator = card.load(init)
        card.check_models(estimator, self.test)  # else nothing could be judged in the end
        hooks: list[Hook] = []
        if (augment := augmentation(arm.augment)) is not None:
            hooks.append(augment)
        if arm.adapt is not None:
            hooks.append(alignment(arm.adapt, self._seen, min(32, len(self._seen)), seed))
        settings = TrainSettings(
            steps=steps,
            batch=_BATCH,
            learning_rate=_RATE if init is None else _FINE_RATE,
            seed=seed,
            threads=p.threads,
            device=p.device,
            checkpoint_every=max(1, min(500, steps // 4)),
        )
        return train(
            estimator,
            data,
            out,
            settings,
            hooks=hooks,
            progress=lambda done: told("training", done.step, done.steps),
            fresh=init is None,
        )

    # images

    def dataset(self, arm: Arm, told: Told = lambda *_: None) -> Images:
        """An arm's training images, rendered and refined where they are not there yet."""
        assert arm.world is not None
        root = self._rendered(arm.world, told)
        if arm.refine is None:
            return open_images(root)
        out = self.folder / "data" / f"{root.name}-{arm.refine}"
        if (shown := out / REFUSED).is_file():
            raise DREnvError(
                f"{arm.refine}: was refused before; see {shown}. Where it shows objects where they were, delete it and "
                "try again with a lower --bound"
            )
        # what checks the labels sees as many images as a training does, in batches of a quarter
        settings = RefineSettings(arm.refine, bound=self.protocol.bound, check_steps=max(400, 4 * self.protocol.steps))
        if arm.refine in ("statistics", "histogram"):  # each pixel by itself: nothing can move
            settings = dataclasses.replace(settings, bound=0.0)
        refine(root, self._seen, out, settings, device=self.protocol.device, progress=told)
        return open_images(out)

    def _rendered(self, name: str, told: Told) -> Path:
        p, root = self.protocol, self.folder / "data" / f"{name}-{self.protocol.frames}"
        export(
            self._request(name, p.frames),
            root,
            workers=p.workers,
            progress=lambda done, total, _: told(f"rendering {name}", done, total),
        )
        return root

    def _request(self, name: str, frames: int) -> ExportRequest:
        source = dataclasses.replace(self.protocol.source, spec=self.spec(name).to_yaml(), spec_name=name)
        return ExportRequest(source, Layout(frames, source.width, source.height), ("bop",))

    def shown(self) -> dict[str, Images]:
        """The target's images and those that are there to learn from, by name."""
        found: dict[str, Images] = {"target": self.test}
        for arm in self.protocol.arms.values():
            if arm.world is None:
                continue
            name = f"{arm.world}-{self.protocol.frames}" + (f"-{arm.refine}" if arm.refine else "")
            if (self.folder / "data" / name / "manifest.json").is_file():
                found.setdefault(arm.title if arm.refine else arm.world, open_images(self.folder / "data" / name))
        return found

    def spec(self, name: str) -> Spec:
        """The Spec of a world."""
        own = Spec.from_yaml(self.protocol.source.spec, self.protocol.source.spec_name)
        if name != "tuned":
            return world(name, own)
        path = self.folder / "data" / "tuned.yaml"
        return Spec.load(path) if path.exists() else self._tune(path, own, self._seen)

"""Tobin's experiment as cells: one training set, one number of images, one seed; trained, then judged on all tests."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dr_env import DREnvError
from dr_env.cells import CellStore, cell_name
from dr_env.export import export
from dr_env.records import versions
from tasks.tabletop.tobin.sets import PART, POOL, TESTS, Part, judging, training

if TYPE_CHECKING:
    from dr_env.vision.estimator import Estimator
    from dr_env.vision.samples import Images

FORMAT = "dr_env/tobin/1"
ARMS: dict[str, tuple[str, Literal["sensed", "clean"]]] = {
    "full": ("full", "sensed"),
    "without noise": ("full", "clean"),
    "without camera randomization": ("no-camera", "sensed"),
    "without distractors": ("no-distractors", "sensed"),
}
"""Rows of the main table: the training set, and whether its images are those of a sensor."""
TEXTURES = (1, 10, 100, 450)
"""Points of the curve of textures, up to one part's pool; the full set is its last point."""

# seconds on two cores, to tell about how long it takes
_FRAME_S = {"classic": 0.05, "filament": 0.6}
_PIXEL_STEP_S = 0.16 / (64 * 96 * 96)  # of training, for a pixel of a batch


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training, and how it is judged.

    Attributes:
        set: the training set.
        image: whether its images are the sensor's or the clean ones.
        images: how many.
        steps: of training.
        batch: images a step.
        size: of images, pixels.
        tests: images a test set.
        seed: of the training.
        precision: of its network, "float32" or "bfloat16".
    """

    set: str
    image: Literal["sensed", "clean"]
    images: int
    steps: int
    batch: int
    size: int
    tests: int
    seed: int
    precision: str = "float32"

    @property
    def name(self) -> str:
        """The file's name, without its ending."""
        return cell_name([self.set, self.image, str(self.images), str(self.seed)], dataclasses.asdict(self))

    @property
    def textures(self) -> int:
        """How many textures the training set has."""
        found = self.set.partition("textures-")[2]
        return int(found) if found else POOL * (self.images // PART)

    @property
    def expected_s(self) -> float:
        """About how long training takes, s."""
        return self.steps * self.batch * self.size**2 * _PIXEL_STEP_S


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        images: of the largest training sets.
        seeds: how many trainings of each kind.
        steps: of each training.
        batch: images a step.
        size: of images, pixels.
        tests: images a test set.
        curves: whether the curves of textures and images are run too.
        precision: of the networks, "float32" or "bfloat16".
    """

    images: int
    seeds: int
    steps: int
    batch: int
    size: int
    tests: int
    curves: bool
    precision: str = "float32"

    def __post_init__(self) -> None:
        for key in ("seeds", "steps"):
            if getattr(self, key) < 1:
                raise DREnvError(f"{key}: got {getattr(self, key)}, expected at least 1")
        self.parts()  # says what is wrong with the numbers

    def cells(self) -> list[Cell]:
        """All cells, seed by seed, so that what has run at any time is balanced; the table's first."""
        found: list[Cell] = []
        for seed in range(self.seeds):
            found += [self._cell(name, image, self.images, seed) for name, image in ARMS.values()]
        for seed in range(self.seeds if self.curves else 0):
            found += [self._cell(f"textures-{count}", "sensed", self.images, seed) for count in TEXTURES]
            found += [self._cell("full", "sensed", count, seed) for count in self._counts()]
        return found

    def _counts(self) -> list[int]:
        """Numbers of images below all: each twice the one before."""
        return [count for k in range(20) if (count := PART * 2**k) < self.images]

    def _cell(self, name: str, image: Literal["sensed", "clean"], images: int, seed: int) -> Cell:
        return Cell(name, image, images, self.steps, self.batch, self.size, self.tests, seed, self.precision)

    def parts(self) -> list[Part]:
        """All exports: tests, then the first parts of all training sets, the second ones, ..."""
        names = dict.fromkeys(cell.set for cell in self.cells())
        sets = [training(name, self.images) for name in names]
        return [
            *(part for name in TESTS for part in judging(name, self.tests)),
            *(part for row in zip(*sets, strict=True) for part in row),
        ]


class Experiment:
    """The experiment in a folder: what is there is not made again.

    Args:
        folder: holds `data`, `runs` (trainings) and `cells` (results).
        plan: what to run.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.results = CellStore(folder, FORMAT)

    def left_to_export(self) -> list[Part]:
        """Exports that are not complete."""
        from dr_env.export import Manifest

        def complete(part: Part) -> bool:
            path = self._data(part.name)
            return (path / "manifest.json").exists() and Manifest.load(path).complete

        return [part for part in self.plan.parts() if not complete(part)]

    def left_to_train(self) -> list[Cell]:
        """Cells without a result."""
        return [cell for cell in self.plan.cells() if not self.results.path(cell.name).exists()]

    def expected_s(self) -> tuple[float, float]:
        """About how long exporting and training what is left take, s."""
        exporting = sum(part.frames * _FRAME_S[part.renderer] for part in self.left_to_export())
        return exporting, sum(cell.expected_s for cell in self.left_to_train())

    def export(self, part: Part, workers: int, told: Callable[[int, int], None]) -> None:
        """Makes one export, or what is left of it; `told` hears of frames done and of all."""
        request = part.request(self.plan.size)
        export(request, self._data(part.name), workers=workers, progress=lambda done, total, _: told(done, total))

    def run(self, cell: Cell, threads: int, told: Callable[[int, int], None]) -> None:
        """Trains and judges one cell, and writes its result; `told` hears of steps done and of all."""
        from dr_env.vision.images import open_images
        from dr_env.vision.position import PositionEstimator
        from dr_env.vision.train import TrainSettings, train

        began = time.perf_counter()
        data = [open_images(self._data(part.name), image=cell.image) for part in training(cell.set, cell.images)]
        estimator = PositionEstimator(data[0].models, frame="world", size=cell.size)
        settings = TrainSettings(
            steps=cell.steps, batch=cell.batch, seed=cell.seed, threads=threads, checkpoint_every=200, device="auto",
            precision=cell.precision,
        )  # fmt: skip
        train(estimator, data, self.folder / "runs" / cell.name, settings, progress=lambda p: told(p.step, p.steps))
        seconds = time.perf_counter() - began
        judged = {
            name: [errors(estimator, open_images(self._data(part.name))) for part in judging(name, cell.tests)]
            for name in TESTS
        }
        result = {
            "errors_cm": {name: [value for _, values in parts for value in values] for name, parts in judged.items()},
            "classes": {name: [kind for kinds, _ in parts for kind in kinds] for name, parts in judged.items()},
            "seconds": round(seconds, 1),
            "versions": versions("dr-env", "mujoco", "numpy", "torch"),
        }
        self.results.write(cell.name, cell, result)

    def _data(self, name: str) -> Path:
        return self.folder / "data" / name


def errors(estimator: Estimator, images: Images) -> tuple[list[str], list[float]]:
    """The class of each image's object, and how far from its middle the estimate is, cm."""
    from dr_env.vision.evaluate import examine

    judged = examine(estimator, images, least_visible=0.0, depth=False).judged
    kinds = [images.models[int(class_id)].name for class_id in judged.class_id]
    return kinds, [round(100 * float(error), 3) for error in judged.errors["position"]]

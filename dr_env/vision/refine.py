"""A dataset whose images look like target images and whose labels are as they were.

OUT/bop/...            the dataset, scene by scene, with refined images
OUT/manifest.json      what was refined how, and what the check of labels found; written last
OUT/refused.png        instead, images in which objects are not where they were
OUT/.partial/          settings, the refiner in training and the check's verdict, until all is there
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.export.bop_read import BopDataset
from dr_env.export.encode import decode_image, encode_rgb
from dr_env.export.manifest import FORMAT
from dr_env.files import atomic_path, check_writable, write_text
from dr_env.records import versions
from dr_env.vision import kept
from dr_env.vision.bop_files import SceneFiles
from dr_env.vision.colour import Matching
from dr_env.vision.images import check_size
from dr_env.vision.known import identity
from dr_env.vision.paste import Pasting
from dr_env.vision.samples import Images
from dr_env.vision.simgan import Crops, SimGan, SimGanSettings
from dr_env.vision.train import pick_device

Pixels = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Change = Callable[[Pixels, Masks, str], Pixels]
"""What becomes of an image (h, w, 3), given the mask (h, w) of its objects and its name."""
Progress = Callable[[str, int, int], None]

METHODS = ("simgan", "histogram", "statistics", "paste")
REFUSED = "refused.png"
_PARTIAL = ".partial"
_POOL_BYTES = 256 << 20  # of images that are learned from, of each kind
_POOL = 2000
_CHECKED = 128  # images that are looked at before and after
_SUFFIXES = (".png", ".jpg")


@dataclass(frozen=True)
class RefineSettings:
    """How a dataset is refined.

    Attributes:
        method: simgan, histogram, statistics or paste.
        against: of histogram and statistics: one random target "image" for each image, or the "pool" of all.
        blend: of paste, px over which an object goes over into what is behind it.
        bound: the least intersection over union of what is found of the objects before and after; 0 does not check.
        check_steps: of training what finds them.
        seed: of everything.
        simgan: how a refiner is trained.
    """

    method: str
    against: Literal["image", "pool"] = "image"
    blend: float = 2.0
    bound: float = 0.6
    check_steps: int = 400
    seed: int = 0
    simgan: SimGanSettings = field(default_factory=SimGanSettings)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise DREnvError(unknown_name("method", self.method, METHODS))
        if not 0 <= self.bound <= 1 or self.check_steps < 1 or not self.blend >= 0:
            raise DREnvError(
                f"bound, check_steps, blend: got {self.bound}, {self.check_steps} and {self.blend}, expected 0 to 1, "
                "1 or more and 0 or more"
            )

    @property
    def checked(self) -> bool:
        """Whether labels are checked; pasting moves nothing that is labelled."""
        return self.bound > 0 and self.method != "paste"

    def to_json(self) -> dict[str, Any]:
        """Plain data, of what matters for the method."""
        plain: dict[str, Any] = {"method": self.method, "seed": self.seed}
        if self.method in ("histogram", "statistics"):
            plain["against"] = self.against
        if self.method == "paste":
            plain["blend"] = self.blend
        if self.method == "simgan":
            plain["simgan"] = dataclasses.asdict(self.simgan)
        if self.checked:
            plain |= {"bound": self.bound, "check_steps": self.check_steps}
        return plain


def refine(
    data: Path,
    target: Images,
    out: Path,
    settings: RefineSettings,
    *,
    overwrite: bool = False,
    device: str = "auto",
    threads: int = 0,
    change: Change | None = None,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Writes a copy of a BOP-scenewise dataset with refined images, or goes on where an earlier call stopped.

    Args:
        data: the dataset's folder, or that of the export it is part of.
        target: images that it shall look like.
        out: where the copy goes.
        settings: how.
        overwrite: replace a refined dataset that is there.
        device: where networks are trained: cpu, cuda or auto.
        threads: of torch; 0 for as many as it takes.
        change: instead of the method's, what becomes of each image; checked like the others.
        progress: is told what is being done, how far, and of how much.

    Returns:
        What the manifest says of the refinement.

    Raises:
        DREnvError: bad data, a folder that holds something else, or objects that are no longer where their labels
            say; then `out` holds a picture that shows it, and nothing else.
    """
    where = str(pick_device(device))
    was = torch.get_num_threads()
    torch.set_num_threads(threads or was)
    try:
        return _refined(data, target, out, settings, overwrite, where, change, progress)
    finally:
        torch.set_num_threads(was)


def _refined(
    data: Path,
    target: Images,
    out: Path,
    settings: RefineSettings,
    overwrite: bool,
    device: str,
    change: Change | None,
    progress: Progress,
) -> dict[str, Any]:
    source = _Source(data)
    if out.resolve() == data.resolve() or data.resolve() in out.resolve().parents:
        raise DREnvError(f"{out}: is in the dataset that is read; choose another --out")
    if not len(target):
        raise DREnvError(f"{target.name}: got no target images, expected at least one")
    note = {"data": str(data), "images": len(source), "identity": source.files.identity}
    note |= {"target": target.name, "target_images": len(target), "target_identity": identity(target)}
    note |= settings.to_json()
    if (found := _begin(out, note, overwrite)) is not None:
        return found
    work = out / _PARTIAL
    if change is None:
        change = _change(source, target, settings, work, device, progress)
    if settings.checked:
        note["check"] = _check(source, change, settings, out, device, progress)
    _write(source, change, out / "bop", progress)
    manifest: dict[str, Any] = {"format": FORMAT, "complete": True, "versions": versions("dr-env", "torch", "numpy")}
    manifest |= {key: source.manifest[key] for key in ("classes", "acceptance", "coverage") if key in source.manifest}
    write_text(out / "manifest.json", json.dumps({**manifest, "refinement": note}, indent=2) + "\n")
    shutil.rmtree(work)
    (out / REFUSED).unlink(missing_ok=True)
    return note


class _Source:
    """The images of a dataset as they are kept, and where their objects are."""

    def __init__(self, data: Path) -> None:
        self.root = data / "bop" if (data / "manifest.json").is_file() and (data / "bop").is_dir() else data
        found = BopDataset(self.root)
        self.files = SceneFiles(found, found.scenes, "sensed")
        self.height, self.width = found.height, found.width
        path = self.root.parent / "manifest.json"
        self.manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> tuple[Pixels, Path]:
        """A colour image, and its file."""
        bytes_, name = self.files.picture(index)
        image = decode_image(bytes_, name)
        if image.ndim != 3 or image.dtype != np.uint8 or Path(name).suffix not in _SUFFIXES:
            raise DREnvError(f"{name}: expected a colour image of 8 bits, {' or '.join(_SUFFIXES)}")
        check_size(image.shape, self, name)
        return np.ascontiguousarray(image[..., :3]), Path(name)

    def mask(self, index: int) -> Masks:
        """Where any labelled object is visible (h, w)."""
        mask = np.zeros((self.height, self.width), bool)
        for number in range(len(self.files.labels(index).poses)):
            found, name = self.files.mask(index, number)
            check_size(found.shape, self, name)
            mask |= found
        return mask

    def some(self, most: int, first: int = 0, step: int = 1) -> tuple[Pixels, Masks, list[str]]:
        """Some images at equal intervals among each `step`-th from `first`, their masks and names."""
        rows = _spread(range(first, len(self), step), _fitting(self.height, self.width, most))
        found = [self.image(index) for index in rows]
        names = [path.relative_to(self.root).as_posix() for _, path in found]
        return np.stack([image for image, _ in found]), np.stack([self.mask(index) for index in rows]), names


def _begin(out: Path, note: dict[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """Begins in a folder, or finds it begun or done alike; then what was found."""
    manifest, path = out / "manifest.json", out / _PARTIAL / "settings.json"
    if overwrite and out.is_dir() and (path.is_file() or _refinement(manifest)):
        shutil.rmtree(out)
    check_writable(out)
    wanted = json.loads(json.dumps(note))
    if (done := _refinement(manifest)) is not None:
        if _what(done) != _what(wanted):
            raise DREnvError(f"{out}: holds a dataset refined otherwise; choose another --out, or --overwrite")
        return done
    if path.is_file():
        if _what(json.loads(path.read_text(encoding="utf-8"))) != _what(wanted):
            raise DREnvError(f"{out}: holds a refinement begun otherwise; choose another --out, or --overwrite")
        return None
    if others := sorted(p.name for p in out.iterdir() if p.name not in (REFUSED, _PARTIAL)):
        raise DREnvError(f"{out}: holds other files, such as {others[0]}; choose an empty --out")
    write_text(path, json.dumps(wanted))
    return None


def _what(note: dict[str, Any]) -> dict[str, Any]:
    """What of a note says which images are refined how; paths may be spelled otherwise."""
    return {key: value for key, value in note.items() if key not in ("data", "target", "check")}


def _refinement(manifest: Path) -> dict[str, Any] | None:
    """What a manifest says of a refinement; None where there is none."""
    if not manifest.is_file():
        return None
    try:
        found = json.loads(manifest.read_text(encoding="utf-8")).get("refinement")
    except (OSError, ValueError, AttributeError) as error:
        raise DREnvError(f"{manifest}: damaged: {error}") from error
    return dict(found) if found else None


def _change(
    source: _Source, target: Images, settings: RefineSettings, work: Path, device: str, progress: Progress
) -> Change:
    """What becomes of each image by the method."""
    rows = _spread(range(len(target)), _fitting(source.height, source.width, _POOL))
    targets = []
    for done, index in enumerate(rows):
        targets.append(_to_height(target[index].image, source.height))
        progress("reading target images", done + 1, len(rows))
    if settings.method in ("histogram", "statistics"):
        return Matching(settings.method, targets, settings.against, settings.seed)
    if settings.method == "paste":
        return Pasting(targets, settings.blend, settings.seed)
    shape = tuple(np.min([image.shape[:2] for image in targets], 0))  # crops are taken of all alike
    pool = np.stack([image[: shape[0], : shape[1]] for image in targets])
    images, masks, _ = source.some(_POOL)
    gan_settings = dataclasses.replace(settings.simgan, seed=settings.seed)
    gan = SimGan(Crops(images, masks), Crops(pool), gan_settings, device)
    refiner = gan.fit(work, lambda done, total: progress("training the refiner", done, total))
    return lambda image, mask, name: refiner.refined(image)


def _check(
    source: _Source, change: Change, settings: RefineSettings, out: Path, device: str, progress: Progress
) -> dict[str, Any]:
    """Looks for objects before and after; what was found. Raises DREnvError where they are not where they were."""
    path = out / _PARTIAL / "check.json"
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    # learned from one half of the images, judged on the other
    images, masks, _ = source.some(_POOL, 0, 2)
    finder = kept.train_finder(
        images,
        masks,
        steps=settings.check_steps,
        seed=settings.seed,
        device=device,
        progress=lambda done, total: progress("learning to find the objects", done, total),
    )
    before, masks, names = source.some(_CHECKED, 1 if len(source) > 1 else 0, 2)
    after = np.stack([change(*row) for row in zip(before, masks, names, strict=True)])
    verdict = kept.judge(finder, before, after, masks, settings.bound)
    if not verdict.kept:
        shown = kept.picture(finder, before, after, masks, verdict)
        with atomic_path(out / REFUSED) as temporary:
            temporary.write_bytes(encode_rgb(shown))
        shutil.rmtree(out / _PARTIAL)
        raise DREnvError(
            f"{settings.method}: refused: objects are no longer where their labels say. Found before and after, they "
            f"overlap by {verdict.worst:.2f} or less in a tenth of {len(verdict.judged)} images, expected --bound "
            f"{settings.bound} at least; see {out / REFUSED} (before, after, and each with what was found)"
            + ("; try a greater --keep-background or --keep-object" if settings.method == "simgan" else "")
        )
    said = {
        "judged": len(verdict.judged),
        "of": len(verdict.found),
        "worst_tenth": round(verdict.worst, 4),
        "mean": round(float(verdict.agreement.mean()), 4),
    }
    write_text(path, json.dumps(said))
    return said


def _write(source: _Source, change: Change, root: Path, progress: Progress) -> None:
    """Refined images, and everything else as it is; files that are there are kept."""
    for index in range(len(source)):
        scene, number = source.files.labels(index).scene, source.files.place(index)[2]
        target = root / scene.relative_to(source.root) / "rgb"
        if not any((target / f"{number:06d}{suffix}").is_file() for suffix in _SUFFIXES):
            image, path = source.image(index)
            made = change(image, source.mask(index), path.relative_to(source.root).as_posix())
            with atomic_path(target / path.name) as temporary:
                temporary.write_bytes(encode_rgb(made, path.suffix))
        progress("refining", index + 1, len(source))
    files = [path for path in sorted(source.root.rglob("*")) if path.is_file() and not _is_colour(path)]
    for done, path in enumerate(files):
        target = root / path.relative_to(source.root)
        if not target.is_file():
            with atomic_path(target) as temporary:
                shutil.copyfile(path, temporary)
        progress("copying labels", done + 1, len(files))


def _is_colour(path: Path) -> bool:
    """Whether it is a colour image, refined or clean: what is refined has no clean image."""
    return path.parent.name in ("rgb", "gray", "rgb_clean", "gray_clean") and path.suffix in (*_SUFFIXES, ".tif")


def _spread(rows: Sequence[int], most: int) -> list[int]:
    """At most so many of them, at equal intervals."""
    picked = np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)
    return [rows[i] for i in picked]


def _fitting(height: int, width: int, most: int) -> int:
    """How many images of a size are kept in memory."""
    return max(1, min(most, _POOL_BYTES // (3 * height * width)))


def _to_height(image: Pixels, height: int) -> Pixels:
    if image.shape[0] == height:
        return image
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    method = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)

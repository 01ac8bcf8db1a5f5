"""Labelled images to learn from or to be judged on: those of BOP datasets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.export.bop_read import BopDataset, BopLabels, models_folder, naming, read_mapping, read_models
from dr_env.files import check_folder
from dr_env.spatial import Array, Intrinsics, project
from dr_env.vision.bop_files import BopFiles, Kind, SceneFiles, ShardFiles
from dr_env.vision.models import check_models, object_models
from dr_env.vision.pictures import open_pictures, read_intrinsics
from dr_env.vision.rectify import rectified, rectified_box
from dr_env.vision.samples import Annotation, FloatBox, Images, ObjectModel, Sample

_FORMATS = ("bop", "bop-webdataset")


@dataclass(frozen=True)
class Origin:
    """What folders that are read together must share.

    Attributes:
        path: the dataset's folder.
        format: bop or bop-webdataset; or rendered.
        version: of the dataset's format and of what wrote it; None for those that dr-env did not write.
        width, height: image size in pixels.
    """

    path: Path
    format: str
    version: str | None
    width: int
    height: int


class LabelledImages:
    """The images of a dataset, or of an export that is rendered instead.

    Pictures taken through a lens that the dataset tells of are straightened: `Sample.intrinsics` is always a pinhole
    camera, which poses and boxes fit. Annotations whose model is missing are left out. Boxes are counted in pixels: a
    single pixel is one wide.

    Args:
        name: what messages and cards call it.
        origin: where it is from.
        models: by class id.
        files: where its images are.
    """

    def __init__(self, name: str, origin: Origin, models: Mapping[int, ObjectModel], files: BopFiles) -> None:
        self.origin = origin
        self._name, self._models, self._files = name, models, files

    @property
    def name(self) -> str:
        """The folder and its splits."""
        return self._name

    @property
    def models(self) -> Mapping[int, ObjectModel]:
        """By class id."""
        return self._models

    @property
    def identity(self) -> str:
        """What its content is known by: names, sizes and times of files that change with it."""
        return self._files.identity

    @property
    def pieces(self) -> tuple[tuple[str, int], ...]:
        """The identity of each scene or tar file in order, and how many images it has."""
        return self._files.pieces

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        """Decodes one image. Raises DREnvError naming the file that is missing or wrong."""
        if not 0 <= index < len(self):  # so that iterating ends
            raise IndexError(index)
        name, scene, number = self._files.place(index)
        labels = self._files.labels(index)
        camera = self._camera(labels)
        image, what = self._files.image(index)
        check_size(image.shape, self.origin, what)
        if labels.distortion is not None:
            image = rectified(image, camera, labels.distortion)
        annotations = tuple(self._annotation(labels, i, camera) for i in self._kept(labels))
        return Sample(name, image, camera, annotations, labels.camera_from_world, scene, number)

    def number(self, index: int) -> tuple[int, int]:
        """The numbers of an image's scene and of itself in it."""
        return self._files.place(index)[1:]

    def masks(self, index: int) -> tuple[NDArray[np.bool_], ...]:
        """The visible mask (h, w) of each annotation of an image. Raises DREnvError naming one that is missing."""
        labels = self._files.labels(index)
        return tuple(self._mask(index, i, labels) for i in self._kept(labels))

    def depth(self, index: int) -> NDArray[np.float32] | None:
        """The depth (h, w) of an image's scene, metres along z; 0 where it is missing; None where there is none."""
        depth, labels = self._files.depth(index), self._files.labels(index)
        if depth is not None:
            check_size(depth.shape, self.origin, f"{self._files.place(index)[0]}: depth")
        if depth is None or labels.distortion is None:
            return depth
        return rectified(depth, self._camera(labels), labels.distortion, blend=False)

    def _mask(self, index: int, number: int, labels: BopLabels) -> NDArray[np.bool_]:
        mask, what = self._files.mask(index, number)
        check_size(mask.shape, self.origin, what)
        if labels.distortion is None:
            return mask
        return rectified(mask.astype(np.uint8), self._camera(labels), labels.distortion, blend=False) > 0

    def _camera(self, labels: BopLabels) -> Intrinsics:
        return Intrinsics.from_matrix(labels.K, self.origin.width, self.origin.height)

    def _kept(self, labels: BopLabels) -> list[int]:
        return [i for i, (class_id, _) in enumerate(labels.poses) if class_id in self._models]

    def _annotation(self, labels: BopLabels, number: int, camera: Intrinsics) -> Annotation:
        class_id, pose = labels.poses[number]
        if labels.infos is None:
            return Annotation(class_id, pose)
        info = labels.infos[number]
        boxes: list[FloatBox | None] = []
        for key in ("bbox_visib", "bbox_obj"):
            x, y, width, height = map(float, info[key])
            box = None if width < 0 or height < 0 else (x, y, width + 1, height + 1)
            boxes.append(box)
        if labels.distortion is not None:
            seen, whole = boxes
            boxes[0] = seen and rectified_box(seen, camera, labels.distortion)
            # an outline may reach to where a lens shows nothing: of the mesh, then
            boxes[1] = whole and (_projected_box(self._models[class_id], pose, camera) or boxes[0])
        return Annotation(class_id, pose, boxes[0], boxes[1], float(info["visib_fract"]))


def _projected_box(model: ObjectModel, pose: Array, camera: Intrinsics) -> FloatBox | None:
    """The box around a mesh at a pose; None where some of it is behind the camera."""
    points = model.vertices @ pose[:3, :3].T + pose[:3, 3]
    if points[:, 2].min() <= 0:
        return None
    pixels = project(points, camera) + 0.5
    low, high = pixels.min(0), pixels.max(0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def open_images(path: Path, split: str | None = None, image: Kind = "sensed") -> LabelledImages:
    """The images of a BOP dataset, as `dr-env export --format bop` or `bop-webdataset` writes it, or as BOP's own are.

    Args:
        path: the dataset's folder, or that of the export it is part of (scenes before tar files where it has both).
        split: the folder wanted, such as train, val or test; None for all of them, as its name tells.
        image: the images as the camera's sensor gives them, or the clean ones they began with; the same where no
            sensor was simulated.

    Raises:
        DREnvError: naming the file or key that is missing or wrong.
    """
    root, kind = _dataset(path)
    splits = _splits(root, kind)
    if split is not None and split not in splits:
        raise DREnvError(f"{root}: {unknown_name('split', split, splits)}")
    wanted = (split,) if split is not None else splits
    if kind == "bop":
        data = BopDataset(root)
        scenes = [scene for scene in data.scenes if scene.relative_to(root).parts[0] in wanted]
        classes, width, height = data.models, data.width, data.height
        files: BopFiles = SceneFiles(data, scenes, image)
        labelled = Counter(
            int(entry["obj_id"])
            for scene in scenes
            for entries in read_mapping(scene / "scene_gt.json").values()
            for entry in entries
        )
    else:
        if image == "clean":
            raise DREnvError(f"{root}: tar files hold images as sensed alone; clean ones are in --format bop")
        classes = read_models(models_folder(root))
        width, height = _camera_size(root)
        files = ShardFiles(root, wanted, width, height)
        labelled = Counter()
    if not len(files):
        raise DREnvError(f"{root}: no images in {', '.join(wanted)}")
    if labelled and not labelled.keys() & classes.keys():
        raise DREnvError(
            f"{models_folder(root)}: no mesh of any object that is labelled: "
            f"got obj_id {', '.join(map(str, sorted(labelled)))}, meshes {', '.join(map(str, classes))}"
        )
    manifest = _manifest(root)
    names = {int(kind["id"]): str(kind["name"]) for kind in manifest.get("classes", ())}
    models = object_models(classes, names, models_folder(root) / "models_info.json")
    version = None
    if manifest:
        version = f"{manifest.get('format')}, dr-env {manifest.get('versions', {}).get('dr-env')}"
    origin = Origin(root, kind, version, width, height)
    return LabelledImages(f"{root}[{'+'.join(wanted)}]", origin, models, files)


def open_target(path: Path, split: str | None = None) -> Images:
    """Images whose labels are not needed: a dataset as `open_images` takes it, or a folder of pictures, or one picture.

    Raises:
        DREnvError: there are none.
    """
    known = path.is_dir() and ((path / "manifest.json").is_file() or any(_splits(path, kind) for kind in _FORMATS))
    if known:
        return open_images(path, split)
    if split is not None:
        raise DREnvError(f"{path}: got the split {split!r} of pictures, expected a dataset")
    return open_pictures(path)


def open_all(paths: Sequence[Path], split: str | None = None, image: Kind = "sensed") -> tuple[LabelledImages, ...]:
    """Several datasets that are learned from together.

    Raises:
        DREnvError: when they differ in format, version, image size, or a class's mesh or symmetries; or as
            `open_images`.
    """
    if not paths:
        raise DREnvError("data: got no folder, expected at least one")
    opened = tuple(open_images(path, split, image) for path in paths)
    check_alike(opened)
    return opened


def check_alike(opened: Sequence[LabelledImages]) -> None:
    """Raises DREnvError naming the first two datasets that cannot be learned from together, and why."""
    first = opened[0].origin
    for other in opened[1:]:
        for what in ("format", "version", "width", "height"):
            was, got = getattr(first, what), getattr(other.origin, what)
            if was != got and None not in (was, got):
                raise DREnvError(f"{other.origin.path}: {what}: got {got}, expected {was} as {first.path} has")
    check_models([(str(each.origin.path), each.models) for each in opened])


class Sized(Protocol):
    """What says how large its images are."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def width(self) -> int:
        """Pixels."""


def check_size(shape: tuple[int, ...], of: Sized, what: str) -> None:
    """Raises DREnvError where an image (h, w, ...) is not as large as those that it is one of."""
    if shape[:2] != (of.height, of.width):
        raise DREnvError(f"{what}: got {shape[1]} x {shape[0]} pixels, expected {of.width} x {of.height}")


def _dataset(path: Path) -> tuple[Path, str]:
    """The folder of a dataset at or in `path`, and its format."""
    check_folder(path)
    tried = [path / name for name in _FORMATS] if (path / "manifest.json").is_file() else [path]
    for root in tried:
        for kind in _FORMATS:
            if root.is_dir() and _splits(root, kind):
                return root, kind
    raise DREnvError(
        f"{path}: no dataset: expected SPLIT/SCENE/scene_gt.json or SPLIT/shard-000000.tar, as dr-env export "
        f"--format {' or '.join(_FORMATS)} writes them; pictures without labels can be looked at, not learned from"
    )


def _splits(root: Path, kind: str) -> tuple[str, ...]:
    depth = {"bop": "*/*/scene_gt.json", "bop-webdataset": "*/shard-*.tar"}[kind]
    return tuple(sorted({path.relative_to(root).parts[0] for path in root.glob(depth)}))


def _camera_size(root: Path) -> tuple[int, int]:
    camera = read_intrinsics(root / "camera.json")
    return camera.width, camera.height


def _manifest(root: Path) -> dict[str, Any]:
    """What dr-env wrote of a dataset; empty for those it did not write."""
    path = root.parent / "manifest.json"
    if not path.is_file():
        return {}
    with naming(path):
        form = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(form, dict):
            raise DREnvError("expected an object")
        if form.get("complete") is False:
            raise DREnvError("the export has not ended; run the same dr-env export again")
        return form

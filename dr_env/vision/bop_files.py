"""Where a BOP dataset keeps its images: a folder a scene, or tar files of a thousand."""

from __future__ import annotations

import json
import tarfile
from collections import Counter, OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.bop_read import (
    BopDataset,
    BopImage,
    BopLabels,
    models_folder,
    naming,
    read_camera,
    read_infos,
    read_mapping,
    read_poses,
)
from dr_env.export.encode import Mask, decode_depth, decode_image, decode_runs
from dr_env.rng import digest
from dr_env.vision.pictures import colour_image, stamp

Kind = Literal["sensed", "clean"]

_KEPT = 64  # scenes whose labels stay in memory
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif")
_PARTS = ("camera.json", "gt.json")
_MORE = ("gt_info.json", "mask_visib.json", "depth.png")
_COLOURS = ("rgb.jpg", "rgb.png", "gray.jpg", "gray.png")


class BopFiles(Protocol):
    """The images of a dataset by number."""

    @property
    def identity(self) -> str:
        """Changes when images or labels do; not with the place of the dataset."""

    @property
    def pieces(self) -> tuple[tuple[str, int], ...]:
        """The identity of each scene or tar file in order, whichever others there are, and how many images it has."""

    def __len__(self) -> int: ...

    def place(self, index: int) -> tuple[str, int, int]:
        """Its name, and the numbers of its scene and of itself in it."""

    def labels(self, index: int) -> BopLabels:
        """What is known of it."""

    def image(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """Its pixels (h, w, 3), and what errors call it."""

    def mask(self, index: int, number: int) -> tuple[Mask, str]:
        """The visible mask of one of its annotations, and what errors call it."""

    def depth(self, index: int) -> NDArray[np.float32] | None:
        """The depth (h, w) of its scene in metres, 0 where it is missing; None where there is none."""


class SceneFiles:
    """Images of BOP-scenewise.

    Args:
        data: the dataset.
        scenes: the scenes wanted.
        image: which images, where an export wrote both the sensed and the clean ones.

    Raises:
        DREnvError: naming an image without labels, or labels without an image.
    """

    def __init__(self, data: BopDataset, scenes: Sequence[Path], image: Kind) -> None:
        self._data, self._scenes = data, tuple(scenes)
        self._files: list[tuple[str, str]] = []  # (folder, suffix) that images have
        rows = [row for number, scene in enumerate(scenes) for row in self._rows_of(number, scene, image)]
        self._rows = np.array(rows, np.int32).reshape(-1, 3)  # (n, 3) scene, image, file
        self._known: OrderedDict[int, dict[int, BopImage]] = OrderedDict()

    def _rows_of(self, number: int, scene: Path, image: Kind) -> list[tuple[int, int, int]]:
        kind = next((name for name in ("rgb", "gray") if (scene / name).is_dir()), None)
        if kind is None:
            raise DREnvError(f"{scene}: no folder rgb or gray: labels without images")
        if not scene.name.isdecimal():
            raise DREnvError(f"{scene}: got a scene's folder of that name, expected its number, such as 000001")
        there = self._listed(scene, kind)
        clean = self._listed(scene, f"{kind}_clean") if image == "clean" else {}
        labelled = {int(key) for key in read_mapping(scene / "scene_gt.json")}
        if lost := sorted(there.keys() - labelled):
            raise DREnvError(
                f"{scene / 'scene_gt.json'}: no labels of image {lost[0]}, which {kind} has ({len(lost)} in all)"
            )
        if lost := sorted(labelled - there.keys()):
            raise DREnvError(
                f"{scene / kind}: no image {lost[0]:06d}, which scene_gt.json has labels of ({len(lost)} in all)"
            )
        return [(number, k, clean.get(k, there[k])) for k in sorted(labelled)]

    def _listed(self, scene: Path, folder: str) -> dict[int, int]:
        """The images of a folder by number; each with the place of its folder and suffix in `_files`."""
        found = {}
        for path in sorted((scene / folder).glob("[0-9]*.*")):
            if path.suffix in _SUFFIXES and path.stem.isdigit():
                file = (folder, path.suffix)
                if file not in self._files:
                    self._files.append(file)
                found[int(path.stem)] = self._files.index(file)
        return found

    @property
    def identity(self) -> str:
        """See `BopFiles.identity`."""
        folders = [scene / folder for scene in self._scenes for folder in dict(self._files)]
        return _whole(self.pieces, self._files, stamp(self._data.root, folders), models=self._data.models_folder)

    @property
    def pieces(self) -> tuple[tuple[str, int], ...]:
        """See `BopFiles.pieces`."""
        labels = [[scene / f"scene_{name}.json" for name in ("camera", "gt", "gt_info")] for scene in self._scenes]
        counts = np.bincount(self._rows[:, 0], minlength=len(labels)).tolist()
        return tuple((stamp(self._data.root, each), count) for each, count in zip(labels, counts, strict=True))

    def __len__(self) -> int:
        return len(self._rows)

    def _at(self, index: int) -> tuple[Path, int, int]:
        scene, number, file = map(int, self._rows[index])
        return self._scenes[scene], number, file

    def place(self, index: int) -> tuple[str, int, int]:
        """See `BopFiles.place`."""
        scene, number, _ = self._at(index)
        return f"{scene.relative_to(self._data.root).as_posix()}/{number:06d}", int(scene.name), number

    def labels(self, index: int) -> BopImage:
        """See `BopFiles.labels`."""
        place = int(self._rows[index, 0])
        if place not in self._known:
            self._known[place] = {int(image.key): image for image in self._data.images(self._scenes[place])}
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(place)
        return self._known[place][int(self._rows[index, 1])]

    def image(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """See `BopFiles.image`."""
        data, what = self.picture(index)
        return colour_image(data, what), what

    def picture(self, index: int) -> tuple[bytes, str]:
        """Its file's content, and the file."""
        scene, number, file = self._at(index)
        folder, suffix = self._files[file]
        path = scene / folder / f"{number:06d}{suffix}"
        with naming(path):
            return path.read_bytes(), str(path)

    def mask(self, index: int, number: int) -> tuple[Mask, str]:
        """See `BopFiles.mask`."""
        scene, image, _ = self._at(index)
        path = scene / "mask_visib" / f"{image:06d}_{number:06d}.png"
        with naming(path):
            return decode_image(path.read_bytes(), str(path)) > 0, str(path)

    def depth(self, index: int) -> NDArray[np.float32] | None:
        """See `BopFiles.depth`."""
        image = self.labels(index)
        with naming(image.scene):
            return image.depth()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": OrderedDict()}


class ShardFiles:
    """Images of BOP-webdataset, each read from its place in a tar file.

    Args:
        root: the dataset's folder.
        splits: the folders wanted.
        width, height: image size in pixels.

    Raises:
        DREnvError: naming a tar file that is cut off, or what one of its images lacks.
    """

    def __init__(self, root: Path, splits: Sequence[str], width: int, height: int) -> None:
        self._root, self._size = root, (width, height)
        self._tars = [tar for split in splits for tar in sorted((root / split).glob("shard-*.tar"))]
        self._keys: list[tuple[int, int, int]] = []  # tar, scene, image
        spans: list[list[tuple[int, int]]] = []
        for number, tar in enumerate(self._tars):
            for key, members in _members(tar).items():
                scene, _, image = key.partition("_")
                if not (scene.isdigit() and image.isdigit()):
                    raise DREnvError(f"{tar}: {key}: expected a key such as 000000_000003")
                colour = next((name for name in _COLOURS if name in members), None)
                for part in (*_PARTS, *([] if colour else ["rgb.jpg"])):
                    if part not in members:
                        what = "an image without labels" if part in _PARTS else "labels without an image"
                        raise DREnvError(f"{tar}: {key}.{part} is missing: {what}")
                self._keys.append((number, int(scene), int(image)))
                spans.append([members.get(part, (-1, 0)) for part in (colour or "", *_PARTS, *_MORE)])
        self._spans = np.array(spans, np.int64).reshape(-1, 6, 2)  # (n, parts, 2): where, how many bytes

    @property
    def identity(self) -> str:
        """See `BopFiles.identity`."""
        return _whole(self.pieces, models=models_folder(self._root))

    @property
    def pieces(self) -> tuple[tuple[str, int], ...]:
        """See `BopFiles.pieces`."""
        counts = Counter(tar for tar, _, _ in self._keys)
        return tuple((stamp(self._root, [tar]), counts[k]) for k, tar in enumerate(self._tars))

    def __len__(self) -> int:
        return len(self._keys)

    def place(self, index: int) -> tuple[str, int, int]:
        """See `BopFiles.place`."""
        tar, scene, image = self._keys[index]
        return f"{self._tars[tar].parent.name}/{scene:06d}/{image:06d}", scene, image

    def _bytes(self, index: int, part: int) -> bytes | None:
        start, size = map(int, self._spans[index, part])
        if start < 0:
            return None
        path = self._tars[self._keys[index][0]]
        with naming(path), path.open("rb") as file:
            file.seek(start)
            return file.read(size)

    def _what(self, index: int, part: str) -> str:
        tar, scene, image = self._keys[index]
        return f"{self._tars[tar]}: {scene:06d}_{image:06d}.{part}"

    def _json(self, index: int, part: int) -> Any:
        data = self._bytes(index, part)
        return None if data is None else json.loads(data)

    def labels(self, index: int) -> BopLabels:
        """See `BopFiles.labels`."""
        with naming(Path(self._what(index, _PARTS[1]))):
            poses = read_poses(self._json(index, 2))
        with naming(Path(self._what(index, _MORE[0]))):
            form = self._json(index, 3)
            infos = None if form is None else read_infos(form, len(poses))
        with naming(Path(self._what(index, _PARTS[0]))):
            return BopLabels(poses=poses, infos=infos, **read_camera(self._json(index, 1), *self._size))

    def image(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """See `BopFiles.image`."""
        what = self._what(index, "rgb")
        return colour_image(self._bytes(index, 0) or b"", what), what

    def mask(self, index: int, number: int) -> tuple[Mask, str]:
        """See `BopFiles.mask`."""
        what = self._what(index, _MORE[1])
        with naming(Path(what)):
            form = self._json(index, 4)
            if form is None:
                raise DREnvError("missing")
            return decode_runs(form[str(number)]), what

    def depth(self, index: int) -> NDArray[np.float32] | None:
        """See `BopFiles.depth`."""
        data = self._bytes(index, 5)
        return None if data is None else decode_depth(data, self.labels(index).depth_scale, self._what(index, _MORE[2]))


def _whole(*parts: object, models: Path) -> str:
    """The identity of a dataset of these parts and meshes."""
    return f"{digest(*parts, stamp(models, models.iterdir())):016x}"


def _members(path: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Where each member of a tar file begins and how long it is, by key and the rest of its name."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    length = path.stat().st_size
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, rest = Path(member.name).name.partition(".")
                found.setdefault(key, {})[rest] = (member.offset_data, member.size)
                if member.offset_data + member.size > length:
                    raise DREnvError(f"{path}: cut off in {member.name}")
    except (tarfile.TarError, OSError) as error:
        raise DREnvError(f"{path}: not a whole tar file: {error}") from error
    return found

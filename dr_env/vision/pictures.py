"""Pictures without labels: to be looked at, or whose look is learned from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.bop_read import naming
from dr_env.export.encode import decode_image
from dr_env.rng import digest
from dr_env.spatial import Intrinsics
from dr_env.vision.samples import ObjectModel, Sample

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_FOCAL = 1.2  # of the longer side: a guess, between a telephone's camera and a webcam's


class Pictures:
    """Pictures that nothing is known of but perhaps their camera.

    Args:
        name: what messages and cards call them.
        files: image files.
        intrinsics: their camera; scaled to pictures of another size. None is a guess, which serves where no
            positions are asked for: 1.2 times the longer side, in the middle.
    """

    models: Mapping[int, ObjectModel]

    def __init__(self, name: str, files: Sequence[Path], intrinsics: Intrinsics | None = None) -> None:
        self.name = name
        self.models = {}
        self._files, self._intrinsics = tuple(files), intrinsics

    @property
    def identity(self) -> str:
        """What their content is known by: names, sizes and times of the files, and the camera."""
        return f"{digest(stamp(self._files[0].parent, self._files), self._intrinsics):016x}"

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        """Decodes one picture. Raises DREnvError naming the file where it is none, or of another shape."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        path = self._files[index]
        with naming(path):
            data = path.read_bytes()
        image = colour_image(data, str(path), upright=True)
        height, width = image.shape[:2]
        camera = self._intrinsics
        if camera is None:
            focal = _FOCAL * max(width, height)
            camera = Intrinsics(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
        elif abs(camera.width * height - camera.height * width) > max(camera.width, camera.height):
            raise DREnvError(
                f"{path}: got {width} x {height} pixels, expected the shape of the camera's {camera.width} x "
                f"{camera.height}"
            )
        number = int(path.stem) if path.stem.isdecimal() else index
        return Sample(path.name, image, camera.scaled(width, height), image_id=number)

    def masks(self, index: int) -> tuple[NDArray[np.bool_], ...]:
        """None: nothing is labelled."""
        return ()


def open_pictures(where: Path | Iterable[Path], intrinsics: Intrinsics | None = None) -> Pictures:
    """Unlabelled pictures.

    Args:
        where: a folder, of all pictures in it, or a file; or several of them.
        intrinsics: their camera; None for that of a camera.json beside them, as BOP has it, or else a guess
            (see `Pictures`).

    Raises:
        DREnvError: when there are none.
    """
    places = [where] if isinstance(where, Path) else list(where)
    files = picture_files(places)
    name = str(places[0]) if len(places) == 1 else f"{len(files)} pictures"
    described = files[0].parent / "camera.json"
    if intrinsics is None and described.is_file():
        intrinsics = read_intrinsics(described)
    return Pictures(name, files, intrinsics)


def picture_files(places: Sequence[Path]) -> list[Path]:
    """Files, and all pictures in folders. Raises DREnvError for a file that is not there, or where there is none."""
    files: list[Path] = []
    for place in places:
        inside = sorted(path for path in place.iterdir() if is_picture(path)) if place.is_dir() else [place]
        if lost := [path for path in inside if not path.is_file()]:
            raise DREnvError(f"{lost[0]}: no such picture or folder")
        files += inside
    if not files:
        shown = ", ".join(map(str, places))
        raise DREnvError(f"{shown}: no pictures; expected files such as {', '.join(_SUFFIXES[:3])}")
    return files


def stamp(root: Path, paths: Iterable[Path]) -> str:
    """Sixteen hex digits of files and folders that are there: paths as seen from `root`, sizes and times of change."""
    told = sorted((os.path.relpath(path, root), path.stat()) for path in paths if path.exists())
    return f"{digest(*((name, found.st_size, found.st_mtime_ns) for name, found in told)):016x}"


def is_picture(path: Path) -> bool:
    """Whether a file's name says that it is a picture."""
    return path.suffix.lower() in _SUFFIXES


def read_intrinsics(path: Path) -> Intrinsics:
    """The camera that a BOP camera.json describes. Raises DREnvError naming the file and what it lacks."""
    with naming(path):
        form = json.loads(path.read_text(encoding="utf-8"))
        focal = (float(form[key]) for key in ("fx", "fy", "cx", "cy"))
        return Intrinsics(int(form["width"]), int(form["height"]), *focal)


def colour_image(data: bytes, what: str, upright: bool = False) -> NDArray[np.uint8]:
    """Any picture as (h, w, 3) uint8 RGB. Raises DREnvError naming `what` where it is none.

    With `upright` it is turned as its EXIF orientation says; images of datasets stand as their labels do.
    """
    image = decode_image(data, what, upright=upright)
    if image.dtype != np.uint8:
        raise DREnvError(f"{what}: got {image.dtype} pixels, expected 8 bits")
    return np.ascontiguousarray(image[..., :3] if image.ndim == 3 else np.repeat(image[..., None], 3, -1))

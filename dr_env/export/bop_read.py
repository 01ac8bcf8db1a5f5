"""Reads BOP-scenewise datasets: which objects stand where in which image, and what they look like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.catalogue import MM, Catalogue, LabelClass
from dr_env.export.encode import decode_depth, decode_image
from dr_env.export.validate.findings import load_json, numbers
from dr_env.spatial import Array, Intrinsics, transform

IMAGES = ("rgb", "gray", "depth")


@dataclass(frozen=True, eq=False)
class BopImage:
    """One image of a BOP dataset.

    Attributes:
        scene: its scene's folder.
        key: its name in the scene's JSON files, such as "3".
        K: (3, 3) camera matrix.
        depth_scale: millimetres a step of its depth image.
        poses: (object's id, camera_from_object (4, 4) in metres) of each annotated object.
    """

    scene: Path
    key: str
    K: Array
    depth_scale: float
    poses: tuple[tuple[int, Array], ...]

    def file(self, kind: str) -> Path | None:
        """The image of that kind, such as rgb or depth; None where there is none."""
        names = (self.scene / kind / f"{int(self.key):06d}{suffix}" for suffix in (".png", ".jpg", ".tif"))
        return next((path for path in names if path.is_file()), None)

    def rgb(self) -> NDArray[np.uint8] | None:
        """The photograph (h, w, 3), grey ones too; None where there is none."""
        path = self.file("rgb") or self.file("gray")
        if path is None:
            return None
        picture = decode_image(path.read_bytes(), str(path))
        return np.asarray(picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, -1), np.uint8)

    def depth(self) -> NDArray[np.float32] | None:
        """The measured depth (h, w) in metres, 0 where there is none; None without a depth image."""
        path = self.file("depth")
        return None if path is None else decode_depth(path.read_bytes(), self.depth_scale, str(path))


class BopDataset:
    """A BOP dataset's models, camera and images.

    Args:
        root: its folder, or that of one of its parts as long as `models` is in it.

    Raises:
        DREnvError: naming the file and key that is missing or wrong.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise DREnvError(f"{root}: no such folder")
        self.scenes = tuple(sorted(path.parent for path in root.rglob("scene_gt.json")))
        if not self.scenes:
            raise DREnvError(f"{root}: no scene_gt.json below it; expected a BOP dataset, scene by scene")
        folders = [root / name for name in ("models", "models_eval") if (root / name).is_dir()]
        if not folders:
            raise DREnvError(f"{root}: no folder models or models_eval, whose meshes labels are made of")
        self.models_folder = folders[0]
        self.models = self._models(self.models_folder)
        self.width, self.height = self._size()

    def images(self, scene: Path) -> Iterator[BopImage]:
        """The images of one of `scenes`, in its order."""
        cameras = _mapping(scene / "scene_camera.json")
        for key, found in _mapping(scene / "scene_gt.json").items():
            with _naming(scene / "scene_gt.json", key):
                poses = tuple((int(entry["obj_id"]), _pose(entry)) for entry in found)
            with _naming(scene / "scene_camera.json", key):
                camera = cameras[key]
                matrix = numbers(camera["cam_K"], 9, "cam_K").reshape(3, 3)
                Intrinsics.from_matrix(matrix, self.width, self.height)
                yield BopImage(scene, key, matrix, float(camera.get("depth_scale", 1.0)), poses)

    def _models(self, folder: Path) -> Catalogue:
        """The meshes, in metres and in the frame that poses are of."""
        made: Catalogue = {}
        for path in sorted(folder.glob("obj_*.ply")):
            with _naming(path):
                mesh = trimesh.load_mesh(path, process=False)
                vertices = np.asarray(mesh.vertices, np.float64) / MM
                if not len(mesh.faces) or not np.isfinite(vertices).all():
                    raise DREnvError(f"got {len(vertices)} vertices and {len(mesh.faces)} faces, expected a mesh")
                number = int(path.stem.removeprefix("obj_"))
                made[number] = LabelClass(number, path.stem, vertices, np.asarray(mesh.faces, np.int32))
        if not made:
            raise DREnvError(f"{folder}: no meshes; expected files such as obj_000001.ply")
        return made

    def _size(self) -> tuple[int, int]:
        """Width and height of all images: of camera.json, else of the first picture."""
        path = self.root / "camera.json"
        if path.is_file():
            with _naming(path):
                camera = load_json(path)
                return int(camera["width"]), int(camera["height"])
        for scene in self.scenes:
            for kind in IMAGES:
                for picture in sorted((scene / kind).glob("*.*")):
                    height, width = decode_image(picture.read_bytes(), str(picture)).shape[:2]
                    return width, height
        raise DREnvError(f"{path}: missing, and there is no image whose size could be taken")


def _pose(entry: dict[str, Any]) -> Array:
    shift = numbers(entry["cam_t_m2c"], 3, "cam_t_m2c") / MM
    given = numbers(entry["cam_R_m2c"], 9, "cam_R_m2c").reshape(3, 3)
    left, stretch, right = np.linalg.svd(given)
    # annotations of real photographs are rounded, or fitted: the nearest rotation is meant (Kabsch 1976)
    if np.abs(stretch - 1).max() > 0.01 or np.linalg.det(given) < 0:
        raise DREnvError(f"cam_R_m2c: got {given.round(3).tolist()}, expected a rotation matrix")
    return transform(left @ right, shift)


def _mapping(path: Path) -> dict[str, Any]:
    with _naming(path):
        found = load_json(path)
        if not isinstance(found, dict) or not all(key.isdigit() for key in found):
            raise DREnvError("expected an object with a number for each image")
        return found


@contextmanager
def _naming(path: Path, key: str = "") -> Iterator[None]:
    """Turns whatever is wrong with a file into one error that names it."""
    place = f"{path}: image {key}" if key else str(path)
    try:
        yield
    except DREnvError as error:
        raise DREnvError(f"{place}: {error}") from error
    except KeyError as error:
        raise DREnvError(f"{place}: no {error}") from error
    except OSError as error:
        raise DREnvError(f"{place}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise DREnvError(f"{place}: {error}") from error

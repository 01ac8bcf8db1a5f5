"""Reads BOP datasets: which objects stand where in which image, and what they look like."""

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
from dr_env.files import check_folder
from dr_env.records import Distortion
from dr_env.spatial import Array, Intrinsics, transform

IMAGES = ("rgb", "gray", "depth")


@dataclass(frozen=True, eq=False, kw_only=True)
class BopLabels:
    """What BOP's JSON says of one image.

    Attributes:
        K: (3, 3) camera matrix.
        depth_scale: millimetres a step of its depth image.
        camera_from_world: (4, 4) in metres, where it is told.
        distortion: the lens that it went through, where our own export tells of one.
        poses: (object's id, camera_from_object (4, 4) in metres) of each annotated object.
        infos: what scene_gt_info.json says of each annotated object; None without that file.
    """

    K: Array
    depth_scale: float
    camera_from_world: Array | None
    distortion: Distortion | None
    poses: tuple[tuple[int, Array], ...]
    infos: tuple[dict[str, Any], ...] | None


@dataclass(frozen=True, eq=False, kw_only=True)
class BopImage(BopLabels):
    """One image of a BOP dataset that is kept scene by scene.

    Attributes:
        scene: its scene's folder.
        key: its name in the scene's JSON files, such as "3".
    """

    scene: Path
    key: str

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
        check_folder(root)
        found = (path.parent for depth in ("*", "*/*") for path in root.glob(f"{depth}/scene_gt.json"))
        self.scenes = tuple(sorted(found))
        if not self.scenes:
            raise DREnvError(f"{root}: no scene_gt.json below it; expected a BOP dataset, scene by scene")
        self.models_folder = models_folder(root)
        self.models = read_models(self.models_folder)
        self.width, self.height = self._size()

    def images(self, scene: Path) -> Iterator[BopImage]:
        """The images of one of `scenes`, in its order."""
        cameras = read_mapping(scene / "scene_camera.json")
        path = scene / "scene_gt_info.json"
        infos = read_mapping(path) if path.is_file() else None
        for key, found in read_mapping(scene / "scene_gt.json").items():
            with naming(scene / "scene_gt.json", key):
                poses = read_poses(found)
            with naming(path, key):
                info = None if infos is None else read_infos(infos[key], len(poses))
            with naming(scene / "scene_camera.json", key):
                camera = read_camera(cameras[key], self.width, self.height)
            yield BopImage(scene=scene, key=key, poses=poses, infos=info, **camera)

    def _size(self) -> tuple[int, int]:
        """Width and height of all images: of camera.json, else of the first picture."""
        path = self.root / "camera.json"
        if path.is_file():
            with naming(path):
                camera = load_json(path)
                return int(camera["width"]), int(camera["height"])
        for scene in self.scenes:
            for kind in IMAGES:
                for picture in sorted((scene / kind).glob("*.*")):
                    height, width = decode_image(picture.read_bytes(), str(picture)).shape[:2]
                    return width, height
        raise DREnvError(f"{path}: missing, and there is no image whose size could be taken")


def models_folder(root: Path) -> Path:
    """Where a dataset keeps its meshes. Raises DREnvError where it has none."""
    found = next((root / name for name in ("models", "models_eval") if (root / name).is_dir()), None)
    if found is None:
        raise DREnvError(f"{root}: no folder models or models_eval, whose meshes labels are made of")
    return found


def read_models(folder: Path) -> Catalogue:
    """The meshes of a folder, in metres and in the frame that poses are of, with the symmetries of models_info.json.

    Raises:
        DREnvError: naming the file and key that is missing or wrong.
    """
    path = folder / "models_info.json"
    infos = read_mapping(path) if path.is_file() else {}
    made: Catalogue = {}
    for mesh_path in sorted(folder.glob("obj_*.ply")):
        with naming(mesh_path):
            mesh = trimesh.load_mesh(mesh_path, process=False)
            vertices = np.asarray(mesh.vertices, np.float64) / MM
            if not len(mesh.faces) or not np.isfinite(vertices).all():
                raise DREnvError(f"got {len(vertices)} vertices and {len(mesh.faces)} faces, expected a mesh")
            number = int(mesh_path.stem.removeprefix("obj_"))
        with naming(path):
            discrete, continuous = _symmetries(infos.get(str(number), {}), f"object {number}")
        made[number] = LabelClass(number, mesh_path.stem, vertices, np.asarray(mesh.faces, np.int32),
                                  discrete=discrete, continuous=continuous)  # fmt: skip
    if not made:
        raise DREnvError(f"{folder}: no meshes; expected files such as obj_000001.ply")
    return made


def _symmetries(info: dict[str, Any], what: str) -> tuple[Array, tuple[tuple[Array, Array], ...]]:
    """Discrete (n, 4, 4) and continuous symmetries, in metres."""
    rows = [numbers(form, 16, f"{what}: symmetries_discrete") for form in info.get("symmetries_discrete", ())]
    discrete = np.array(rows).reshape(-1, 4, 4)
    discrete[:, :3, 3] /= MM
    continuous = tuple(
        (
            numbers(form["axis"], 3, f"{what}: symmetries_continuous axis"),
            numbers(form["offset"], 3, f"{what}: symmetries_continuous offset") / MM,
        )
        for form in info.get("symmetries_continuous", ())
    )
    return discrete, continuous


def read_camera(form: dict[str, Any], width: int, height: int) -> dict[str, Any]:
    """What an image's entry of scene_camera.json gives `BopLabels`. Raises DREnvError naming the key."""
    matrix = numbers(form["cam_K"], 9, "cam_K").reshape(3, 3)
    Intrinsics.from_matrix(matrix, width, height)
    world = None
    if "cam_R_w2c" in form:
        world = _pose(form, "w2c")
    lens = form.get("distortion")
    return {
        "K": matrix,
        "depth_scale": float(form.get("depth_scale", 1.0)),
        "camera_from_world": world,
        "distortion": Distortion(str(lens["model"]), tuple(map(float, lens["coefficients"]))) if lens else None,
    }


def read_poses(form: list[dict[str, Any]]) -> tuple[tuple[int, Array], ...]:
    """The object ids and poses of an image's entry of scene_gt.json. Raises DREnvError naming the key."""
    return tuple((int(entry["obj_id"]), _pose(entry)) for entry in form)


def read_infos(form: list[dict[str, Any]], count: int) -> tuple[dict[str, Any], ...]:
    """An image's entry of scene_gt_info.json. Raises DREnvError unless it is of so many objects."""
    if len(form) != count:
        raise DREnvError(f"got {len(form)} objects, expected {count} as scene_gt.json has")
    for entry in form:
        for key in ("bbox_obj", "bbox_visib"):
            numbers(entry[key], 4, key)
        numbers([entry["visib_fract"]], 1, "visib_fract")
    return tuple(form)


def _pose(entry: dict[str, Any], which: str = "m2c") -> Array:
    shift = numbers(entry[f"cam_t_{which}"], 3, f"cam_t_{which}") / MM
    given = numbers(entry[f"cam_R_{which}"], 9, f"cam_R_{which}").reshape(3, 3)
    left, stretch, right = np.linalg.svd(given)
    # annotations of real photographs are rounded, or fitted: the nearest rotation is meant (Kabsch 1976)
    if np.abs(stretch - 1).max() > 0.01 or np.linalg.det(given) < 0:
        raise DREnvError(f"cam_R_{which}: got {given.round(3).tolist()}, expected a rotation matrix")
    return transform(left @ right, shift)


def read_mapping(path: Path) -> dict[str, Any]:
    """A JSON file that has something for each image or object, by number. Raises DREnvError naming the file."""
    with naming(path):
        found = load_json(path)
        if not isinstance(found, dict) or not all(key.isdigit() for key in found):
            raise DREnvError("expected an object with a number for each image")
        return found


@contextmanager
def naming(path: Path, key: str = "") -> Iterator[None]:
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

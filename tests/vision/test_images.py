"""What is read of datasets is what frames said when they were written."""

from __future__ import annotations

import json
import pickle
import shutil
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh

from dr_env import DREnvError
from dr_env.records import Distortion
from dr_env.spatial import Intrinsics, apply, project
from dr_env.vision.images import check_alike, open_all, open_images
from dr_env.vision.pictures import open_pictures
from dr_env.vision.rectify import rectified, rectified_box
from tests.export import made
from tests.vision.made_datasets import write

LMO = Path(__file__).parents[3] / "shared" / "real" / "lmo"
needs_lmo = pytest.mark.skipif(not LMO.is_dir(), reason="the photographs of ../shared/real/lmo are not here")
FORMATS = ("bop", "bop-webdataset")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "copy"))


def _edit(path: Path, change: Any) -> None:
    form = json.loads(path.read_text())
    change(form)
    path.write_text(json.dumps(form))


@pytest.mark.parametrize("form", FORMATS)
def test_samples_are_the_frames(dataset: Path, form: str) -> None:
    images = open_images(dataset / form)
    assert len(images) == 7 and images.name.endswith(f"{form}[train+val]")
    for index in range(7):
        sample = images[index]
        split, scene, number = sample.name.split("/")
        k = 3 * int(scene) + int(number)
        assert (split, sample.scene_id, sample.image_id) == ("val" if k == 4 else "train", k // 3, k % 3)
        frame = made.frame(k, hidden=k == 6)
        assert np.array_equal(sample.image, 255 - frame.rgb)
        assert sample.intrinsics == made.CAMERA
        assert np.allclose(sample.camera_from_world, frame.camera_from_world)
        masks = images.masks(index)
        assert len(masks) == len(sample.annotations) == 3
        for i, (view, label, mask) in enumerate(zip(frame.objects, sample.annotations, masks, strict=True)):
            assert label.class_id == view.class_id
            # the middle of the mesh is the model's origin, wherever the object's own was
            middle = apply(view.camera_from_object, ((made.LOW + made.HIGH) / 2)[None])[0]
            assert np.allclose(label.camera_from_object[:3, 3], middle, atol=1e-9)
            assert np.allclose(label.camera_from_object[:3, :3], view.camera_from_object[:3, :3], atol=1e-9)
            assert np.array_equal(mask, frame.instance == i + 1)
            if mask.any():
                rows, columns = np.nonzero(mask)
                low = (columns.min(), rows.min())
                assert label.box_visible == (*low, np.ptp(columns) + 1, np.ptp(rows) + 1)
            else:
                assert label.box_visible is None and label.box_amodal is None and label.visible_fraction == 0


@pytest.mark.parametrize("form", FORMATS)
def test_models_are_the_classes(dataset: Path, form: str) -> None:
    models = open_images(dataset / form).models
    assert set(models) == {2, 5}
    size = made.HIGH - made.LOW
    for model in models.values():
        assert np.allclose(model.vertices.min(0), -size / 2) and np.allclose(model.vertices.max(0), size / 2)
        assert model.diameter == pytest.approx(np.linalg.norm(size), rel=1e-6)
    assert len(models[2].motions()) == 2 and len(models[5].motions(12)) == 12
    # symmetries leave the mesh where it is
    turned = apply(models[2].discrete[0], models[2].vertices)
    assert np.allclose(np.sort(turned, axis=0), np.sort(models[2].vertices, axis=0), atol=1e-7)


def test_one_split_and_clean_images(dataset: Path) -> None:
    val = open_images(dataset / "bop", split="val", image="clean")
    assert len(val) == 1 and np.array_equal(val[0].image, made.frame(4).rgb)
    with pytest.raises(DREnvError, match="no split 'vall'; did you mean 'val'"):
        open_images(dataset / "bop", split="vall")
    with pytest.raises(DREnvError, match="clean ones are in --format bop"):
        open_images(dataset / "bop-webdataset", image="clean")


@pytest.mark.parametrize("form", FORMATS)
def test_reading_is_lazy_and_travels_to_other_processes(dataset: Path, form: str) -> None:
    images = open_images(dataset / form)
    images[0]
    data = pickle.dumps(images)
    assert len(data) < 20_000
    again = pickle.loads(data)
    assert np.array_equal(again[3].image, images[3].image) and again.name == images.name
    assert len(list(images)) == 7  # iterating ends


def test_an_exports_own_folder_will_do(copy: Path) -> None:
    classes = [{"id": 2, "name": "brick"}, {"id": 5, "name": "block"}]
    manifest = {"format": "dr_env/dataset/1", "versions": {"dr-env": "1"}, "complete": True, "classes": classes}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    images = open_images(copy)
    assert images.origin.format == "bop" and images.models[5].name == "block"
    _edit(copy / "manifest.json", lambda form: form.update(complete=False))
    with pytest.raises(DREnvError, match="has not ended"):
        open_images(copy)


@pytest.mark.parametrize(
    "lens",
    [
        Distortion("brown_conrady", (-0.2, 0.05, 0.001, -0.002, 0.0)),
        Distortion("kannala_brandt", (-0.05, 0.01, 0.0, 0.0)),
    ],
    ids=lambda lens: lens.model,
)
def test_a_lens_is_taken_off_picture_and_labels(lens: Distortion, tmp_path: Path) -> None:
    """A pinhole picture seen through the lens and straightened again is the pinhole picture."""
    from dr_env.sensors.lens import make_lens, see

    camera = Intrinsics(160, 120, 150.0, 152.0, 80.5, 58.0)
    wide = Intrinsics(320, 240, 150.0, 152.0, 160.0, 120.0)
    u, v = np.meshgrid(np.arange(320), np.arange(240))
    pattern = np.stack([u // 2, v // 2, 127 + 120 * np.sin(u / 9) * np.cos(v / 7)], -1).astype(np.uint8)
    taken = make_lens(lens, camera, wide).blend(pattern)
    straight = rectified(taken, camera, lens)
    rays = camera.rays()[20:-20, 20:-20]
    seen = project(rays, wide)
    expected = cv2.remap(pattern, *np.moveaxis(seen, -1, 0).astype(np.float32), cv2.INTER_LINEAR)
    assert np.abs(straight[20:-20, 20:-20].astype(int) - expected).mean() < 1.0
    # a box around a square before the camera
    corners = np.array([[-0.2, -0.1, 1], [0.1, -0.1, 1], [0.1, 0.15, 1], [-0.2, 0.15, 1]])
    edge = np.concatenate([np.linspace(a, b, 40) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
    pixels = see(edge, camera, lens)
    low, high = pixels.min(0) + 0.5, pixels.max(0) + 0.5
    x, y, width, height = rectified_box((*low, *(high - low)), camera, lens)
    truth = project(corners, camera)
    assert np.allclose([x, y], truth.min(0) + 0.5, atol=1.5)
    assert np.allclose([x + width, y + height], truth.max(0) + 0.5, atol=1.5)


def test_a_lens_that_a_dataset_tells_of_is_taken_off(tmp_path: Path) -> None:
    lens = Distortion("brown_conrady", (0.3, 0.0, 0.0, 0.0, 0.0))
    bent, plain = (
        open_images(write(tmp_path / "bent", lens=lens) / "bop"),
        open_images(write(tmp_path / "plain") / "bop"),
    )
    assert np.array_equal(bent[0].image, rectified(plain[0].image, made.CAMERA, lens))
    assert not np.array_equal(bent[0].image, plain[0].image)
    assert bent.masks(0)[0].dtype == bool and bent.masks(0)[0].sum() > 0
    cameras = tmp_path / "bent/bop/train/000000/scene_camera.json"
    _edit(cameras, lambda form: form["0"]["distortion"].update(model="fish"))
    with pytest.raises(DREnvError, match=r"no lens 'fish'; lenses: brown_conrady, kannala_brandt"):
        open_images(tmp_path / "bent/bop")[0]


def test_images_and_labels_belong_together(copy: Path) -> None:
    scene = copy / "bop/train/000000"
    (scene / "rgb/000001.png").rename(scene / "rgb/000009.png")
    with pytest.raises(DREnvError, match=r"scene_gt.json: no labels of image 9"):
        open_images(copy / "bop")
    (scene / "rgb/000009.png").unlink()
    with pytest.raises(DREnvError, match=r"rgb: no image 000001, which scene_gt.json has labels of \(1 in all\)"):
        open_images(copy / "bop")
    shutil.rmtree(scene / "rgb")
    with pytest.raises(DREnvError, match="labels without images"):
        open_images(copy / "bop")
    (copy / "bop/train/000001/scene_gt.json").unlink()
    with pytest.raises(DREnvError, match=r"empty: no dataset: expected SPLIT"):
        (copy / "empty").mkdir()
        open_images(copy / "empty")


def test_files_that_are_damaged_are_named(copy: Path) -> None:
    scene = copy / "bop/train/000000"
    (scene / "rgb/000000.png").write_bytes(b"no picture")
    images = open_images(copy / "bop")
    with pytest.raises(DREnvError, match=r"000000.png: not an image"):
        images[0]
    _edit(scene / "scene_gt.json", lambda form: form["1"][0].pop("cam_t_m2c"))
    with pytest.raises(DREnvError, match=r"scene_gt.json: image 1: no 'cam_t_m2c'"):
        open_images(copy / "bop")[1]
    (copy / "bop/train/000001/mask_visib/000000_000000.png").unlink()
    with pytest.raises(DREnvError, match=r"000000_000000.png: cannot be read: No such file"):
        open_images(copy / "bop").masks(3)
    tar = copy / "bop-webdataset/train/shard-000000.tar"
    tar.write_bytes(tar.read_bytes()[:5000])
    with pytest.raises(DREnvError, match=r"shard-000000.tar: (not a whole tar file|cut off)"):
        open_images(copy / "bop-webdataset")


def test_a_mesh_that_is_not_the_datasets(copy: Path) -> None:
    mesh = copy / "bop/models/obj_000002.ply"
    trimesh.creation.box((50, 30, 40)).export(mesh)
    with pytest.raises(DREnvError, match=r"models_info.json: object 2: .*a mesh that is not the dataset's"):
        open_images(copy / "bop")
    for path in (copy / "bop/models").glob("*.ply"):
        path.rename(path.with_name(path.name.replace("_00000", "_00001")))
    with pytest.raises(DREnvError, match=r"no mesh of any object that is labelled: got obj_id 2, 5, meshes 12, 15"):
        open_images(copy / "bop")


def test_datasets_read_together_are_alike(dataset: Path, copy: Path) -> None:
    assert len(open_all([dataset / "bop", copy / "bop"])) == 2
    with pytest.raises(DREnvError, match="bop-webdataset: format: got bop-webdataset, expected bop as"):
        open_all([dataset / "bop", dataset / "bop-webdataset"])
    _edit(copy / "bop/models/models_info.json", lambda form: form["2"].pop("symmetries_discrete"))
    with pytest.raises(DREnvError, match=r"object 2 \(obj_000002\): its set of symmetries is not that of"):
        open_all([dataset / "bop", copy / "bop"])
    _edit(copy / "bop/camera.json", lambda form: form.update(width=80))
    with pytest.raises(DREnvError, match=r"bop: width: got 80, expected 64"):
        check_alike([open_images(dataset / "bop"), open_images(copy / "bop")])
    with pytest.raises(DREnvError, match=r"got 64 x 48 pixels, expected 80 x 48"):
        open_images(copy / "bop")[0]


def test_pictures_have_a_camera_and_no_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k, form in ((7, "png"), (12, "jpg")):
        cv2.imwrite(str(tmp_path / f"{k}.{form}"), rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    pictures = open_pictures(tmp_path)
    assert len(pictures) == 2 and not pictures.models and pictures.masks(0) == ()
    assert [pictures[i].image_id for i in range(2)] == [12, 7]
    guessed = pictures[0].intrinsics
    assert guessed.fx == pytest.approx(1.2 * 64) and guessed.cx == 31.5
    camera = {"width": 128, "height": 96, "fx": 100, "fy": 100, "cx": 60, "cy": 50}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    assert open_pictures(tmp_path)[0].intrinsics == Intrinsics(128, 96, 100, 100, 60, 50).scaled(64, 48)
    with pytest.raises(DREnvError, match=r"12.jpg: got 64 x 48 pixels, expected the shape of the camera's 100 x 100"):
        open_pictures([tmp_path / "12.jpg"], Intrinsics(100, 100, 90, 90, 50, 50))[0]
    with pytest.raises(DREnvError, match=r"nothing.png: no such picture"):
        open_pictures(tmp_path / "nothing.png")
    with pytest.raises(DREnvError, match=r"no pictures; expected files such as .png"):
        (tmp_path / "empty").mkdir()
        open_pictures(tmp_path / "empty")


def test_more_pixels_than_can_be_read_are_one_error(tmp_path: Path) -> None:
    head = b"IHDR" + (40000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    parts = (head, b"IDAT" + zlib.compress(b""), b"IEND")
    chunks = [(len(part) - 4).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big") for part in parts]
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(DREnvError, match=r"huge\.png: not an image that can be read: OpenCV expects pixels <= "):
        open_pictures(tmp_path / "huge.png")[0]


@needs_lmo
def test_photographs_with_poses_of_some_objects() -> None:
    images = open_images(LMO, split="test")
    assert len(images) == 8 and set(images.models) == {8, 9}
    for sample in images:
        assert [label.class_id for label in sample.annotations] == [8, 9]  # the other six have no model here
        for label in sample.annotations:
            model = images.models[label.class_id]
            pixels = project(model.vertices, sample.intrinsics, label.camera_from_object)
            assert label.box_amodal is not None
            x, y, width, height = label.box_amodal
            assert np.allclose([x, y], pixels.min(0), atol=4)
            assert np.allclose([x + width, y + height], pixels.max(0), atol=4)
    with pytest.raises(DREnvError, match=r"mask_visib.*cannot be read"):
        images.masks(0)


def test_photographs_are_upright(tmp_path: Path) -> None:
    """A camera held sideways says so in EXIF, and viewers turn its picture."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:10] = 255
    data = cv2.imencode(".jpg", image)[1].tobytes()
    exif = (
        b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    )
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "sideways.jpg").write_bytes(data[:2] + segment + data[2:])
    (tmp_path / "upright.jpg").write_bytes(data)
    turned, plain = (open_pictures(tmp_path / name)[0].image for name in ("sideways.jpg", "upright.jpg"))
    assert plain.shape == (40, 60, 3) and turned.shape == (60, 40, 3)
    assert turned[:, -5:].mean() > 200 > 50 > turned[:, :20].mean()  # a quarter turn clockwise


def test_outlines_that_a_lens_cannot_show_are_the_meshes_own(tmp_path: Path) -> None:
    lens = Distortion("brown_conrady", (-0.35, 0.0, 0.0, 0.0, 0.0))
    images = open_images(write(tmp_path / "bent", lens=lens) / "bop")
    scenes = tmp_path / "bent/bop/train/000000"
    _edit(scenes / "scene_gt_info.json", lambda form: form["0"][0].update(bbox_obj=[-300, -300, 700, 700]))
    annotation = images[0].annotations[0]
    model = images.models[annotation.class_id]
    pixels = project(apply(annotation.camera_from_object, model.vertices), made.CAMERA) + 0.5
    assert annotation.box_amodal is not None
    assert np.allclose(annotation.box_amodal[:2], pixels.min(0)) and np.allclose(
        annotation.box_amodal[2:], np.ptp(pixels, axis=0)
    )


def test_images_of_datasets_are_not_turned(copy: Path) -> None:
    scene = copy / "bop/train/000000"
    before = open_images(copy / "bop")[0].image
    (scene / "rgb/000000.png").unlink()
    orientation = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"
    data = cv2.imencode(".jpg", before[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    data = data[:2] + b"\xff\xe1" + (len(orientation) + 2).to_bytes(2, "big") + orientation + data[2:]
    (scene / "rgb/000000.jpg").write_bytes(data)
    plain = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.array_equal(open_images(copy / "bop")[0].image, plain)
    loose = copy / "loose.jpg"
    loose.write_bytes(data)
    assert np.array_equal(open_pictures(loose)[0].image, plain[::-1, ::-1])


def test_labels_that_lack_something_are_named(copy: Path) -> None:
    scene = copy / "bop/train/000000"
    _edit(scene / "scene_gt_info.json", lambda form: form["0"][0].pop("visib_fract"))
    with pytest.raises(DREnvError, match=r"scene_gt_info.json: image 0: no 'visib_fract'"):
        open_images(copy / "bop")[0]
    images = open_images(copy / "bop", "val")
    (depth,) = sorted((copy / "bop/val/000001/depth").glob("*.png"))
    cv2.imwrite(str(depth), np.zeros((5, 6), np.uint16))
    with pytest.raises(DREnvError, match="depth: got 6 x 5 pixels"):
        images.depth(0)
    scene.rename(scene.with_name("first"))
    with pytest.raises(DREnvError, match="expected its number, such as 000001"):
        open_images(copy / "bop")


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("bbox_visib", [1, 2], "bbox_visib: got .*, expected 4 numbers"),
        ("bbox_obj", [float("nan"), 1, 2, 3], "bbox_obj: got .*, expected 4 finite numbers"),
        ("visib_fract", "x", "visib_fract: got .*, expected 1 finite numbers"),
    ],
)
def test_boxes_that_are_none_are_named(copy: Path, key: str, value: object, match: str) -> None:
    def change(form: dict[str, list[dict[str, object]]]) -> None:
        next(iter(form.values()))[0][key] = value

    path = sorted((copy / "bop").glob("*/*/scene_gt_info.json"))[0]
    _edit(path, change)
    with pytest.raises(DREnvError, match=rf"{path.name}.*{match}"):
        list(open_images(copy / "bop"))

"""Reads a BOP-webdataset back: every member of every tar file."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.encode import decode_image, decode_runs
from dr_env.export.validate.bop import check_camera, check_targets
from dr_env.export.validate.findings import Findings, Progress, load_json
from dr_env.export.validate.labels import LabelledImage, check_image
from dr_env.export.validate.models import read_models

_PARTS = ("depth.png", "camera.json", "gt.json", "gt_info.json", "mask.json", "mask_visib.json")
_COLOURS = ("rgb.jpg", "rgb.png")
_MOST = 1000  # images a tar file
_TARGET_FRACTION = 0.1


def is_archive(root: Path) -> bool:
    """Whether a folder holds BOP's tar files."""
    return next(root.glob("*/key_to_shard.json"), None) is not None


def members_of(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The keys of a tar file, in order, each with what it has by the rest of its name. Raises DREnvError if cut off."""
    key = ""
    parts: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                name, _, rest = member.name.partition(".")
                file = tar.extractfile(member)
                if file is None:
                    continue
                if name != key and parts:
                    yield key, parts
                    parts = {}
                key = name
                parts[rest] = file.read()
                if len(parts[rest]) != member.size:
                    raise DREnvError(f"{member.name}: cut off after {len(parts[rest])} of {member.size} bytes")
    except tarfile.TarError as error:
        raise DREnvError(f"not a whole tar file after {key or 'its beginning'}: {error}") from None
    if parts:
        yield key, parts
    size = path.stat().st_size
    if size % tarfile.BLOCKSIZE or not _ends(path):
        raise DREnvError(f"a tar file that is cut off: {size} bytes, the last key is {key}")


def _ends(path: Path) -> bool:
    """Whether the two empty blocks that end a tar file are there."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 2 * tarfile.BLOCKSIZE, 0))
        return file.read() == bytes(2 * tarfile.BLOCKSIZE)


def check_archive(root: Path, findings: Findings, progress: Progress) -> int:
    """Reads all of a dataset; returns how many images it has."""
    size = check_camera(root, findings)
    models = read_models(root, findings)
    counts: dict[tuple[int, int, int], int] = {}
    done = 0
    indices: dict[Path, Any] = {}
    for path in sorted(root.glob("*/key_to_shard.json")):
        with findings.reading(path):
            indices[path] = load_json(path)
    total = sum(map(len, indices.values()))
    for path, index in indices.items():
        seen: dict[str, int] = {}
        for tar in sorted(path.parent.glob("shard-*.tar")):
            with findings.reading(tar):
                number, before = int(tar.stem.partition("-")[2]), len(seen)
                for key, parts in members_of(tar):
                    findings.require(key not in seen, tar, key, "this key is in the dataset twice")
                    seen[key] = number
                    findings.require(
                        index.get(key) == number, path, key, f"got shard {index.get(key)}, expected {number}"
                    )
                    image = _image(tar, key, parts, size, findings)
                    if image is not None:
                        check_image(image, models, findings)
                        for gt, info in zip(image.gt, image.info, strict=False):
                            if info.get("visib_fract", 0) >= _TARGET_FRACTION:
                                place = (*map(int, key.split("_")), int(gt["obj_id"]))
                                counts[place] = counts.get(place, 0) + 1  # type: ignore[index, arg-type]
                    done += 1
                    progress(done, max(total, done))
                findings.require(
                    len(seen) - before <= _MOST, tar, "", f"got {len(seen) - before} images, expected {_MOST}"
                )
        for key in sorted(set(index) - set(seen)):
            findings.add(path, key, "in no tar file")
    check_targets(root, counts, findings)
    return done


def _image(
    tar: Path, key: str, parts: dict[str, bytes], size: tuple[int, int] | None, findings: Findings
) -> LabelledImage | None:
    def file(part: str) -> str:
        return f"{tar}:{key}.{part}"

    colour = next((name for name in _COLOURS if name in parts), None)
    lacking = [part for part in _PARTS if part not in parts] + ([] if colour else [_COLOURS[0]])
    for part in lacking:
        findings.add(file(part), key, "missing")
    if lacking or colour is None:
        return None
    forms: dict[str, Any] = {}
    for part in parts:
        if part.endswith(".json"):
            with findings.reading(file(part), key):
                forms[part] = json.loads(parts[part])
    shape: tuple[int, int] | None = None
    with findings.reading(file(colour), key):
        shape = decode_image(parts[colour], "member").shape[:2]
        if size is not None and shape != size:
            raise DREnvError(f"got {shape[1]} x {shape[0]} pixels, expected {size[1]} x {size[0]}")
    if shape is None or len(forms) < len(_PARTS) - 1:
        return None
    depth: NDArray[np.uint16] | None = None
    with findings.reading(file("depth.png"), key):
        depth = decode_image(parts["depth.png"], "member")
        if depth.dtype != np.uint16 or depth.ndim != 2:
            depth = None
            raise DREnvError("expected 16 bits and one channel")
    masks: dict[str, list[NDArray[np.bool_] | None]] = {}
    for kind in ("mask", "mask_visib"):
        masks[kind] = []
        for i in range(len(forms["gt.json"])):
            mask = None
            with findings.reading(file(f"{kind}.json"), key):
                mask = decode_runs(forms[f"{kind}.json"][str(i)])
            masks[kind].append(mask)
    files = {"camera": file("camera.json"), "gt": file("gt.json"), "info": file("gt_info.json")}
    files |= {"depth": file("depth.png"), "mask": file("mask.json"), "mask_visib": file("mask_visib.json")}
    return LabelledImage(key, forms["camera.json"], forms["gt.json"], forms["gt_info.json"], files, shape, depth,
                         masks["mask"], masks["mask_visib"])  # fmt: skip

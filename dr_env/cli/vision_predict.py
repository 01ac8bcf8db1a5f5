"""`dr-env vision predict`: the poses of objects in pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from dr_env.errors import DREnvError


def predict(
    run: tyro.conf.Positional[Path],
    images: tyro.conf.Positional[tuple[Path, ...]],
    *,
    camera: Path | None = None,
    k: Annotated[str | None, tyro.conf.arg(name="K")] = None,
    box: tuple[str, ...] = (),
    out: Path | None = None,
    threads: int = 0,
) -> None:
    """Print the poses of objects in pictures; with --out, write them as JSON and draw them over the pictures.

    Args:
        run: The trained estimator's folder.
        images: Picture files of one camera, or folders of them.
        camera: A camera.json as BOP has it (width, height, fx, fy, cx, cy); by default the one beside the pictures.
        k: Instead, fx,fy,cx,cy in pixels of the pictures.
        box: x,y,w,h in pixels around an object, or CLASS:x,y,w,h where the estimator knows several; by default an
            estimator that works on crops takes each whole picture, for every class.
        out: A new folder for estimates.json and pictures.
        threads: Of the processor; 0 for all.
    """
    from dr_env.spatial import matrix_to_quat
    from dr_env.vision import card, results
    from dr_env.vision.pictures import picture_files
    from dr_env.vision.predict import ESTIMATES, open_with_camera, parse_boxes, write_pictures
    from dr_env.vision.predict import predict as run_on
    from dr_env.vision.threads import use_threads

    use_threads(threads)
    if not images:
        raise DREnvError("expected at least one picture")
    if out is not None:
        results.check_new(out)
    estimator = card.load(run)
    card.warn_unfinished(run)
    files = picture_files(images)
    pictures, known = open_with_camera(files, camera, k, estimator.rotates)
    boxes = parse_boxes(box, estimator.models)
    looks = run_on(estimator, pictures, boxes)
    rotation = ("rotation w x y z",) if estimator.rotates else ()
    table = Table("picture", "object", "score", "x, y, z in the camera, m", *rotation)
    for path, look in zip(files, looks, strict=True):
        for estimate in look.estimates:
            pose = estimate.camera_from_object
            turned = (" ".join(f"{x:.3f}" for x in matrix_to_quat(pose[:3, :3])),) if estimator.rotates else ()
            place = " ".join(f"{x:.4f}" for x in pose[:3, 3])
            name = estimator.models[estimate.class_id].name
            table.add_row(path.name, name, f"{estimate.score:.2f}", place, *turned)
        lost = sum(map(len, boxes.values())) - len(look.estimates) if boxes and estimator.rotates else 0
        if not look.estimates or lost > 0:
            said = f"nothing in {lost} of the boxes" if look.estimates else "nothing found"
            table.add_row(path.name, said, "", "", *([""] if estimator.rotates else []))
    Console().print(table)
    if out is not None:
        write_pictures(out, estimator, pictures, [path.name for path in files], looks, known)
        print(f"wrote {out / ESTIMATES}" + ("" if known else "; no pictures, for want of a camera: --camera or --K"))

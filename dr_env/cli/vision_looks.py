"""`dr-env vision looks`: ranges under which rendered images look like a target's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from dr_env.binding import limited, seen_entries
from dr_env.cli.bars import bars
from dr_env.cli.export import spec_text
from dr_env.cli.models import task_anywhere
from dr_env.cli.train import read_settings
from dr_env.cli.tune_search import Options
from dr_env.errors import DREnvError
from dr_env.export import SourceRequest, cores
from dr_env.files import check_replaceable
from dr_env.spec import Spec

if TYPE_CHECKING:
    from dr_env.vision.looks import Target
    from dr_env.vision.samples import Images


def looks(
    *,
    task: str,
    target: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DATASET|FOLDER|IMAGE...")],
    out: Path,
    spec: str = "default",
    features: str = "bank",
    evaluations: int = 200,
    frames_per_evaluation: int = 48,
    select: tuple[str, ...] = (),
    labelled: Path | None = None,
    object_class: str | None = None,
    split: str | None = None,
    width: int = 96,
    seed: int = 0,
    renderer: str = "classic",
    camera: str | None = None,
    options: Options = (),
    workers: int | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Tune the ranges of looks until rendered images look like the target's, labels or not.

    Frames of each candidate are compared with the target's images in feature space, by maximum mean discrepancy.
    Run the same command again to go on after an interruption, also kill -9, or with more evaluations. Beside the
    tuned Spec are left a record of the search (.looks.json) and a picture (.png).

    Args:
        task: A task, such as tabletop, or an MJCF file.
        target: A BOP dataset, a folder of images, or image files; labels are not looked at.
        out: The tuned Spec, a YAML file.
        spec: The prior: a Spec file, `default` for the task's own, or `looks` for everything that pictures show.
        features: bank (fixed filters), a trained run's folder, or package.module:factory of a torch module.
        evaluations: Candidates in all; the first is the prior itself.
        frames_per_evaluation: Frames rendered for each.
        select: Globs of what is tuned, such as light_* or scene.areas.*; by default what pictures show of the
            entries, and the scene's counts.
        labelled: A BOP dataset of a few labelled images of the target, whose loss counts as well.
        object_class: The class whose position that loss is of; by default the one that most of them show.
        split: The split of the target's dataset; by default all of them.
        width: Width in pixels at which images are compared; the height follows from the target's.
        seed: The seed of frames and search.
        renderer: classic (OpenGL) or filament (physically based).
        camera: The camera; by default the task's own.
        options: Numbers of the method to change, such as population=12 or task_weight=0.5.
        workers: Processes that render; by default one a core, 0 for this one alone.
        overwrite: Begin anew where there is a record.
        quiet: No progress bar.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise DREnvError(f"--out: got {out}, expected a .yaml file")
    if evaluations < 1:
        raise DREnvError(f"--evaluations: got {evaluations}, expected at least 1")
    check_replaceable(out)
    # torch takes seconds to import, which other commands do without
    from dr_env.tuning.look import Look
    from dr_env.vision.card import load
    from dr_env.vision.features import make_features
    from dr_env.vision.glimpse import Glimpser
    from dr_env.vision.looks import LookStudy, best_so_far, tuned_spec
    from dr_env.vision.looks_figure import draw_looks

    measure = make_features(features, load)
    goal = _target(target, split, width, labelled, object_class)
    height = goal.images.shape[1]
    text, name = spec_text(task, spec)
    request = SourceRequest(task_anywhere(task), text, name, seed, width, height, renderer, camera)
    prior, seen = _prior(request)
    chosen = read_settings(options)
    tuner = Look(prior, seed, {"select": list(select or _default(prior, seen)), **chosen})
    record, picture = out.with_suffix(".looks.json"), out.with_suffix(".png")
    if overwrite:
        record.unlink(missing_ok=True)
    count = cores() if workers is None else workers
    about = {"task": request.task, "prior": prior.digest(), "seed": seed, "renderer": renderer, "camera": camera,
             "size": [width, height]}  # fmt: skip
    with Glimpser(dataclasses.replace(request, spec=prior.to_yaml()), count) as glimpse:
        study = LookStudy(record, tuner, goal, glimpse, measure, frames_per_evaluation, about)
        with bars(quiet) as bar:
            step = bar.add_task("evaluations", total=evaluations, completed=len(study.steps))

            def told(done: int, _: object) -> None:
                bar.update(step, completed=done, description=f"evaluations, MMD {best_so_far(study.steps):.4f}")

            try:
                study.run(evaluations, told)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"stopped; kept in {record}: the same command goes on") from None
        judged = study.judge({"untuned": prior, "tuned": tuner.result()})
    gaps = {which: gap for which, (_, gap) in judged.items()}
    tuned_spec(study, goal, gaps, measure.name).save(out)
    rows = {"target": goal.images, **{f"{which}: MMD {gap:.4f}": images for which, (images, gap) in judged.items()}}
    draw_looks(picture, rows, study.steps)
    _tell(gaps, len(study.steps), out, picture)


def _target(paths: tuple[Path, ...], split: str | None, width: int, labelled: Path | None, name: str | None) -> Target:
    """The target's images, and those with labels."""
    from dr_env.vision.images import open_images
    from dr_env.vision.looks import Target, read_labelled, read_target
    from dr_env.vision.pictures import is_picture, open_pictures

    if width < 16:
        raise DREnvError(f"--width: got {width}, expected at least 16 pixels")
    if not paths:
        raise DREnvError("--target: got nothing, expected a dataset, a folder of images, or image files")
    first = paths[0]
    # a dataset keeps its images in folders of its own
    is_dataset = len(paths) == 1 and first.is_dir() and not any(is_picture(path) for path in first.iterdir())
    data: Images = open_images(first, split) if is_dataset else open_pictures(paths)
    images = read_target(data, width)
    if labelled is None:
        return Target(data.name, images)
    known = open_images(labelled)
    few = read_target(known, width, fewest=2)
    if few.shape[1:] != images.shape[1:]:
        raise DREnvError(f"--labelled: {labelled}: its images have another shape than the target's")
    return Target(data.name, images, read_labelled(known, few, name))


def _prior(request: SourceRequest) -> tuple[Spec, tuple[str, ...]]:
    """The prior with bounds that fields can take, and the entries that pictures show."""
    source = request.open()
    try:
        return limited(source.plan), seen_entries(source.plan)
    finally:
        source.close()


def _default(prior: Spec, seen: tuple[str, ...]) -> list[str]:
    """What is tuned where nobody says: what pictures show, and how many things there are."""
    names = prior.parameters(scene=True).names
    owners = {name.rpartition(".")[0] for name in names}
    chosen = [name for name in seen if name in owners]
    chosen += sorted(owner for owner in owners if owner.startswith("scene.") and owner.endswith(".count"))
    if not chosen:
        raise DREnvError(f"{prior.source}: nothing that pictures show is tunable; name it with --select")
    return chosen


def _tell(gaps: dict[str, float], evaluations: int, out: Path, picture: Path) -> None:
    print(f"MMD to the target on fresh frames: untuned {gaps['untuned']:.4f}, tuned {gaps['tuned']:.4f}")
    if not gaps["tuned"] < gaps["untuned"]:
        print(
            "the tuned Spec looks no more like the target than the untuned one: keep the untuned, or go on for longer"
        )
    print(f"{out} after {evaluations} evaluations; see {picture}")

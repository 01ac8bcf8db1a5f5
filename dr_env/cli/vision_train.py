"""`dr-env vision train`: an estimator from labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from dr_env.cli.bars import bars
from dr_env.cli.vision_data import NO_RENDER, Render, training_images
from dr_env.errors import DREnvError

if TYPE_CHECKING:
    from dr_env.vision.hooks import Hook
    from dr_env.vision.samples import Images


def train(
    *,
    out: Path,
    data: tuple[Path, ...] = (),
    render: Render = NO_RENDER,
    model: Literal["position", "keypoints"] | None = None,
    split: str | None = None,
    image: Literal["sensed", "clean"] = "sensed",
    frame: Literal["camera", "world"] | None = None,
    size: int | None = None,
    width: int | None = None,
    keypoints: int | None = None,
    turn: float | None = None,
    epochs: float = 20.0,
    steps: int | None = None,
    batch: int = 64,
    learning_rate: float | None = None,
    held_out: float = 0.05,
    init: Path | None = None,
    labels: int | None = None,
    target: Path | None = None,
    adapt: Literal["none", "coral", "dann", "adabn"] = "none",
    augment: Literal["none", "light", "strong"] = "none",
    bank: Path | None = None,
    seed: int = 0,
    threads: int = 0,
    workers: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["float32", "bfloat16"] = "float32",
    checkpoint_every: int = 500,
    quiet: bool = False,
) -> None:
    """Train an estimator of poses; run it again to go on after an interruption, to the same weights.

    Args:
        out: The run's folder.
        data: Datasets, as dr-env export --format bop or bop-webdataset writes them.
        render: Instead of datasets, images that are rendered while they are learned from.
        model: What to train, one network for all classes: position (of each class that an image shows exactly once,
            the default) or keypoints (the pose of the object in a box).
        split: The datasets' part to train on; by default all of it.
        image: What to train on: as the camera's sensor gives images, or before it.
        frame: Of positions: the camera's (by default), or the world's where the camera is nominally fixed.
        size: Side of the square images that the network takes; by default 96 for positions and 128 for keypoints.
        width: Channels of its feature maps; by default 32.
        keypoints: How many on each mesh, beside its centre; by default 12.
        turn: Degrees by which cut-outs are turned either way in training; by default 30.
        epochs: How often each image is seen.
        steps: Instead, how many steps.
        batch: Images a step.
        learning_rate: By default 0.002, and a fifth of that with --init.
        held_out: Share of the images that are only judged on.
        init: A trained run to begin from, whose model, frame and size it keeps.
        labels: Train on so many random images of --data alone, fewer among more; 0, with --init, takes that run as it
            is.
        target: Images of the world that it is for, whose labels are not looked at: a dataset or a folder of pictures.
        adapt: How --target is used: coral or dann (features made alike), or adabn (statistics of batch normalisation).
        augment: Colours, noise and blur of training images: none, light or strong.
        bank: Where training examples are kept for other runs; by default in the run's folder, and only until its end.
        seed: Of everything random.
        threads: Of the processor; 0 for all.
        workers: Processes that make training examples; by default as many as are worth it.
        device: Where to train; auto takes a GPU where there is one.
        precision: Of the network in training: float32, or bfloat16 where the processor or GPU is quicker at it.
        checkpoint_every: Steps between checkpoints to go on from; slow steps have one every minute as well.
        quiet: No progress bar.
    """
    from dr_env.vision import card
    from dr_env.vision.few import Few, without_labels
    from dr_env.vision.train import Progress, TrainSettings
    from dr_env.vision.train import train as run

    hooks = _hooks(adapt, augment, target, batch, seed)
    if labels == 0 and init is None:
        raise DREnvError("--labels: got 0, expected a trained run in --init that is taken as it is")
    # a run that is taken as it is needs no images
    opened = training_images(data, split, image, render) if labels != 0 or data or split or render.frames else ()
    images: Sequence[Images] = opened
    if labels is not None:
        if len(images) > 1:
            raise DREnvError(f"--labels: got {len(images)} datasets in --data, expected the one that they are of")
        images = (Few(images[0], labels, seed),) if labels else images
    chosen = {"size": size, "width": width, "frame": frame, "keypoints": keypoints, "turn": turn}
    given = {name: value for name, value in chosen.items() if value is not None}
    if init is not None:
        if given:
            raise DREnvError(f"--{next(iter(given))}: is what the run of --init has; expected it without --init alone")
        estimator = card.load(init)
        if model not in (None, estimator.kind):
            raise DREnvError(f"--model: got {model}, but the run of --init is one of {estimator.kind}")
        card.warn_unfinished(init)
    else:
        estimator = card.make(model or "position", images[0].models, seed, **given)
    settings = TrainSettings(
        epochs=epochs,
        steps=steps,
        batch=batch,
        learning_rate=(2e-3 if init is None else 4e-4) if learning_rate is None else learning_rate,
        held_out=held_out,
        seed=seed,
        threads=threads,
        workers=workers,
        device=device,
        precision=precision,
        checkpoint_every=checkpoint_every,
    )
    if labels == 0 and init is not None:
        for each in opened:
            card.check_models(estimator, each)
        print(f"no labels: the estimator of {init}; wrote {without_labels(init, out, hooks) / card.CARD}")
        return
    with bars(quiet) as shown, ExitStack() as stack:
        for each in opened:
            stack.callback(getattr(each, "close", lambda: None))  # those that are rendered hold a renderer
        bar = shown.add_task("images prepared", total=None)

        def show(done: Progress) -> None:
            text = f"loss {done.loss:.3f}, held-out {done.error:.2f} {estimator.unit}, {done.rate:.0f} images/s"
            shown.update(bar, completed=done.step, total=done.steps, description=text)

        def prepare(done: int, total: int) -> None:
            shown.update(bar, completed=done, total=total, description="images prepared")

        run(
            estimator,
            images,
            out,
            settings,
            hooks=hooks,
            progress=show,
            preparing=prepare,
            fresh=init is None,
            bank=bank,
        )
    trained = card.read(out)["training"]
    error = "none" if trained["error"] is None else f"{trained['error']:.2f} {trained['unit']}"
    Console().print(
        f"held-out error {error} at step {trained['step']}; wrote {out / card.CARD}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _hooks(adapt: str, augment: str, target: Path | None, batch: int, seed: int) -> list[Hook]:
    """What takes part in the training."""
    from dr_env.vision.align import alignment
    from dr_env.vision.augment import augmentation
    from dr_env.vision.images import open_target
    from dr_env.vision.part import Part

    if (adapt == "none") != (target is None):
        raise DREnvError("--adapt, --target: got one of them, expected both or neither")
    hooks: list[Hook] = []
    if (chain := augmentation(augment)) is not None:
        hooks.append(chain)
    if target is not None:
        images = open_target(target)
        unlabelled = Part(images, range(len(images)), f"{images.name}, unlabelled", labelled=False)
        hooks.append(alignment(adapt, unlabelled, min(batch, 32), seed))
    return hooks

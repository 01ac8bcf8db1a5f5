"""Where the commands of `dr-env vision` take labelled images from: datasets, or a Spec that is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dr_env.cli.models import task_anywhere
from dr_env.errors import DREnvError

if TYPE_CHECKING:
    from dr_env.vision.images import LabelledImages


@dataclass(frozen=True)
class Render:
    """Images that are rendered while they are learned from, instead of --data; nothing is exported.

    Attributes:
        frames: How many; 0 for none.
        task: A task, or an MJCF file.
        spec: A Spec file, `default` for the task's own, `looks` for everything that pictures show, or `none`.
        seed: Of the images; frame k is the one that dr-env export makes.
        width: Image width in pixels.
        height: Image height in pixels.
        renderer: classic (OpenGL), filament (physically based) or another that is installed.
    """

    frames: int = 0
    task: str = "tabletop"
    spec: str = "default"
    seed: int = 0
    width: int = 96
    height: int = 96
    renderer: str = "classic"


NO_RENDER = Render()


def training_images(
    data: tuple[Path, ...], split: str | None, image: Literal["sensed", "clean"], render: Render
) -> tuple[LabelledImages, ...]:
    """The images of datasets, or those that are rendered.

    Raises:
        DREnvError: when both or neither are asked for, when datasets do not belong together, or for anything wrong.
    """
    from dr_env.cli.export import spec_text
    from dr_env.export import ExportRequest, Layout, SourceRequest
    from dr_env.vision.images import open_all
    from dr_env.vision.rendered import RenderedImages

    if render.frames < 0 or bool(data) == bool(render.frames):
        got = f"{len(data)} folders and {render.frames} frames"
        raise DREnvError(f"--data, --render.frames: got {got}, expected datasets, or how many images to render")
    if not render.frames:
        return open_all(data, split, image)
    if split is not None:
        raise DREnvError(f"--split: got {split!r}, but rendered images have no parts; expected it with --data alone")
    text, name = spec_text(render.task, render.spec)
    task = task_anywhere(render.task)
    source = SourceRequest(task, text, name, render.seed, render.width, render.height, render.renderer)
    layout = Layout(render.frames, render.width, render.height)
    return (RenderedImages(ExportRequest(source, layout, ("bop",)), image),)

"""Images that are rendered when they are asked for, from a Spec; nothing is written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.export import ExportRequest
from dr_env.export.bop_read import BopLabels, read_camera, read_infos, read_poses
from dr_env.export.catalogue import catalogue
from dr_env.export.encode import Mask
from dr_env.export.example import Example
from dr_env.export.maker import Maker
from dr_env.export.writers import bop
from dr_env.rng import digest
from dr_env.vision.bop_files import Kind
from dr_env.vision.images import LabelledImages, Origin
from dr_env.vision.models import object_models


class RenderedFiles:
    """The frames of an export, each as it would be written and read again; see `BopFiles`.

    A renderer starts in whatever process asks for the first frame, and must be asked by the same thread ever after.

    Args:
        request: what is rendered.
        image: which images, where a sensor is simulated.
    """

    def __init__(self, request: ExportRequest, image: Kind) -> None:
        self._request, self._image = request, image
        self._maker: Maker | None = None
        self._last: tuple[int, Example] | None = None  # its picture is asked for after its labels

    @property
    def identity(self) -> str:
        """The request, its Spec and which images; what the Spec is called does not count."""
        source = dataclasses.replace(self._request.source, spec_name="")
        form = json.dumps(dataclasses.replace(self._request, source=source).to_json(), sort_keys=True)
        return f"{digest(form, source.spec, self._image):016x}"

    @property
    def pieces(self) -> tuple[tuple[str, int], ...]:
        """All of it."""
        return ((self.identity, len(self)),)

    def __len__(self) -> int:
        return self._request.layout.frames

    def place(self, index: int) -> tuple[str, int, int]:
        """As an export would place it."""
        scene, number = self._request.layout.place(index)
        return f"{self._request.layout.split_of(index)}/{scene:06d}/{number:06d}", scene, number

    def _frame(self, index: int) -> Example:
        if self._last is None or self._last[0] != index:
            self._last = index, self.maker().render(index).example
        return self._last[1]

    def maker(self) -> Maker:
        """What renders, started if need be."""
        if self._maker is None:
            self._maker = Maker(self._request, Path())
        return self._maker

    def labels(self, index: int) -> BopLabels:
        """What an export would write of it, read again."""
        example, layout = self._frame(index), self._request.layout
        record = {**example.camera, "objects": example.views}
        poses = read_poses(bop.poses(record, self.maker().classes))
        camera = read_camera(bop.camera(record), layout.width, layout.height)
        return BopLabels(poses=poses, infos=read_infos(bop.infos(record), len(poses)), **camera)

    def image(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """Its pixels."""
        frame = self._frame(index).frame
        sensed = frame.sensed_rgb if self._image == "sensed" else None
        return frame.rgb if sensed is None else sensed, f"frame {index}"

    def mask(self, index: int, number: int) -> tuple[Mask, str]:
        """The visible mask of an object."""
        example = self._frame(index)
        visible = example.labels[number].visible
        return visible.mask(*example.frame.instance.shape), f"frame {index}"

    def depth(self, index: int) -> NDArray[np.float32]:
        """The depth of its scene."""
        return self._frame(index).frame.depth

    def close(self) -> None:
        """Frees the renderer."""
        if self._maker is not None:
            self._maker.close()
        self._maker = self._last = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maker": None, "_last": None}


class RenderedImages(LabelledImages):
    """The images of an export, rendered when they are asked for.

    Args:
        request: what an export would make; its formats do not matter.
        image: the images as the camera's sensor gives them, or the clean ones they began with.

    Raises:
        DREnvError: for anything that the source refuses.
    """

    def __init__(self, request: ExportRequest, image: Kind = "sensed") -> None:
        layout, source = request.layout, request.source
        self._rendered = RenderedFiles(request, image)
        classes = self._rendered.maker().classes
        self.close()  # whoever asks for the first frame starts a renderer of their own
        models = object_models(catalogue(kind.centred() for kind in classes.values()))
        name = f"{source.task} under {source.spec_name}[{'+'.join(layout.splits)}]"
        origin = Origin(Path(source.spec_name), "rendered", None, layout.width, layout.height)
        super().__init__(name, origin, models, self._rendered)

    def close(self) -> None:
        """Frees the renderer; the next image starts another."""
        self._rendered.close()

"""Poses by keypoints: where a mesh's keypoints are seen in a cut-out, as heatmaps, and PnP.

Heatmaps as Pavlakos, Zhou, Chan, Derpanis, Daniilidis, "6-DoF object pose from semantic keypoints", ICRA 2017;
keypoints on the mesh as Peng, Liu, Huang, Zhou, Bao, "PVNet", CVPR 2019, with the object's centre beside them. Of an
object with symmetries every symmetric pose is as true as the labelled one; the loss is that of the one that the
network's heatmaps favour (the minimum over them, as Sundermeyer et al., "Multi-path learning", CVPR 2020, and others).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional

from dr_env.errors import DREnvError
from dr_env.spatial import Array
from dr_env.vision.crops import cut, move, place_in, undo, window
from dr_env.vision.estimator import Estimate, Estimator, Example, Labels, to_images
from dr_env.vision.farthest import farthest_points
from dr_env.vision.layers import Pyramid, block, bumps, grid
from dr_env.vision.pnp import solve
from dr_env.vision.samples import FloatBox, ObjectModel, Sample

_SIGMA = 1.0  # of a taught heatmap, cells
_PADDING = 1.3  # of a cut-out about a box
_SPARE = 1.5  # how much more is kept of a training image, to turn, scale and shift it in
_REACH = 2  # cells each way from a heatmap's peak that a place is the mean of
_GUESSES = 4  # cut-outs of an image that has no boxes
_DIRECTIONS = 300  # in which a mesh's outermost vertices are sought
_TOLERANCE = 0.04  # of the cut-out's side, by which a keypoint may be off and still count


class KeypointEstimator(Estimator):
    """The 6-DoF pose of the object in a box, of any mesh; one network for all classes of a dataset.

    Output (n, C, k, h, w): logits of a heatmap for each keypoint of each class, of which an example's class is used.

    Args:
        models: the classes by id.
        size: cut-outs are scaled to this side; a multiple of 16.
        width: channels of its feature maps.
        keypoints: on the mesh; the centre of its box is one more.
        turn: degrees by which training images are turned either way at most.
        vary: share by which they are scaled either way, and shifted, at most.
        min_visible: of an object's outline, from where it is learned.
    """

    kind: ClassVar[str] = "keypoints"
    unit: ClassVar[str] = "px"

    points: Tensor  # (C, m, k, 3) m: the keypoints, moved by each symmetry; the first is the identity

    def __init__(
        self,
        models: Mapping[int, ObjectModel],
        size: int = 128,
        width: int = 32,
        keypoints: int = 12,
        turn: float = 30.0,
        vary: float = 0.15,
        min_visible: float = 0.1,
    ) -> None:
        super().__init__()
        if size < 32 or size % 16:
            raise DREnvError(f"size: got {size}, expected a multiple of 16 from 32")
        if not 5 <= keypoints <= 64:
            raise DREnvError(f"keypoints: got {keypoints}, expected 5 to 64")
        if not (0 <= turn <= 180 and 0 <= vary < 0.5):
            raise DREnvError(f"turn, vary: got {turn} and {vary}, expected 0 to 180 degrees and 0 to 0.5")
        if not models:
            raise DREnvError("models: got none, expected one class at least")
        self.models = dict(sorted(models.items()))
        self.size, self.width, self.keypoints = size, width, keypoints
        self.turn, self.vary, self.min_visible = turn, vary, min_visible
        self._rows = {number: row for row, number in enumerate(self.models)}
        self.features = Pyramid(width)
        self.heads = nn.Sequential(block(width, 2 * width), nn.Conv2d(2 * width, len(self.models) * (keypoints + 1), 1))
        made = [_symmetric_keypoints(model, keypoints) for model in self.models.values()]
        most = max(len(each) for each in made)
        # those with fewer symmetries are filled up with the identity
        filled = [np.concatenate([each, np.repeat(each[:1], most - len(each), 0)]) for each in made]
        self.register_buffer("points", torch.from_numpy(np.array(filled, np.float32)))
        self._corners = [_extremes(model) for model in self.models.values()]

    def settings(self) -> dict[str, Any]:
        """Size, width, number of keypoints, and how training images are varied."""
        names = ("size", "width", "keypoints", "turn", "vary", "min_visible")
        return {name: getattr(self, name) for name in names}

    # what is learned

    def examples(self, sample: Sample, rng: np.random.Generator) -> list[Example]:
        """One Example for each object that is seen well enough.

        Its labels: "row" (1,) of its class; "pose" (3, 4) camera_from_object, m; "camera" (4,) fx, fy, cx, cy; and
        "place" (2, 3), from the image's pixels to `grid`'s coordinates in the cut-out.
        """
        found: list[Example] = []
        kept = round(self.size * _SPARE)
        camera = sample.intrinsics
        for annotation in sample.annotations:
            # either box may be given when it matters
            boxes = [box for box in (annotation.box_visible, annotation.box_amodal) if box is not None]
            which = int(rng.integers(0, 2))
            if not boxes or annotation.visible_fraction < self.min_visible or annotation.class_id not in self._rows:
                continue
            x, y, side, _ = window(boxes[which % len(boxes)], _PADDING)
            spare = (_SPARE - 1) / 2 * side
            square = (x - spare, y - spare, side * _SPARE, side * _SPARE)
            found.append(
                {
                    "image": cut(sample.image, square, kept),
                    "row": np.array([self._rows[annotation.class_id]], np.int64),
                    "pose": annotation.camera_from_object[:3].astype(np.float32),
                    "camera": np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32),
                    "place": place_in(square).astype(np.float32),
                }
            )
        return found

    def unlabelled(self, sample: Sample, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
        """Cut-outs about given boxes, which an image to estimate from has too; about random squares where none are."""
        height, width = sample.image.shape[:2]
        boxes = [a.box_visible for a in sample.annotations if a.box_visible is not None]
        for _ in range(0 if boxes else _GUESSES):
            side = float(rng.uniform(0.1, 0.4)) * min(height, width)
            boxes.append((float(rng.uniform(0, width - side)), float(rng.uniform(0, height - side)), side, side))
        return [cut(sample.image, window(box, _PADDING), self.size) for box in boxes]

    def view(self, images: Tensor, labels: Labels, generator: Generator | None) -> tuple[Tensor, Labels]:
        """The middle of the images kept, in training turned, scaled and shifted, and "place" after it."""
        n = len(images)
        # from places in what is shown to places in what is kept
        if generator is None:
            angle, scale, shift = torch.zeros(n), torch.ones(n), torch.zeros(n, 2)
        else:
            numbers = 2 * torch.rand(n, 4, generator=generator) - 1
            angle = numbers[:, 0] * np.deg2rad(self.turn)
            scale = torch.exp(numbers[:, 1] * np.log1p(self.vary))
            shift = numbers[:, 2:] * self.vary
        scale = scale / _SPARE
        cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
        linear = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)  # (n, 2, 2)
        back = torch.cat([linear, (linear @ shift[..., None])], -1).to(images.device)  # (n, 2, 3)
        to = functional.affine_grid(back, [n, 3, self.size, self.size], align_corners=False)
        shown = functional.grid_sample(images, to, mode="bicubic", align_corners=False).clamp(0, 1)
        there = torch.linalg.inv(back[..., :2])
        place = labels["place"]
        moved = torch.cat([there @ place[..., :2], there @ (place[..., 2:] - back[..., 2:])], -1)
        return shown, {**labels, "place": moved}

    # the network

    def encode(self, images: Tensor) -> Tensor:
        """Feature maps (n, width, S/4, S/4)."""
        features: Tensor = self.features(images)
        return features

    def decode(self, features: Tensor) -> Tensor:
        """Logits of heatmaps (n, C, k, h, w)."""
        maps: Tensor = self.heads(features)
        return maps.view(len(maps), len(self.models), self.keypoints + 1, *maps.shape[2:])

    def _truth(self, labels: Labels) -> Tensor:
        """Where every symmetric pose has the keypoints (n, m, k, 2), in the cut-out's places."""
        points = self.points[labels["row"][:, 0]]  # (n, m, k, 3)
        pose, camera, place = labels["pose"], labels["camera"], labels["place"]
        seen = torch.einsum("nij,nmkj->nmki", pose[..., :3], points) + pose[:, None, None, :, 3]
        pixels = seen[..., :2] / seen[..., 2:].clamp(min=1e-6) * camera[:, None, None, :2] + camera[:, None, None, 2:]
        return torch.einsum("nij,nmkj->nmki", place[..., :2], pixels) + place[:, None, None, :, 2]

    def _own(self, output: Tensor, labels: Labels) -> Tensor:
        """The logarithm of the heatmaps (n, k, h, w) of each example's class."""
        maps = output[torch.arange(len(output), device=output.device), labels["row"][:, 0]]
        return functional.log_softmax(maps.flatten(2), -1).view_as(maps)

    def loss(self, output: Tensor, labels: Labels) -> Tensor:
        """Cross entropy of heatmaps, of the symmetric pose that they favour; the mean over keypoints in the cut-out."""
        heat = self._own(output, labels)
        n, k, height, width = heat.shape
        truth = self._truth(labels)
        inside = (truth.abs() < 1).all(-1)  # (n, m, k)
        if truth.shape[1] > 1:
            with torch.no_grad():
                at = functional.grid_sample(
                    heat.reshape(n * k, 1, height, width),
                    truth.transpose(1, 2).reshape(n * k, -1, 1, 2),
                    align_corners=False,
                    padding_mode="border",
                ).view(n, k, -1)
                best = at.sum(1).argmax(-1)
        else:
            best = torch.zeros(n, dtype=torch.int64, device=heat.device)
        rows = torch.arange(n, device=heat.device)
        target = bumps(truth[rows, best], height, width, _SIGMA)
        each = -(target * heat).sum((-2, -1))  # (n, k)
        known = inside[rows, best].to(each.dtype)
        mean: Tensor = (each * known).sum(-1) / known.sum(-1).clamp(min=1)
        return mean

    def errors(self, output: Tensor, labels: Labels) -> Tensor:
        """The mean distance of keypoints in the cut-out from the nearest symmetric pose's, in its pixels."""
        found, _ = _peaks(self._own(output, labels))
        distance: Tensor = (found[:, None] - self._truth(labels)).norm(dim=-1) * (self.size / 2)  # (n, m, k)
        return distance.mean(-1).amin(-1)

    # what it says

    @torch.inference_mode()
    def estimate(self, sample: Sample, boxes: Mapping[int, Sequence[FloatBox]] | None = None) -> list[Estimate]:
        """The pose of the object in each box, where its keypoints agree on one."""
        if boxes is None:
            raise DREnvError(f"{sample.name}: a keypoint estimator looks into boxes, and none are given")
        if unknown := sorted(boxes.keys() - self.models.keys()):
            raise DREnvError(f"{sample.name}: got a box of class {unknown[0]}, expected one of {list(self.models)}")
        wanted = [(number, window(box, _PADDING)) for number in boxes for box in boxes[number]]
        if not wanted:
            return []
        self.eval()
        device = self.points.device
        images = np.stack([cut(sample.image, square, self.size) for _, square in wanted])
        output = self(to_images(torch.from_numpy(images).to(device)))
        rows = torch.tensor([[self._rows[number]] for number, _ in wanted], device=device)
        peaks = _peaks(self._own(output, {"row": rows}))
        places, confidence = (each.double().cpu().numpy() for each in peaks)
        made: list[Estimate] = []
        given = [box for number in boxes for box in boxes[number]]
        for (number, square), box, place, sure in zip(wanted, given, places, confidence, strict=True):
            pixels = move(undo(place_in(square)), place)
            row = self._rows[number]
            points = self.points[row, 0].double().cpu().numpy()
            outline = self._corners[row], box
            pose = solve(points, pixels, sure, sample.intrinsics, _TOLERANCE * square[2], outline)
            if pose is not None:
                made.append(Estimate(number, pose, float(sure.mean()), pixels, box))
        return made


def _extremes(model: ObjectModel) -> Array:
    """The mesh's vertices (n, 3) that lie farthest out in many directions: of these is its outline's box."""
    directions = np.random.default_rng(0).normal(size=(_DIRECTIONS, 3))
    return np.asarray(model.vertices[np.unique((model.vertices @ directions.T).argmax(axis=0))])


def _symmetric_keypoints(model: ObjectModel, count: int) -> Array:
    """The mesh's keypoints and its box's centre, moved by each symmetry (m, k, 3)."""
    low, high = model.vertices.min(0), model.vertices.max(0)
    points = np.concatenate([farthest_points(model, count), [(low + high) / 2]])
    motions = model.motions()
    return np.asarray(points @ np.swapaxes(motions[:, :3, :3], -1, -2) + motions[:, None, :3, 3])


def _peaks(log_heat: Tensor) -> tuple[Tensor, Tensor]:
    """Where heatmaps (n, k, h, w) peak (n, k, 2), in `grid`'s coordinates, and how sure they are (n, k), 0 to 1.

    The mean place within a few cells of the highest, by their probability; its sum is the confidence.
    """
    height, width = log_heat.shape[2:]
    cells = grid(height, width, log_heat.device)  # (h, w, 2)
    top = cells.view(-1, 2)[log_heat.flatten(2).argmax(-1)]  # (n, k, 2)
    reach = (2 * _REACH + 1) / torch.tensor([width, height], device=log_heat.device)
    near = ((cells - top[:, :, None, None]).abs() < reach).all(-1)
    mass = log_heat.exp() * near
    total = mass.sum((-2, -1))
    return torch.einsum("nkhw,hwc->nkc", mass, cells) / total[..., None], total

"""Poses by keypoints: where a mesh's keypoints are seen in a cut-out, as heatmaps, and PnP.

Heatmaps as Pavlakos, Zhou, Chan, Derpanis, Daniilidis, "6-DoF object pose from semantic keypoints", ICRA 2017;
keypoints on the mesh as Peng, Liu, Huang, Zhou, Bao, "PVNet", CVPR 2019, with the object's centre beside them. Of an
object with symmetries every symmetric pose is as true as the labelled one; the loss is that of the one that the
network's heatmaps favour (the minimum over them, as Sundermeyer et al., "Multi-path learning", CVPR 2020, and others).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional

from dr_env.errors import DREnvError
from dr_env.spatial import Array, Intrinsics
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
_SETTLED, _FEW = 200, 20  # judged objects of a class that say by how much it is off, at most and at least
_FAR_OFF = 0.3  # logarithm of a depth that is wrong for another reason: then the votes' counts
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
    diameters: Tensor  # (C,) m
    lean: Tensor  # (C, 2) how much too far PnP sees an object, as a logarithm: see `settle`

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
        self.heads = nn.Sequential(block(width, 2 * width), nn.Conv2d(2 * width, len(self.models) * (keypoints + 3), 1))
        made = [_symmetric_keypoints(model, keypoints) for model in self.models.values()]
        most = max(len(each) for each in made)
        # those with fewer symmetries are filled up with the identity
        filled = [np.concatenate([each, np.repeat(each[:1], most - len(each), 0)]) for each in made]
        self.register_buffer("points", torch.from_numpy(np.array(filled, np.float32)))
        self.register_buffer("diameters", torch.tensor([model.diameter for model in self.models.values()]))
        self.register_buffer("lean", torch.zeros(len(made), 2))

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
        """Logits of heatmaps, and votes for a distance with their logits (n, C, k + 2, h, w)."""
        maps: Tensor = self.heads(features)
        return maps.view(len(maps), len(self.models), self.keypoints + 3, *maps.shape[2:])

    def _truth(self, labels: Labels) -> Tensor:
        """Where every symmetric pose has the keypoints (n, m, k, 2), in the cut-out's places."""
        points = self.points[labels["row"][:, 0]]  # (n, m, k, 3)
        pose, camera, place = labels["pose"], labels["camera"], labels["place"]
        seen = torch.einsum("nij,nmkj->nmki", pose[..., :3], points) + pose[:, None, None, :, 3]
        pixels = seen[..., :2] / seen[..., 2:].clamp(min=1e-6) * camera[:, None, None, :2] + camera[:, None, None, 2:]
        return torch.einsum("nij,nmkj->nmki", place[..., :2], pixels) + place[:, None, None, :, 2]

    def _own(self, output: Tensor, labels: Labels) -> Tensor:
        """The logarithm of the heatmaps (n, k, h, w) of each example's class."""
        maps = output[torch.arange(len(output), device=output.device), labels["row"][:, 0], :-2]
        return functional.log_softmax(maps.flatten(2), -1).view_as(maps)

    def _distance(self, output: Tensor, labels: Labels) -> Tensor:
        """The logarithm of each object's depth (n,) as all places vote, in `_unit`s."""
        maps = output[torch.arange(len(output), device=output.device), labels["row"][:, 0], -2:].flatten(2)
        return (maps[:, 0] * maps[:, 1].softmax(-1)).sum(-1)

    def _true_distance(self, labels: Labels) -> Tensor:
        """What `_distance` should be: the logarithm of the depth (n,) of the middle of each object, in `_unit`s."""
        row, pose = labels["row"][:, 0], labels["pose"]
        depth = (pose[:, 2, :3] * self.points[row, 0, -1]).sum(-1) + pose[:, 2, 3]
        return torch.log(depth.clamp(min=1e-6) / self._unit(row, labels["camera"], labels["place"]))

    def _unit(self, row: Tensor, camera: Tensor, place: Tensor) -> Tensor:
        """The depth (n,) m at which objects span half of their cut-outs."""
        unit: Tensor = self.diameters[row] * camera[:, 0] * place[:, 0, :2].norm(dim=-1)
        return unit

    def loss(self, output: Tensor, labels: Labels) -> Tensor:
        """Cross entropy of heatmaps, the mean over keypoints in the cut-out, and how far off the distance is.

        Of an object with symmetries the heatmaps are those of the pose that the network's own favour.
        """
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
        return mean + (self._distance(output, labels) - self._true_distance(labels)).abs()

    def errors(self, output: Tensor, labels: Labels) -> Tensor:
        """The mean distance of keypoints in the cut-out from the nearest symmetric pose's, in its pixels."""
        found, _ = _peaks(self._own(output, labels))
        distance: Tensor = (found[:, None] - self._truth(labels)).norm(dim=-1) * (self.size / 2)  # (n, m, k)
        return distance.mean(-1).amin(-1)

    @torch.inference_mode()
    def settle(self, judged: Iterable[tuple[Tensor, Labels]]) -> None:
        """Learns how much too far PnP sees objects, from how sure of their keypoints it is and where votes see them.

        The less sure a heatmap, the nearer it peaks to the middle of where its keypoint may be, so that what is seen
        shrinks and seems farther away. The logarithm of PnP's by true depth is taken as proportional to 1 - confidence
        and to the logarithm of PnP's by the voted depth: least squares, without those that are off by more than a
        third. A class of which fewer than twenty are judged keeps what it has.
        """
        found: list[list[tuple[float, float, float]]] = [[] for _ in self.models]
        for output, labels in judged:
            rows, cameras, places, truths = (
                labels[name].double().cpu().numpy() for name in ("row", "camera", "place", "pose")
            )
            for i, (peaks, sure, voted) in enumerate(zip(*self._read(output, labels), strict=True)):
                row = int(rows[i, 0])
                side = 2 / float(np.linalg.norm(places[i][0, :2]))
                camera = Intrinsics(1, 1, *cameras[i].tolist())  # its size is not looked at
                pose = self._solve(row, move(undo(places[i]), peaks), sure, camera, side)
                if pose is not None:
                    depth = self._middle(row, pose)[2]
                    far = np.log(np.maximum(depth, 1e-6) / [self._middle(row, truths[i])[2], voted])
                    found[row].append((1 - float(sure.mean()), *far.tolist()))
            if all(len(each) >= _SETTLED for each in found):
                break
        for row, each in enumerate(found):
            unsure, far, apart = np.array([one for one in each if max(map(abs, one[1:])) < _FAR_OFF]).reshape(-1, 3).T
            if len(far) >= _FEW:
                lean = np.linalg.lstsq(np.stack([unsure, apart], -1), far)[0]
                self.lean[row] = torch.from_numpy(lean)

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
        camera = sample.intrinsics
        labels = {
            "row": torch.tensor([[self._rows[number]] for number, _ in wanted], device=device),
            "camera": torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]] * len(wanted), device=device),
            "place": torch.from_numpy(np.stack([place_in(square) for _, square in wanted])).float().to(device),
        }
        made: list[Estimate] = []
        given = [box for number in boxes for box in boxes[number]]
        for (number, square), box, *read in zip(wanted, given, *self._read(output, labels), strict=True):
            place, sure, voted = read
            pixels = move(undo(place_in(square)), place)
            row = self._rows[number]
            pose = self._solve(row, pixels, sure, camera, square[2])
            if pose is not None:
                middle = self._middle(row, pose)
                apart = np.log(middle[2] / voted)
                lean = self.lean[row].double().cpu().numpy()
                far = lean @ [1 - sure.mean(), apart] if abs(apart) < _FAR_OFF else apart
                pose[:3, 3] += np.expm1(-far) * middle  # along the line of sight
                made.append(Estimate(number, pose, float(sure.mean()), pixels, box))
        return made

    def _read(self, output: Tensor, labels: Labels) -> tuple[Array, Array, Array]:
        """Where the keypoints are seen (n, k, 2), in the cut-out's places, how sure (n, k), and depths (n,) m voted."""
        peaks, sure = _peaks(self._own(output, labels))
        unit = self._unit(labels["row"][:, 0], labels["camera"], labels["place"])
        voted = self._distance(output, labels).exp() * unit
        return peaks.double().cpu().numpy(), sure.double().cpu().numpy(), voted.double().cpu().numpy()

    def _middle(self, row: int, pose: Array) -> Array:
        """Where a pose has the middle of its object (3,) m, in the camera's frame."""
        return np.asarray(pose[:3] @ np.append(self.points[row, 0, -1].double().cpu().numpy(), 1))

    def _solve(self, row: int, pixels: Array, sure: Array, camera: Intrinsics, side: float) -> Array | None:
        """The pose of a class's keypoints, seen in a cut-out so many pixels wide; None where there is none."""
        return solve(self.points[row, 0].double().cpu().numpy(), pixels, sure, camera, _TOLERANCE * side)


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

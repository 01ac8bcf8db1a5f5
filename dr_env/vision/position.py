"""Where objects are, from one image: one network for all classes of a dataset (Tobin et al. 2017).

Tobin, Fong, Ray, Schneider, Zaremba, Abbeel, "Domain randomization for transferring deep neural networks from
simulation to the real world", IROS 2017, section III-B: image in, metres out. Theirs is VGG-16 for one object each,
with ImageNet's weights or none; here a small network of its own looks for each class with a map of attention (a
spatial softmax: Finn et al., "Deep spatial autoencoders for visuomotor learning", ICRA 2016), taught where the
object's middle is seen, and reads the position from what it finds there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dr_env.errors import DREnvError
from dr_env.spatial import Array, apply, inverse, project, transform
from dr_env.vision.estimator import Estimate, Estimator, Example, Labels, squeezed, to_images
from dr_env.vision.layers import Pyramid, bumps, grid
from dr_env.vision.samples import FloatBox, ObjectModel, Sample

_SIGMA = 1.0  # of a taught attention, cells
_HEAT, _PRESENT = 0.2, 0.1  # weights of attention and presence beside the position, which is in its own spreads
_LEAST_SPREAD = 0.01  # m, where all training positions are nearly the same


class PositionEstimator(Estimator):
    """The position of each class that an image shows exactly once: of the point that its symmetries leave where it is.

    Output (n, C, 4 + h w): the position in spreads from the mean, the logit of presence, the logarithm of attention.

    Args:
        models: the classes by id.
        frame: in which frame it predicts: of the "camera", or of the "world" where the camera is nominally fixed.
        size: images are squeezed to this side; a multiple of 16.
        width: channels of its feature maps.
        min_visible: of an object's outline, where an object of its class counts as shown.
    """

    kind: ClassVar[str] = "position"
    unit: ClassVar[str] = "cm"
    rotates: ClassVar[bool] = False

    mean: Tensor  # (C, 3) m, of the training positions
    spread: Tensor  # (C, 3) m
    camera_from_world: Tensor  # (4, 4), of the mean training camera

    def __init__(
        self,
        models: Mapping[int, ObjectModel],
        frame: Literal["world", "camera"] = "camera",
        size: int = 96,
        width: int = 32,
        min_visible: float = 0.1,
    ) -> None:
        super().__init__()
        if frame not in ("world", "camera"):
            raise DREnvError(f"frame: got {frame!r}, expected 'world' or 'camera'")
        if size < 32 or size % 16:
            raise DREnvError(f"size: got {size}, expected a multiple of 16 from 32")
        if not models:
            raise DREnvError("models: got none, expected one class at least")
        self.models = dict(sorted(models.items()))
        self.frame, self.size, self.width, self.min_visible = frame, size, width, min_visible
        classes = len(self.models)
        self.features = Pyramid(width)
        self.attention = nn.Conv2d(width, classes, 1)
        self.present = nn.Linear(width + 1, 1)
        around = 3 * width
        self.around = nn.Linear(width, around)
        self.read = nn.Linear(width + 2, around)
        self.of_class = nn.Parameter(torch.zeros(classes, around))
        self.hidden = nn.Linear(around, around)
        self.place = nn.Linear(around, 3)
        self.register_buffer("mean", torch.zeros(classes, 3))
        self.register_buffer("spread", torch.ones(classes, 3))
        self.register_buffer("camera_from_world", torch.eye(4))

    def settings(self) -> dict[str, Any]:
        """Frame, size, width and least visibility."""
        return {"frame": self.frame, "size": self.size, "width": self.width, "min_visible": self.min_visible}

    # what is learned

    def examples(self, sample: Sample, rng: np.random.Generator) -> list[Example]:
        """One Example of an image that shows some class exactly once.

        Its labels: "position" (C, 3) m and where it is seen, "pixel" (C, 2), in `grid`'s coordinates; which are
        "known" (C,); which classes are "present" (C,), and which of that is "sure" (C,); "camera_from_world" (4, 4).
        """
        seen = [[a for a in sample.annotations if a.class_id == k and a.visible_fraction > 0] for k in self.models]
        known = np.array([len(found) == 1 and found[0].visible_fraction >= self.min_visible for found in seen])
        if not known.any():
            return []
        world = self._camera(sample) if self.frame == "world" else np.eye(4)
        position, pixel = np.zeros((len(seen), 3)), np.zeros((len(seen), 2))
        for row in np.flatnonzero(known):
            shown = seen[row][0]
            middle = self.models[shown.class_id].at(shown.camera_from_object)
            position[row], pixel[row] = self._label(sample, middle[None], world)
        return [
            {
                "image": squeezed(sample.image, self.size),
                "position": position.astype(np.float32),
                "pixel": pixel.astype(np.float32),
                "known": known.astype(np.float32),
                "present": known.astype(np.float32),
                "sure": np.array([known[row] or not found for row, found in enumerate(seen)], np.float32),
                "camera_from_world": world.astype(np.float32),
            }
        ]

    def _label(self, sample: Sample, middle: Array, camera_from_world: Array) -> tuple[Array, Array]:
        """An object's position in the frame that is predicted in, and where its middle (1, 3) is seen."""
        pixel = project(middle, sample.intrinsics)[0]
        height, width = sample.image.shape[:2]
        place = (pixel + 0.5) * 2 / np.array([width, height]) - 1
        return apply(inverse(camera_from_world), middle)[0], np.nan_to_num(place).clip(-1, 1)

    def _camera(self, sample: Sample) -> Array:
        if sample.camera_from_world is None:
            raise DREnvError(
                f"{sample.name}: does not say where its camera is, and positions are to be learned in the world's "
                "frame; expected cam_R_w2c and cam_t_w2c, or the frame 'camera'"
            )
        return sample.camera_from_world

    def prepare(self, labels: Mapping[str, NDArray[Any]]) -> None:
        """Takes the mean and the spread of known positions, and the mean camera."""
        known, position = labels["known"][..., None] > 0, np.asarray(labels["position"], np.float64)  # (n, C, 1 and 3)
        if not known.any():
            raise DREnvError("training data: no image shows any class exactly once")
        # a class that is never seen alone takes the numbers of all
        everywhere = position[np.broadcast_to(known, position.shape)].reshape(-1, 3)
        mean, spread = [], []
        for row in range(position.shape[1]):
            of_class = position[known[:, row, 0], row]
            of_class = of_class if len(of_class) > 1 else everywhere
            mean.append(of_class.mean(0))
            spread.append(np.maximum(of_class.std(0), _LEAST_SPREAD))
        cameras = np.asarray(labels["camera_from_world"], np.float64)
        left, _, right = np.linalg.svd(cameras[:, :3, :3].mean(0))  # the chordal mean of rotations
        handed = np.diag([1.0, 1.0, np.linalg.det(left @ right)])
        camera = transform(left @ handed @ right, cameras[:, :3, 3].mean(0))
        for buffer, value in ((self.mean, mean), (self.spread, spread), (self.camera_from_world, camera)):
            buffer.copy_(torch.as_tensor(np.array(value), dtype=torch.float32))

    # the network

    def encode(self, images: Tensor) -> Tensor:
        """Feature maps (n, width, S/4, S/4)."""
        return cast(Tensor, self.features(images))

    def decode(self, features: Tensor) -> Tensor:
        """Positions, presence and attention (n, C, 4 + h w)."""
        height, width = features.shape[2:]
        logits = self.attention(features).flatten(2)  # (n, C, h w)
        log_heat = functional.log_softmax(logits, -1)
        heat = log_heat.exp()
        there = heat @ features.flatten(2).transpose(1, 2)  # (n, C, width): what is seen where it looks
        where = heat @ grid(height, width, features.device).reshape(-1, 2)  # (n, C, 2)
        # in a class's absence its attention has no peak, but what it peaks at says more
        peak = torch.logsumexp(logits, -1, keepdim=True) - np.log(height * width)
        present = self.present(torch.cat([there, peak], -1))
        around = self.around(features.mean((2, 3)))[:, None]  # (n, 1, ...): what all looks say of the camera
        hidden = functional.relu(self.read(torch.cat([there, where], -1)) + around + self.of_class)
        hidden = functional.relu(self.hidden(hidden))
        return torch.cat([self.place(hidden), present, log_heat], -1)

    def loss(self, output: Tensor, labels: Labels) -> Tensor:
        """Of known positions (smooth L1, in spreads), of attention (cross entropy) and of presence."""
        side = self.size // 4
        known = labels["known"]  # (n, C)
        wanted = (labels["position"] - self.mean) / self.spread
        position = functional.smooth_l1_loss(output[..., :3], wanted, reduction="none", beta=0.1).sum(-1)
        heat = bumps(labels["pixel"], side, side, _SIGMA).flatten(2)
        attention = -(heat * output[..., 4:]).sum(-1)
        present = functional.binary_cross_entropy_with_logits(output[..., 3], labels["present"], reduction="none")
        each: Tensor = known * (position + _HEAT * attention) + _PRESENT * labels["sure"] * present
        return each.sum(-1) / known.sum(-1).clamp(min=1)

    def errors(self, output: Tensor, labels: Labels) -> Tensor:
        """The mean distance of known positions, cm."""
        known = labels["known"]
        distance = (self._metres(output) - labels["position"]).norm(dim=-1)
        count = known.sum(-1)
        mean: Tensor = 100 * (distance * known).sum(-1) / torch.where(count > 0, count, torch.nan)
        return mean

    def _metres(self, output: Tensor) -> Tensor:
        return output[..., :3] * self.spread + self.mean

    # what it says

    @torch.inference_mode()
    def estimate(self, sample: Sample, boxes: Mapping[int, Sequence[FloatBox]] | None = None) -> list[Estimate]:
        """The position of every class, each with the probability that the image shows it; boxes are not looked at.

        A model of the world's frame that is not told where the camera is takes the training cameras' mean.
        """
        self.eval()
        image = torch.from_numpy(squeezed(sample.image, self.size)[None]).to(self.mean.device)
        output = self(to_images(image))
        positions = self._metres(output)[0].cpu().numpy().astype(np.float64)
        scores = torch.sigmoid(output[0, :, 3]).cpu().numpy()
        if self.frame == "world":
            known = sample.camera_from_world
            positions = apply(self.camera_from_world.cpu().numpy() if known is None else known, positions)
        return [
            Estimate(k, transform(np.eye(3), position), float(score))
            for k, position, score in zip(self.models, positions, scores, strict=True)
        ]

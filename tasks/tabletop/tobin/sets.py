"""The image sets of Tobin's experiment: training worlds that lack something, and tests in a shifted simulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_env import DREnvError, Spec
from dr_env.export import ExportRequest, Layout, SourceRequest

FOLDER = Path(__file__).parent
PART = 500
"""Images of one part of a training set; each part has scenes and textures of its own."""
POOL = 450
"""Textures of one part, as many as a compiled model holds for flat and cubic surfaces alike."""
TESTS = {"simulation": "training world", "object": "object only", "clutter": "distractors", "occluded": "occlusions"}
"""Test sets by name, and what tables call them."""

TEST_PART = 100
"""Images of one part of a test set."""

_TEST_SEED = 1000  # training parts have seeds from 0
_TEXTURES = "textures-"


@dataclass(frozen=True)
class Part:
    """One export: a part of a training set, or a test set.

    Attributes:
        name: its folder, such as "full/3" or "test/occluded".
        spec: its Spec, as YAML.
        seed: of its scenes.
        frames: how many images.
        renderer: what renders them.
    """

    name: str
    spec: str
    seed: int
    frames: int
    renderer: str = "classic"

    def request(self, size: int) -> ExportRequest:
        """The export, of images `size` pixels wide and high."""
        source = SourceRequest("tabletop", self.spec, self.name, self.seed, size, size, self.renderer)
        layout = Layout(self.frames, size, size, split="test" if self.name.startswith("test/") else "train")
        return ExportRequest(source, layout, ("bop",))


def training(name: str, images: int) -> list[Part]:
    """The parts of a training set.

    Parts of the same number have the same scenes in every set, but for what the set lacks.

    Args:
        name: "full", "no-camera", "no-distractors", or "textures-N" for N textures in all its parts.
        images: how many images, a multiple of `PART`.

    Raises:
        DREnvError: no such set, or no such number.
    """
    if images < PART or images % PART:
        raise DREnvError(f"images: got {images}, expected a multiple of {PART}")
    form = Spec.load(FOLDER / "full.yaml").to_dict()
    one_pool = name.startswith(_TEXTURES)
    count = int(name.removeprefix(_TEXTURES)) if one_pool else POOL
    if name == "no-camera":
        form["entries"] = {key: each for key, each in form["entries"].items() if not key.startswith("camera_")}
    elif name == "no-distractors":
        del form["scene"]["distractors"]
    elif not one_pool and name != "full":
        raise DREnvError(f"set: got '{name}', expected full, no-camera, no-distractors or {_TEXTURES}N")
    return [
        Part(f"{name}/{part}", _text(form, count, 0 if one_pool else part), part, PART)
        for part in range(images // PART)
    ]


def judging(name: str, images: int) -> list[Part]:
    """The parts of a test set: "simulation" is the training world anew, the others show the shifted simulator.

    Args:
        name: one of `TESTS`.
        images: how many images, a multiple of `TEST_PART`.

    Raises:
        DREnvError: no such number.
    """
    if images < TEST_PART or images % TEST_PART:
        raise DREnvError(f"tests: got {images}, expected a multiple of {TEST_PART}")
    shifted = name != "simulation"
    form = Spec.load(FOLDER / ("shifted.yaml" if shifted else "full.yaml")).to_dict()
    if name == "object":
        del form["scene"]["distractors"]
    elif name == "occluded":
        # things close around it, until one of them hides a part
        contextual = form["scene"]["distractors"]["contextual"]
        contextual["area"], contextual["count"] = "target", {"type": "integer", "low": 4, "high": 7}
        form["scene"]["areas"]["target"]["relations"] = {"beside": 1.0}
        form["scene"]["framing"] = {"objects": 1, "visible": 0.25, "visible_most": 0.75, "attempts": 500}
    parts = []
    for part in range(images // TEST_PART):
        seed = _TEST_SEED + len(TESTS) * part + list(TESTS).index(name)
        text = Spec.from_dict(form).to_yaml() if shifted else _text(form, POOL, seed)
        parts.append(Part(f"test/{name}/{part}", text, seed, TEST_PART, "filament" if shifted else "classic"))
    return parts


def _text(form: dict[str, Any], textures: int, seed: int) -> str:
    """The Spec with a number of textures that follow from a seed."""
    form["textures"] |= {"count": textures, "seed": seed}
    form["entries"]["texture"]["distribution"]["high"] = textures
    return Spec.from_dict(form).to_yaml()

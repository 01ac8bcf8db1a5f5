"""The arms of the comparison: what each learns from, and which worlds training images are rendered of."""

from __future__ import annotations

from dataclasses import dataclass

from dr_env.distributions import Distribution
from dr_env.errors import DREnvError
from dr_env.spec import Spec

WORLDS = ("plain", "randomized", "structured", "tuned")
"""What is rendered: nothing varies, it varies at random, in context, or until it looks like the target."""


@dataclass(frozen=True)
class Arm:
    """One way to a model for the target.

    Attributes:
        title: what tables call it.
        meaning: in words.
        world: of its rendered images; None for none.
        refine: what is done to them before training: statistics, histogram, simgan or paste.
        adapt: what is done to features in training: coral, dann or adabn.
        augment: photometric augmentation.
        labels: whether it is given labelled images of the target.
        simple: whether it needs nothing beside what any renderer or any few labels give.
    """

    title: str
    meaning: str
    world: str | None = None
    refine: str | None = None
    adapt: str | None = None
    augment: str = "none"
    labels: bool = False
    simple: bool = False


def arms(base: str) -> dict[str, Arm]:
    """All arms by name.

    Args:
        base: the world whose images are refined, adapted to the target, and joined by labelled ones.
    """
    if base not in WORLDS:
        raise DREnvError(f"base: got {base!r}, expected one of {', '.join(WORLDS)}")
    return {
        "plain": Arm("plain", "nothing varies but the arrangement", "plain", simple=True),
        "randomized": Arm("randomized", "looks and camera vary, distractors anywhere", "randomized", simple=True),
        "structured": Arm("structured", "the same in a grammar's context", "structured", simple=True),
        "augmented": Arm(f"{base}, augmented", "strong photometric augmentation", base, augment="strong", simple=True),
        "tuned": Arm("tuned looks", "ranges moved until images look like the target's", "tuned"),
        "statistics": Arm(f"{base}, colours matched", "means and deviations of target images", base, "statistics"),
        "simgan": Arm(f"{base}, refined", "SimGAN", base, "simgan"),
        "paste": Arm(f"{base}, pasted", "objects cut out and put on target images", base, "paste"),
        "coral": Arm(f"{base}, CORAL", "second moments of features aligned", base, adapt="coral"),
        "dann": Arm(f"{base}, DANN", "features that a classifier cannot tell apart", base, adapt="dann"),
        "adabn": Arm(f"{base}, AdaBN", "statistics of normalisation counted anew", base, adapt="adabn"),
        "hybrid": Arm(
            f"{base} and labels", "fine-tuned with k labelled target images", base, augment="light", labels=True
        ),
        "target": Arm(
            "labels alone", "trained on k labelled target images", augment="strong", labels=True, simple=True
        ),
    }


def world(name: str, spec: Spec) -> Spec:
    """A Spec's world of that name; "structured" is the Spec itself.

    Plain keeps the scene and its arrangements and drops all else: entries, textures, sensors, backgrounds and
    distractors. Randomized drops the grammar's context alone: objects have no relations to each other, and what lay
    among them as other things would hangs in the air, as many of it.

    Raises:
        DREnvError: a Spec without a scene, whose context could not be dropped.
    """
    form = spec.to_dict()
    if name == "structured":
        return spec
    if "scene" not in form:
        raise DREnvError(f"{spec.source}: no scene; expected one, whose context and distractors worlds differ in")
    scene = dict(form["scene"])
    distractors = dict(scene.pop("distractors", None) or {})
    if name == "plain":
        return Spec.from_dict({"format": form["format"], "scene": scene}, f"{spec.source}, plain")
    if name != "randomized":
        raise DREnvError(f"world: got {name!r}, expected plain, randomized or structured")
    scene["areas"] = {key: {**area, "relations": {}} for key, area in scene["areas"].items()}
    contextual, flying = distractors.get("contextual"), dict(distractors.get("flying") or {})
    if contextual is not None:
        most = sum(_most(part["count"]) for part in (contextual, flying) if part)
        flying |= {"count": {"type": "integer", "low": 0, "high": most}}
        flying["pool"] = max(int(flying.get("pool", 12)), most)
    if flying:
        scene["distractors"] = {"flying": flying}
    return Spec.from_dict({**form, "scene": scene}, f"{spec.source}, randomized")


def _most(count: object) -> int:
    """The largest value of a quantity in its YAML form."""
    if isinstance(count, int | float):
        return round(count)
    return round(Distribution.from_dict(count).support()[1])

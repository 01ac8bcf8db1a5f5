"""A trained estimator as files: weights and models as plain arrays, and a JSON card that says what they are.

FOLDER/card.json                    kind, settings, classes, how it was trained, and which weights are meant
FOLDER/weights-DIGEST.safetensors   "network.NAME" and "models.ID.WHAT" arrays

Nothing is ever unpickled. The card is written last and names its weights, so a folder holds the old estimator or the
new one, never half of it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from dr_env.errors import DREnvError, unknown_name
from dr_env.files import atomic_path, write_text
from dr_env.vision.estimator import Estimator
from dr_env.vision.keypoints import KeypointEstimator
from dr_env.vision.known import seen
from dr_env.vision.position import PositionEstimator
from dr_env.vision.samples import Images, ObjectModel

FORMAT = "dr_env/estimator/1"
_TURNS = 4  # of an axis, by which symmetries are compared
CARD = "card.json"
KINDS: dict[str, type[Estimator]] = {cls.kind: cls for cls in (PositionEstimator, KeypointEstimator)}
"""The estimators by name."""


def make(kind: str, models: Mapping[int, ObjectModel], seed: int, **settings: Any) -> Estimator:
    """An untrained estimator, whose first weights depend on the seed alone.

    Args:
        kind: its name.
        models: the classes by id.
        seed: of the first weights.
        settings: of that kind of estimator.
    """
    if kind not in KINDS:
        raise DREnvError(unknown_name("kind of estimator", kind, KINDS, "kinds"))
    known = list(inspect.signature(KINDS[kind]).parameters)[1:]
    if unknown := sorted(settings.keys() - set(known)):
        raise DREnvError(f"{kind}: {unknown_name('setting', unknown[0], known)}")
    if not 0 <= seed < 2**63:
        raise DREnvError(f"seed: got {seed}, expected 0 to 2^63 - 1")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return KINDS[kind](models, **settings)


def save(estimator: Estimator, folder: Path, card: Mapping[str, Any]) -> None:
    """Writes an estimator's weights, models and card.

    Args:
        estimator: what to keep.
        folder: where; what an earlier call wrote there is replaced.
        card: how it was trained, as JSON takes it; kept under "training".
    """
    arrays = {f"network.{name}": tensor.detach().cpu().numpy() for name, tensor in estimator.state_dict().items()}
    for number, model in estimator.models.items():
        arrays |= {f"models.{number}.{name}": value for name, value in _arrays(model).items()}
    data = save_arrays({name: np.array(value, order="C") for name, value in arrays.items()})
    weights = f"weights-{hashlib.blake2b(data, digest_size=8).hexdigest()}.safetensors"
    with atomic_path(folder / weights) as temporary:
        temporary.write_bytes(data)
    written = {
        "format": FORMAT,
        "kind": estimator.kind,
        "settings": estimator.settings(),
        "classes": {str(k): {"name": m.name, "diameter": m.diameter} for k, m in estimator.models.items()},
        "weights": weights,
        "training": dict(card),
    }
    write_text(folder / CARD, json.dumps(written, indent=2))
    for old in folder.glob("weights-*.safetensors"):
        if old.name != weights:
            old.unlink(missing_ok=True)


def read(folder: Path) -> dict[str, Any]:
    """The card in a folder. Raises DREnvError where there is none."""
    path = folder / CARD
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DREnvError(f"{folder}: holds no trained estimator, it has no {CARD}") from error
    except OSError as error:
        raise DREnvError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DREnvError(f"{path}: not JSON: {error}") from error
    got = found.get("format") if isinstance(found, dict) else type(found).__name__
    if got != FORMAT:
        raise DREnvError(f"{path} format: got {got!r}, expected {FORMAT!r}")
    for key, kind in (("kind", str), ("settings", dict), ("classes", dict), ("weights", str), ("training", dict)):
        if not isinstance(found.get(key), kind):
            raise DREnvError(f"{path} {key}: got {found.get(key)!r}, expected a {kind.__name__}")
    return dict(found)


def load(folder: Path) -> Estimator:
    """The estimator that `save` wrote, on the CPU, ready to estimate.

    Raises:
        DREnvError: where a file is missing, damaged, or does not fit the rest.
    """
    card, path = read(folder), folder / CARD
    if card["kind"] not in KINDS:
        raise DREnvError(f"{path} kind: {unknown_name('kind of estimator', card['kind'], KINDS, 'kinds')}")
    file = folder / Path(card["weights"]).name
    try:
        data = file.read_bytes()
        arrays = load_arrays(data)
    except OSError as error:
        raise DREnvError(f"{file}: cannot be read: {error.strerror}") from error
    except (SafetensorError, ValueError) as error:
        raise DREnvError(f"{file}: damaged: {error}") from error
    if hashlib.blake2b(data, digest_size=8).hexdigest() not in file.name:
        raise DREnvError(f"{file}: damaged: its content is not what its name says")
    try:
        models = {int(k): _model(int(k), entry, arrays) for k, entry in card["classes"].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise DREnvError(f"{path} classes: do not fit {file.name}: {error}") from error
    try:
        estimator = KINDS[card["kind"]](models, **card["settings"])
    except TypeError as error:
        raise DREnvError(f"{path} settings: {error}") from error
    weights = {name.removeprefix("network."): v for name, v in arrays.items() if name.startswith("network.")}
    load_weights(estimator, {name: torch.from_numpy(value) for name, value in weights.items()}, file)
    estimator.trained_on = tuple(card["training"].get("data", ()))
    return estimator.eval()


def warn_unfinished(folder: Path) -> None:
    """Says on stderr that a training has not ended, if it has not: its best weights so far are used."""
    training = read(folder)["training"]
    if training.get("finished") is False:
        step, steps = training.get("step"), training.get("steps")
        print(f"{folder}: its training has not ended: the best weights by step {step} of {steps}", file=sys.stderr)


def warn_seen(folder: Path, images: Images) -> None:
    """Says on stderr that an estimator is judged on images that it was trained on or chosen by.

    Args:
        folder: the estimator's.
        images: those that it is judged on.
    """
    trained_on = read(folder)["training"].get("data", ())
    if both := len(_rows([seen(images)]) & _rows(trained_on)):
        print(
            f"{folder}: was trained on {both} of the {len(images)} images of {images.name}: scores on them say "
            "little of others; judge it on images of another seed",
            file=sys.stderr,
        )


def _rows(told: Iterable[Mapping[str, Any]]) -> set[tuple[str, int]]:
    """The images that `seen` told of, each by its piece and its row there; cards of old tell no pieces."""
    pieces = [piece for each in told for piece in each.get("pieces", ())]
    return {
        (piece["identity"], row)
        for piece in pieces
        for row in (range(piece["images"]) if piece["rows"] is None else piece["rows"])
    }


def load_weights(estimator: Estimator, weights: Mapping[str, torch.Tensor], source: Path) -> None:
    """Puts weights by name into an estimator. Raises DREnvError naming the first that does not fit."""
    expected = estimator.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        got = tuple(weights[name].shape) if name in weights else "none"
        wanted = tuple(expected[name].shape) if name in expected else "none"
        if got != wanted:
            raise DREnvError(f"{source} {name}: got shape {got}, expected {wanted} of this {estimator.kind} estimator")
    estimator.load_state_dict(dict(weights))


def check_models(estimator: Estimator, data: Images) -> None:
    """Raises DREnvError where the estimator's classes are not those of the images, naming both."""
    check_classes(estimator.models, "the estimator", data)


def check_classes(models: Mapping[int, ObjectModel], whose: str, data: Images) -> None:
    """Raises DREnvError where classes are not those of the images, naming both.

    Numbers and meshes count, names do not: datasets of photographs have none.
    """
    known, given = ({k: model.name for k, model in each.items()} for each in (models, data.models))
    if known.keys() != given.keys():
        raise DREnvError(f"{data.name}: has the classes {_listed(given)}; {whose} knows {_listed(known)}")
    for number, model in models.items():
        other = data.models[number]
        if model.vertices.shape != other.vertices.shape or not np.allclose(model.vertices, other.vertices, atol=1e-5):
            raise DREnvError(
                f"{data.name}: the mesh of class {number} ({other.name}: {len(other.vertices)} vertices, "
                f"{1000 * other.diameter:.1f} mm) is not that of {whose} "
                f"({len(model.vertices)} vertices, {1000 * model.diameter:.1f} mm)"
            )


def check_symmetries(estimator: Estimator, data: Images) -> None:
    """Raises DREnvError where classes of the images have other symmetries than the estimator learned with."""
    for number, model in estimator.models.items():
        known, given = (each.motions(_TURNS) for each in (model, data.models[number]))
        if known.shape != given.shape or not np.allclose(known, given, atol=1e-5):
            raise DREnvError(
                f"{data.name}: class {number} ({model.name}) has {len(given) - 1} symmetric motions, expected the "
                f"estimator's {len(known) - 1}; which poses are alike cannot change in training"
            )


def _listed(names: Mapping[int, str]) -> str:
    return ", ".join(f"{number} {name}" for number, name in sorted(names.items())) or "none"


def _arrays(model: ObjectModel) -> dict[str, np.ndarray[Any, Any]]:
    axes = [np.concatenate(pair) for pair in model.continuous]
    return {
        "vertices": model.vertices,
        "faces": model.faces,
        "discrete": model.discrete,
        "continuous": np.array(axes, np.float64).reshape(-1, 6),
    }


def _model(number: int, entry: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> ObjectModel:
    found = {what: arrays[f"models.{number}.{what}"] for what in ("vertices", "faces", "discrete", "continuous")}
    axes = tuple((row[:3], row[3:]) for row in found.pop("continuous"))
    return ObjectModel(number, str(entry["name"]), diameter=float(entry["diameter"]), continuous=axes, **found)

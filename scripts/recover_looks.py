"""Whether look tuning finds a hidden look, and what that is worth to a model that is trained on it.

    python scripts/recover_looks.py --out runs/looks --json docs/results/vision/looks.json

A target is rendered under `examples/looks/hidden.yaml`. The prior, `examples/looks/prior.yaml`, is tuned to its
unlabelled images once for each kind of features; then position models are trained on as many images of the prior and
of each result, and judged on target images that nothing has seen. Run it again to go on after an interruption.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from dr_env import DREnvError, Spec
from dr_env.files import write_text

HERE = Path(__file__).parent.parent / "examples" / "looks"
COMMAND = str(Path(sys.executable).parent / "dr-env")


def run(*words: object) -> str:
    """Runs a command of dr-env; returns what it prints."""
    line = [COMMAND, *map(str, words)]
    print("$", " ".join(["dr-env", *line[1:]]), flush=True)
    return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout


def export(out: Path, spec: Path, frames: int, seed: int, workers: int) -> Path:
    """A dataset of the table."""
    run("export", "--task", "tabletop", "--spec", spec, "--frames", frames, "--out", out, "--seed", seed, "--width", 96,
        "--height", 72, "--workers", workers, "--quiet")  # fmt: skip
    return out


def centres(tuned: Spec, prior: Spec, hidden: Spec) -> dict[str, dict[str, float]]:
    """The middle of each range before, after and in the target, and the share of the error that is left."""
    ends = {name: spec.parameters(scene=True).to_dict() for name, spec in
            (("prior", prior), ("tuned", tuned), ("hidden", hidden))}  # fmt: skip
    found = {}
    for key in sorted(key.removesuffix(".low") for key in ends["prior"] if key.endswith(".low")):
        middle = {name: 0.5 * (numbers[f"{key}.low"] + numbers[f"{key}.high"]) for name, numbers in ends.items()}
        gap = middle["hidden"] - middle["prior"]
        if gap:
            left = abs(middle["tuned"] - middle["hidden"]) / abs(gap)
            found[key] = {**middle, "error_left": left}
    return found


def main(
    out: Path,
    json_: Annotated[Path | None, tyro.conf.arg(name="json")] = None,
    features: tuple[str, ...] = ("bank", "encoder"),
    evaluations: int = 120,
    frames: int = 24,
    target: int = 64,
    train: int = 300,
    test: int = 100,
    steps: int = 300,
    seed: int = 0,
    workers: int = 2,
) -> None:
    """Tunes, trains and judges; prints and writes the numbers.

    Args:
        out: A folder for everything that is made.
        json_: Where the numbers go as well.
        features: In which images are compared: bank, encoder (the prior's model's), or package.module:factory.
        evaluations: Candidates of each search.
        frames: Frames of each candidate.
        target: Unlabelled images of the target.
        train: Images that each model is trained on.
        test: Labelled images of the target that each is judged on.
        steps: Training steps of each model.
        seed: Of searches and training.
        workers: Processes that render.
    """
    prior, hidden = HERE / "prior.yaml", HERE / "hidden.yaml"
    seen = export(out / "target", hidden, target, 101, workers)
    judged_on = export(out / "test", hidden, test, 102, workers)
    results: dict[str, Any] = {
        "command": " ".join(["python", "scripts/recover_looks.py", *sys.argv[1:]]),
        "budget": {"evaluations": evaluations, "frames": frames, "target": target, "train": train, "steps": steps},
        "looks": {},
        "position": {},
    }

    def judge(arm: str, spec: Path) -> Path:
        data, trained = export(out / f"data-{arm}", spec, train, 103, workers), out / f"run-{arm}"
        run("vision", "train", "--data", data, "--out", trained, "--model", "position", "--size", 64, "--batch", 32,
            "--steps", steps, "--seed", seed, "--threads", 1, "--quiet")  # fmt: skip
        words = ("vision", "evaluate", trained, "--data", judged_on, "--no-depth", "--threads", 1, "--json", "--quiet")
        told = json.loads(run(*words))
        results["position"][arm] = {key: told[key] for key in sorted(told.keys() - {"estimator", "data"})}
        save()
        return trained

    def save() -> None:
        if json_ is not None:
            write_text(json_, json.dumps(results, indent=1))

    trained = judge("prior", prior)
    for arm in features:
        tuned = out / f"{arm.replace(':', '-')}.yaml"
        run("vision", "looks", "--task", "tabletop", "--spec", prior, "--target", seen, "--features",
            trained if arm == "encoder" else arm,
            "--evaluations", evaluations, "--frames-per-evaluation", frames, "--seed", seed, "--workers", workers,
            "--out", tuned, "--quiet")  # fmt: skip
        spec = Spec.load(tuned)
        looks = (spec.provenance or {})["looks"]
        results["looks"][arm] = {"mmd": looks["mmd"], "centres": centres(spec, Spec.load(prior), Spec.load(hidden))}
        save()
        for name, row in results["looks"][arm]["centres"].items():
            print(f"{arm}: {name}: {row['prior']:.3g} -> {row['tuned']:.3g}, hidden {row['hidden']:.3g}")
        judge(f"tuned-{tuned.stem}", tuned)
    print(json.dumps(results["position"], indent=1))


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except DREnvError as error:
        raise SystemExit(f"error: {error}") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode) from None  # which has said why

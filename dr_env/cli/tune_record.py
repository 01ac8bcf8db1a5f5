"""`dr-env tune record`: recordings of a simulated target, to try the rest out on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from dr_env.binding import compile_model
from dr_env.cli.models import load_task
from dr_env.envs.keys import check_seed
from dr_env.envs.recorder import record as simulate
from dr_env.envs.windows import layout_of
from dr_env.errors import DREnvError
from dr_env.files import atomic_path, check_writable, write_text
from dr_env.spec import Spec, dump_yaml

_LONGEST = 36000.0  # s of a recording


def record(
    task: tyro.conf.Positional[str],
    *,
    out: Path,
    target: Path | None = None,
    episodes: int = 4,
    seconds: float = 10.0,
    noise: float = 0.01,
    seed: int = 0,
) -> None:
    """Record a simulated target under random, smooth actions; writes recording.npz and its column map, logs.yaml.

    Args:
        task: A task: an installed one, a Python file that holds one, or an MJCF file.
        out: The folder.
        target: The target's Spec; by default the task's own target.yaml.
        episodes: How many recordings.
        seconds: Of each.
        noise: White noise on what is measured, as a share of how much each number varies.
        seed: Of initial states, actions and noise.
    """
    check_seed(seed, "--seed")
    numbers = {"--episodes": (episodes, 1), "--seconds": (seconds, 0.1), "--noise": (noise, 0.0)}
    for flag, (value, least) in numbers.items():
        if not least <= value < math.inf:
            raise DREnvError(f"{flag}: got {value}, expected a number, at least {least}")
    if seconds > _LONGEST:
        raise DREnvError(f"--seconds: got {seconds:g}, expected at most {_LONGEST:g}")
    made = load_task(task)
    spec = Spec.load(target or made.file("target.yaml"))
    check_writable(out)
    logs = simulate(made, spec, episodes, seconds, seed, noise)
    # without the first sample, which says that nothing was commanded before: so does the column map
    arrays = {"time": np.concatenate([log.time[1:] for log in logs])}
    arrays["length"] = np.array([len(log.time) - 1 for log in logs])
    columns: dict[str, str] = {}
    layouts = zip(("qpos", "qvel", "ctrl"), layout_of(compile_model(made.mjspec(), Spec())), strict=True)
    for kind, layout in layouts:
        for name, (first, count) in layout.items():
            key = f"{kind}.{name}"
            arrays[key] = np.concatenate([getattr(log, kind)[1:, first : first + count] for log in logs])
            columns[f"{kind}[{name}]"] = key
    with atomic_path(out / "recording.npz") as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    form = {
        "format": "dr_env/logs/1",
        "files": "recording.npz",
        "time": "time",
        "episodes": {"length": "length"},
        "before": "zero",
    }
    write_text(out / "logs.yaml", dump_yaml({**form, "columns": columns}))
    Console().print(f"wrote {out / 'logs.yaml'}", markup=False, highlight=False, soft_wrap=True)

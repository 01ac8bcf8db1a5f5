"""Recordings named on the command line, and the model that they are played on."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import mujoco
from rich.console import Console

from dr_env.binding import Build, build_model, compile_model, object_names
from dr_env.cli.models import load_mjspec
from dr_env.envs.replay import Replay
from dr_env.envs.windows import layout_of
from dr_env.errors import DREnvError
from dr_env.logs import Layout, read_logs
from dr_env.spec import Spec
from dr_env.tuning import Log

_STEPS = 20  # of a window, from which on what the integrator adds is no matter


@dataclasses.dataclass(frozen=True)
class Bench:
    """A model's description, what its task observes, and recordings of it.

    Args:
        mjspec: the description, its controls unlimited: what was commanded to the target is what it did.
        observations: names of the task's observations.
        logs: the recordings.
    """

    mjspec: mujoco.MjSpec
    observations: tuple[str, ...]
    logs: tuple[Log, ...]

    def build(self, spec: Spec) -> Build:
        """The model, compiled for a Spec."""
        return build_model(self.mjspec, spec, self.observations)

    def replay(self, spec: Spec, logs: tuple[Log, ...], window: float, **options: Any) -> Replay:
        """A replay of some recordings under a Spec; `options` are `Replay`'s."""
        return Replay(self.build(spec), spec, logs, window, observations=self.observations, **options)


def load_bench(
    model: str,
    log: Path,
    data: Path | None,
    only: tuple[str, ...] = (),
    but: tuple[str, ...] = (),
    window: float = math.inf,
) -> Bench:
    """Reads model and recordings, and says what seems wrong with them.

    Args:
        model: an MJCF file or an installed task.
        log: the column map.
        data: the folder of the recordings, by default the column map's.
        only, but: parts of recordings' names to keep, or to leave out.
        window: seconds that a part of a recording with a gap must have, or it is left out.
    """
    mjspec, observations = load_mjspec(model)
    for actuator in mjspec.actuators:
        actuator.ctrllimited = mujoco.mjtLimited.mjLIMITED_FALSE
    compiled = compile_model(mjspec, Spec())
    places: tuple[dict[str, tuple[int, int]], ...] = layout_of(compiled)
    turning = (compiled.jnt_type == mujoco.mjtJoint.mjJNT_HINGE) & (compiled.jnt_limited == 0)
    turning_names = frozenset(
        name for name, turns in zip(object_names(compiled, "joint"), turning, strict=True) if turns
    )
    ranges = {
        name: (float(low), float(high))
        for name, limited, (low, high) in zip(
            object_names(compiled, "joint"), compiled.jnt_limited, compiled.jnt_range, strict=True
        )
        if limited
    }
    slide = compiled.jnt_type == mujoco.mjtJoint.mjJNT_SLIDE
    slides = frozenset(name for name, slides in zip(object_names(compiled, "joint"), slide, strict=True) if slides)
    layout = Layout(places[0], places[1], places[2], turning=turning_names, slides=slides, ranges=ranges)
    logs, findings = read_logs(log, layout, data)
    console = Console(stderr=True)
    for finding in findings:
        console.print(f"note: {finding}", markup=False, highlight=False, soft_wrap=True)
    for part in (*only, *but):
        if not any(part in found.name for found in logs):
            raise DREnvError(f"{log}: no recording's name has '{part}' in it: {', '.join(x.name for x in logs[:20])}")
    kept = [
        found
        for found in logs
        if (not only or any(part in found.name for part in only)) and not any(part in found.name for part in but)
    ]
    for piece in [found for found in kept if " part " in found.name and found.duration < window < math.inf]:
        console.print(f"note: {piece.name}: {piece.duration:g} s long, shorter than a window; left out", markup=False)
        kept = [found for found in kept if found is not piece]
    if not kept:
        raise DREnvError(f"{log}: no recording is left")
    if note := _coarse(compiled, window):
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    return Bench(mjspec, observations, tuple(kept))


def _coarse(model: mujoco.MjModel, window: float) -> str | None:
    """What windows of few timesteps do to a fit, in words.

    From a measured velocity MuJoCo's semi-implicit steps move a body under a constant acceleration a in n steps of h
    by a (n h)^2 (n + 1) / (2 n), a real one moves by a (n h)^2 / 2.
    """
    steps = round(min(window, 1e9) / model.opt.timestep)
    if steps >= _STEPS or model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4:
        return None
    return (
        f"a window has {steps} timesteps of the model, in which its integrator moves things {100 / steps:.0f} % "
        f"farther under a force than real ones move, so strengths come out {100 / (steps + 1):.0f} % too low and "
        "masses too high, unless recordings are simulated like this; take longer windows or a smaller timestep"
    )


def window_seconds(window: str) -> float:
    """`0.5`, or `whole` for recordings whole."""
    if window == "whole":
        return float("inf")
    try:
        seconds = float(window)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise DREnvError(f"--window: got {window!r}, expected seconds above 0, or whole")
    return seconds

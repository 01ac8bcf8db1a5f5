"""`dr-env doctor`: what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dr_env.envs import task_names
from dr_env.errors import DREnvError
from dr_env.rendering import INSTALL_GL, INSTALL_MITSUBA, INSTALL_VULKAN, gl_backend

_PACKAGES = (
    "dr-env",
    "mujoco",
    "gymnasium",
    "numpy",
    "scipy",
    "stable-baselines3",
    "torch",
    "imageio",
    "imageio-ffmpeg",
)

# in a process of its own: a broken driver may end it
_PROBE = """
import mujoco, sys
from dr_env.rendering import make_renderer
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
probe = make_renderer(sys.argv[1], model, 64, 64)
assert probe.images(model, data).rgb.any(), "the picture is black"
print("\\n" + probe.provenance()["gl_renderer"])
probe.close()
"""


def doctor() -> None:
    """Say what this machine has, what is missing, and the command that mends it."""
    table = Table("what", "found", "mend with")
    broken = False
    table.add_row("python", platform.python_version(), "")
    for name in _PACKAGES:
        try:
            table.add_row(name, metadata.version(name), "")
        except metadata.PackageNotFoundError:
            broken = True
            table.add_row(name, "[red]missing[/red]", f"pip install {name}")
    table.add_row(
        "threads", f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}", ""
    )
    table.add_row("tasks", ", ".join(task_names()) or "[red]none[/red]", "" if task_names() else "pip install -e .")
    found, works = _gl()
    table.add_row("OpenGL", found if works else f"[yellow]{found}[/yellow]", "" if works else INSTALL_GL)
    physical, vulkan = _probe("filament")
    table.add_row("Vulkan", physical if vulkan else f"[yellow]{physical}[/yellow]", "" if vulkan else INSTALL_VULKAN)
    traced, mitsuba = _probe("mitsuba")
    table.add_row(
        "Mitsuba (optional)",
        traced.partition(";")[0] if mitsuba else f"[yellow]{traced}[/yellow]",
        "" if mitsuba else escape(INSTALL_MITSUBA),
    )
    console = Console()
    console.print(table)
    if not works:
        console.print("Without OpenGL, physics and training work; pictures and videos do not.")
    if not vulkan:
        console.print("Without Vulkan, only the filament renderer does not work; the classic one needs OpenGL.")
    if not mitsuba:
        console.print("Without Mitsuba, only the path tracer does not work; its labels need OpenGL.")
    if broken or not task_names():
        sys.exit(1)


def _gl() -> tuple[str, bool]:
    try:
        backend = gl_backend()
    except DREnvError:
        return "none", False
    found, works = _probe("classic")
    return f"{backend}{': ' if works else ' fails: '}{found}", works


def _probe(renderer: str) -> tuple[str, bool]:
    """What a renderer draws with, or why it does not, as markup."""
    command = [sys.executable, "-c", _PROBE, renderer]
    probe = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if probe.returncode:
        lines = probe.stderr.strip().splitlines() or [f"the probe ended with {probe.returncode}"]
        return escape(lines[-1]), False
    return escape(probe.stdout.strip().splitlines()[-1]), True

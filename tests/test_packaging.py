"""What an installation holds."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import dr_env

ROOT = Path(__file__).parent.parent


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == dr_env.__version__ == metadata.version("dr-env")
    assert f"## {dr_env.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_wheel_holds_what_runs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    for name in (
        "dr_env/py.typed",
        "dr_env/evaluation/report.html.j2",
        "tasks/hopper/task.py",
        "tasks/hopper/randomization.yaml",
        "tasks/hopper/target.yaml",
        "policies/configs/hopper.yaml",
    ):
        assert name in names
    assert not any(name.startswith(("tests/", "scripts/", "docs/")) for name in names)
    for line in ("dr-env = dr_env.cli.entry:main", "[dr_env.tasks]", "[dr_env.trainers]", "[dr_env.benchmarks]"):
        assert line in entry_points


def test_every_task_is_whole() -> None:
    for name in dr_env.task_names():
        task = dr_env.make_task(name)
        assert task.name == name
        for file in ("randomization.yaml", "target.yaml", "README.md"):
            assert task.file(file).exists(), f"{name} has no {file}"
        assert dr_env.Spec.load(task.file("randomization.yaml")).entries


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [item for extra in project["optional-dependencies"].values() for item in extra] + project["dependencies"]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    names = {re.split(r"[><=\[]", item)[0].lower() for item in wanted} - {"dr-env"}  # dev takes in its own extras
    assert names <= pinned, names - pinned


@pytest.mark.parametrize("module", ["dr_env", "dr_env.cli.main"])
def test_importing_is_light(module: str) -> None:
    """No torch, no SB3, no plots, no OpenGL until they are used."""
    code = f"import sys, {module}; print(sorted({{'torch', 'stable_baselines3', 'matplotlib', 'OpenGL'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

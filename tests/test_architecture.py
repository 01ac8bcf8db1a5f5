"""Who may import whom: left is imported by right, never the reverse."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BASE = {"errors", "files", "locks", "parent", "rng", "records", "spatial"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "locks": {"errors", "files"},
    "parent": set(),
    "rng": set(),
    "records": {"errors", "spatial"},
    "spatial": {"errors"},
    "cells": {"errors", "files", "locks", "rng"},
    "distributions": BASE,
    "spec": BASE | {"distributions"},
    "binding": BASE | {"distributions", "spec"},
    "scene": BASE | {"distributions", "spec", "binding"},
    "rendering": BASE | {"binding", "scene"},
    "sensors": BASE | {"binding"},
    # tuning: a replay reads recordings, the evidence that tuners are told
    "envs": BASE | {"distributions", "spec", "binding", "scene", "rendering", "sensors", "tuning"},
    "export": BASE | {"distributions", "spec", "binding", "scene", "rendering", "sensors", "envs"},
    "tuning": BASE | {"distributions", "spec"},
    "logs": BASE | {"spec", "tuning"},  # readers of recordings
    "evaluation": BASE,
    # the protocol: hidden targets to record, tuners to tell, policies to judge
    "comparison": BASE | {"cells", "distributions", "spec", "binding", "envs", "tuning", "evaluation"},
    # estimators read what export writes, or render it on the fly; look tuning moves the numbers of a Spec
    # what is pasted on photographs is blended as a sensor's backdrop is
    "vision": BASE | {"cells", "distributions", "spec", "rendering", "sensors", "export", "tuning", "evaluation"},
    "testing": BASE | {"distributions", "spec", "binding", "envs", "tuning"},
    "cli": BASE
    | {
        "distributions",
        "spec",
        "binding",
        "scene",
        "rendering",
        "sensors",
        "envs",
        "export",
        "tuning",
        "evaluation",
        "logs",
        "comparison",
        "vision",
    },
}
# Spec.bind is the one door from pure data to the simulator; it imports inside the method
DOORS = {
    ("dr_env/spec/randomization.py", "dr_env.binding"),
    ("dr_env/tuning/npdr.py", "torch"),  # the language of sbi, an extra; imported inside the method
}
# outside dr_env, only its public API and the helpers named here
PUBLIC = {
    "dr_env",
    "dr_env.cells",
    "dr_env.errors",
    "dr_env.evaluation",
    "dr_env.evaluation.figures",
    "dr_env.export",
    "dr_env.vision.estimator",
    "dr_env.vision.evaluate",
    "dr_env.vision.images",
    "dr_env.vision.position",
    "dr_env.vision.samples",
    "dr_env.vision.train",
    "dr_env.rng",
    "dr_env.files",
    "dr_env.locks",
    "dr_env.records",
    "dr_env.scene",
    "dr_env.spec",
    "dr_env.spec.explain",
    "dr_env.tuning",
    "dr_env.cli.bars",
    "dr_env.cli.train",
    "dr_env.envs.benchmark",
}
FILES = sorted(path for top in ("dr_env", "tasks", "policies", "scripts") for path in (ROOT / top).rglob("*.py"))


def _imports(path: Path) -> list[tuple[str, bool]]:
    """Imported modules, and whether for type checking alone."""
    found: list[tuple[str, bool]] = []

    def walk(node: ast.AST, typing_only: bool) -> None:
        for child in ast.iter_child_nodes(node):
            only = typing_only or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test))
            if isinstance(child, ast.Import):
                found.extend((alias.name, only) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                # `from dr_env import spatial` is the module, not the package
                modules = [a.name for a in child.names if (ROOT / (child.module or "") / f"{a.name}.py").exists()]
                names = [f"{child.module}.{name}" for name in modules] or [child.module or ""]
                found.extend((name, only) for name in names)
            walk(child, only)

    walk(ast.parse(path.read_text()), False)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_flow_one_way(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    parts = path.relative_to(ROOT).with_suffix("").parts
    room = parts[1] if parts[0] == "dr_env" else parts[0]
    for module, typing_only in _imports(path):
        top, _, rest = module.partition(".")
        if typing_only or (name, module) in DOORS:
            continue
        if parts[0] == "dr_env":
            assert top not in ("tasks", "policies"), f"{name} imports {module}"
            if top == "dr_env" and room != "__init__":
                assert rest.split(".")[0] in MAY_IMPORT[room] | {room}, f"{name} imports {module}"
            if top in ("torch", "stable_baselines3") and not (room == "vision" and top == "torch"):
                raise AssertionError(f"{name} imports {module}")
            if top == "mujoco":
                assert room not in BASE | {"distributions", "spec", "evaluation", "tuning", "logs"}, (
                    f"{name} imports {module}"
                )
        elif top == "dr_env":
            assert module in PUBLIC, f"{name} imports {module}"


def test_text_is_utf_8_whatever_the_locale() -> None:
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                modes = {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
                text = node.func.attr in ("read_text", "write_text") or (node.func.attr == "open" and modes & {*"rwa"})
                if text and "encoding" not in {keyword.arg for keyword in node.keywords}:
                    found.append(f"{path}:{node.lineno}")
    assert not found, found


def test_files_are_short() -> None:
    long = [f"{path}: {n}" for path in FILES if (n := len(path.read_text().splitlines())) > 400]
    assert not long, long

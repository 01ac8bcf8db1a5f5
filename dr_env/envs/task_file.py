"""Tasks of a Python file, for a robot of one's own without a package around it."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from dr_env.envs.task import Task
from dr_env.errors import DREnvError, unknown_name
from dr_env.rng import digest

Maker = Callable[..., Task]


def is_task_file(name: str) -> bool:
    """Whether a name is that of a Python file, `crane.py` or `crane.py:Crane`."""
    return _split(name)[0].endswith(".py")


def load_task_file(name: str) -> tuple[str, Maker]:
    """A file's task: what it calls itself, and what makes it.

    A file offers its tasks at the top level, a `Task` made already or a class of them; of a file with several the name
    says which. The file is run once a process. Modules beside it can be imported.

    Args:
        name: the file, `crane.py`, or `crane.py:Crane`.

    Raises:
        DREnvError: no such file, an error in it (with its line), no task, or several.
    """
    file, wanted = _split(name)
    path = Path(file)
    if not path.is_file():
        raise DREnvError(f"{file}: no such file; expected a Python file that makes a dr_env.Task")
    module = _run(path.resolve())
    offered = _offered(module)
    if wanted and wanted not in offered:
        raise DREnvError(f"{file}: {unknown_name('task', wanted, offered)}")
    if not offered:
        raise DREnvError(f"{file}: no task; expected a subclass of dr_env.Task, or `task = dr_env.make_task(...)`")
    if not wanted and len(offered) > 1:
        raise DREnvError(f"{file}: several tasks; say which: {', '.join(f'{file}:{one}' for one in offered)}")
    found = offered[wanted or next(iter(offered))]
    if isinstance(found, Task):
        return found.name, functools.partial(_made, found, file)
    if not isinstance(getattr(found, "name", None), str):
        raise DREnvError(f"{file}: {found.__name__} has no name; expected `name = ...`, in snake case")
    return found.name, found


def _split(name: str) -> tuple[str, str]:
    file, colon, wanted = name.rpartition(":")
    return (file, wanted) if colon and file.endswith(".py") else (name, "")


def _made(task: Task, file: str, **arguments: object) -> Task:
    if arguments:
        raise DREnvError(f"{file}: makes its task itself, which takes no arguments; got {', '.join(sorted(arguments))}")
    return task


@functools.cache
def _run(path: Path) -> ModuleType:
    """The file as a module, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"dr_env_task_{digest(str(path)):x}", path)
    assert spec is not None and spec.loader is not None  # of a .py there always is
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where `inspect` finds the folder of a class
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        raise DREnvError(f"{path}{f':{line}' if line else ''}: {type(error).__name__}: {error}") from error
    return module


def _offered(module: ModuleType) -> dict[str, Task | type[Task]]:
    """The tasks that a module made, or else those of its classes that are whole."""
    names = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    made: dict[str, Task | type[Task]] = {name: value for name, value in names.items() if isinstance(value, Task)}
    if made:
        return made
    return {
        name: value
        for name, value in names.items()
        if inspect.isclass(value)
        and issubclass(value, Task)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    }

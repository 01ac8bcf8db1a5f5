"""YAML with the lines of its keys, so that every error can say where."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from dr_env.errors import DREnvError

Lines = dict[tuple[str | int, ...], int]


class _Loader(yaml.SafeLoader):
    """Safe YAML whose plain words and numbers mean what they do in YAML 1.2: 1e-3 and -.5 are numbers and 010 is 10;
    yes, off, 1:30 and 2026-11-30 are text. Only 1_000_000 is a number still."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, form) for tag, form in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


# the core schema of YAML 1.2.2, section 10.3.2; the first that matches counts
for _tag, _form, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_form})$"), list(_first))


def read_yaml(path: str | Path) -> tuple[Any, Lines]:
    """Reads a YAML file and the line of each of its keys.

    Raises DREnvError naming file and line for a missing, empty, cut off or ambiguous file.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DREnvError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DREnvError(f"{path}: cannot read: {error}") from error
    except TypeError:
        raise DREnvError(f"got {type(path).__name__}, expected the path of a YAML file") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> tuple[Any, Lines]:
    """Reads YAML text as `read_yaml` does; `source` names it in errors."""
    if not isinstance(text, str | bytes):
        raise DREnvError(f"{source}: got {type(text).__name__}, expected YAML text")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise DREnvError(f"{source}: empty, expected YAML such as `format: dr_env/1`")
        lines: Lines = {}
        _walk(node, (), lines, source)
        data = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or str(error)
        raise DREnvError(f"{where} not valid YAML, or cut off: {problem}") from error
    except RecursionError:
        raise DREnvError(f"{source}: nested too deeply, or an alias that holds itself") from None
    finally:
        loader.dispose()
    return data, lines


def _walk(node: yaml.Node, path: tuple[str | int, ...], lines: Lines, source: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                shown = ".".join(map(str, path))
                raise DREnvError(f"{source}:{line} {shown}: got a key of several values, expected a name")
            if key.value in seen:
                shown = ".".join(map(str, (*path, key.value)))
                raise DREnvError(f"{source}:{line} {shown}: written twice, first on line {seen[key.value]}")
            seen[key.value] = line
            lines[*path, key.value] = line
            _walk(value, (*path, key.value), lines, source)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[*path, i] = value.start_mark.line + 1
            _walk(value, (*path, i), lines, source)


def dump_yaml(data: Any) -> str:
    """YAML in the order given; numbers round-trip exactly."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)

"""The command `dr-env`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import tyro

from dr_env.cli.bench import bench
from dr_env.cli.doctor import doctor
from dr_env.cli.evaluate import evaluate
from dr_env.cli.export import export
from dr_env.cli.inspect import inspect
from dr_env.cli.preview import preview
from dr_env.cli.relabel import relabel
from dr_env.cli.replay import replay
from dr_env.cli.spec import check, schema
from dr_env.cli.train import train
from dr_env.cli.tune import app as tune
from dr_env.cli.validate import validate
from dr_env.cli.vision import app as vision
from dr_env.errors import DREnvError

_spec = tyro.extras.SubcommandApp()
_spec.command(check)
_spec.command(schema)

app = tyro.extras.SubcommandApp()
app.command(train)
app.command(evaluate)
app.command(inspect)
app.command(_spec, name="spec")
app.command(validate)
app.command(tune, name="tune")
app.command(vision, name="vision")
app.command(doctor)
app.command(bench)
app.command(export)
app.command(replay)
app.command(relabel)
app.command(preview)


_NAMES = "arms box but data labels link methods objects only quota scores select sizes tasks"
LISTS = frozenset(f"--{name}" for name in _NAMES.split())
"""Options that take several values after them; given several times they take all of them."""


def joined(arguments: Sequence[str]) -> list[str]:
    """The same arguments, with the values of each of `LISTS` behind its first occurrence."""
    parts: list[list[str]] = [[]]
    for word in arguments:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            parts.append([name, value] if equals and name in LISTS else [word])
        else:
            parts[-1].append(word)
    first: dict[str, list[str]] = {}
    found: list[list[str]] = []
    for part in parts:
        if part and part[0] in first:
            first[part[0]] += part[1:]
            continue
        if part and part[0] in LISTS:
            first[part[0]] = part
        found.append(part)
    return [word for part in found for word in part]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; bad input ends with one clear line and exit status 2."""
    try:
        given = joined(sys.argv[1:] if arguments is None else arguments)
        app.cli(prog="dr-env", description="Domain randomization for MuJoCo.", args=given)
        sys.stdout.flush()  # while what goes wrong can be told
    except DREnvError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except MemoryError as error:
        print(f"error: not enough memory: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        print(f"\n{str(interrupt) or 'stopped'}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.filename is not None:
            raise
        print(f"error: standard output cannot be written: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)


if __name__ == "__main__":
    main()

"""Where `dr-env` begins: what stops it while it loads, and afterwards."""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Loads the commands, which takes a while, and runs one; see `dr_env.cli.main.main`.

    While they load nothing is written, so Ctrl-C ends the process at once: some packages would swallow the
    exception. SIGTERM is Ctrl-C for every command.
    """
    loading = signal.signal(signal.SIGINT, _end)
    from dr_env.cli.main import main as run

    signal.signal(signal.SIGINT, loading)
    signal.signal(signal.SIGTERM, _interrupt)
    run()


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"\nstopped\n")
    os._exit(130)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

"""Processes that do not outlive the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading


def leave_with_parent() -> None:
    """Ends this process when the one that started it has gone, killed perhaps; called first thing in a worker."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

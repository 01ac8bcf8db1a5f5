"""What stops `dr-env` while it loads and while it works."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dr_env.cli import main as command

LOADING = """
import builtins, os, signal, sys

load = builtins.__import__

def interrupted(name, *rest):
    if name == "networkx" and not sent:
        sent.append(name)
        os.kill(os.getpid(), signal.SIGINT)
    return load(name, *rest)

sent = []
from dr_env.cli.entry import main
builtins.__import__ = interrupted
sys.argv = ["dr-env", "spec", "schema"]
main()
"""


def test_ctrl_c_while_commands_load() -> None:
    """Also where a package swallows the exception, as trimesh does around what it imports."""
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nstopped\n")


def test_the_last_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for reason, word in (((), "stopped"), (("stopped at 3 steps",), "stopped at 3 steps")):
        monkeypatch.setattr(
            command.app, "cli", lambda reason=reason, **_: (_ for _ in ()).throw(KeyboardInterrupt(*reason))
        )
        with pytest.raises(SystemExit) as end:
            command.main(["doctor"])
        assert end.value.code == 130 and capsys.readouterr().err == f"\n{word}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_search_takes_its_workers_with_it(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "target.yaml").write_text("format: dr_env/1\n")
    words = ["tune", "search", "--task", "inverted_pendulum", "--target", str(tmp_path / "target.yaml"), "--method",
             "random", "--budget", "9", "--steps", "10000000", "--workers", "2", "--out", str(tmp_path / "study")]  # fmt: skip
    program = "import sys; from dr_env.cli.entry import main; sys.argv[0] = 'dr-env'; main()"
    search = subprocess.Popen([sys.executable, "-c", program, *words], stderr=subprocess.PIPE, text=True)
    trials = tmp_path / "study" / "trials"
    until = time.monotonic() + 120
    while len(list(trials.glob("*/policy/config.json"))) < 2 and time.monotonic() < until and search.poll() is None:
        time.sleep(0.1)
    workers = _children(search.pid)
    search.send_signal(number)
    _, said = search.communicate(timeout=60)  # ends when the last of them has closed its end
    if number == signal.SIGTERM:
        assert search.returncode == 130 and said.strip().endswith("stopped; the same command goes on")
    assert len(workers) >= 2 and "Traceback" not in said
    until = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until, "workers outlive the command"
        time.sleep(0.1)


def _children(pid: int) -> list[int]:
    return [int(each) for path in Path(f"/proc/{pid}/task").glob("*/children") for each in path.read_text().split()]

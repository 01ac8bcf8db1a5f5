"""Exports are the same whatever makes them, go on after any end, and say what is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.export import Layout, Manifest, export, replay
from dr_env.export.encode import decode_image
from tests.export.blocks import SCENE, contents, request

_SHARD = 5  # frames


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "blocks.xml"
    path.write_text(SCENE)
    return path


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset made in one process, with its model beside it."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "blocks.xml").write_text(SCENE)
    export(request(folder / "blocks.xml"), folder / "data")
    return folder


def test_any_number_of_workers_makes_the_same_bytes(reference: Path, tmp_path: Path) -> None:
    # which are renewed on the way
    made = export(request(reference / "blocks.xml"), tmp_path / "data", workers=2, threads=2, recycle=5)
    assert made.made == 12
    assert contents(tmp_path / "data") == contents(reference / "data")
    again = export(request(reference / "blocks.xml"), tmp_path / "data", workers=2)
    assert (again.made, again.notes) == (0, [])


def test_frames_do_not_depend_on_those_before(reference: Path) -> None:
    source = request(reference / "blocks.xml").source.open()
    try:
        forth = [source.frame(k, a) for k in range(4) for a in range(2)]
        back = [source.frame(k, a) for k in reversed(range(4)) for a in reversed(range(2))]
    finally:
        source.close()
    for one, other in zip(forth, reversed(back), strict=True):
        assert np.array_equal(one.rgb, other.rgb)
        assert np.array_equal(one.depth, other.depth)
        assert one.draw == other.draw
    assert not np.array_equal(forth[0].rgb, forth[1].rgb)  # candidates differ


def test_killed_and_run_again_it_makes_the_same_bytes(reference: Path, tmp_path: Path) -> None:
    frames = 40
    made = dataclasses.replace(
        request(reference / "blocks.xml"), layout=Layout(frames, 64, 48, shard=_SHARD), formats=("bop", "webdataset")
    )
    export(made, tmp_path / "whole/data")
    code = (
        "import pathlib, pickle, sys\nfrom dr_env.export import export\n"
        "if __name__ == '__main__':\n"
        "    export(pickle.loads(bytes.fromhex(sys.argv[1])), pathlib.Path(sys.argv[2]), workers=1)\n"
    )
    import pickle

    script = tmp_path / "run.py"
    script.write_text(code)
    root = tmp_path / "data"
    kept = 0
    for least in (7, 23):  # once within the first shards, once later
        process = subprocess.Popen(
            [sys.executable, str(script), pickle.dumps(made).hex(), str(root)],
            start_new_session=True,
            stderr=subprocess.PIPE,
        )
        while _frames(root) < least:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)  # its workers find out by themselves
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
        assert _frames(root) >= max(least, kept)  # nothing that was done is lost
        kept = _frames(root)
    assert not (root / "manifest.json").exists() or not Manifest.load(root).complete
    done = export(made, root, workers=0)
    assert done.made < frames - least + 1
    assert contents(root) == contents(tmp_path / "whole/data")


def _frames(root: Path) -> int:
    """How many frames are there, wherever they stand; looked for in the order in which they move, none is missed."""
    lines: dict[str, int] = {}
    for pattern in (".partial/*/records/[0-9]*.json", ".partial/*/frames/[0-9]*.jsonl", "frames/[0-9]*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # moved meanwhile
            found = Counter(
                path.parent.parent.name if path.suffix == ".json" else path.stem for path in root.glob(pattern)
            )
            for shard, count in found.items():
                lines[shard] = max(lines.get(shard, 0), count if pattern.endswith(".json") else _SHARD)
    return sum(lines.values())


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_cut_off_between_two_moves(reference: Path, tmp_path: Path, moved: int) -> None:
    """A shard whose files have gone to their places in part is finished, not made again."""
    from dr_env.export import store

    root = tmp_path / "data"
    count = 0

    def limited(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count > moved:
            raise KeyboardInterrupt
        original(source, target)

    original = store._move
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_move", limited)
        with pytest.raises(KeyboardInterrupt):
            export(request(reference / "blocks.xml"), root)
    assert export(request(reference / "blocks.xml"), root).made == 7
    assert contents(root) == contents(reference / "data")


def test_damage_is_mended_and_told(reference: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(reference / "data", root)
    (root / "bop/train/000000/depth/000003.png").unlink()
    cut = root / "frames/000002.jsonl"
    cut.write_bytes(cut.read_bytes()[:-300])
    done = export(request(reference / "blocks.xml"), root)
    assert done.made == 7
    assert done.notes == [
        "bop/train/000000/depth/000003.png: is missing: made frames 0 to 4 again",
        "frames/000002.jsonl: was changed or cut off: made frames 10 to 11 again",
    ]
    assert contents(root) == contents(reference / "data")


def test_one_frame_again(reference: Path, tmp_path: Path) -> None:
    found = replay(reference / "data", 7, tmp_path / "seven")
    assert (found.differing, found.elsewhere) == ((), ())
    for path in (tmp_path / "seven/bop").rglob("*.png"):
        name = path.relative_to(tmp_path / "seven")
        assert path.read_bytes() == (reference / "data" / name).read_bytes()
    assert found.record["frame"] == 7
    assert decode_image((tmp_path / "seven/coco/images/train/000000000007.png").read_bytes()).shape == (48, 64, 3)
    with pytest.raises(DREnvError, match="--frame: got 12, expected 0 to 11"):
        replay(reference / "data", 12, tmp_path / "twelve")


def test_replay_says_what_is_otherwise(reference: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(reference / "data", root)
    scene = tmp_path / "blocks.xml"
    scene.write_text(SCENE.replace('rgba="1 0 0 1"', 'rgba="0 1 1 1"'))
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["request"]["source"]["task"] = str(scene)
    manifest["provenance"]["gl_renderer"] = "another driver"
    (root / "manifest.json").write_text(json.dumps(manifest))
    found = replay(root, 2, tmp_path / "two")
    assert found.differing == ("bop", "coco")
    assert any(line.startswith("gl_renderer: another driver then") for line in found.elsewhere)
    assert any(line.startswith("model: ") for line in found.elsewhere)
    # and nothing is added to such a dataset
    (root / "frames/000000.jsonl").unlink()
    changed = request(reference / "blocks.xml")
    changed = dataclasses.replace(changed, source=dataclasses.replace(changed.source, task=str(scene)))
    with pytest.raises(DREnvError, match=r"was begun elsewhere or by other versions.*gl_renderer: another driver then"):
        export(changed, root)


def test_what_cannot_go_on(reference: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(reference / "data", root)
    with pytest.raises(DREnvError, match=r"made otherwise \(layout.frames: got 13, was 12\)"):
        export(request(reference / "blocks.xml", frames=13), root)
    manifest = (root / "manifest.json").read_text()
    (root / "manifest.json").write_text(manifest[:-50])
    with pytest.raises(DREnvError, match=r"manifest.json: damaged"):
        export(request(reference / "blocks.xml"), root)
    (root / "manifest.json").write_text(manifest.replace("dr_env/dataset/1", "dr_env/dataset/9"))
    with pytest.raises(DREnvError, match="got 'dr_env/dataset/9', expected 'dr_env/dataset/1'"):
        replay(root, 0, tmp_path / "zero")
    (root / "manifest.json").write_text(manifest)
    (root / "spec.yaml").write_text((root / "spec.yaml").read_text().replace("0.8", "0.7"))
    with pytest.raises(DREnvError, match=r"spec.yaml: digest .* was changed after"):
        replay(root, 0, tmp_path / "zero")
    export(request(reference / "blocks.xml"), root, overwrite=True)
    assert contents(root) == contents(reference / "data")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").write_text("")
    with pytest.raises(DREnvError, match=r"holds other files, such as thesis.tex"):
        export(request(reference / "blocks.xml"), tmp_path / "other", overwrite=True)
    assert not (tmp_path / "other/.partial").exists()
    with pytest.raises(DREnvError, match="no dataset of dr-env export"):
        replay(tmp_path / "other", 0, tmp_path / "zero")


def test_quotas(reference: Path, tmp_path: Path) -> None:
    wanted = request(
        reference / "blocks.xml", 30, ("coco",), quotas=("class=cube,ball*2", "visibility=0.1..0.8,0.8..1"), attempts=60
    )
    done = export(wanted, tmp_path / "data")
    result = done.manifest.result
    assert result is not None
    cube, ball = result["coverage"]["class"]["cube"], result["coverage"]["class"]["ball"]
    assert cube["asked"] + ball["asked"] == 30
    assert abs(ball["asked"] - 20) <= 2  # shares
    low, high = (result["coverage"]["visibility"][name] for name in ("0.1..0.8", "0.8..1"))
    assert abs(low["asked"] - 15) <= 2
    assert result["acceptance"]["missed"] == []
    assert cube["shown"] + ball["shown"] == low["shown"] + high["shown"] == 30
    assert result["acceptance"]["candidates"] > 30
    for line in (tmp_path / "data/frames/000000.jsonl").read_text().splitlines():
        record = json.loads(line)
        bounds = [float(number) for number in record["target"]["visibility"].split("..")]
        assert any(
            view["class"] == record["target"]["class"] and bounds[0] <= view["visible_fraction"] <= bounds[1]
            for view in record["objects"]
        )
        if record["attempt"]:
            assert replay(tmp_path / "data", record["frame"], tmp_path / f"f{record['frame']}").differing == ()
    export(wanted, tmp_path / "other/data")
    assert contents(tmp_path / "other/data") == contents(tmp_path / "data")


def test_a_quota_that_cannot_be_met_is_counted(reference: Path, tmp_path: Path) -> None:
    wanted = request(reference / "blocks.xml", 2, ("coco",), quotas=("distance=50..60",), attempts=2)
    result = export(wanted, tmp_path / "data").manifest.result
    assert result is not None
    assert result["acceptance"] == {"candidates": 4, "rate": 0.5, "missed": [0, 1], "refused": 0}
    assert result["coverage"] == {"distance": {"50..60": {"asked": 2, "shown": 0, "objects": 0}}}


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        ("clas=cube", "did you mean 'class'"),
        ("class", "expected ATTRIBUTE=BIN"),
        ("size=0.1", "expected LOW..HIGH"),
        ("size=0.5..0.1", "LOW below HIGH"),
        ("class=cube*0", "a share above 0"),
        ("class=cube,cube", "twice"),
        ("class=cub", "did you mean 'cube'"),
    ],
)
def test_bad_quotas(reference: Path, tmp_path: Path, quota: str, message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        export(request(reference / "blocks.xml", quotas=(quota,)), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_errors_of_workers_are_one_clear_line(scene: Path, tmp_path: Path) -> None:
    wanted = request(scene)
    wrong = dataclasses.replace(wanted, source=dataclasses.replace(wanted.source, objects=("cup*",)))
    with pytest.raises(DREnvError, match=r"no visible body 'cup\*'; .*visible bodies: ball, cube_1, cube_2"):
        export(wrong, tmp_path / "data", workers=1)
    assert not (tmp_path / "data").exists()


def test_without_opengl(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes.util

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    with pytest.raises(DREnvError, match=r"rendering needs EGL or OSMesa, .*: apt-get install"):
        export(request(scene), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_disk_that_is_too_small(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(DREnvError, match=r"take about .* GB, and 1e-05 GB are free"):
        export(request(reference / "blocks.xml", frames=1000), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_full_disk_keeps_what_is_done(reference: Path, tmp_path: Path) -> None:
    """On a disk of its own, of 300 kB, which later has room."""
    wanted = request(reference / "blocks.xml", formats=("bop",))
    script = tmp_path / "full.py"
    script.write_text(
        "import pathlib, pickle, subprocess, sys\n"
        "from dr_env import DREnvError\nfrom dr_env.export import export\n"
        "def main():\n"
        "    made, disk = pickle.loads(bytes.fromhex(sys.argv[1])), pathlib.Path(sys.argv[2])\n"
        "    for workers in (1, 0):\n"
        "        try:\n"
        "            export(made, disk / 'data', workers=workers)\n"
        "            raise SystemExit('it fits')\n"
        "        except DREnvError as error:\n"
        "            print(error)\n"
        "    subprocess.run(['mount', '-o', 'remount,size=50m', str(disk)], check=True)\n"
        "    print('made', export(made, disk / 'data').made)\n"
        "    subprocess.run(['cp', '-r', str(disk), sys.argv[3]], check=True)\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    import pickle

    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=300k none {disk}"
    if subprocess.run(["unshare", "-Urm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("needs a small disk of its own: this machine lets nobody mount one")
    run = f"{mount} && {sys.executable} {script} {pickle.dumps(wanted).hex()} {disk} {tmp_path / 'copy'}"
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", run], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert "No space left" in first + second or "the disk is full" in first + second
    assert 0 < int(last.split()[1]) < 12
    export(wanted, tmp_path / "whole/data")
    assert contents(tmp_path / "copy/data") == contents(tmp_path / "whole/data")


def test_two_exports_do_not_write_one_dataset(reference: Path, tmp_path: Path) -> None:
    def meanwhile(*_: int) -> None:
        with pytest.raises(DREnvError, match="another export is writing here"):
            export(request(reference / "blocks.xml"), tmp_path / "data")

    export(request(reference / "blocks.xml", frames=1), tmp_path / "data", progress=meanwhile)


def test_a_worker_that_dies_is_replaced(reference: Path, tmp_path: Path) -> None:
    killed = 0

    def kill(done: int, total: int, candidates: int) -> None:
        nonlocal killed
        if done >= 3 and not killed:
            killed = _a_child()
            os.kill(killed, signal.SIGKILL)

    export(request(reference / "blocks.xml"), tmp_path / "data", workers=1, progress=kill)
    assert killed
    assert contents(tmp_path / "data") == contents(reference / "data")


def _a_child() -> int:
    import multiprocessing

    return next(child.pid for child in multiprocessing.active_children() if child.pid)


def test_files_that_a_failing_machine_cut_are_made_again(reference: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    made = dataclasses.replace(request(reference / "blocks.xml"), formats=("bop",))
    export(made, tmp_path / "whole")

    def stop(done: int, *_: object) -> None:
        if done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(made, root, progress=stop)
    (first,) = sorted((root / ".partial").rglob("depth/000000.png"))
    first.write_bytes(first.read_bytes()[:20])
    export(made, root)
    assert contents(root) == contents(tmp_path / "whole")

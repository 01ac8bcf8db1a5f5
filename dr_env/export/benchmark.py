"""How close labelled frames on disk come to the time that their bare render passes take."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from dr_env.export.example import Example
from dr_env.export.layout import Layout
from dr_env.export.maker import Maker
from dr_env.export.pipeline import cores, export
from dr_env.export.request import ExportRequest
from dr_env.export.source import SourceRequest
from dr_env.records import versions
from dr_env.rendering import make_renderer
from dr_env.spec import Spec

_SIZES = ((640, 480), (320, 240))
_FRAMES = 160
_ROUNDS = 3
_JITTER = 0.03  # metres; frames differ, and objects stay in view
_SHAPES = (
    ("box", ".05 .06 .04"),
    ("cylinder", ".045 .06"),
    ("sphere", ".06"),
    ("capsule", ".04 .05"),
    ("ellipsoid", ".05 .07 .04"),
)
_SCENE = """
<mujoco>
  <statistic extent="1" center="0 0 0"/>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1=".5 .6 .7" rgb2=".2 .2 .3" width="64" height="64"/>
    <texture name="table" type="2d" builtin="checker" rgb1=".5 .4 .3" rgb2=".6 .5 .4" width="256" height="256"/>
    <material name="table" texture="table" texrepeat="6 6"/>
  </asset>
  <worldbody>
    <light type="directional" pos=".4 -.5 1.6" dir="-.25 .3 -1" castshadow="true"/>
    <camera name="eye" pos="0 -.9 .75" xyaxes="1 0 0 0 .62 .78" fovy="48"/>
    <geom name="table" type="plane" size="2 2 .1" material="table"/>
    {bodies}
  </worldbody>
</mujoco>
"""


def _scene() -> str:
    """Ten objects of five shapes on a table, under one light that casts shadows."""
    bodies = []
    for i in range(10):
        shape, size = _SHAPES[i % 5]
        x, y = -0.36 + 0.18 * (i % 5), -0.16 + 0.34 * (i // 5)
        color = f"{0.2 + 0.08 * i:.2f} {0.9 - 0.07 * i:.2f} {0.3 + 0.06 * (i % 5):.2f} 1"
        geom = f'<geom type="{shape}" size="{size}" rgba="{color}"/>'
        bodies.append(f'<body name="object{i}" pos="{x:.2f} {y:.2f} .08"><freejoint/>{geom}</body>')
    return _SCENE.format(bodies="\n    ".join(bodies))


def render(task: str) -> dict[str, Any]:
    """Labelled frames per second on all cores, against the bare render passes on as many processes.

    Ten objects and one shadow light; RGB (JPEG, as in BOP's own rendered sets), depth, ids and amodal masks, written as
    BOP. The limit is the time of the passes alone: an RGB picture, a picture of ids and depth, and ten silhouettes,
    read back and decoded, with nothing simulated, labelled, encoded or written. Both are measured in turn, several
    times; medians count.

    Args:
        task: not used; the scene is the benchmark's own.
    """
    found: dict[str, Any] = {"workers": cores(), "scene": "ten objects, one shadow light", **versions("mujoco")}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "ten_objects.xml"
        model.write_text(_scene(), encoding="utf-8")
        for width, height in _SIZES:
            source = SourceRequest(str(model), Spec().to_yaml(), "none", 0, width, height, camera="eye",
                                   objects=("object*",), jitter=_JITTER)  # fmt: skip
            request = ExportRequest(source, Layout(_FRAMES, width, height, suffix=".jpg"), ("bop",))
            rounds = [(_exported(request, Path(folder) / f"{width}_{i}"), _bare(source)) for i in range(_ROUNDS)]
            made, limit = np.median(rounds, axis=0)
            # the first size is what is promised for; the others carry their width
            end = "" if (width, height) == _SIZES[0] else f"_{width}x{height}"
            found |= {
                f"frames_per_s{end}": float(made),
                f"limit_frames_per_s{end}": float(limit),
                f"ratio_limit{end}": float(np.median([a / b for a, b in rounds])),
                **{f"{name}_ms{end}": cost for name, cost in _costs(request, Path(folder)).items()},
            }
    return found


def _exported(request: ExportRequest, root: Path) -> float:
    """Frames per second that an export makes, once its workers are all at work."""
    seen: list[tuple[float, int]] = []
    export(request, root, workers=cores(), progress=lambda done, *_: seen.append((time.perf_counter(), done)))
    begun = next(i for i, (_, done) in enumerate(seen) if done >= _FRAMES // 8)
    last = next(i for i, (_, done) in enumerate(seen) if done >= _FRAMES - _FRAMES // 8)
    return float((seen[last][1] - seen[begun][1]) / (seen[last][0] - seen[begun][0]))


def _bare(source: SourceRequest) -> float:
    """Frames per second of the passes alone, in as many processes as there are cores, all at once."""
    context = multiprocessing.get_context("spawn")
    count = cores()
    with context.Manager() as manager, ProcessPoolExecutor(count, mp_context=context) as pool:
        together = manager.Barrier(count)
        return sum(pool.map(_passes, [source] * count, [together] * count))


def _passes(source: SourceRequest, together: Any) -> float:
    """One process's share of `_bare`."""
    os.environ.setdefault("LP_NUM_THREADS", "1")
    frames = _FRAMES // cores()
    with _drawing(source) as passes:
        for draw in passes.values():  # what is made at the first picture
            draw()
        together.wait(120)
        start = time.perf_counter()
        for _ in range(frames):
            for draw in passes.values():
                draw()
        rate = frames / (time.perf_counter() - start)
        together.wait(120)  # so that none draws alone, and faster
    return rate


@contextmanager
def _drawing(source: SourceRequest) -> Iterator[dict[str, Callable[[], object]]]:
    """The passes of a labelled picture, each of which draws and reads back."""
    model = mujoco.MjModel.from_xml_path(source.task)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    objects = [(geom,) for geom in range(model.ngeom) if model.geom_bodyid[geom]]
    renderer = make_renderer(source.renderer, model, source.width, source.height)
    try:
        yield {
            "rgb": lambda: renderer.images(model, data, source.camera),
            "ids_and_depth": lambda: renderer.images(model, data, source.camera, ("geom", "depth")),
            "silhouettes": lambda: renderer.silhouettes(model, data, objects, source.camera),
        }
    finally:
        renderer.close()


def _costs(request: ExportRequest, folder: Path) -> dict[str, float]:
    """Milliseconds of each step of one frame, in this process alone, with all of its cores."""
    maker = Maker(request, folder / "costs")
    source = request.source.open()
    try:
        frame = source.frame(0)
        steps: dict[str, Callable[[], object]] = {
            "frame": lambda: source.frame(0),
            "label": lambda: Example(frame, request.layout).views,
            "encode": lambda: [
                data for writer in maker.writers for _, data in writer.files(Example(frame, request.layout))
            ],
        }
        found = {name: _milliseconds(step) for name, step in steps.items()}
    finally:
        source.close()
        maker.close()
    with _drawing(request.source) as passes:
        return {name: _milliseconds(step) for name, step in passes.items()} | found


def _milliseconds(step: Callable[[], object], times: int = 15) -> float:
    step()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return 1000 * float(np.median(taken))

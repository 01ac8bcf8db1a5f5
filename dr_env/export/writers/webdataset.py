"""Plain WebDataset: tar files for streaming, and a Parquet index of every object to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dr_env.errors import DREnvError
from dr_env.export.catalogue import Catalogue
from dr_env.export.encode import DEPTH_SCALE_MM, encode_ids
from dr_env.export.example import Example, Record
from dr_env.export.layout import Layout
from dr_env.export.writers.base import Files, compact
from dr_env.export.writers.tar import join_parts, part
from dr_env.files import atomic_path

_ROWS = 16384  # rows in memory


class Webdataset:
    """Tar files of KEY.rgb, KEY.depth.png, KEY.instance.png, KEY.semantic.png and KEY.json; `index.parquet`."""

    name = "webdataset"

    def __init__(self, layout: Layout, classes: Catalogue) -> None:
        self._layout = layout

    def _tar(self, frame: int) -> str:
        return f"{self._layout.split_of(frame)}/shard-{self._layout.place(frame)[0]:06d}.tar"

    def files(self, example: Example) -> Files:
        """A part of a tar file."""
        k = example.frame.index
        key = f"{k:09d}"
        members = {
            f"{key}.rgb{self._layout.suffix}": example.rgb,
            f"{key}.depth.png": example.depth,
            f"{key}.instance.png": encode_ids(example.frame.instance),
            f"{key}.semantic.png": encode_ids(example.frame.semantic),
            f"{key}.json": compact({**example.record, "depth_scale": DEPTH_SCALE_MM / 1000}).encode(),
        }
        yield part(self._tar(k), self._layout.place(k)[1], members)

    def seal(self, shard: int, records: list[Record], root: Path) -> None:
        """Joins the parts."""
        join_parts(root)

    def finish(self, records: Iterable[Record], root: Path) -> None:
        """Writes the index: a row for each object of each frame, lengths in metres.

        Raises DREnvError where pyarrow is not installed.
        """
        pa, pq = _pyarrow()
        matrix, box = pa.list_(pa.float64()), pa.list_(pa.int32())
        schema = pa.schema(
            [("key", pa.string()), ("shard", pa.string()), ("frame", pa.int64()), ("instance", pa.int32()),
             ("name", pa.string()), ("class_id", pa.int32()), ("class", pa.string()), ("K", matrix),
             ("camera_from_object", matrix), ("box_amodal", box), ("box_visible", box), ("pixels_visible", pa.int32()),
             ("visible_fraction", pa.float64()), ("occluded_fraction", pa.float64()),
             ("truncated_fraction", pa.float64())]
        )  # fmt: skip
        rows = self._rows(records, schema.names)
        with atomic_path(root / "index.parquet") as path, pq.ParquetWriter(path, schema) as file:
            while block := list(islice(rows, _ROWS)):
                file.write_table(pa.Table.from_pylist(block, schema))

    def _rows(self, records: Iterable[Record], names: list[str]) -> Iterator[dict[str, Any]]:
        for record in records:
            k = record["frame"]
            shared = {"key": f"{k:09d}", "shard": self._tar(k), "frame": k, "K": record["K"]}
            for view in record["objects"]:
                yield {name: shared[name] if name in shared else view[name] for name in names}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DREnvError("format webdataset: its index needs pyarrow: pip install 'dr-env[webdataset]'") from error
    return pyarrow, pyarrow.parquet

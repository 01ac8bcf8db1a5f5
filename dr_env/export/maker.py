"""Makes frames, shards and what belongs to the whole dataset; what each worker runs."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_env.errors import DREnvError
from dr_env.export.catalogue import catalogue
from dr_env.export.example import Example
from dr_env.export.quota import Quota, Targets
from dr_env.export.request import ExportRequest
from dr_env.export.store import Store
from dr_env.export.writers import make_writers

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Candidate:
    """A frame that was chosen.

    Attributes:
        example: the frame with its labels.
        attempt: how many candidates quotas refused before.
        met: whether it shows what quotas ask of it.
        refused: how many Draws and scenes the Spec refused for all these candidates.
    """

    example: Example
    attempt: int
    met: bool
    refused: int


class Maker:
    """Opens a source and makes what is asked for, in any order; `classes` are what it labels.

    Args:
        request: what the dataset is.
        root: its folder.
    """

    def __init__(self, request: ExportRequest, root: Path) -> None:
        self._request = request
        self._root = root
        self._store = Store(root, request.layout)
        self._targets = Targets([Quota.parse(text) for text in request.quotas], request.source.seed, request.layout)
        self._source = request.source.open()
        try:
            self.classes = catalogue(self._source.classes)
            self.writers = make_writers(request.formats, request.layout, self.classes)
            for quota in self._targets.quotas:
                quota.check_classes([kind.name for kind in self.classes.values()])
        except BaseException:
            self._source.close()
            raise

    def render(self, index: int) -> Candidate:
        """The first candidate for a frame that shows its target, or the last."""
        target = self._targets.of(index)
        refused = 0
        for attempt in range(self._request.attempts):
            example = Example(self._source.frame(index, attempt), self._request.layout)
            refused += self._source.refused
            if met := self._targets.met(example.views, target):
                break
        return Candidate(example, attempt, met, refused)

    def again(self, index: int, attempt: int) -> Example:
        """A frame whose attempt is known."""
        return Example(self._source.frame(index, attempt), self._request.layout)

    def write(self, candidate: Candidate) -> int:
        """Writes a frame; returns how many bytes. Raises DREnvError when the disk is full."""
        example = candidate.example
        target = self._targets.of(example.frame.index)
        record = {
            **example.record,
            "attempt": candidate.attempt,
            "met": candidate.met,
            "refused": candidate.refused,
            "target": {name: wanted.text for name, wanted in target.items()},
        }
        try:
            return self._store.add(example, record, self.writers)
        except OSError as error:
            raise _explained(self._root, error) from error

    def seal(self, shard: int) -> None:
        """Finishes a shard all of whose frames are there."""
        try:
            self._store.seal(shard, self.writers)
        except OSError as error:
            raise _explained(self._root, error) from error

    def finish(self) -> dict[str, Any]:
        """Writes what belongs to the whole dataset; returns what the manifest says of it."""
        try:
            self._store.finish(self.writers)
        except OSError as error:
            raise _explained(self._root, error) from error
        frames, candidates, refused = self._request.layout.frames, 0, 0
        missed = []
        for record in self._store:
            candidates += record["attempt"] + 1
            refused += record["refused"]
            if not record["met"]:
                missed.append(record["frame"])
        return {
            "classes": [
                {"id": kind.class_id, "name": kind.name, "keypoints": list(kind.keypoints)}
                for kind in self.classes.values()
            ],
            "acceptance": {"candidates": candidates, "rate": frames / candidates, "missed": missed, "refused": refused},
            "coverage": self._targets.coverage(self._store),
        }

    def provenance(self) -> dict[str, str]:
        """What renders."""
        return self._source.provenance()

    def close(self) -> None:
        """Frees the renderer."""
        self._source.close()


def _explained(root: Path, error: OSError) -> DREnvError:
    if error.errno in _FULL:
        return DREnvError(
            f"{root}: the disk is full; what is done is kept: free some space and run the same command again"
        )
    return DREnvError(f"{error.filename or root}: cannot write: {error.strerror}")

"""A dataset's manifest: how it was made, what is done, and what it holds."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dr_env.errors import DREnvError
from dr_env.export.request import ExportRequest
from dr_env.files import write_text
from dr_env.records import versions
from dr_env.spec import Spec

FORMAT = "dr_env/dataset/1"
_PACKAGES = ("dr-env", "mujoco", "numpy", "scipy", "opencv-python-headless", "pycocotools", "trimesh")


@dataclass
class Manifest:
    """How a dataset was made; `manifest.json` and `spec.yaml`.

    Attributes:
        request: what it is.
        provenance: what rendered it, and the model's digest.
        versions: of packages that its bytes depend on.
        shards: the checksum of each finished shard's records.
        result: classes, acceptance and coverage, once it is complete.
    """

    request: ExportRequest
    provenance: dict[str, str]
    versions: dict[str, str] = field(default_factory=lambda: versions(*_PACKAGES))
    shards: dict[int, str] = field(default_factory=dict)
    result: dict[str, Any] | None = None

    @property
    def complete(self) -> bool:
        """Whether every file is there."""
        return self.result is not None

    @property
    def command(self) -> str:
        """The command that makes the same dataset."""
        source, layout = self.request.source, self.request.layout
        words = ["dr-env", "export", "--task", source.task, "--spec", "spec.yaml", "--frames", layout.frames,
                 "--format", ",".join(self.request.formats), "--seed", source.seed, "--width", source.width,
                 "--height", source.height, "--renderer", source.renderer, "--shard", layout.shard,
                 "--split", layout.split, "--every", layout.every, "--image", layout.suffix[1:],
                 "--attempts", self.request.attempts]  # fmt: skip
        words += ["--camera", source.camera] if source.camera else []
        words += ["--objects", *source.objects] if source.objects else []
        words += ["--jitter", source.jitter] if source.jitter else []
        words += ["--steps", source.steps] if source.steps else []
        words += ["--quota", *self.request.quotas] if self.request.quotas else []
        return shlex.join(str(word) for word in words)

    def save(self, root: Path) -> None:
        """Writes `manifest.json`, and beside it the Spec."""
        spec = self.request.source.spec
        if not (root / "spec.yaml").exists():
            write_text(root / "spec.yaml", spec)
        data = {
            "format": FORMAT,
            "complete": self.complete,
            "command": self.command,
            "request": self.request.to_json(),
            "spec_digest": Spec.from_yaml(spec, self.request.source.spec_name).digest(),
            "provenance": self.provenance,
            "versions": self.versions,
            "shards": {f"{shard:06d}": self.shards[shard] for shard in sorted(self.shards)},
            **(self.result or {}),
        }
        write_text(root / "manifest.json", json.dumps(data, indent=2) + "\n")

    @classmethod
    def load(cls, root: Path) -> Manifest:
        """Reads what `save` wrote. Raises DREnvError for another format, a damaged file or a changed Spec."""
        path = root / "manifest.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            spec = (root / "spec.yaml").read_text(encoding="utf-8")
        except OSError as error:
            raise DREnvError(f"{root}: no dataset of dr-env export: {error.filename}: {error.strerror}") from error
        except ValueError as error:
            raise DREnvError(f"{path}: damaged: {error}; export it again with --overwrite") from error
        got = data.get("format") if isinstance(data, dict) else None
        if got != FORMAT:
            raise DREnvError(f"{path} format: got {got!r}, expected {FORMAT!r}; use the version of dr-env that made it")
        if "refinement" in data:
            raise DREnvError(
                f"{root}: its images were refined by dr-env vision refine; expected the dataset that it was made of"
            )
        try:
            request = ExportRequest.from_json(data["request"], spec)
            digest = Spec.from_yaml(spec, str(root / "spec.yaml")).digest()
            if digest != data["spec_digest"]:
                raise DREnvError(
                    f"{root / 'spec.yaml'}: digest {digest}, expected {data['spec_digest']}: it was changed after "
                    "the dataset was made"
                )
            result = {key: data[key] for key in ("classes", "acceptance", "coverage")} if data["complete"] else None
            shards = {int(shard): str(value) for shard, value in data["shards"].items()}
            return cls(request, data["provenance"], data["versions"], shards, result)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DREnvError(
                f"{path}: damaged: {type(error).__name__} {error}; export it again with --overwrite"
            ) from error

    def differences(self, provenance: dict[str, str], found: dict[str, str] | None = None) -> list[str]:
        """What is not here as it was where the dataset was made, one line each."""
        lines = []
        for was, now in ((self.provenance, provenance), (self.versions, found or versions(*_PACKAGES))):
            for key in sorted(was.keys() | now.keys()):
                if was.get(key) != now.get(key):
                    lines.append(f"{key}: {was.get(key)} then, {now.get(key)} now")
        return list(dict.fromkeys(lines))

"""Where frames come from: a task or a model, a Spec and a renderer, as numbers that any process can open."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from dr_env.binding import Plan
from dr_env.envs import is_task_file
from dr_env.envs.keys import check_seed
from dr_env.errors import DREnvError
from dr_env.export.catalogue import LabelClass
from dr_env.records import Frame
from dr_env.spec import Spec


class FrameSource(Protocol):
    """Labelled frames by number; each is a function of (seed, index, attempt) alone, whatever was rendered before."""

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """What is labelled."""
        ...

    @property
    def refused(self) -> int:
        """Draws and scenes that the Spec itself refused on the way to the last frame: outside a support, ill framed."""
        ...

    def frame(self, index: int, attempt: int = 0, *, labels: bool = True) -> Frame:
        """One frame.

        Args:
            index: its number in the dataset.
            attempt: how many candidates for it were refused.
            labels: whether objects are labelled; the picture alone is several times faster.
        """
        ...

    @property
    def plan(self) -> Plan:
        """The Spec bound to the model; to the first of several."""
        ...

    def retune(self, spec: Spec) -> bool:
        """Takes the numbers of another Spec: from now on frames are those of a source opened with it.

        Returns False, and changes nothing, where that Spec needs another model. Raises DREnvError for numbers that
        a field cannot take.
        """
        ...

    def provenance(self) -> dict[str, str]:
        """What renders: renderer, driver, versions, and the model's digest."""
        ...

    def close(self) -> None:
        """Frees the renderer."""
        ...


@dataclass(frozen=True)
class SourceRequest:
    """A source as plain data, from which each worker opens its own.

    Attributes:
        task: an installed task's name, or the path of an MJCF file.
        spec: the Spec, as YAML.
        spec_name: what errors call the Spec.
        seed: of all frames.
        width, height: image size in pixels.
        renderer: "classic", "filament" or "mitsuba".
        camera: a camera's name; None for the task's own.
        objects: names of the bodies to label, or patterns; empty for all that can be seen.
        jitter: metres by which free bodies are moved at most along each horizontal axis, turning as they like about the
            vertical.
        steps: simulator steps before the picture is taken.
    """

    task: str
    spec: str
    spec_name: str
    seed: int
    width: int
    height: int
    renderer: str = "classic"
    camera: str | None = None
    objects: tuple[str, ...] = ()
    jitter: float = 0.0
    steps: int = 0

    def __post_init__(self) -> None:
        if is_task_file(self.task):
            raise DREnvError(
                f"task: got {self.task!r}, expected an installed task or an MJCF file; pictures are of a model, and a "
                "dataset can be made again without running code that it names"
            )
        check_seed(self.seed)
        if self.steps < 0 or not self.jitter >= 0:
            raise DREnvError(f"steps, jitter: got {self.steps} and {self.jitter}, expected 0 or more")

    def open(self) -> FrameSource:
        """Compiles the model and starts the renderer. Raises DREnvError where either cannot be."""
        from dr_env.export.model_source import ModelSource
        from dr_env.export.scene_source import SceneSource

        if Spec.from_yaml(self.spec, self.spec_name).scene is None:
            return ModelSource(self)
        if self.objects or self.jitter or self.steps:
            raise DREnvError(
                f"{self.spec_name}: --objects, --jitter and --steps are for models; what is in a scene, where and "
                "whether it falls, its Spec says"
            )
        return SceneSource(self)

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the Spec, which a dataset keeps as a file."""
        data = asdict(self)
        del data["spec"]
        return {**data, "objects": list(self.objects)}

    @classmethod
    def from_json(cls, data: dict[str, Any], spec: str) -> SourceRequest:
        """Undoes `to_json`."""
        return cls(**{**data, "objects": tuple(data["objects"]), "spec": spec})

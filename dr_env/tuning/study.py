"""A search that lasts: trials in a database, which outlives crashes and may be shared by processes.

STUDY/study.db               Optuna's storage: settings, trials, their Specs, returns and costs
STUDY/tuned.yaml             the result so far, with its provenance
STUDY/trials/0007/spec.yaml  the Spec of trial 7
STUDY/trials/0007/policy/    the run that trained its policy
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy.exc

from dr_env.errors import DREnvError
from dr_env.locks import held, taken
from dr_env.spec import Spec
from dr_env.tuning.evidence import TargetReturns
from dr_env.tuning.ledger import Ledger
from dr_env.tuning.registry import make_tuner, tuner_class
from dr_env.tuning.tuner import Tuner

_NAME = "dr_env"
_State = optuna.trial.TrialState


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a study is of; it goes on only with the same."""

    task: str
    method: str
    prior: str  # YAML
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    target: str | None = None  # YAML; None where the target is a robot
    seed: int = 0
    algorithm: str = "ppo"
    steps: int | None = None  # of training; None: the configuration's
    training: dict[str, Any] = dataclasses.field(default_factory=dict)  # over the task's configuration
    episodes: int = 10  # on the target, for each trial
    warm_start: bool = False  # each policy starts from the best one so far

    def __post_init__(self) -> None:
        if tuner_class(self.method).needs != {"returns"}:
            wanted = " and ".join(sorted(tuner_class(self.method).needs))
            raise DREnvError(f"method: '{self.method}' learns from {wanted}; a study has returns")
        if self.episodes < 1:
            raise DREnvError(f"episodes: got {self.episodes}, expected at least 1")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One candidate."""

    number: int
    folder: Path
    spec: Spec
    warm_start: Path | None  # the run that its policy starts from

    @property
    def run(self) -> Path:
        """Where its policy is trained."""
        return self.folder / "policy"


class Study:
    """A search in a folder; any number of processes may work on one.

    Every change is made under a lock and is whole in the database or not there. The tuner is rebuilt from the
    trials each time, so that nothing else has to be kept in step. A trial whose process has died is taken up
    again by the next that looks for work.

    Args:
        folder: the study's.
        settings: what it is of; by default what it was made with.

    Raises:
        DREnvError: no study there and no settings, or settings that differ from the study's.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.folder = folder
        database = folder / "study.db"
        if settings is None and not database.exists():
            raise DREnvError(f"{folder}: no study there; begin one with --task and --method")
        if settings is not None and not database.exists():
            make_tuner(settings.method, self._prior_of(settings), settings.seed, settings.options)  # what cannot be
            if folder.exists() and not folder.is_dir():
                raise DREnvError(f"{folder}: exists and is not a study; choose another folder")
        with held(folder / ".lock"), _database(database):
            if not database.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
                raise DREnvError(f"{folder}: exists and is not a study; choose another folder")
            self._storage = _storage(database)
            study = optuna.create_study(
                storage=self._storage, study_name=_NAME, direction="maximize", load_if_exists=True
            )
            kept = study.user_attrs.get("settings")
            if kept is None:
                if settings is None:
                    raise DREnvError(f"{folder}: a study that was never begun; remove it and begin again")
                study.set_user_attr("settings", dataclasses.asdict(settings))
                kept = dataclasses.asdict(settings)
        self._study = study
        self.settings = Settings(**kept)
        if settings is not None:
            self._check_same(settings)
        self.prior = self._prior_of(self.settings)
        self.target = (
            None if self.settings.target is None else Spec.from_yaml(self.settings.target, "the study's target")
        )

    @staticmethod
    def _prior_of(settings: Settings) -> Spec:
        return Spec.from_yaml(settings.prior, "the study's prior")

    def _check_same(self, settings: Settings) -> None:
        given = json.loads(json.dumps(dataclasses.asdict(settings)))
        for key, mine in dataclasses.asdict(self.settings).items():
            short = key in ("prior", "target")
            got, wanted = (Spec.from_yaml(text).digest() if short and text else text for text in (given[key], mine))
            if got != wanted:
                raise DREnvError(
                    f"{self.folder}: a study with another {'Spec' if key == 'prior' else key}: got {got!r}, it was "
                    f"begun with {wanted!r}; give the same, or begin another study"
                )

    # trials

    def _trials(self, *states: optuna.trial.TrialState) -> list[optuna.trial.FrozenTrial]:
        with _database(self.folder / "study.db"):
            return self._study.get_trials(deepcopy=False, states=states or None)

    def _told(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that were told, in the order of it."""
        return sorted(self._trials(_State.COMPLETE, _State.FAIL), key=lambda trial: trial.user_attrs["told"])

    @property
    def count(self) -> int:
        """How many trials were told."""
        return len(self._told())

    @property
    def begun(self) -> int:
        """How many trials were asked."""
        return len(self._trials())

    def trial(self, number: int) -> Trial:
        """A trial by its number."""
        return self._as_trial(self._frozen(number))

    def _frozen(self, number: int) -> optuna.trial.FrozenTrial:
        found = {trial.number: trial for trial in self._trials()}
        if number not in found:
            raise DREnvError(f"{self.folder}: no trial {number}; trials: {', '.join(map(str, found)) or 'none yet'}")
        return found[number]

    def _as_trial(self, frozen: optuna.trial.FrozenTrial) -> Trial:
        folder = self.folder / "trials" / f"{frozen.number:04d}"
        warm = frozen.user_attrs.get("warm_start")
        spec = Spec.from_yaml(frozen.user_attrs["spec"], f"trial {frozen.number}")
        return Trial(frozen.number, folder, spec, None if warm is None else self.trial_folder(warm) / "policy")

    def trial_folder(self, number: int) -> Path:
        """Where a trial's files are."""
        return self.folder / "trials" / f"{number:04d}"

    def tuner(self) -> Tuner[Any]:
        """The method, told of everything so far."""
        tuner = make_tuner(self.settings.method, self.prior, self.settings.seed, self.settings.options)
        for frozen in self._told():
            spec = Spec.from_yaml(frozen.user_attrs["spec"])
            returns = [math.nan if value is None else value for value in frozen.user_attrs["returns"]]
            cost = Ledger.from_dict(frozen.user_attrs["cost"])
            tuner.tell(TargetReturns(frozen.number, np.array(returns, np.float64), spec), cost)
        return tuner

    def best(self) -> int | None:
        """The number of the trial with the highest mean return, if one has any."""
        done = self._trials(_State.COMPLETE)
        return max(done, key=_score).number if done else None

    def _best_policy(self) -> int | None:
        """The trial with the highest mean return of those whose policy is there."""
        done = [t for t in self._trials(_State.COMPLETE) if (self.trial_folder(t.number) / "policy").is_dir()]
        return max(done, key=_score).number if done else None

    def ask(self, by_hand: bool = False) -> Trial:
        """Begins a trial with the Spec that the tuner would try next, given those under way."""
        with held(self.folder / ".lock"), _database(self.folder / "study.db"):
            running = self._trials(_State.RUNNING)
            tuner = self.tuner()
            spec = tuner.ask([Spec.from_yaml(trial.user_attrs["spec"]) for trial in running])
            number = self._add(spec, by_hand, self._best_policy() if self.settings.warm_start else None)
        trial = self.trial(number)
        trial.spec.save(trial.folder / "spec.yaml")
        return trial

    def _add(self, spec: Spec, by_hand: bool, warm: int | None) -> int:
        vector = self.prior.parameters()
        space: dict[str, optuna.distributions.BaseDistribution] = {}
        params: dict[str, float] = {}
        if spec.drawn.keys() == self.prior.drawn.keys():  # else a baseline, which has other numbers
            numbers = spec.parameters().to_dict()
            for name, low, high in zip(vector.names, vector.low.tolist(), vector.high.tolist(), strict=True):
                if low <= numbers.get(name, math.nan) <= high:
                    space[name], params[name] = optuna.distributions.FloatDistribution(low, high), numbers[name]
        attrs = {"spec": spec.to_yaml(), "by_hand": by_hand, **({} if warm is None else {"warm_start": warm})}
        self._study.add_trial(
            optuna.trial.create_trial(state=_State.RUNNING, params=params, distributions=space, user_attrs=attrs)
        )
        return self.begun - 1

    def tell(self, number: int, returns: Sequence[float], cost: Ledger, note: str = "") -> None:
        """Ends a trial with its returns on the target, NaN or none of them for a policy that failed.

        Raises DREnvError where there is no such trial, or it was told already.
        """
        with held(self.folder / ".lock"), _database(self.folder / "study.db"):
            frozen = self._frozen(number)
            if frozen.state.is_finished():
                raise DREnvError(f"{self.folder}: trial {number} was told already: {frozen.user_attrs['returns']}")
            evidence = TargetReturns(number, np.array(returns, np.float64), Spec.from_yaml(frozen.user_attrs["spec"]))
            kept = {
                "returns": [None if math.isnan(value) else value for value in evidence.returns.tolist()],
                "cost": cost.to_dict(),
                "told": self.count,
                **({"note": note} if note else {}),
            }
            for key, value in kept.items():
                self._storage.set_trial_user_attr(frozen._trial_id, key, value)
            failed = math.isnan(evidence.score)
            self._study.tell(number, None if failed else evidence.score, _State.FAIL if failed else None)
            self.save_result()

    def save_result(self) -> None:
        """Writes the result so far to `tuned.yaml`, if any policy had a return."""
        if self._trials(_State.COMPLETE):
            self.tuner().result().save(self.folder / "tuned.yaml")

    @contextlib.contextmanager
    def work(self, budget: int | None, by_hand: bool = False) -> Iterator[Trial | None]:
        """A trial to work on, which nobody else does while the block runs.

        One that a dead process left behind comes first. None where `budget` trials are begun, or the method is done.
        """
        with contextlib.ExitStack() as stack:
            with held(self.folder / ".work"):
                trial = self._abandoned(stack, by_hand)
                if trial is None and (budget is None or (self.begun < budget and not (self.begun and self.done))):
                    trial = self.ask(by_hand)
                    stack.enter_context(taken(trial.folder / ".lock"))
            yield trial

    def _abandoned(self, stack: contextlib.ExitStack, by_hand: bool) -> Trial | None:
        """A trial under way without a policy, whose lock nobody holds; `stack` holds it from now."""
        for frozen in self._trials(_State.RUNNING):
            if frozen.user_attrs["by_hand"] != by_hand or frozen.user_attrs.get("ready"):
                continue
            trial = self._as_trial(frozen)
            if stack.enter_context(taken(trial.folder / ".lock")):
                now = self._frozen(frozen.number)
                if now.state.is_finished() or now.user_attrs.get("ready"):
                    continue  # another process has told it since we looked
                trial.spec.save(trial.folder / "spec.yaml")  # the process may have died before it wrote this
                return trial
        return None

    @property
    def done(self) -> bool:
        """Whether the method would learn nothing more."""
        return self.tuner().done

    def set_ready(self, number: int) -> None:
        """Says that a trial by hand has all that is carried to the robot."""
        with held(self.folder / ".lock"), _database(self.folder / "study.db"):
            frozen = self._frozen(number)
            if not frozen.state.is_finished():  # nobody has told it meanwhile
                self._storage.set_trial_user_attr(frozen._trial_id, "ready", True)

    def summary(self) -> list[Mapping[str, Any]]:
        """What each trial gave, in order: number, state, mean return, note."""
        return [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "value": trial.value,
                "note": trial.user_attrs.get("note", ""),
            }
            for trial in self._trials()
        ]

    def close(self) -> None:
        """Frees the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def _storage(database: Path) -> optuna.storages.RDBStorage:
    # other processes hold the database for moments only
    return optuna.storages.RDBStorage(f"sqlite:///{database}", engine_kwargs={"connect_args": {"timeout": 60}})


@contextlib.contextmanager
def _database(path: Path) -> Iterator[None]:
    """Says which file is damaged, and keeps Optuna quiet about everyday things."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.DatabaseError) as error:
        why = str(error.__cause__ or error).splitlines()[0]
        raise DREnvError(f"{path}: damaged, or not a study: {why}") from error
    finally:
        optuna.logging.set_verbosity(before)


def _score(trial: optuna.trial.FrozenTrial) -> float:
    return -math.inf if trial.value is None else trial.value

"""NPDR: a neural density of parameters given what recordings look like."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.rng import digest
from dr_env.tuning.likelihood import LikelihoodTuner, misfit
from dr_env.tuning.problem import Problem

Array = NDArray[np.float64]

_DRAWS = 2000  # of the posterior, for its mean and covariance


@dataclasses.dataclass(frozen=True)
class NPDROptions:
    """Numbers of NPDR; the defaults are the paper's, the floor aside, which is ours."""

    rounds: int = 5
    simulations: int = 1000  # of each round
    features: int = 32  # principal components of the errors that the network sees
    epochs: int = 200  # of training in a round, at most
    floor: bool = True  # the spread is no less than what the misfit allows to believe; false: as published

    def __post_init__(self) -> None:
        for key, least in (("rounds", 1), ("simulations", 20), ("features", 1), ("epochs", 1)):
            if not getattr(self, key) >= least:
                raise DREnvError(f"npdr.{key}: got {getattr(self, key)}, expected at least {least}")


class NPDR(LikelihoodTuner[NPDROptions]):
    """Neural posterior domain randomization: sequential neural posterior estimation, by the package `sbi`.

    Muratore et al., "Neural posterior domain randomization", CoRL 2022, with the estimator that paper uses (SNPE-C:
    Greenberg, Nonnenmacher and Macke, "Automatic posterior transformation for likelihood-free inference", ICML 2019),
    whose proposal in each round is the last round's posterior.

    The network is conditioned on errors, of which the recording's own are 0, along the principal components of the
    first round; the paper conditions on features of whole trajectories. Simulations have no noise and recordings
    do, so each simulation is given errors of the best one so far, of transitions drawn with replacement, which the
    reference code leaves out. With `floor` the posterior's covariance is increased by what the misfit lets one believe
    (`mixed`), which matters where the model lacks something. Needs `pip install "dr-env[neural]"`.
    """

    name: ClassVar[str] = "npdr"
    Options: ClassVar[type[Any]] = NPDROptions

    def _fit(self, problem: Problem, rng: np.random.Generator) -> tuple[Array, Array]:
        with _quiet():
            mean, covariance = self._infer(problem, rng)
        return mean, covariance + misfit(problem, mean)[1] if self.options.floor else covariance

    def _infer(self, problem: Problem, rng: np.random.Generator) -> tuple[Array, Array]:
        try:
            import torch
            from sbi.inference import NPE_C
            from sbi.utils import BoxUniform
        except ImportError as error:
            raise DREnvError(f'npdr: needs sbi ({error}): pip install "dr-env[neural]"') from None
        options, d = self.options, problem.size
        state = torch.random.get_rng_state(), torch.get_num_threads(), np.random.get_state()  # noqa: NPY002
        try:
            seed = digest(self.seed, self.name, self._told) >> 32
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - sbi splits its data with the global generator
            prior = BoxUniform(torch.zeros(d), torch.ones(d))
            inference = NPE_C(prior, density_estimator="maf", show_progress_bars=False, tracker=_Silent())
            proposal: Any = prior
            axes: Array | None = None
            noise, best = np.zeros((0, 0)), np.inf
            for _ in range(options.rounds):
                points = (
                    proposal.sample((options.simulations,), show_progress_bars=False)
                    if proposal is not prior
                    else (prior.sample((options.simulations,)))
                )
                errors = problem.errors(points.numpy().astype(np.float64))
                good = np.isfinite(errors).all(axis=(1, 2))
                points, errors = points[torch.from_numpy(good)], errors[good]
                if len(errors) < 10:
                    break
                losses = np.log((errors**2).mean(axis=1) + 1e-12).sum(axis=1)
                if losses.min() < best:
                    best, noise = losses.min(), errors[losses.argmin()]
                picked = rng.integers(0, len(noise), (len(errors), len(noise)))
                seen = (errors + noise[picked]).reshape(len(errors), -1)
                if axes is None:
                    centred = seen - seen.mean(axis=0)
                    _, scale, rows = np.linalg.svd(centred, full_matrices=False)
                    axes = rows[: options.features] / (scale[: options.features, None] / np.sqrt(len(seen)) + 1e-9)
                features = torch.as_tensor(seen @ axes.T, dtype=torch.float32)
                inference.append_simulations(points, features, proposal=proposal)
                estimator = inference.train(
                    training_batch_size=min(50, max(10, len(errors) // 10)),
                    max_num_epochs=options.epochs,
                    show_train_summary=False,
                )
                posterior = inference.build_posterior(estimator)
                proposal = posterior.set_default_x(torch.zeros(1, features.shape[1]))
            if proposal is prior:
                return problem.mean, np.diag(problem.variances)
            drawn = proposal.sample((_DRAWS,), show_progress_bars=False).numpy().astype(np.float64)
        finally:
            torch.random.set_rng_state(state[0])
            np.random.set_state(state[2])  # noqa: NPY002
        return drawn.mean(axis=0), np.cov(drawn.T).reshape(d, d)


class _Silent:
    """A tracker that keeps nothing; sbi's own writes a folder of TensorBoard logs wherever one is."""

    log_dir = None

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None


@contextlib.contextmanager
def _quiet() -> Any:
    """Without what sbi prints and warns of."""
    level = logging.root.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.root.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logging.root.setLevel(level)

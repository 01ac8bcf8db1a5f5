"""A Spec's curriculum, followed while a policy trains."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from dr_env import VectorEnv

_GRAIN = 0.01  # the change of the share that is worth binding a Spec for


class CurriculumCallback(BaseCallback):
    """Widens the ranges of a running environment as the curriculum of its Spec says, for any SB3 algorithm.

    The ranges are narrowed at once, so make this before the algorithm resets the environment. Each simulation
    takes new ranges at its next episode. What a policy sees of the Draw stays scaled by the whole Spec.

    Args:
        env: environments made with the whole Spec; one without a curriculum stays as it is.
        total_steps: environment steps in all, a progress of 1.
        done: steps that earlier training took.
    """

    def __init__(self, env: VectorEnv, total_steps: int, done: int = 0) -> None:
        super().__init__()
        self._env, self._spec = env, env.randomization
        self._total = total_steps
        self.share = 1.0
        """The share of the ranges' width that is drawn from now."""
        self._follow(done)

    def _follow(self, steps: int) -> None:
        curriculum = self._spec.curriculum
        if curriculum is None:
            return
        share = curriculum.share(min(1.0, steps / self._total))
        if abs(share - self.share) >= _GRAIN or (share != self.share and share in (curriculum.start, 1.0)):
            self.share = share
            self._env.set_randomization(self._spec.narrowed(share))

    def _on_rollout_start(self) -> None:
        self._follow(self.num_timesteps)
        if self._spec.curriculum is not None:
            self.logger.record("dr/curriculum_share", self.share)

    def _on_step(self) -> bool:
        return True

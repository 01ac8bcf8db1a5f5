"""External forces on bodies, which MuJoCo leaves to be computed on request."""

from __future__ import annotations

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ids = NDArray[np.intp]

FIELD = "cfrc_ext"
"""The MjData field that `mj_rnePostConstraint` computes and a step does not."""


class ExternalForces:
    """`cfrc_ext` of a persistent batch: contacts and pushes on every body, 0 at an episode's start.

    The forces belong to the contacts of the last substep, like all derived fields, and equal what
    `mj_step` and then `mj_rnePostConstraint` give, as Gymnasium calls them. No stage of a batched step
    runs after RK4's last evaluation, so the simulations are visited one by one; those where nothing
    touches anything are passed over.

    Args:
        simulations: the batch, persistent; its last step must have computed no further stages.
        model: the nominal model; the forces depend on none of its values that vary.
    """

    def __init__(self, simulations: batch.Batch, model: mujoco.MjModel) -> None:
        self.array: Array = np.zeros((simulations.nsim, model.nbody, 6))
        """Torques, then forces, (num_envs, nbody, 6), in N m and N; always the same array."""
        self._batch, self._model = simulations, model
        self._workspace = mujoco.MjData(model)
        self._found = self._workspace.cfrc_ext
        self._contacts, self._equalities = simulations.bind("ncon"), simulations.bind("ne")
        self._pushes = simulations.bind("xfrc_applied").reshape(simulations.nsim, -1)

    def begin(self, ids: Ids) -> None:
        """Clears the forces of the simulations `ids`."""
        self.array[ids] = 0

    def update(self, ids: Ids) -> None:
        """Computes the forces in the simulations `ids`, after their step."""
        self.array[ids] = 0
        acted = (self._contacts[ids] > 0) | (self._equalities[ids] > 0) | self._pushes[ids].any(axis=1)
        for i in ids[acted].tolist():
            self._batch.get_data(i, self._workspace)
            mujoco.mj_rnePostConstraint(self._model, self._workspace)
            self.array[i] = self._found

"""The robot in a scene: how it stands, and whether it is in the way."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import JOINT_WIDTHS
from dr_env.rng import generator
from dr_env.scene.objects import draw
from dr_env.scene.pool import PIECES, Pool
from dr_env.spec import scene

Array = NDArray[np.float64]


class Arm:
    """The joints and geoms of a robot in a compiled room.

    Args:
        given: what the grammar says of it.
        model: the room.
        pool: what else is in the room.
    """

    def __init__(self, given: scene.Arm, model: mujoco.MjModel, pool: Pool) -> None:
        self._given, self._model = given, model
        others = {model.body(slot.name).id for slot in pool.slots}
        joints = [joint for joint in range(model.njnt) if int(model.jnt_bodyid[joint]) not in others]
        self._columns = np.concatenate(
            [model.jnt_qposadr[j] + np.arange(JOINT_WIDTHS[int(model.jnt_type[j])][0]) for j in joints] or [[]]
        ).astype(np.intp)
        self._named = {name: int(model.jnt_qposadr[model.joint(name).id]) for name in given.joints}
        self._geoms = [
            geom
            for geom in range(model.ngeom)
            if model.geom_bodyid[geom] > 0
            and int(model.geom_bodyid[geom]) not in others
            and model.geom_group[geom] < PIECES
        ]

    def draw(self, *key: object) -> Array:
        """Positions of its joints, (numbers of qpos that are the arm's,)."""
        qpos = np.array(self._model.qpos0)
        for name, quantity in self._given.joints.items():
            qpos[self._named[name]] = draw(quantity, generator("arm", *key, name))
        return qpos[self._columns]

    def write(self, data: mujoco.MjData, positions: Array) -> None:
        """Writes its joints' positions."""
        data.qpos[self._columns] = positions

    def touches(self, data: mujoco.MjData, names: list[str]) -> str | None:
        """The first of the named objects that is nearer to the arm than the clearance; None if all are apart."""
        model, clearance = self._model, self._given.clearance
        arm = np.array(self._geoms, np.intp)
        for name in names:
            geom = model.geom(name).id
            apart = np.linalg.norm(data.geom_xpos[arm] - data.geom_xpos[geom], axis=1)
            for near in arm[apart < model.geom_rbound[arm] + model.geom_rbound[geom] + clearance]:
                if mujoco.mj_geomDistance(model, data, geom, int(near), clearance + 1e-6, None) < clearance:
                    return name
        return None

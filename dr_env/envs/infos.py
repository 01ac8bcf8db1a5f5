"""`info` in Gymnasium's vector form: each key with a mask of the environments it holds for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.envs.view import Observation, rows
from dr_env.records import Columns

Array = NDArray[np.float64]
Ids = NDArray[np.intp]
Mask = NDArray[np.bool_]
Info = dict[str, Any]


def step_info(terms: dict[str, Array], failed: Mask, waiting: Mask | None) -> Info:
    """The reward's terms, and which simulations diverged."""
    info: Info = {}
    for name, term in terms.items():
        info[name] = term
        info[f"_{name}"] = np.ones(len(failed), bool) if waiting is None else ~waiting
    if failed.any():
        info["dr_failure"], info["_dr_failure"] = failed, failed.copy()
    return info


def draw_info(columns: Columns, ids: Ids, num_envs: int) -> Info:
    """The Draws of the environments `ids`."""
    if not columns:
        return {}
    mask = _mask(ids, num_envs)
    info: Info = {}
    for name, values in columns.items():
        info[name], info[f"_{name}"] = values.copy(), mask.copy()
    return {"dr": info, "_dr": mask}


def final_info(last: Observation, columns: Columns, ids: Ids, info: Info, num_envs: int) -> Info:
    """The last observations and infos of the environments `ids`, whose episodes are over."""
    mask = _mask(ids, num_envs)
    observations = np.full(num_envs, None, object)
    for i, row in zip(ids.tolist(), rows(last, ids), strict=True):
        observations[i] = row
    final = {**info, **draw_info(columns, ids, num_envs)}
    for key in [key for key in final if not key.startswith("_")]:
        final[f"_{key}"] = final.get(f"_{key}", mask) & mask
    return {"final_obs": observations, "_final_obs": mask, "final_info": final, "_final_info": mask.copy()}


def _mask(ids: Ids, num_envs: int) -> Mask:
    mask = np.zeros(num_envs, bool)
    mask[ids] = True
    return mask

"""What environments are given, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name

Ids = NDArray[np.intp]

_KNOWN = ("draw", "qpos", "qvel", "reset_mask")


def check_whole(name: str, value: object, least: int) -> None:
    """Raises DREnvError for what is no whole number, or below the least."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DREnvError(f"{name}: got {value!r}, expected a whole number, at least {least}")


def checked_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of a reset. Raises DREnvError for those that none takes."""
    if not isinstance(options, Mapping | None):
        raise DREnvError(f"options: got {options!r}, expected a mapping with {', '.join(_KNOWN)}")
    for key in options or ():
        if key not in _KNOWN:
            raise DREnvError(f"options: {unknown_name('option', key, _KNOWN)}")
    return dict(options or {})


def checked_actions(actions: object, shape: tuple[int, ...] | None) -> NDArray[Any]:
    """Actions of all environments as an array. Raises DREnvError for another shape, or what is no number."""
    try:
        given = np.asarray(actions)
    except ValueError as error:
        raise DREnvError(f"actions: got rows of different lengths, expected shape {shape}") from error
    if given.shape != shape:
        raise DREnvError(f"actions: got shape {given.shape}, expected {shape}")
    if given.dtype.kind not in "biuf":
        raise DREnvError(f"actions: got {given.dtype}, expected numbers")
    return given


def chosen(mask: object, num_envs: int) -> Ids:
    """The environments that a `reset_mask` says."""
    which = np.asarray(mask)
    if which.shape != (num_envs,) or which.dtype != np.bool_ or not which.any():
        raise DREnvError(f"reset_mask: got {mask!r}, expected ({num_envs},) booleans, one of them True")
    return np.flatnonzero(which)


def given_draws(given: object, ids: Ids, num_envs: int) -> Sequence[Mapping[str, Any]]:
    """Draws for the environments `ids` of `num_envs`: from one for all, one for each, or the `info["dr"]` of all."""
    count = len(ids)
    draws = [given] * count if isinstance(given, Mapping) else given
    masks = {name for name in given if name[:1] == "_" and name[1:] in given} if isinstance(given, Mapping) else None
    if isinstance(given, Mapping) and masks:
        columns = {name: np.asarray(value) for name, value in given.items() if name not in masks}
        told = np.logical_and.reduce([np.asarray(given[name], bool) for name in masks])
        if told.shape != (num_envs,):
            raise DREnvError(
                f"draw: got an info of {told.size} environments, expected one of {num_envs}; a vector of Gymnasium's "
                "gives each of its environments the same options: reset each by itself, or use a dr_env.VectorEnv"
            )
        if not told[ids].all():
            raise DREnvError(
                f"draw: got an info that tells the Draws of environments {np.flatnonzero(told).tolist()}, "
                f"expected those of {ids.tolist()}; `draws` of the environment has all"
            )
        draws = [{name: column[i] for name, column in columns.items()} for i in ids]
    if not isinstance(draws, Sequence | np.ndarray) or not all(isinstance(draw, Mapping) for draw in draws):
        raise DREnvError(f"draw: got {given!r}, expected a Draw (Draw.load reads a file), or a list of {count}")
    if len(draws) != count:
        raise DREnvError(f"draw: got {len(draws)} Draws, expected one or {count}")
    return list(draws)

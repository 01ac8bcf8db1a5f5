"""External forces on bodies, which MuJoCo leaves to be computed on request."""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path

import mujoco
from mujoco import _functions

from dr_env.binding import Build, compile_model
from dr_env.spec import Spec

FIELD = "cfrc_ext"
"""The MjData field that `mj_rnePostConstraint` computes and a step does not: torques, then forces, in N m and N."""

_NAME = "dr_env.external_forces"
_no_state = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(lambda *_: 0)  # asked for by the compiler
_CALLBACKS = (
    "nstate nsensordata init destroy copy reset compute advance visualize actuator_act_dot sdf_distance sdf_gradient "
    "sdf_staticdistance sdf_attribute sdf_aabb"
)


class _Plugin(ctypes.Structure):
    """`mjpPlugin` of mujoco/mjplugin.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("nattribute", ctypes.c_int),
        ("attributes", ctypes.c_void_p),
        ("capabilityflags", ctypes.c_int),
        ("needstage", ctypes.c_int),
        *((callback, ctypes.c_void_p) for callback in _CALLBACKS.split()),
    )


def with_external_forces(build: Build) -> mujoco.MjModel:
    """A model as it was built, of which a batch holds `cfrc_ext` after every step: contacts and pushes on every body.

    The forces belong to the contacts of the last substep, like all derived fields, and equal what `mj_step` and then
    `mj_rnePostConstraint` give, as Gymnasium calls them. No stage of a batched step comes after the last evaluation
    of RK4, but the engine lets plugins advance there, on its own threads; so that function is registered as one. What
    follows a reset has no forces. The model is for this process alone: others do not know the plugin.
    """
    _register()
    assert build.mjspec is not None, "a build without a description"
    mjspec = build.mjspec.copy()  # which loses plugins that no element names, so that this is done last
    mjspec.activate_plugin(_NAME)
    mjspec.add_plugin(name=_NAME, plugin_name=_NAME, active=True)
    return compile_model(mjspec, Spec())


@functools.cache
def _register() -> None:
    """Makes `mj_rnePostConstraint(model, data)` what a plugin does to advance, once in each process.

    Every callback of a simulation is a function of MuJoCo's own, so none needs Python's lock. One that is given more
    arguments than it has leaves them alone, which the calling conventions of all platforms of MuJoCo allow.
    """
    library = _functions.__file__ if sys.platform != "win32" else str(Path(mujoco.__file__).with_name("mujoco.dll"))
    mj = ctypes.CDLL(library)

    def address(name: str) -> int | None:
        return ctypes.cast(getattr(mj, name), ctypes.c_void_p).value

    plugin = _Plugin()
    mj.mjp_defaultPlugin(ctypes.byref(plugin))
    plugin.name = _NAME.encode()
    plugin.capabilityflags = int(mujoco.mjtPluginCapabilityBit.mjPLUGIN_ACTUATOR)
    plugin.nstate = ctypes.cast(_no_state, ctypes.c_void_p).value
    # required, and with nothing to do: a function that reads the model and returns 0 or 1
    plugin.init = plugin.reset = plugin.compute = address("mj_isPyramidal")
    plugin.advance = address("mj_rnePostConstraint")
    mj.mjp_registerPlugin(ctypes.byref(plugin))

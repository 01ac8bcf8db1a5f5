from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dr_env import Spec, compile_model, make_task, task_names
from dr_env.binding import FIELDS, offers, propose


def test_a_full_model_offers_every_field(full_spec: mujoco.MjSpec) -> None:
    full_spec.body("base").simple = 0
    muscle = full_spec.add_actuator(
        name="biceps", target="slide", trntype=mujoco.mjtTrn.mjTRN_JOINT, lengthrange=[-1.0, 1.0]
    )
    muscle.set_to_muscle(timeconst=[0.01, 0.04], tausmooth=0.0, range=[0.75, 1.05], force=20.0)
    found = {(offer.field.kind, offer.field.name): offer for offer in offers(full_spec.compile(), ("x",))}
    missing = {(field.kind, field.name) for field in FIELDS if not field.visual} - set(found)  # looks: test_looks
    assert not missing
    assert found["body", "mass"].names == ("base", "arm", "hand", "cart", "ball")
    assert found["body", "mass"].values == "0.2 .. 2"
    assert found["body", "mass"].legal == "above 0"
    assert found["joint", "range"].names == ("shoulder",)
    assert found["geom", "friction"].values == "0.2 .. 1, 0.005 .. 0.01, 0.0001 .. 0.001"
    assert found["actuator", "kp"].names == ("servo",)


@pytest.mark.parametrize("name", task_names())
def test_the_proposed_spec_fits_and_runs(name: str) -> None:
    mjspec = make_task(name).mjspec()
    text = propose(compile_model(mjspec, Spec()))
    spec = Spec.from_yaml(text)
    model = compile_model(mjspec, spec)
    plan = spec.bind(model)
    assert "body_mass" in spec.entries
    assert not model.nu or {"actuator_gain", "actuator_delay"} <= set(spec.entries)
    plan.apply(model, plan.sample(np.random.default_rng(0)))
    assert "# nominal" in text


def test_joints_of_several_degrees_of_freedom(rich_spec: mujoco.MjSpec) -> None:
    """Free and ball joints have several rows; those without damping cannot be scaled."""
    proposed = Spec.from_yaml(propose(rich_spec.compile()))
    assert proposed.entries["joint_damping"].select.patterns == ("shoulder", "wrist", "slide")
    assert proposed.bind(compile_model(rich_spec, proposed)).entries

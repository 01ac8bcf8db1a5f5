"""Small rotations and pseudo-inertias against models compiled with the same change."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mujoco import batch
from scipy.spatial.transform import Rotation

from dr_env import DREnvError, compile_model
from dr_env.binding import BatchRows
from dr_env.binding.inertia import PSEUDO_INERTIA, perturbed
from tests.conftest import entry, model_bytes, spec_of

Numbers = dict[str, float]
IDENTITY = np.array([1.0, 0, 0, 0])


def _numbers(**named: float) -> np.ndarray:
    return np.array([[named.get(name, 0.0) for name in PSEUDO_INERTIA]])


def _tensor(moments: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    axes = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
    return axes @ np.diag(moments) @ axes.T


def _pseudo(mass: float, centre: np.ndarray, tensor: np.ndarray) -> np.ndarray:
    """The pseudo-inertia about the origin, of an inertia tensor about the centre of mass."""
    second = np.trace(tensor) / 2 * np.eye(3) - tensor + mass * np.outer(centre, centre)
    return np.block([[second, mass * centre[:, None]], [mass * centre[None], np.array([[mass]])]])


def test_alpha_is_denser_and_t_moves_the_centre() -> None:
    rows = np.array([[2.0]]), np.array([[0.1, 0.2, 0.3]]), IDENTITY[None], np.array([[0.05, 0.04, 0.03]])
    mass, centre, axes, moments = perturbed(_numbers(alpha=0.5 * np.log(1.5)), rows)
    assert mass[0, 0] == pytest.approx(3.0)
    np.testing.assert_allclose(_tensor(moments[0], axes[0]), np.diag([0.075, 0.06, 0.045]), atol=1e-15)
    assert (centre == rows[1]).all()
    mass, centre, axes, moments = perturbed(_numbers(t1=0.01, t3=-0.02), rows)
    np.testing.assert_allclose(centre, [[0.11, 0.2, 0.28]])
    np.testing.assert_allclose(_tensor(moments[0], axes[0]), np.diag(rows[3][0]), atol=1e-15)
    assert mass[0, 0] == 2.0


def test_a_stretch_is_that_of_the_box() -> None:
    """exp(d) times as long, the same mass: what MuJoCo compiles of the longer box."""

    def box(x: float, y: float, z: float) -> mujoco.MjModel:
        return mujoco.MjModel.from_xml_string(
            f'<mujoco><worldbody><body pos="0 0 1"><freejoint/><geom type="box" size="{x} {y} {z}" mass="2" '
            'pos=".1 0 0"/></body></worldbody></mujoco>'
        )

    plain, long = box(0.1, 0.2, 0.05), box(0.1 * 1.5, 0.2, 0.05 * 0.8)
    rows = plain.body_mass[1:, None], plain.body_ipos[1:], plain.body_iquat[1:], plain.body_inertia[1:]
    mass, centre, axes, moments = perturbed(_numbers(d1=np.log(1.5), d3=np.log(0.8)), rows)
    assert mass[0, 0] == pytest.approx(2.0)
    np.testing.assert_allclose(centre, long.body_ipos[1:])
    np.testing.assert_allclose(
        _tensor(moments[0], axes[0]), _tensor(long.body_inertia[1], long.body_iquat[1]), rtol=1e-12, atol=1e-15
    )


@given(
    st.lists(st.floats(-1.5, 1.5), min_size=10, max_size=10),
    st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3),
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
)
def test_every_perturbation_is_the_congruence_and_possible(
    numbers: list[float], spread: list[float], turn: list[float]
) -> None:
    second = np.array(spread)
    quaternion = Rotation.from_rotvec(turn).as_quat(scalar_first=True)
    centre = np.array([0.1, -0.2, 0.3])
    rows = np.array([[2.0]]), centre[None], quaternion[None], (second.sum() - second)[None]
    mass, new_centre, axes, moments = (part[0] for part in perturbed(np.array([numbers]), rows))
    assert (moments > 0).all()
    assert moments.max() <= (moments.sum() - moments.max()) * (1 + 1e-9)
    assert np.linalg.norm(axes) == pytest.approx(1)
    alpha, d1, d2, d3, s12, s23, s13, *t = numbers
    congruence = np.exp(alpha) * np.array(
        [[np.exp(d1), s12, s13, t[0]], [0, np.exp(d2), s23, t[1]], [0, 0, np.exp(d3), t[2]], [0, 0, 0, 1]]
    )
    about = _pseudo(2.0, np.zeros(3), _tensor(rows[3][0], quaternion))  # x counts from the nominal centre
    expected = congruence @ about @ congruence.T
    found = _pseudo(float(mass[0]), new_centre - centre, _tensor(moments, axes))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert np.linalg.eigvalsh(found).min() > 0


def _turn(kind: str, name: str, vector: np.ndarray) -> Callable[[mujoco.MjSpec], None]:
    def change(mjspec: mujoco.MjSpec) -> None:
        found = getattr(mjspec, kind)(name)
        turned = Rotation.from_quat(found.quat, scalar_first=True) * Rotation.from_rotvec(vector)
        found.quat = turned.as_quat(scalar_first=True)

    return change


@pytest.mark.parametrize(("kind", "name"), [("body", "arm"), ("geom", "hand"), ("site", "hook")])
def test_a_rotation_is_what_the_compiler_makes_of_it(full_spec: mujoco.MjSpec, kind: str, name: str) -> None:
    vector = np.array([0.1, -0.2, 0.3])
    if kind == "geom":  # masses and inertias do not follow a geom that is moved in a compiled model
        full_spec.geom(name).mass = 0
        full_spec.body(name).mass, full_spec.body(name).inertia = 0.2, np.array([1e-3] * 3)
        full_spec.body(name).explicitinertial = 1
    spec = spec_of(
        **{
            f"x{i}": entry({kind: name}, f"rotation[{i}]", "set", type="constant", value=v)
            for i, v in enumerate(vector)
        }
    )
    model = compile_model(full_spec, spec)
    spec.bind(model).apply(model, {f"x{i}": v for i, v in enumerate(vector)})
    _turn(kind, name, vector)(full_spec)
    truth = full_spec.compile()
    if kind == "body":
        truth.tendon_lengthspring[:] = model.tendon_lengthspring
    data, expected = mujoco.MjData(model), mujoco.MjData(truth)
    for _ in range(200):
        mujoco.mj_step(model, data)
        mujoco.mj_step(truth, expected)
        np.testing.assert_allclose(data.qpos, expected.qpos, atol=1e-9)
        np.testing.assert_allclose(data.sensordata, expected.sensordata, atol=1e-9)


def test_a_perturbed_inertia_moves_as_one_compiled(full_spec: mujoco.MjSpec) -> None:
    numbers = [0.1, 0.2, -0.1, 0.05, 0.1, -0.05, 0.08, 0.01, -0.02, 0.01]
    spec = spec_of(
        **{
            name: entry({"body": "hand"}, f"pseudo_inertia[{i}]", "add", type="constant", value=value)
            for i, (name, value) in enumerate(zip(PSEUDO_INERTIA, numbers, strict=True))
        }
    )
    model = compile_model(full_spec, spec)
    spec.bind(model).apply(model, dict(zip(PSEUDO_INERTIA, numbers, strict=True)))
    hand, mine = full_spec.body("hand"), model.body("hand")
    hand.explicitinertial = 1
    hand.mass, hand.ipos, hand.iquat, hand.inertia = mine.mass[0], mine.ipos, mine.iquat, mine.inertia
    truth = full_spec.compile()
    data, expected = mujoco.MjData(model), mujoco.MjData(truth)
    for _ in range(200):
        mujoco.mj_step(model, data)
        mujoco.mj_step(truth, expected)
        np.testing.assert_allclose(data.qpos, expected.qpos, atol=1e-9)


def test_it_acts_on_what_other_entries_gave(full_spec: mujoco.MjSpec) -> None:
    spec = spec_of(
        alpha=entry({"body": "hand"}, "pseudo_inertia[0]", "add", type="constant", value=0.1),
        mass=entry({"body": "hand"}, "mass", "scale", type="constant", value=2.0),
    )
    model = compile_model(full_spec, spec)
    before = model.body("hand").inertia.copy()
    spec.bind(model).apply(model, {"alpha": 0.1, "mass": 2.0})
    assert model.body("hand").mass[0] == pytest.approx(0.4 * np.exp(0.2))
    np.testing.assert_allclose(np.sort(model.body("hand").inertia), np.sort(2 * np.exp(0.2) * before))


def test_many_at_once_are_each_alone(full_spec: mujoco.MjSpec) -> None:
    """Rows of a batch equal models; a row of zeros is the nominal one bit for bit."""
    spec = spec_of(
        p=entry({"body": ["hand", "arm"]}, "pseudo_inertia", "add", type="normal", mean=0, std=0.1, per="element"),
        r=entry({"body": "arm"}, "rotation[1]", "add", type="normal", mean=0, std=0.1),
    )
    model = compile_model(full_spec, spec)
    plan, nominal = spec.bind(model), model_bytes(model)
    columns = {"p": np.array([[0.0, 0.0], [0.1, 0.0], [0.2, -0.1]]), "r": np.array([0.0, 0.0, 0.3])}
    simulations = batch.Batch(model, 3, 1)
    plan.write(BatchRows(simulations, {}), np.arange(3), columns)
    for i in range(3):
        plan.apply(model, {name: column[i] for name, column in columns.items()})
        mine = simulations.get_model(i)
        for name in ("body_mass", "body_inertia", "body_iquat", "body_ipos", "body_quat", "dof_invweight0"):
            assert (getattr(model, name) == getattr(mine, name)).all(), name
        assert (model_bytes(model) == nominal) == (i == 0)
        plan.restore(model)


@pytest.mark.parametrize(
    ("select", "field", "message"),
    [
        ({"body": "ball"}, "pseudo_inertia[0]", "MuJoCo treats as simple"),
        ({"body": "cart"}, "pseudo_inertia[10]", "has 10 components"),
        ({"body": "world"}, "rotation[0]", "body 'world' is static"),
        ({"body": "world"}, "pseudo_inertia", "body 'world'"),
    ],
)
def test_bad_input(full_spec: mujoco.MjSpec, select: dict[str, str], field: str, message: str) -> None:
    with pytest.raises(DREnvError) as error:
        spec_of(x=entry(select, field, "add", type="constant", value=0.1)).bind(full_spec.compile())
    assert message in str(error.value)

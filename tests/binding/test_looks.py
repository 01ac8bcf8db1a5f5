"""Every row of the field table that pictures show: written, read back, seen, restored, without drift, free elsewhere."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dr_env import DREnvError, Spec, VectorEnv, compile_model, make_task
from dr_env.binding import FIELDS, Field, offers
from dr_env.binding.derived import DERIVED
from dr_env.binding.pool import pool_size
from dr_env.binding.rows import ModelRows, attribute
from dr_env.rendering import ClassicRenderer
from tests.conftest import LOOKS_MODEL, entry, model_bytes
from tests.rendering.test_classic import needs_gl

VISUAL = [field for field in FIELDS if field.visual and not field.array.startswith(("image.", "depth."))]
POOL = {"families": ["checker", "perlin"], "count": 4, "size": 16}
# (names, operation, value, low, high) where scaling everything by 0.5 would not do
CHANGES: dict[str, tuple[str, str, float, float, float]] = {
    "geom.texture": ("ball", "set", 2, 1, 4),
    "geom.texrepeat": ("floor", "scale", 3.0, 1.0, 4.0),
    "geom.metallic": ("ball", "set", 0.5, 0.0, 1.0),
    "geom.roughness": ("ball", "set", 0.5, 0.0, 1.0),
    "geom.reflectance": ("floor", "set", 0.5, 0.0, 1.0),
    "geom.emission": ("ball", "set", 0.5, 0.0, 1.0),
    "geom.rgba": ("ball", "scale", 0.5, 0.5, 1.0),
    "geom.rgb": ("*", "scale", 0.5, 0.5, 1.0),
    "material.texture": ("paint", "set", 2, 1, 4),
    "material.texrepeat": ("tiles", "scale", 3.0, 1.0, 4.0),
    "material.metallic": ("paint", "set", 0.5, 0.0, 1.0),
    "material.roughness": ("paint", "set", 0.5, 0.0, 1.0),
    "material.reflectance": ("tiles", "set", 0.5, 0.0, 1.0),
    "material.specular": ("gloss", "set", 0.0, 0.0, 1.0),
    "material.shininess": ("gloss", "set", 0.1, 0.1, 1.0),
    "material.emission": ("paint", "set", 0.5, 0.0, 1.0),
    "light.pos": ("lamp", "add", 0.3, -0.1, 0.1),
    "light.dir": ("lamp", "add", 0.3, -0.1, 0.1),
    "light.target": ("lamp", "add", 0.3, -0.1, 0.1),
    "light.azimuth": ("lamp", "add", 30.0, -10.0, 10.0),
    "light.elevation": ("lamp", "add", -20.0, -10.0, 10.0),
    "light.ambient": ("lamp", "set", 0.5, 0.0, 1.0),
    "light.active": ("lamp", "set", 0, 0, 1),
    "light.castshadow": ("lamp", "set", 0, 0, 1),
    "light.attenuation": ("lamp", "set", 0.5, 0.1, 1.0),
    "light.cutoff": ("lamp", "scale", 0.5, 0.5, 1.0),
    "light.exponent": ("lamp", "set", 50.0, 1.0, 20.0),
    "light.intensity": ("lamp", "set", 50.0, 1.0, 20.0),
    "camera.pos": ("eye", "add", 0.2, -0.1, 0.1),
    "camera.rotation": ("eye", "add", 0.1, -0.1, 0.1),
    "camera.target": ("eye", "add", 0.2, -0.1, 0.1),
    "camera.distance": ("eye", "scale", 0.8, 0.8, 1.2),
    "camera.azimuth": ("eye", "add", 20.0, -10.0, 10.0),
    "camera.elevation": ("eye", "add", 10.0, -10.0, 10.0),
    "camera.roll": ("eye", "add", 10.0, -10.0, 10.0),
    "camera.fovy": ("eye", "scale", 0.8, 0.8, 1.2),
    "camera.focal": ("lens", "scale", 0.8, 0.8, 1.2),
    "camera.principal": ("lens", "add", 0.001, -0.001, 0.001),
    "option.sky": ("", "set", 2, 1, 4),
    "option.headlight_active": ("", "set", 0, 0, 1),
}
CLASSIC_IGNORES = ("metallic", "roughness", "intensity", "range", "bulbradius")


def _ids(field: Field) -> str:
    return f"{field.kind}.{field.name}"


def _form(field: Field, varied: bool = False) -> dict[str, object]:
    names, operation, value, low, high = CHANGES.get(_ids(field), ("*", "scale", 0.5, 0.5, 1.0))
    form: dict[str, object] = {"type": "constant", "value": value}
    if varied:
        form = {"type": "integer" if field.whole else "uniform", "low": low, "high": high}
        if field.allowed:
            form = {"type": "choice", "values": [0, 1]}
    select = "option" if field.kind == "option" else {field.kind: names}
    return entry(select, field.name, operation, **form)


def _spec(**entries: dict[str, object]) -> Spec:
    return Spec.from_dict({"format": "dr_env/1", "textures": POOL, "entries": entries})


def _all(varied: bool = True) -> Spec:
    """All fields at once, less those that set what others set."""
    alike = ("geom.", "light.dir", "camera.rotation", "material.rgba", "material.metallic", "material.roughness")
    return _spec(
        **{_ids(f).replace(".", "_"): _form(f, varied) for f in VISUAL if not _ids(f).startswith(alike)},
    )


def _model(spec: Spec) -> mujoco.MjModel:
    return compile_model(mujoco.MjSpec.from_string(LOOKS_MODEL), spec)


class Viewer:
    """Pictures of a model as it is."""

    def __init__(self, model: mujoco.MjModel, camera: str) -> None:
        self._renderer = ClassicRenderer(model, 96, 72)
        self._model, self._data, self._camera = model, mujoco.MjData(model), camera

    def picture(self) -> np.ndarray:
        mujoco.mj_forward(self._model, self._data)
        rgb = self._renderer.images(self._model, self._data, self._camera).rgb
        assert rgb is not None
        return rgb.astype(int)

    def close(self) -> None:
        self._renderer.close()


@needs_gl
@pytest.mark.parametrize("field", VISUAL, ids=_ids)
def test_written_read_back_seen_and_restored(field: Field) -> None:
    spec = _spec(x=_form(field))
    model = _model(spec)
    plan = spec.bind(model)
    assert plan.visual == frozenset(plan.nominal)
    viewer = Viewer(model, "lens" if field.name in ("focal", "principal") else "eye")
    nominal, before = model_bytes(model), viewer.picture()

    draw = plan.sample(np.random.default_rng(0))
    plan.apply(model, draw)
    for name, values in plan.realise({"x": np.array([draw["x"]])}).items():
        if name not in DERIVED:
            held = np.atleast_1d(np.asarray(attribute(model, name), np.float64)).reshape(-1)
            np.testing.assert_array_equal(held, values[0], err_msg=name)
    assert any(
        (np.atleast_1d(attribute(model, name)).reshape(-1) != plan.nominal[name]).any()
        for name in plan.nominal
        if name not in DERIVED
    )
    after = viewer.picture()
    if field.name not in CLASSIC_IGNORES:
        assert np.abs(after - before).max() > 3, "the picture did not change"

    plan.restore(model)
    assert model_bytes(model) == nominal
    assert (viewer.picture() == before).all()
    viewer.close()


@pytest.mark.parametrize("field", VISUAL, ids=_ids)
def test_the_identity_is_bit_identical(field: Field) -> None:
    changing = _spec(x=_form(field))
    model = _model(changing)
    base = changing.bind(model).nominal[field.array][changing.bind(model).entries[0].flat]
    operation, value = ("scale", 1.0) if base.any() else ("add", 0.0)
    if field.allowed:
        operation, value = "set", base[0]
    same = {**_form(field), "operation": operation, "distribution": {"type": "constant", "value": float(value)}}
    before = model_bytes(model)
    plan = _spec(x=same).bind(model)
    plan.apply(model, plan.sample(np.random.default_rng(0)))
    assert model_bytes(model) == before


def test_no_drift_over_ten_thousand_applications() -> None:
    spec = _all()
    model = _model(spec)
    plan, nominal = spec.bind(model), model_bytes(model)
    first = plan.sample(np.random.default_rng(0))
    plan.apply(model, first)
    after_one = model_bytes(model)
    columns, _ = plan.sample_columns(np.zeros(10_000, np.uint64), np.zeros(10_000), np.arange(10_000))
    rows = ModelRows(model, mujoco.MjData(model))
    for i in range(0, 10_000, 500):
        values = plan.realise({name: column[i : i + 500] for name, column in columns.items()})
        for k in range(500):
            for name, many in values.items():
                rows.write(name, np.zeros(1, np.intp), many[k : k + 1])
    plan.apply(model, first)
    assert model_bytes(model) == after_one
    plan.restore(model)
    assert model_bytes(model) == nominal


def test_looks_change_no_draw_of_physics() -> None:
    physics = {"mass": entry({"body": "ball"}, "mass", "scale", type="uniform", low=0.5, high=2)}
    with_looks = {**_all().to_dict()["entries"], **physics}
    keys = np.full(8, 3, np.uint64), np.arange(8), np.zeros(8)
    alone, both = _spec(**physics), _spec(**with_looks)
    columns = [spec.bind(_model(spec)).sample_columns(*keys)[0]["mass"] for spec in (alone, both)]
    assert (columns[0] == columns[1]).all()
    # a stream of their own: an entry of looks draws other numbers than one of physics by its name
    named = _spec(mass=entry({"light": "lamp"}, "diffuse", "scale", type="uniform", low=0.5, high=2))
    assert (named.bind(_model(named)).sample_columns(*keys)[0]["mass"] != columns[0]).all()


def test_looks_are_neither_written_nor_told_where_nothing_renders() -> None:
    task = make_task("hopper")
    looks = {
        "shine": entry({"geom": "*"}, "specular", "set", type="uniform", low=0, high=1, per="element"),
        "texture": entry({"geom": "*"}, "texture", "set", type="integer", low=0, high=4, per="element"),
        "mass": entry({"body": "torso"}, "mass", "scale", type="uniform", low=0.5, high=2),
    }
    envs = VectorEnv(task, 3, _spec(**looks), context="observed")
    plain = VectorEnv(
        task, 3, Spec.from_dict({"format": "dr_env/1", "entries": {"mass": looks["mass"]}}), context="observed"
    )
    observations, info = envs.reset(seed=0)
    expected, _ = plain.reset(seed=0)
    assert (observations == expected).all()
    assert info["dr"]["texture"].shape == (3, envs.model.ngeom)
    actions = np.ones((3, 3), np.float32)
    assert (envs.step(actions)[0] == plain.step(actions)[0]).all()
    # rows of their own for each simulation have only the fields of physics
    models = [envs._batch.get_model(i) for i in range(3)]
    assert all((model.mat_specular == envs.model.mat_specular).all() for model in models)
    assert len({model.body("torso").mass[0] for model in models}) == 3


@needs_gl
def test_environments_show_their_looks() -> None:
    looks = {"colour": entry({"geom": "*"}, "rgba", "set", type="uniform", low=0, high=1, per="element")}
    envs = VectorEnv(make_task("hopper"), 2, _spec(**looks), render_mode="rgb_array", width=64, height=48)
    envs.reset(seed=0)
    one, two = envs.render() or ()
    assert (one != two).mean() > 0.2
    again = envs.render() or ()
    assert (again[0] == one).all()
    envs.reset(seed=0)
    assert ((envs.render() or ())[1] == two).all()
    envs.close()


def test_single_precision_is_what_a_draw_says() -> None:
    spec = _spec(x=entry({"material": "paint"}, "specular", "set", type="constant", value=0.1))
    model = _model(spec)
    plan = spec.bind(model)
    plan.apply(model, {"x": 0.1})
    assert plan.realise({"x": np.array([0.1])})["mat_specular"][0, model.material("paint").id] == np.float32(0.1)


def test_views_are_where_they_say() -> None:
    spec = _spec(
        target=entry({"camera": "eye"}, "target[0]", "set", type="constant", value=0.25),
        distance=entry({"camera": "eye"}, "distance", "set", type="constant", value=2.0),
        azimuth=entry({"camera": "eye"}, "azimuth", "set", type="constant", value=90.0),
        elevation=entry({"camera": "eye"}, "elevation", "set", type="constant", value=0.0),
        roll=entry({"camera": "eye"}, "roll", "set", type="constant", value=90.0),
    )
    model = _model(spec)
    plan = spec.bind(model)
    values = plan.nominal["derived.cam_view"].reshape(-1, 7)[model.camera("eye").id].copy()
    plan.apply(model, plan.sample(np.random.default_rng(0)))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.camera("eye").xpos, [0.25, values[1] + 2, values[2]], atol=1e-12)
    axes = data.camera("eye").xmat.reshape(3, 3)
    np.testing.assert_allclose(axes[:, 2], [0, 1, 0], atol=1e-12)  # it looks along -y
    np.testing.assert_allclose(axes[:, 0], [0, 0, 1], atol=1e-12)  # rolled: its right is up


def test_nominal_views_give_the_nominal_pose_back() -> None:
    """Also of cameras that look straight down, or whose view is far from the model."""
    rng = np.random.default_rng(0)
    cameras = "".join(
        f'<camera pos="{x:.3f} {y:.3f} {z:.3f}" euler="{a:.3f} {b:.3f} {c:.3f}"/>'
        for x, y, z, a, b, c in rng.uniform(-2, 2, (30, 6))
    )
    xml = f'<mujoco><worldbody><geom size="1"/><camera pos="0 0 3"/><camera pos="0 0 -3" euler="180 0 0"/>{cameras}</worldbody></mujoco>'
    model = mujoco.MjModel.from_xml_string(xml)
    derived = DERIVED["derived.cam_view"]
    numbers = derived.nominal(model).reshape(-1, 7)
    pos, quat = derived.change(numbers, numbers, (model.cam_pos, model.cam_quat))
    np.testing.assert_allclose(pos, model.cam_pos, atol=1e-12)
    np.testing.assert_allclose(np.abs((quat * model.cam_quat).sum(1)), 1, atol=1e-12)


def test_geoms_take_materials_of_their_own() -> None:
    plain = mujoco.MjModel.from_xml_string(LOOKS_MODEL)
    spec = _spec(
        x=entry({"geom": ["floor", "left", "right"]}, "texture", "set", type="integer", low=0, high=4, per="element")
    )
    model = _model(spec)
    assert model.nmat == plain.nmat + 2  # the floor's is its own already, the cubes share theirs
    assert len({model.geom(name).matid[0] for name in ("floor", "left", "right")}) == 3
    assert model.geom("ball").matid == plain.geom("ball").matid
    for name in ("left", "right"):
        mine, shared = model.geom(name).matid[0], plain.geom(name).matid[0]
        for field in ("mat_rgba", "mat_specular", "mat_shininess", "mat_emission", "mat_texrepeat"):
            assert (getattr(model, field)[mine] == getattr(plain, field)[shared]).all()
    plan = spec.bind(model)
    plan.apply(model, {"x": [1, 2, 3]})
    taken = [model.mat_texid[model.geom(name).matid[0], 1] for name in ("floor", "left", "right")]
    names = [model.texture(i).name for i in taken]
    assert names == ["dr_env/2d/1", "dr_env/cube/2", "dr_env/cube/3"]


def test_a_pool_is_compiled_in_only_for_what_takes_it() -> None:
    plain = mujoco.MjModel.from_xml_string(LOOKS_MODEL)
    unused = _model(_spec(x=entry({"light": "lamp"}, "diffuse", "scale", type="constant", value=1)))
    assert unused.ntex == plain.ntex
    sky = _model(_spec(x=entry("option", "sky", "set", type="integer", low=0, high=4)))
    assert (sky.ntex, pool_size(sky)) == (plain.ntex + 4, 4)


def test_a_full_model_offers_every_look() -> None:
    spec = _spec(
        x=_form(next(f for f in VISUAL if _ids(f) == "geom.texture")),
        y=_form(next(f for f in VISUAL if _ids(f) == "option.sky")),
    )
    offered = {(offer.field.kind, offer.field.name): offer for offer in offers(_model(spec))}
    assert not {(f.kind, f.name) for f in VISUAL} - offered.keys()
    assert offered["camera", "target"].names == ("eye", "lens")
    assert offered["geom", "rgba"].names == ("ball",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"field": "texture", "select": {"material": "paint"}, "distribution": {"type": "integer", "low": 0, "high": 9}},
         r"entries.x.distribution: texture can reach 9, but `textures` has 4"),
        ({"field": "texture", "select": {"material": "paint"}, "distribution": {"type": "uniform", "low": 0, "high": 1}},
         "texture is a whole number"),
        ({"field": "rgba[4]", "select": {"material": "paint"}}, "rgba has 4 components"),
        ({"field": "rgba", "select": {"material": "paint"}, "operation": "scale",
          "distribution": {"type": "uniform", "low": 0, "high": 9}}, "expected .*not above 1"),
        ({"field": "focal", "select": {"camera": "eye"}}, "camera 'eye' has no sensorsize"),
        ({"field": "fovy", "select": {"camera": "lens"}}, "camera 'lens' has a sensorsize"),
        ({"field": "target", "select": {"camera": "follower"}}, "faces a body by its mode"),
        ({"field": "cutoff", "select": {"light": "sun"}}, "light 'sun' is no spot light"),
        ({"field": "diffuse", "select": {"light": "lump"}}, "did you mean 'lamp'"),
    ],
)  # fmt: skip
def test_one_clear_error(change: dict[str, object], message: str) -> None:
    form = {**entry({"light": "lamp"}, "diffuse", "set", type="uniform", low=0, high=1), **change}
    with pytest.raises(DREnvError, match=message):
        spec = _spec(x=form)
        spec.bind(_model(spec))


def test_geoms_take_colours_of_their_own() -> None:
    spec = _spec(x=entry({"geom": "*"}, "rgb", "scale", type="uniform", low=0.5, high=1, per="number"))
    model, plain = _model(spec), mujoco.MjModel.from_xml_string(LOOKS_MODEL)
    shown = np.where(plain.geom_matid[:, None] >= 0, plain.mat_rgba[plain.geom_matid], plain.geom_rgba)
    np.testing.assert_allclose(model.geom_rgba, shown, atol=2e-6)
    plan = spec.bind(model)
    draw = plan.sample(np.random.default_rng(0))
    assert len(set(draw["x"])) == 3 * model.ngeom == len(plan.entries[0].labels)
    assert plan.entries[0].labels[4] == "left[1]"
    plan.apply(model, draw)
    assert (model.geom_rgba[:, 3] == 1).all()
    np.testing.assert_allclose(model.geom_rgba[:, :3], shown[:, :3] * draw["x"].reshape(-1, 3), atol=2e-6)
    with pytest.raises(DREnvError, match="geom 'floor' takes its colour from a material"):
        spec.bind(plain)


def test_textures_need_a_pool() -> None:
    form = entry({"material": "paint"}, "texture", "set", type="constant", value=1)
    spec = Spec.from_dict({"format": "dr_env/1", "entries": {"x": form}})
    with pytest.raises(DREnvError, match=r"entries.x.field: the Spec has no `textures`"):
        _model(spec)
    with pytest.raises(DREnvError, match=r"compile the model with dr_env.compile_model"):
        _spec(x=form).bind(mujoco.MjModel.from_xml_string(LOOKS_MODEL))


def test_metals_take_no_textures_around_shapes() -> None:
    entries = {
        "x": entry({"geom": ["left", "floor"]}, "texture", "set", type="integer", low=0, high=4),
        "y": entry({"geom": ["floor"]}, "metallic", "set", type="constant", value=1),
    }
    spec = _spec(**entries)
    spec.bind(_model(spec))
    spec = _spec(**entries, z=entry({"geom": ["left"]}, "roughness", "set", type="constant", value=1))
    with pytest.raises(DREnvError, match=r"entries.x.select: geom 'left' is metallic or rough"):
        spec.bind(_model(spec))


def test_an_expression_turns_lights_on() -> None:
    spec = Spec.from_dict(
        {
            "format": "dr_env/1",
            "variables": {"lights": {"distribution": {"type": "integer", "low": 0, "high": 2}}},
            "entries": {
                name: entry({"light": name}, "active", "set", type="expression", formula=f"1 if lights > {i} else 0")
                for i, name in enumerate(("lamp", "sun"))
            },
        }
    )
    model = _model(spec)
    plan = spec.bind(model)
    for seed in range(10):
        draw = plan.sample(np.random.default_rng(seed))
        plan.apply(model, draw)
        assert model.light_active.sum() == draw["lights"]

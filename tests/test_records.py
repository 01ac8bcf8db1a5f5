import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_env import Draw, DREnvError
from dr_env.records import rows_of

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.dictionaries(st.text(min_size=1), NUMBERS | st.lists(NUMBERS, min_size=1, max_size=4), max_size=5)


@given(VALUES)
def test_json_pickle_and_copy_round_trip(values: dict[str, object]) -> None:
    draw = Draw(values, "abc")
    for again in (Draw.from_json(draw.to_json()), pickle.loads(pickle.dumps(draw)), copy.deepcopy(draw)):
        assert again == draw
        assert hash(again) == hash(draw)
        assert again.binding == "abc"
        assert again.digest() == draw.digest()


def test_a_draw_does_not_change() -> None:
    draw = Draw({"mass": 1.0, "friction": [1, 2]})
    with pytest.raises(TypeError, match="immutable"):
        draw["mass"] = 2.0
    with pytest.raises(ValueError, match="read-only"):
        draw["friction"][0] = 5
    assert draw != Draw({"mass": 1.0, "friction": [1, 3]})
    assert draw != Draw({"mass": 1.0})


def test_rows_of_columns() -> None:
    columns = {"a": np.arange(3.0), "b": np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])}
    assert list(rows_of(columns)) == [Draw({"a": i, "b": [2 * i, 2 * i + 1]}) for i in range(3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "draw.json:1 not JSON"),
        ('{"format": "dr_env/draw/1", "val', "draw.json:1 not JSON"),
        ("[]", "format: got 'list', expected 'dr_env/draw/1'"),
        ('{"format": "dr_env/draw/1", "values": 3}', "values: expected a mapping"),
        (
            '{"format": "dr_env/draw/1", "values": {"mass": NaN}}',
            "draw.json values: draw.mass: got nan, expected a finite number",
        ),
        (
            '{"format": "dr_env/draw/1", "values": {"mass": "x"}}',
            "draw.json values: draw.mass: got 'x', expected a finite",
        ),
    ],
)
def test_bad_json_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "draw.json"
    path.write_text(text)
    with pytest.raises(DREnvError, match=message):
        Draw.load(path)


def test_what_is_no_text_or_no_mapping_is_no_draw(tmp_path: Path) -> None:
    (tmp_path / "draw.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DREnvError, match=r"draw\.json: not a Draw"):
        Draw.load(tmp_path / "draw.json")
    with pytest.raises(DREnvError, match="draw: got 3, expected a mapping"):
        Draw(3)  # type: ignore[arg-type]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DREnvError, match=r"none\.json: cannot read"):
        Draw.load(tmp_path / "none.json")


def test_values_are_kept_exactly() -> None:
    assert Draw({"x": 0.1 + 0.2})["x"] == 0.1 + 0.2
    assert isinstance(Draw({"x": np.float32(0.5)})["x"], float)

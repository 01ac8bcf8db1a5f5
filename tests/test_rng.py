import numpy as np
import pytest
from scipy import stats

from dr_env.rng import Lookahead, Stream, digest, generator, philox


# Known answers of Philox4x32-10, published with Random123 (kat_vectors)
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000" * 4, "00000000" * 2, "6627e8d5e169c58dbc57ac4c9b00dbd8"),
        ("ffffffff" * 4, "ffffffff" * 2, "408f276d41c83b0ea20bc7c66d5451fd"),
        ("243f6a8885a308d313198a2e03707344", "a4093822299f31d0", "d16cfe0994fdcceb5001e42024126ea1"),
    ],
)
def test_philox_known_answers(counter: str, key: str, expected: str) -> None:
    def words(text: str) -> np.ndarray:
        return np.array([[int(text[i : i + 8], 16)] for i in range(0, len(text), 8)], np.uint64)

    assert (np.stack(philox(words(counter), words(key))) == words(expected)).all()


def _uniform(stream: Stream, seeds: int, environments: list[int], episodes: list[int], attempt: int = 0) -> np.ndarray:
    return stream.uniform(np.full(len(environments), seeds, np.uint64), environments, episodes, attempt)


def test_values_depend_on_their_own_key_alone() -> None:
    small = Stream("physics", ("mass", "friction"), (1, 3))
    large = Stream("physics", ("gravity", "friction", "mass"), (2, 3, 1))
    one = _uniform(small, 7, [5], [9])
    many = _uniform(large, 7, [0, 5, 6], [9, 9, 9])
    assert (many[1, 5] == one[0, 0]).all()
    assert (many[1, 2:5] == one[0, 1:]).all()


def test_every_part_of_the_key_matters() -> None:
    stream = Stream("physics", ("mass",), (2,))
    values = [
        _uniform(stream, 1, [0], [0]),
        _uniform(stream, 2, [0], [0]),
        _uniform(stream, 1 + 2**40, [0], [0]),
        _uniform(stream, 1, [1], [0]),
        _uniform(stream, 1, [0], [1]),
        _uniform(stream, 1, [0], [0], 1),
        _uniform(Stream("reset", ("mass",), (2,)), 1, [0], [0]),
    ]
    assert len({value for array in values for value in array.ravel().tolist()}) == 2 * len(values)


def test_values_are_uniform_and_independent() -> None:
    stream = Stream("physics", ("a", "b"), (1, 1))
    environments, episodes = np.divmod(np.arange(20_000), 100)
    values = stream.uniform(np.full(20_000, 3, np.uint64), environments, episodes)
    assert stats.kstest(values[:, 0], "uniform").pvalue > 0.001
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.03
    assert abs(np.corrcoef(values[:-1, 0], values[1:, 0])[0, 1]) < 0.03


def test_looking_ahead_changes_no_value() -> None:
    stream = Stream("reset", ("state",), (4,))
    rng = np.random.default_rng(0)
    ahead = Lookahead(stream, 40)
    for seed in (1, 2):
        ahead.forget()
        seeds, numbers = np.full(40, seed, np.uint64), np.arange(40, dtype=np.uint64)
        episodes = np.zeros(40, np.uint64)
        for _ in range(200):
            ids = np.sort(rng.choice(40, rng.integers(1, 20), replace=False))
            expected = stream.uniform(seeds[ids], numbers[ids], episodes[ids])
            assert (ahead.uniform(ids, seeds, numbers, episodes) == expected).all()
            episodes[ids] += np.uint64(1)


def test_generators_are_functions_of_their_key() -> None:
    assert (generator("a", 1).random(3) == generator("a", 1).random(3)).all()
    assert (generator("a", 1).random(3) != generator("a", 2).random(3)).all()
    assert digest("a", "b") != digest("ab")

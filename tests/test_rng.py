import numpy as np
import pytest
from scipy import stats

from dr_env.rng import Lookahead, Sequences, Stream, digest, generator, normals, philox, uniforms


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


def test_sequences_known_answers() -> None:
    # the first outputs of SplitMix64 for the seed 1234567, published with the reference implementation's ports
    sequence = Sequences("any", 1)
    sequence._start[:], sequence._stride[:], sequence._fresh[:] = 1234567, 0x9E3779B97F4A7C15, False
    words = sequence.words(np.array([0]), np.arange(5, dtype=np.uint64))
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert words[0].tolist() == expected


def _sequences(ids: list[int], name: str = "noise", seed: int = 3, episode: int = 0, count: int = 1000) -> np.ndarray:
    made = Sequences(name, 200)
    numbers = np.arange(200, dtype=np.uint64)
    made.begin(np.array(ids), np.full(200, seed, np.uint64), numbers, np.full(200, episode, np.uint64))
    return made.words(np.array(ids), np.arange(count, dtype=np.uint64))


def test_sequences_depend_on_their_own_key_alone() -> None:
    many = _sequences([4, 17, 150])
    assert (_sequences([17]) == many[1]).all()
    others = [_sequences([17], "other"), _sequences([17], seed=4), _sequences([17], episode=1), many[[0]], many[[2]]]
    assert len(np.unique(np.concatenate([many[[1]], *others]))) == 6000
    # nor do numbers depend on how many are computed at once
    for made in (normals, uniforms):
        whole = made(many)
        for start, stop in ((0, 1), (3, 10), (500, 777)):
            assert (made(many[1:2, start:stop]) == whole[..., 1:2, start:stop]).all()


def test_every_word_gives_numbers() -> None:
    halves = np.array([0, 1, 2**31 - 1, 2**31, 2**31 + 1, 2**31 + 64, 2**31 + 65, 2**32 - 1], np.uint64)
    words = (halves[:, None] << np.uint64(32)) | halves
    assert np.isfinite(normals(words)).all() and np.abs(normals(words)).max() < 6.8


def test_sequences_are_uniform_normal_and_independent() -> None:
    words = _sequences(list(range(200)))
    for values, law in ((uniforms(words), "uniform"), (normals(words)[0], "norm"), (normals(words)[1], "norm")):
        flat = values.reshape(-1).astype(np.float64)
        assert stats.kstest(flat, law).pvalue > 0.001
        assert abs(np.corrcoef(values[:-1].reshape(-1), values[1:].reshape(-1))[0, 1]) < 0.01  # environments
        assert abs(np.corrcoef(flat[:-1], flat[1:])[0, 1]) < 0.01  # steps
    pairs = normals(words).reshape(2, -1).astype(np.float64)
    assert abs(np.corrcoef(pairs)[0, 1]) < 0.01
    assert abs(np.corrcoef(pairs**2)[0, 1]) < 0.01
    assert abs(stats.kurtosis(pairs.reshape(-1))) < 0.05

"""Named random streams: a name decides the numbers, and nothing else does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedprime.reproducibility.seeding import stream, stream_seed, torch_stream

names = st.lists(st.one_of(st.integers(-(10**6), 10**6), st.text(max_size=8)), max_size=4).map(tuple)
examples = settings(max_examples=100, deadline=None, derandomize=True)


# Expected: the first 8 bytes, last byte first, that `printf "(0, 'client', 3)" | sha256sum` prints, and so on.
@pytest.mark.parametrize(
    ("seed", "name", "digest"),
    [
        (0, ("client", 3), "c45f70e87eac864d"),
        (7, ("world", "mixtures"), "6efb6bc2c24ad102"),
        (-1, ("a",), "f6dbc9b12792928a"),
    ],
)
def test_a_stream_starts_from_the_same_number_on_every_machine(
    seed: int, name: tuple[str | int, ...], digest: str
) -> None:
    assert stream_seed(seed, *name) == int("".join(reversed([digest[i : i + 2] for i in range(0, 16, 2)])), 16)


def test_the_same_name_gives_the_same_numbers() -> None:
    assert np.array_equal(stream(3, "client", 1).random(50), stream(3, "client", 1).random(50))
    assert torch.equal(
        torch.rand(50, generator=torch_stream(3, "client", 1)), torch.rand(50, generator=torch_stream(3, "client", 1))
    )


def test_what_was_drawn_from_other_streams_does_not_matter() -> None:
    alone = stream(0, "client", 2).random(10)
    other = stream(0, "client", 1)
    one = stream(0, "client", 2)
    mixed = np.array([(other.random(), one.random())[1] for _ in range(10)])
    assert np.array_equal(alone, mixed)


@examples
@given(st.integers(-(2**40), 2**40), names, st.integers(-(2**40), 2**40), names)
def test_different_names_start_from_different_numbers(
    seed: int, name: tuple[str | int, ...], other_seed: int, other_name: tuple[str | int, ...]
) -> None:
    same = (seed, name) == (other_seed, other_name)
    assert (stream_seed(seed, *name) == stream_seed(other_seed, *other_name)) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a", 1), ("a", "1")), (("a", 1), ("a1",)), (("a", "b"), ("a, b",)), ((1, 11), (11, 1)), (("a", ""), ("a",))],
)
def test_names_that_spell_alike_are_told_apart(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> None:
    assert stream_seed(0, *one) != stream_seed(0, *other)


def test_streams_of_neighbouring_clients_are_not_correlated() -> None:
    drawn = np.stack([stream(0, "client", client).standard_normal(4000) for client in range(12)])
    correlation = np.corrcoef(drawn) - np.eye(12)
    # 66 pairs of independent streams: five standard errors of a correlation.
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)


@examples
@given(st.integers(), names)
def test_every_name_is_a_valid_seed_for_numpy_and_torch(seed: int, name: tuple[str | int, ...]) -> None:
    assert 0 <= stream(seed, *name).random() < 1
    assert 0 <= torch.rand(1, generator=torch_stream(seed, *name)).item() < 1


def test_global_random_state_is_left_alone() -> None:
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    stream(0, "a").random(5)
    torch.rand(5, generator=torch_stream(0, "a"))
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)

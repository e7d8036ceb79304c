"""Alignment: the same prompts are recognised wherever they stand, and different ones are kept apart."""

import inspect
import itertools
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedprime.methods.aggregation.alignment import Alignment, align
from fedprime.reproducibility.seeding import torch_stream

torch.set_num_threads(1)

Likelihood = Literal["mean", "sum"]


def rng(*name: str | int) -> torch.Generator:
    return torch_stream(0, "test alignment", *name)


def meanings(num_prompts: int, dim: int) -> Tensor:
    return torch.randn(num_prompts, dim, generator=rng("meanings"))


def shuffled_copies(base: Tensor, num_clients: int, noise: float, seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """Returns per client a noisy copy of the base in an order of its own, and that order."""
    generator = rng("copies", seed)
    orders = [torch.randperm(len(base), generator=generator) for _ in range(num_clients)]
    return [base[order] + noise * torch.randn(base.shape, generator=generator) for order in orders], orders


def same_meaning_same_centre(alignment: Alignment, truth: list[Tensor]) -> bool:
    """Returns whether prompts share a centre exactly if they share a meaning."""
    pairs = set(zip(torch.cat(alignment.matches).tolist(), torch.cat(truth).tolist(), strict=True))
    return len(pairs) == len({centre for centre, _ in pairs}) == len({meaning for _, meaning in pairs})


@st.composite
def pools(draw: st.DrawFn) -> list[Tensor]:
    """Small pools of unequal sizes, some prompts of which coincide."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    dim, num_meanings = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    noise, scale = draw(st.sampled_from([0.0, 0.01, 0.3, 1.0])), draw(st.sampled_from([1e-3, 1.0, 1e4]))
    generator = rng("pools", draw(st.integers(0, 1000)))
    base = torch.randn(num_meanings, dim, generator=generator)
    return [
        scale
        * (
            base[torch.randint(num_meanings, (size,), generator=generator)]
            + noise * torch.randn(size, dim, generator=generator)
        )
        for size in sizes
    ]


#: They are checked where methods are tested: here the same few functions are called again and again.
pytestmark = pytest.mark.without_shape_checks
examples = settings(max_examples=8, deadline=None, derandomize=True)


# The objective


@examples
@given(pools(), st.sampled_from(["mean", "sum"]), st.booleans())
def test_the_objective_never_rises_in_either_half_step(
    prompts: list[Tensor], likelihood: Likelihood, warm: bool
) -> None:
    initial = prompts[0] if warm else None
    objective = align(prompts, rng=rng(), likelihood=likelihood, initial_centres=initial).objective
    assert all(after <= before + 1e-7 * (1 + abs(before)) for before, after in itertools.pairwise(objective))


@pytest.mark.parametrize("likelihood", ["mean", "sum"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_the_objective_never_rises_when_matches_keep_changing(likelihood: Likelihood, seed: int) -> None:
    prompts = [torch.randn(6, 4, generator=rng(seed, client)) for client in range(30)]
    objective = align(prompts, rng=rng(), likelihood=likelihood).objective
    assert len(objective) > 3
    assert all(after <= before + 1e-7 * (1 + abs(before)) for before, after in itertools.pairwise(objective))


def test_the_objective_never_rises_when_one_client_is_a_million_times_as_far_out_as_the_others() -> None:
    prompts, _ = shuffled_copies(meanings(5, 16), num_clients=6, noise=0.2)
    objective = align([*prompts, 1e6 * meanings(5, 16)], rng=rng()).objective
    assert all(after <= before + 1e-7 * (1 + abs(before)) for before, after in itertools.pairwise(objective))


@examples
@given(pools())
def test_a_centre_is_the_mean_of_what_is_matched_to_it(prompts: list[Tensor]) -> None:
    alignment = align(prompts, rng=rng())
    rows, matches = torch.cat(prompts), torch.cat(alignment.matches)
    for centre, found in enumerate(alignment.centres):
        torch.testing.assert_close(
            found, rows[matches == centre].mean(0), rtol=1e-4, atol=1e-5 * rows.abs().max().item()
        )


@examples
@given(pools(), st.sampled_from(["mean", "sum"]), st.booleans())
def test_every_prompt_finds_a_centre_that_no_other_of_its_client_has(
    prompts: list[Tensor], likelihood: Likelihood, warm: bool
) -> None:
    initial = prompts[-1] if warm else None
    alignment = align(prompts, rng=rng(), likelihood=likelihood, initial_centres=initial)
    assert [len(matches) for matches in alignment.matches] == [len(pool) for pool in prompts]
    for matches in alignment.matches:
        assert len(matches.unique()) == len(matches)


@examples
@given(pools())
def test_a_centre_that_nobody_uses_is_dropped(prompts: list[Tensor]) -> None:
    alignment = align(prompts, rng=rng(), initial_centres=torch.cat(prompts) + 1)
    assert torch.cat(alignment.matches).unique().tolist() == list(range(len(alignment.centres)))
    assert len(alignment.popularity) == len(alignment.centres)


def test_popularity_is_the_share_of_clients_that_use_the_centre() -> None:
    base = meanings(4, 32)
    prompts = [base + 0.1 * torch.randn(4, 32, generator=rng(client)) for client in range(20)]
    prompts = [pool if client < 5 else pool[:3] for client, pool in enumerate(prompts)]
    popularity = align(prompts, rng=rng(), initial_centres=base).popularity
    torch.testing.assert_close(popularity, torch.tensor([1.0, 1.0, 1.0, 0.25]), atol=0.02, rtol=0)


# Invariances


@pytest.mark.parametrize("likelihood", ["mean", "sum"])
@pytest.mark.parametrize("warm", [False, True])
def test_the_order_of_clients_and_of_prompts_does_not_matter(likelihood: Likelihood, warm: bool) -> None:
    base = meanings(6, 16)
    prompts, _ = shuffled_copies(base, num_clients=7, noise=0.4)
    prompts[2] = prompts[2][:4]
    clients = torch.randperm(7, generator=rng("clients")).tolist()
    orders = [torch.randperm(len(prompts[client]), generator=rng(client)) for client in clients]
    shuffled = [prompts[client][order] for client, order in zip(clients, orders, strict=True)]

    initial = base if warm else None
    one = align(prompts, rng=rng(), likelihood=likelihood, initial_centres=initial)
    other = align(shuffled, rng=rng(), likelihood=likelihood, initial_centres=initial)
    assert torch.equal(one.centres, other.centres)
    assert one.objective == other.objective
    for client, order, matches in zip(clients, orders, other.matches, strict=True):
        assert torch.equal(one.matches[client][order], matches)


@pytest.mark.parametrize("likelihood", ["mean", "sum"])
def test_scaling_and_moving_all_prompts_scales_and_moves_the_centres(likelihood: Likelihood) -> None:
    prompts, _ = shuffled_copies(meanings(5, 8).double(), num_clients=6, noise=0.3)
    plain = align(prompts, rng=rng(), likelihood=likelihood)
    moved = align([1000 * pool + 70 for pool in prompts], rng=rng(), likelihood=likelihood)
    torch.testing.assert_close(moved.centres, 1000 * plain.centres + 70)
    assert all(map(torch.equal, moved.matches, plain.matches))


def test_the_same_generator_gives_the_same_bits_and_the_global_one_is_left_alone() -> None:
    prompts, _ = shuffled_copies(meanings(5, 8), num_clients=6, noise=0.5)
    state = torch.random.get_rng_state()
    one, other = align(prompts, rng=rng()), align(prompts, rng=rng())
    assert torch.equal(one.centres, other.centres)
    assert torch.equal(one.popularity, other.popularity)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_prompts_that_require_gradients_are_left_as_they_were() -> None:
    prompts = [meanings(3, 4).requires_grad_() for _ in range(2)]
    centres = align(prompts, rng=rng(), initial_centres=prompts[0]).centres
    assert not centres.requires_grad
    assert all(torch.equal(pool, meanings(3, 4)) and pool.grad is None for pool in prompts)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_centres_have_the_data_type_of_the_prompts(dtype: torch.dtype) -> None:
    prompts = [meanings(3, 4).to(dtype)] * 2
    assert align(prompts, rng=rng()).centres.dtype == dtype


# What is recognised as the same, and what is not


@pytest.mark.parametrize("likelihood", ["mean", "sum"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_identical_prompts_in_any_order_give_the_same_prompts_back(likelihood: Likelihood, scale: float) -> None:
    base = scale * meanings(10, 32)
    prompts, orders = shuffled_copies(base, num_clients=20, noise=0)
    alignment = align(prompts, rng=rng(), likelihood=likelihood, initial_centres=base)
    torch.testing.assert_close(alignment.centres, base, rtol=1e-6, atol=0)
    assert all(map(torch.equal, alignment.matches, orders))


def test_identical_prompts_give_the_same_prompts_back_without_initial_centres_too() -> None:
    base = meanings(10, 32)
    prompts, orders = shuffled_copies(base, num_clients=20, noise=0)
    alignment = align(prompts, rng=rng())
    assert same_meaning_same_centre(alignment, orders)
    torch.testing.assert_close(alignment.centres[alignment.matches[0]], base[orders[0]], rtol=1e-6, atol=0)


@pytest.mark.parametrize("dim", [64, 768])
@pytest.mark.parametrize("noise", [0.1, 0.3, 0.5])
def test_noisy_copies_in_any_order_give_as_many_centres_as_prompts(dim: int, noise: float) -> None:
    prompts, orders = shuffled_copies(meanings(20, dim), num_clients=20, noise=noise)
    alignment = align(prompts, rng=rng())
    assert len(alignment.centres) == 20
    assert same_meaning_same_centre(alignment, orders)


def test_noisy_copies_do_not_multiply_when_the_number_of_centres_is_unbounded() -> None:
    prompts, orders = shuffled_copies(meanings(20, 64), num_clients=20, noise=0.5)
    assert same_meaning_same_centre(align(prompts, rng=rng(), max_centres=400), orders)


def test_under_the_likelihood_of_the_paper_noisy_copies_multiply_up_to_the_bound() -> None:
    prompts, _ = shuffled_copies(meanings(20, 64), num_clients=20, noise=0.3)
    assert len(align(prompts, rng=rng(), likelihood="sum").centres) == 40


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_a_prompt_that_drifted_to_two_meanings_is_split(warm: bool, noise: float) -> None:
    base, second_meaning = meanings(20, 64), torch.randn(64, generator=rng("second meaning"))
    prompts, truth = shuffled_copies(base, num_clients=20, noise=noise)
    for pool, meaning in zip(prompts[:10], truth[:10], strict=True):
        pool[meaning == 0] += second_meaning - base[0]
        meaning[meaning == 0] = 20
    alignment = align(prompts, rng=rng(), initial_centres=base if warm else None)
    assert len(alignment.centres) == 21
    assert same_meaning_same_centre(alignment, truth)


def test_a_meaning_that_only_two_clients_know_has_a_centre_of_its_own() -> None:
    base = meanings(11, 64)
    truth = [torch.arange(10) if client > 1 else torch.arange(1, 11) for client in range(20)]
    prompts = [base[known] + 0.2 * torch.randn(10, 64, generator=rng(client)) for client, known in enumerate(truth)]
    alignment = align(prompts, rng=rng())
    assert same_meaning_same_centre(alignment, truth)
    assert alignment.popularity.min().item() == pytest.approx(0.1, abs=0.02)


def test_clients_that_know_different_meanings_are_aligned_on_those_they_share() -> None:
    base = meanings(12, 64)
    truth = [torch.randperm(12, generator=rng(client))[: 3 + client % 6] for client in range(20)]
    prompts = [
        base[known] + 0.2 * torch.randn(len(known), 64, generator=rng("noise", client))
        for client, known in enumerate(truth)
    ]
    alignment = align(prompts, rng=rng(), max_centres=16)
    assert same_meaning_same_centre(alignment, truth)


def test_one_wild_client_does_not_disturb_the_others() -> None:
    base = meanings(11, 64)
    # Ten meanings a client, the last of which differs between the two halves of the clients.
    orders = [torch.arange(10) + (torch.arange(10) == 9) * (client % 2) for client in range(12)]
    prompts = [base[order] + 0.2 * torch.randn(10, 64, generator=rng(client)) for client, order in enumerate(orders)]
    prompts[4] = 1e4 * torch.randn(10, 64, generator=rng("wild"))
    # Room for what the wild client has (10) and the others (11).
    matches = align(prompts, rng=rng(), max_centres=21).matches
    others = [client for client in range(12) if client != 4]
    pairs = {pair for client in others for pair in zip(matches[client].tolist(), orders[client].tolist(), strict=True)}
    assert len(pairs) == len({centre for centre, _ in pairs}) == 11


# Rounds: starting from the last centres


@pytest.mark.parametrize("dim", [64, 768])
@pytest.mark.parametrize("drift", [0.01, 0.1, 0.3])
def test_a_small_drift_of_every_prompt_changes_neither_the_pool_size_nor_positions(dim: int, drift: float) -> None:
    base = 0.02 * meanings(20, dim)
    # Two independent prompts of standard deviation s lie s * sqrt(2 dim) apart.
    step = drift * 0.02 * (2 * dim) ** 0.5
    prompts = [
        base + step * torch.nn.functional.normalize(torch.randn(20, dim, generator=rng(client))) for client in range(20)
    ]
    alignment = align(prompts, rng=rng(), initial_centres=base)
    assert len(alignment.centres) == 20
    assert all(matches.tolist() == list(range(20)) for matches in alignment.matches)


def test_a_prompt_keeps_its_position_round_after_round() -> None:
    base = centres = meanings(8, 32)
    for current_round in range(5):
        prompts = [centres + 0.2 * torch.randn(8, 32, generator=rng(current_round, client)) for client in range(10)]
        centres = align(prompts, rng=rng(), initial_centres=centres, max_centres=16).centres
    assert torch.cdist(centres, base).argmin(1).tolist() == list(range(8))


def test_surviving_initial_centres_come_first_in_their_order_and_new_ones_after() -> None:
    base = meanings(6, 32)
    known = torch.tensor([5, 1, 3])
    prompts = [base[known] + 0.05 * torch.randn(3, 32, generator=rng(client)) for client in range(6)]
    alignment = align(prompts, rng=rng(), initial_centres=base[:4])
    # Of the initial centres 0, 1, 2, 3 the clients still have 1 and 3; 5 is new.
    assert all(matches.tolist() == [2, 0, 1] for matches in alignment.matches)
    torch.testing.assert_close(alignment.centres, base[[1, 3, 5]], atol=0.1, rtol=0)


def test_initial_centres_may_be_more_than_twice_the_largest_pool() -> None:
    base = meanings(9, 32)
    alignment = align([base[:2], base[7:]], rng=rng(), initial_centres=base)
    torch.testing.assert_close(alignment.centres, base[[0, 1, 7, 8]])


# Sizes at the edge


def test_the_prompts_of_a_single_client_are_their_own_centres() -> None:
    prompts = meanings(7, 16)
    alignment = align([prompts], rng=rng())
    assert sorted(alignment.matches[0].tolist()) == list(range(7))
    torch.testing.assert_close(alignment.centres[alignment.matches[0]], prompts)


def test_a_single_prompt_is_its_own_centre() -> None:
    prompt = torch.tensor([[3.0, -1.0]])
    alignment = align([prompt], rng=rng())
    assert torch.equal(alignment.centres, prompt)
    assert alignment.matches[0].tolist() == [0]


@pytest.mark.parametrize("num_clients", [2, 20])
def test_clients_with_one_prompt_each_share_one_centre(num_clients: int) -> None:
    prompts = [torch.randn(1, 16, generator=rng(client)) for client in range(num_clients)]
    alignment = align(prompts, rng=rng())
    torch.testing.assert_close(alignment.centres, torch.cat(prompts).mean(0, keepdim=True))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8])
@pytest.mark.parametrize("warm", [False, True])
def test_three_identical_prompts_of_a_client_have_three_identical_centres(value: float, warm: bool) -> None:
    prompts = [torch.full((3, 4), value)] * 5
    alignment = align(prompts, rng=rng(), initial_centres=prompts[0] if warm else None)
    assert torch.equal(alignment.centres, prompts[0])
    assert all(matches.sort().values.tolist() == [0, 1, 2] for matches in alignment.matches)


@pytest.mark.slow
def test_a_thousand_clients_are_aligned() -> None:
    prompts, orders = shuffled_copies(meanings(6, 32), num_clients=1000, noise=0.5)
    assert same_meaning_same_centre(align(prompts, rng=rng()), orders)


@pytest.mark.parametrize("likelihood", ["mean", "sum"])
@pytest.mark.parametrize("max_centres", [5, 6, 13])
def test_there_are_never_more_centres_than_the_bound(likelihood: Likelihood, max_centres: int) -> None:
    prompts = [torch.randn(5, 64, generator=rng(client)) for client in range(8)]
    assert len(align(prompts, rng=rng(), likelihood=likelihood, max_centres=max_centres).centres) <= max_centres


def test_by_default_there_are_at_most_twice_as_many_centres_as_prompts_in_the_largest_pool() -> None:
    prompts = [torch.randn(1 + client % 5, 64, generator=rng(client)) for client in range(8)]
    assert len(align(prompts, rng=rng(), likelihood="sum").centres) == 10


def test_unrelated_prompts_each_have_a_centre_under_the_likelihood_of_the_paper_when_unbounded() -> None:
    prompts = [torch.randn(4, 64, generator=rng(client)) for client in range(5)]
    assert len(align(prompts, rng=rng(), likelihood="sum", max_centres=20).centres) == 20


# Bad input, as users see it: without the shape checks that tests switch on

good = [torch.zeros(2, 3), torch.ones(4, 3)]


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "found no client, expected at least one"),
        ([torch.zeros(3)], {}, r"found prompts of client 0 of shape \(3,\), expected \(prompt, dim\)"),
        ([torch.tensor(1.0)], {}, r"found prompts of client 0 of shape \(\), expected \(prompt, dim\)"),
        ([*good, torch.zeros(0, 3)], {}, r"found prompts of client 2 of shape \(0, 3\)"),
        ([torch.zeros(2, 0)], {}, r"found prompts of client 0 of shape \(2, 0\)"),
        ([*good, torch.zeros(2, 5)], {}, r"found prompts of client 2 of shape \(2, 5\), expected \(prompt, 3\)"),
        ([good[0], torch.full((1, 3), torch.nan)], {}, "found NaN, infinity or integers in prompts of client 1"),
        ([good[0], torch.full((1, 3), torch.inf)], {}, "found NaN, infinity or integers in prompts of client 1"),
        ([torch.zeros(2, 3, dtype=torch.int64)], {}, "found NaN, infinity or integers in prompts of client 0"),
        (
            good,
            {"initial_centres": torch.zeros(2, 4)},
            r"found initial centres of shape \(2, 4\), expected \(prompt, 3\)",
        ),
        (
            good,
            {"initial_centres": torch.full((2, 3), torch.nan)},
            "found NaN, infinity or integers in initial centres",
        ),
        (good, {"max_centres": 3}, "found max_centres=3, expected at least 4"),
        (good, {"max_centres": 5, "initial_centres": torch.zeros(6, 3)}, "found max_centres=5, expected at least 6"),
        (good, {"likelihood": "median"}, "found likelihood='median', expected 'mean' or 'sum'"),
        (good, {"num_alternations": 0}, "found 0 alternations or gradient steps, expected at least 1"),
        (good, {"num_gradient_steps": -1}, "found -1 alternations or gradient steps, expected at least 1"),
    ],
)
def test_bad_input_is_refused_with_what_was_found_and_expected(
    prompts: list[Tensor], options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(align)(prompts, rng=rng(), **options)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    prompts, _ = shuffled_copies(meanings(6, 40), num_clients=150, noise=0.5)
    found: dict[int, Alignment] = {}
    before = torch.get_num_threads()
    try:
        for num_threads in (1, 3):
            torch.set_num_threads(num_threads)
            found[num_threads] = align(prompts, rng=rng("threads"))
            assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[1].centres, found[3].centres)
    assert found[1].objective == found[3].objective


def test_the_order_of_clients_does_not_matter_where_first_coordinates_are_the_same() -> None:
    prompts = [torch.randn(4, 3, generator=rng("tied", client)) for client in range(5)]
    for pool in prompts:
        pool[:, 0] = 0.5
    forth, back = align(prompts, rng=rng("tied")), align(prompts[::-1], rng=rng("tied"))
    assert torch.equal(forth.centres, back.centres)
    assert all(torch.equal(a, b) for a, b in zip(forth.matches, back.matches[::-1], strict=True))

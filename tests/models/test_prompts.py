"""What is prepended to a sample's tokens, worked out by hand and by brute force."""

import itertools
import json
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedprime.backbones.backbone import Tokens
from fedprime.models.prompts import (
    PROMPTERS,
    AllPrompts,
    NoPrompts,
    PatternPrompts,
    Prompter,
    PromptPools,
    cosine_distance,
    pattern_index,
    standardise,
)
from fedprime.reproducibility.seeding import torch_stream

examples = settings(max_examples=50, deadline=None, derandomize=True)

DIM = 5
#: By its name, a prompter for three modalities with random prompts.
BUILT: dict[str, Callable[[], Prompter]] = {
    "pools": lambda: PromptPools(DIM, {"inter": 7, "intra": 4}, 3, rng("pools")),
    "pools of contexts": lambda: PromptPools(
        DIM, {"inter": 7, "intra": 4}, 3, rng("pools"), standardised=True, context_weight=0.5
    ),
    "patterns": lambda: PatternPrompts(DIM, 3, 4, rng("patterns")),
    "all": lambda: AllPrompts(DIM, 4, rng("all")),
    "none": lambda: NoPrompts(DIM),
}


@pytest.fixture(params=BUILT)
def prompter(request: pytest.FixtureRequest) -> Prompter:
    return randomised(BUILT[request.param]())


def rng(*name: str | int) -> torch.Generator:
    return torch_stream(0, "test prompts", *name)


def randomised(prompter: Prompter) -> Prompter:
    """Moves everything that is learnt away from where it starts."""
    for name, parameter in prompter.named_parameters():
        parameter.data += 0.5 * torch.randn(parameter.shape, generator=rng("moved", name))
    return prompter


def random_present(num_samples: int, num_modalities: int = 3) -> Tensor:
    patterns = [pattern for pattern in itertools.product([False, True], repeat=num_modalities) if any(pattern)]
    return torch.tensor([patterns[row % len(patterns)] for row in range(num_samples)])


def random_tokens(num_samples: int, name: str = "tokens") -> Tokens:
    mask = torch.rand(num_samples, 6, generator=rng(name, "mask")) < 0.6
    mask[:, 0] = True
    return Tokens(
        torch.randn(num_samples, 6, DIM, generator=rng(name)), mask, torch.tensor([-1, 0, 0, 1, 1, 2]), summary=0
    )


def row_of(tokens: Tokens, row: int) -> Tokens:
    return Tokens(tokens.values[[row]], tokens.mask[[row]], tokens.modality, tokens.summary)


def one_token(*values: float) -> Tokens:
    """A sample whose tokens have this mean."""
    return Tokens(torch.tensor([[values]]), torch.ones(1, 1, dtype=torch.bool), torch.tensor([-1]), summary=0)


def pools_of(prompts: list[list[float]], num_chosen: int) -> PromptPools:
    """One pool, its maps still the identity."""
    pools = PromptPools(len(prompts[0]), {"only": len(prompts)}, num_chosen)
    pools.pools["only"].data = torch.tensor(prompts)
    return pools


# Distances and patterns


def test_the_distance_is_one_minus_the_cosine() -> None:
    queries = torch.tensor([[1.0, 0.0], [3.0, 3.0]])
    keys = torch.tensor([[5.0, 0.0], [0.0, 0.1], [-2.0, 0.0], [1.0, 1.0]])
    diagonal = 1 - 1 / math.sqrt(2)
    expected = [[0, 1, 2, diagonal], [diagonal, diagonal, 2 - diagonal, 0]]
    assert torch.allclose(cosine_distance(queries, keys), torch.tensor(expected), atol=1e-6)


@examples
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_the_distance_is_between_zero_and_two_and_does_not_know_lengths(seed: int, one: float, other: float) -> None:
    queries, keys = torch.randn(2, 4, DIM, generator=rng("lengths", seed))
    distance = cosine_distance(queries, keys)
    assert distance.min() > -1e-5
    assert distance.max() < 2 + 1e-5
    assert torch.allclose(cosine_distance(one * queries, other * keys), distance, atol=1e-5)


@pytest.mark.parametrize("num_modalities", range(1, 7))
def test_patterns_are_numbered_by_the_bits_of_what_is_there(num_modalities: int) -> None:
    for pattern in itertools.product([False, True], repeat=num_modalities):
        if any(pattern):
            expected = sum(2**bit for bit, there in enumerate(pattern) if there) - 1
            assert pattern_index(torch.tensor([pattern])).tolist() == [expected]


# Pools


def test_the_nearest_prompts_are_chosen_nearest_first() -> None:
    # Seen from (1, 0), the prompts stand at angles of 90, 0, 180, 45 and 60 degrees.
    prompts = [[0.0, 2.0], [9.0, 0.0], [-1.0, 0.0], [0.1, 0.1], [0.5, math.sqrt(0.75)]]
    chosen = pools_of(prompts, 3)(one_token(1.0, 0.0), torch.tensor([[True]]))
    assert chosen.indices["only"].tolist() == [[1, 3, 4]]
    assert torch.equal(chosen.prompts, torch.tensor([[prompts[1], prompts[3], prompts[4]]]))
    expected = (0 + (1 - math.sqrt(0.5)) + (1 - 0.5)) / 3
    assert chosen.distance.tolist() == pytest.approx([expected], abs=1e-6)


def test_the_query_map_turns_the_sample_before_it_is_compared() -> None:
    pools = pools_of([[1.0, 0.0], [0.0, 1.0]], 1)
    pools.query.data = torch.tensor([[0.0, 0.0], [7.0, 0.0]])  # sends (1, 0) to (0, 7)
    assert pools(one_token(1.0, 0.0), torch.tensor([[True]])).indices["only"].tolist() == [[1]]


def test_the_key_map_turns_the_prompts_before_they_are_compared_and_not_what_is_prepended() -> None:
    pools = pools_of([[1.0, 0.0], [0.0, 1.0]], 1)
    pools.key.data = torch.tensor([[0.0, 1.0], [0.0, 0.0]])  # sends (0, 1) to (1, 0)
    chosen = pools(one_token(1.0, 0.0), torch.tensor([[True]]))
    assert chosen.indices["only"].tolist() == [[1]]
    assert chosen.prompts.tolist() == [[[0, 1]]]


def test_the_query_is_the_mean_of_the_tokens_that_are_there() -> None:
    values = torch.tensor([[[1.0, 0.0], [0.0, 4.0], [-90.0, -90.0]]])
    tokens = Tokens(values, torch.tensor([[True, True, False]]), torch.tensor([-1, 0, 1]), summary=0)
    chosen = pools_of([[1.0, 4.0], [1.0, 0.0], [-1.0, -1.0]], 1)(tokens, torch.tensor([[True, False]]))
    assert chosen.indices["only"].tolist() == [[0]]
    assert chosen.distance.tolist() == pytest.approx([0], abs=1e-6)


def test_maps_start_as_the_identity() -> None:
    pools = PromptPools(3, {"inter": 2}, 1, rng("start"))
    assert torch.equal(pools.query, torch.eye(3))
    assert torch.equal(pools.key, torch.eye(3))


def test_without_maps_the_same_prompts_are_chosen_as_with_maps_that_have_learnt_nothing() -> None:
    with_maps = PromptPools(DIM, {"inter": 7, "intra": 5}, 3, rng("pools"))
    without = PromptPools(DIM, {"inter": 7, "intra": 5}, 3, rng("pools"), learns_maps=False)
    assert set(dict(without.named_parameters())) == {"pools.inter", "pools.intra"}
    tokens, present = random_tokens(4, "tokens"), random_present(4)
    expected, found = with_maps(tokens, present), without(tokens, present)
    assert torch.equal(found.prompts, expected.prompts)
    assert all(torch.equal(found.indices[name], expected.indices[name]) for name in ("inter", "intra"))
    assert PromptPools(DIM, **without.options()).query is None


@examples
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 10), st.integers(0, 1000))
def test_retrieval_is_that_of_brute_force(num_inter: int, num_intra: int, num_chosen: int, seed: int) -> None:
    pools = PromptPools(DIM, {"inter": num_inter, "intra": num_intra}, num_chosen, rng("brute force", seed))
    pools.query.data = torch.randn(DIM, DIM, generator=rng("query", seed))
    pools.key.data = torch.randn(DIM, DIM, generator=rng("key", seed))
    tokens, present = random_tokens(4, f"tokens {seed}"), random_present(4)
    chosen = pools(tokens, present)
    for row in range(4):
        there = [value for value, mask in zip(tokens.values[row], tokens.mask[row], strict=True) if mask]
        query = pools.query @ (sum(there) / len(there))
        prompts, distances = [], []
        for name, pool in pools.pools.items():
            far = [
                1 - (query @ (pools.key @ prompt) / query.norm() / (pools.key @ prompt).norm()).item()
                for prompt in pool
            ]
            nearest = sorted(range(len(pool)), key=far.__getitem__)[:num_chosen]
            assert chosen.indices[name][row].tolist() == nearest
            prompts += [pool[index] for index in nearest]
            distances += [far[index] for index in nearest]
        assert torch.equal(chosen.prompts[row], torch.stack(prompts))
        assert chosen.distance[row].item() == pytest.approx(sum(distances) / len(distances), abs=1e-5)


def test_each_pool_gives_its_own_prompts() -> None:
    pools = PromptPools(DIM, {"inter": 6, "intra": 3}, 2, rng("two pools"))
    chosen = pools(random_tokens(8), random_present(8))
    assert chosen.prompts.shape == (8, 4, DIM)
    for first, name in ((0, "inter"), (2, "intra")):
        assert torch.equal(chosen.prompts[:, first : first + 2], pools.pools[name][chosen.indices[name]])


def test_a_pool_smaller_than_the_number_chosen_gives_all_it_has() -> None:
    chosen = PromptPools(DIM, {"inter": 2, "intra": 6}, 4, rng("small"))(random_tokens(3), random_present(3))
    assert chosen.prompts.shape == (3, 2 + 4, DIM)
    assert [sorted(row) for row in chosen.indices["inter"].tolist()] == [[0, 1]] * 3


def test_the_order_of_prompts_in_a_pool_does_not_matter() -> None:
    pools = PromptPools(DIM, {"only": 8}, 3, rng("order"))
    before = pools(random_tokens(5), random_present(5))
    order = torch.randperm(8, generator=rng("shuffle"))
    pools.pools["only"].data = pools.pools["only"][order].detach()
    after = pools(random_tokens(5), random_present(5))
    assert torch.equal(after.prompts, before.prompts)
    assert torch.equal(order[after.indices["only"]], before.indices["only"])


def test_the_pull_brings_chosen_prompts_nearer_and_leaves_the_others() -> None:
    pools = pools_of([[1.0, 0.5], [0.0, 1.0], [-1.0, 0.0]], 1)
    before = pools(one_token(1.0, 0.0), torch.tensor([[True]]))
    before.distance.sum().backward()
    gradient = pools.pools["only"].grad
    assert gradient is not None
    assert gradient[1:].tolist() == [[0, 0], [0, 0]]
    pools.pools["only"].data -= 0.1 * gradient
    assert pools(one_token(1.0, 0.0), torch.tensor([[True]])).distance < before.distance


def test_the_pull_teaches_the_maps() -> None:
    pools = PromptPools(DIM, {"only": 4}, 2, rng("maps"))
    pools(random_tokens(5), random_present(5)).distance.mean().backward()
    for learnt in (pools.query, pools.key):
        assert learnt.grad is not None
        assert learnt.grad.abs().max() > 0


def test_prompts_learn_from_what_is_made_of_them() -> None:
    pools = PromptPools(DIM, {"only": 4}, 2, rng("learn"))
    chosen = pools(random_tokens(1), random_present(1))
    chosen.prompts.sum().backward()
    gradient = pools.pools["only"].grad
    assert gradient is not None
    expected = [[float(index in chosen.indices["only"][0])] * DIM for index in range(4)]
    assert gradient.tolist() == expected


# Prompts by pattern


def test_a_sample_gets_the_prompts_of_its_pattern() -> None:
    patterns = PatternPrompts(2, 2, 3)
    # The sets of the patterns image, text and both are filled with 1, 2 and 3.
    patterns.sets.data = torch.arange(1.0, 4)[:, None, None].expand(3, 3, 2)
    tokens = Tokens(torch.zeros(4, 1, 2), torch.ones(4, 1, dtype=torch.bool), torch.tensor([-1]), summary=0)
    chosen = patterns(tokens, torch.tensor([[True, True], [True, False], [False, True], [True, True]]))
    assert chosen.prompts.shape == (4, 3, 2)
    assert chosen.prompts.mean(dim=(1, 2)).tolist() == [3, 1, 2, 3]


@pytest.mark.parametrize(("num_modalities", "num_sets"), [(1, 1), (2, 3), (3, 7), (5, 31)])
def test_there_is_one_set_for_each_pattern_and_all_start_alike(num_modalities: int, num_sets: int) -> None:
    sets = PatternPrompts(DIM, num_modalities, 4, rng("sets")).sets
    assert sets.shape == (num_sets, 4, DIM)
    assert (sets == sets[0]).all()
    assert sets[0].std() > 0


def test_only_the_set_of_a_pattern_learns_from_its_samples() -> None:
    patterns = PatternPrompts(DIM, 2, 3, rng("learn"))
    patterns(random_tokens(2), torch.tensor([[False, True], [False, True]])).prompts.sum().backward()
    assert patterns.sets.grad is not None
    assert patterns.sets.grad.flatten(1).sum(dim=1).tolist() == [0, 2 * 3 * DIM, 0]


# All prompts, no prompts


def test_every_sample_gets_all_prompts() -> None:
    prompts = AllPrompts(DIM, 4, rng("all"))
    chosen = prompts(random_tokens(3), random_present(3))
    assert torch.equal(chosen.prompts, torch.stack([prompts.prompts] * 3))


def test_nothing_is_nothing() -> None:
    chosen = NoPrompts(DIM)(random_tokens(3), random_present(3))
    assert chosen.prompts.shape == (3, 0, DIM)
    assert list(NoPrompts(DIM).parameters()) == []


@pytest.mark.parametrize("name", ["patterns", "all", "none"])
def test_where_nothing_is_retrieved_the_distance_is_zero(name: str) -> None:
    chosen = BUILT[name]()(random_tokens(3), random_present(3))
    assert chosen.distance.tolist() == [0, 0, 0]
    assert chosen.indices == {}


# What holds for every prompter


def test_every_prompter_that_can_be_saved_is_tested() -> None:
    assert {type(build()) for build in BUILT.values()} == set(PROMPTERS.values())


def test_a_samples_prompts_do_not_depend_on_who_shares_the_batch(prompter: Prompter) -> None:
    tokens, present = random_tokens(9), random_present(9)
    together = prompter(tokens, present)
    for row in range(9):
        alone = prompter(row_of(tokens, row), present[[row]])
        assert torch.equal(alone.prompts[0], together.prompts[row])
        assert torch.allclose(alone.distance[0], together.distance[row], atol=1e-6)


def test_masked_tokens_do_not_decide_the_prompts(prompter: Prompter) -> None:
    tokens, present = random_tokens(9), random_present(9)
    garbage = 1e3 * torch.randn(tokens.values.shape, generator=rng("garbage"))
    poisoned = Tokens(
        torch.where(tokens.mask[:, :, None], tokens.values, garbage), tokens.mask, tokens.modality, tokens.summary
    )
    assert torch.equal(prompter(poisoned, present).prompts, prompter(tokens, present).prompts)


def test_its_options_build_one_of_the_same_shape(prompter: Prompter) -> None:
    options = json.loads(json.dumps(prompter.options()))
    again = type(prompter)(DIM, **options)
    assert {name: value.shape for name, value in again.named_parameters()} == {
        name: value.shape for name, value in prompter.named_parameters()
    }
    again.load_state_dict(prompter.state_dict())
    tokens, present = random_tokens(5), random_present(5)
    assert torch.equal(again(tokens, present).prompts, prompter(tokens, present).prompts)


def test_the_options_of_a_pool_that_has_grown_are_those_of_its_new_size() -> None:
    pools = PromptPools(DIM, {"inter": 4, "intra": 4}, 2, rng("grown"))
    pools.pools["inter"].data = torch.zeros(9, DIM)
    assert pools.options()["pools"] == {"inter": 9, "intra": 4}


def test_resizable_parameters_are_parameters(prompter: Prompter) -> None:
    assert prompter.resizable <= {name for name, _ in prompter.named_parameters()}


@pytest.mark.parametrize("name", BUILT)
def test_initial_prompts_come_from_the_generator_and_from_nowhere_else(name: str) -> None:
    before = torch.get_rng_state()
    one, other = (list(BUILT[name]().parameters()) for _ in range(2))
    assert all(torch.equal(first, second) for first, second in zip(one, other, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_prompts_are_small_and_different() -> None:
    prompts = PromptPools(64, {"inter": 50}, 2, rng("initial")).pools["inter"].detach()
    # As wide as the initial tokens of vision transformers, 0.02.
    assert prompts.std().item() == pytest.approx(0.02, rel=0.05)
    assert torch.pdist(prompts).min() > 0.05


# Standardised queries and contexts


def test_standardised_values_have_mean_0_and_variance_1() -> None:
    values = 3 + 2 * torch.randn(500, DIM, generator=rng("values"), dtype=torch.float64)
    moments = torch.stack([values.mean(dim=0), values.square().mean(dim=0)])
    standardised = standardise(values, moments)
    torch.testing.assert_close(standardised.mean(dim=0), torch.zeros(DIM, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(
        standardised.var(dim=0, correction=0), torch.ones(DIM, dtype=torch.float64), atol=1e-5, rtol=0
    )


def test_a_coordinate_that_never_changes_says_nothing() -> None:
    standardised = standardise(torch.full((4, 1), 2.5), torch.tensor([[2.5], [6.25]]))
    assert standardised.abs().max() < 1e-3


def test_samples_with_a_large_common_part_choose_alike_unless_standardised() -> None:
    shared = torch.tensor([50.0, 50.0])
    samples = [shared + torch.tensor(offset) for offset in ([1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0])]
    values = torch.stack(samples)
    prompts = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    raw = pools_of(prompts, 1)
    standardised = PromptPools(2, {"only": 4}, 1, standardised=True)
    standardised.pools["only"].data = torch.tensor(prompts)
    assert standardised.moments is not None
    standardised.moments.data = torch.stack([values.mean(dim=0), values.square().mean(dim=0)])
    present = torch.ones(1, 1, dtype=torch.bool)

    def chosen(pools: PromptPools) -> list[int]:
        return [int(pools(one_token(*sample.tolist()), present).indices["only"]) for sample in samples]

    assert len(set(chosen(raw))) == 2  # the sign of the difference of two nearly equal numbers
    assert chosen(standardised) == [0, 1, 2, 3]


def test_while_moments_are_not_known_queries_are_as_in_the_paper() -> None:
    raw, standardised = (PromptPools(DIM, {"only": 6}, 2, rng("same"), standardised=flag) for flag in (False, True))
    tokens, present = random_tokens(9), random_present(9)
    assert torch.equal(raw(tokens, present).indices["only"], standardised(tokens, present).indices["only"])


def test_a_context_draws_a_clients_samples_to_the_same_prompts() -> None:
    pools = PromptPools(2, {"only": 2}, 1, standardised=True, context_weight=2.0)
    assert pools.moments is not None
    assert pools.context is not None
    pools.pools["only"].data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    pools.moments.data = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    sample, present = one_token(3.0, 1.0), torch.ones(1, 1, dtype=torch.bool)
    assert pools(sample, present).indices["only"].tolist() == [[0]]
    # Unit vectors: (0.95, 0.32) of the sample plus twice (0, 1) of the client is nearer to the second prompt.
    pools.context.data = torch.tensor([0.0, 0.1])
    assert pools(sample, present).indices["only"].tolist() == [[1]]


def test_a_context_without_standardised_queries_is_refused() -> None:
    with pytest.raises(ValueError, match="a context needs standardised queries"):
        PromptPools(2, {"only": 2}, 1, context_weight=0.5)

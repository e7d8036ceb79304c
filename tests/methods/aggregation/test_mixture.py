"""The mixture behind alignment: its objective and its two half steps, against the formula and brute force."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from fedprime.methods.aggregation.mixture import (
    Mixture,
    Network,
    Prompts,
    assign,
    constant_network,
    descend,
    fit,
    gather_statistics,
)
from fedprime.methods.aggregation.mixture_gradients import LossWithGradient
from fedprime.reproducibility.seeding import torch_stream


def rng(*name: str | int) -> torch.Generator:
    return torch_stream(0, "test mixture", *name)


def meanings(num_prompts: int, dim: int) -> Tensor:
    return torch.randn(num_prompts, dim, generator=rng("meanings"))


def random_model(num_centres: int, dim: int, seed: int = 0) -> Mixture:
    """Returns a model whose deviations and popularities differ from centre to centre."""
    generator = rng("model", seed)

    def network(num_outputs: int) -> Network:
        plain = constant_network(dim, num_outputs, 0.0, generator)
        return plain._replace(readout=torch.randn(plain.readout.shape, generator=generator))

    return Mixture(torch.randn(num_centres, dim, generator=generator).double(), network(dim), network(1))


@pytest.mark.parametrize("weight", [1.0, 1 / 3])
def test_the_objective_is_the_formula_of_the_paper(weight: float) -> None:
    points, model = meanings(5, 3).double(), random_model(num_centres=4, dim=3)
    clients, matches = [points[:2], points[2:]], [torch.tensor([3, 0]), torch.tensor([0, 3, 1])]
    density = Normal(model.centres, model.deviation)
    popularity = model.log_odds.sigmoid()
    expected = torch.tensor(0.0).double()
    for pool, matched in zip(clients, matches, strict=True):
        for prompt, centre in zip(pool, matched, strict=True):
            expected -= weight * density.log_prob(prompt)[centre].sum()
        for centre in range(4):
            expected -= (popularity[centre] if centre in matched else 1 - popularity[centre]).log()

    statistics = gather_statistics(Prompts(points, [2, 3], weight), torch.cat(matches), model.centres)
    assert model.objective(statistics) == pytest.approx(expected.item(), rel=1e-9)


def test_a_half_step_that_would_raise_the_objective_by_moving_the_centres_leaves_them() -> None:
    stayed = 0
    for seed in range(30):
        model = random_model(num_centres=3, dim=2, seed=seed)
        points = 3 * torch.randn(8, 2, generator=rng("points", seed)).double()
        matches = torch.tensor([0, 1, 2, 0, 0, 1, 2, 1])
        statistics = gather_statistics(Prompts(points, [3, 1, 3, 1], 1.0), matches, model.centres)
        fitted = fit(model, statistics, num_steps=1)
        assert fitted.objective(statistics) <= model.objective(statistics)
        stayed += torch.equal(fitted.centres, model.centres)
    assert 0 < stayed < 30


def test_a_network_is_never_exchanged_for_a_worse_one() -> None:
    network, calls = constant_network(2, 1, 0.0, rng()), itertools.count()
    gradients = Network(*map(torch.zeros_like, network))._replace(readout=torch.ones_like(network.readout))

    def loss(candidate: Network) -> LossWithGradient:
        return LossWithGradient(candidate.readout.sum() + 1000.0 * next(calls), gradients)

    descended = descend(network, loss, 5)
    assert all(map(torch.equal, descended, network))
    assert next(calls) > 1


@pytest.mark.parametrize("weight", [1.0, 1 / 2])
@pytest.mark.parametrize("seed", range(5))
def test_the_assignment_is_the_cheapest_of_all_assignments(weight: float, seed: int) -> None:
    pool = torch.randn(3, 2, generator=rng(seed), dtype=torch.float64)
    model = random_model(num_centres=5, dim=2, seed=seed)
    density, popularity = Normal(model.centres, model.deviation), model.log_odds.sigmoid()

    def cost(centres: tuple[int, ...]) -> float:
        likelihood = sum(density.log_prob(pool[prompt])[centre].sum() for prompt, centre in enumerate(centres))
        return (-weight * likelihood - (popularity / (1 - popularity))[list(centres)].log().sum()).item()

    best = min(itertools.permutations(range(5), 3), key=cost)
    matches, total = assign(Prompts(pool, [3], weight), model.centres, model.deviation, model.log_odds)
    assert tuple(matches.tolist()) == best
    assert total == pytest.approx(cost(best), rel=1e-9)


def test_matches_that_cost_the_same_stay_as_they_were() -> None:
    centres = torch.zeros(2, 1, dtype=torch.float64)
    previous = torch.tensor([1, 0])
    prompts = Prompts(torch.tensor([[1.0], [2.0]], dtype=torch.float64), [2], 1.0)
    for kept in (previous, previous.flip(0)):
        matches, _ = assign(prompts, centres, torch.ones_like(centres), torch.zeros(2, dtype=torch.float64), kept)
        assert matches.tolist() == kept.tolist()


def test_a_prompt_without_a_match_counts_nowhere() -> None:
    points = torch.tensor([[1.0, 2.0], [3.0, 4.0], [50.0, 50.0]], dtype=torch.float64)
    found = gather_statistics(Prompts(points, [3], 1.0), torch.tensor([0, 0, -1]), torch.zeros(2, 2).double())
    assert found.counts.tolist() == [2, 0]
    assert found.means.tolist() == [[2, 3], [0, 0]]
    assert found.squares.tolist() == [[2, 2], [0, 0]]


def test_rows_that_are_worked_on_in_parts_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.randn(100, 5, generator=rng("rows"), dtype=torch.float64)
    matches = torch.randint(-1, 4, (100,), generator=rng("matches"))
    prompts, centres = Prompts(points, [50, 50], 1.0), torch.zeros(4, 5).double()
    whole = gather_statistics(prompts, matches, centres)
    monkeypatch.setattr("fedprime.methods.aggregation.mixture.ROWS_AT_ONCE", 7)
    parts = gather_statistics(prompts, matches, centres)
    assert torch.equal(whole.means, parts.means)
    assert torch.equal(whole.squares, parts.squares)


@pytest.mark.parametrize("num_threads", [2, 5])
def test_threads_solve_the_assignments_to_the_same_bits(num_threads: int) -> None:
    model = random_model(12, 6)
    points = torch.randn(200 * 9, 6, generator=rng("many"), dtype=torch.float64)
    prompts = Prompts(points, [9] * 200, 1.0)
    alone = assign(prompts, model.centres, model.deviation, model.log_odds)
    together = assign(prompts, model.centres, model.deviation, model.log_odds, num_threads=num_threads)
    assert torch.equal(alone[0], together[0])
    assert alone[1] == together[1]

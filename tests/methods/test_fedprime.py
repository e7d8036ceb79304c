"""FED-PRIME and its ablations: what a client minimises, what is aligned and what is averaged."""

import numpy as np
import pytest
import torch

from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Batch
from fedprime.experiment.build import Experiment
from fedprime.methods.fedprime import FedInter, FedIntra, FedPrime
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.reproducibility.seeding import torch_stream

INTER, INTRA = "prompter.pools.inter", "prompter.pools.intra"
LABELS = ("bread", "soup", "cake")


@pytest.fixture
def batch(small_experiment: Experiment) -> Batch:
    return next(small_experiment.shards[0].batches(16))


def build(method: Method, tiny: Backbone) -> PromptedModel:
    return method.build(tiny, LABELS, rng=torch_stream(0, "initial weights"))


def far_apart(num_prompts: int, dim: int) -> torch.Tensor:
    """Prompts of which no two could be taken for each other."""
    return 10 * torch.eye(dim)[:num_prompts]


def with_pools(weights: Weights, **pools: torch.Tensor) -> Weights:
    return {**weights, **{f"prompter.pools.{name}": pool for name, pool in pools.items()}}


def server(method: Method, current: Weights, *sent: Weights, num_samples: tuple[int, ...] = ()) -> Weights:
    sizes = num_samples or (10,) * len(sent)
    updates = [Update(client, sizes[client], weights) for client, weights in enumerate(sent)]
    return method.aggregate(ServerState(current), updates, torch_stream(0, "server")).shared


@pytest.mark.parametrize(
    ("method", "pools"),
    [(FedPrime, {INTER, INTRA}), (FedInter, {INTER}), (FedIntra, {INTRA})],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_method_has_its_pools_and_no_other(method: type[FedPrime], pools: set[str], tiny: Backbone):
    weights = build(method(num_prompts=6, pool_size=6), tiny).weights()
    assert {name for name in weights if ".pools." in name} == pools
    assert all(weights[name].shape == (6, tiny.dim) for name in pools)


def test_the_loss_is_cross_entropy_plus_the_weighted_cosine_distance_to_the_chosen_prompts(
    tiny: Backbone, batch: Batch
):
    method = FedPrime(num_prompts=4, pool_size=5, pull_weight=0.25)
    model = build(method, tiny)
    output = model(batch)
    logits = output.logits.detach().double().numpy()
    log_sum = np.log(np.exp(logits).sum(axis=1))
    cross_entropy = (log_sum - logits[np.arange(len(logits)), batch.labels.numpy()]).mean()
    tokens = tiny.assemble(batch.embedded)
    distances = []
    for sample in range(len(batch)):
        query = tokens.values[sample][tokens.mask[sample]].mean(dim=0).numpy()
        prompts = output.chosen.prompts[sample].detach().numpy()
        # Both maps start as the identity.
        distances += [1 - query @ prompt / np.linalg.norm(query) / np.linalg.norm(prompt) for prompt in prompts]
    expected = cross_entropy + 0.25 * np.mean(distances)
    assert method.loss(model, batch, model.weights()).item() == pytest.approx(expected, rel=1e-5)


def test_without_pull_the_loss_is_the_task_loss(tiny: Backbone, batch: Batch):
    method = FedPrime(num_prompts=4, pull_weight=0.0)
    model = build(method, tiny)
    expected = torch.nn.functional.cross_entropy(model(batch).logits, batch.labels)
    assert method.loss(model, batch, model.weights()).item() == expected.item()


def test_without_pull_there_are_no_maps_to_train_or_to_send(tiny: Backbone):
    weights = build(FedPrime(pull_weight=0.0), tiny).weights()
    maps = {"prompter.query", "prompter.key"}
    assert maps <= build(FedPrime(), tiny).weights().keys()
    assert not maps & weights.keys()
    aligned = server(FedPrime(pull_weight=0.0), weights, weights, weights)
    assert aligned.keys() == weights.keys()


def test_training_pulls_the_chosen_prompts_towards_their_samples(tiny: Backbone, batch: Batch):
    method = FedPrime(num_prompts=4, pull_weight=100.0)
    model = build(method, tiny)
    before = model(batch).chosen.distance.mean().item()
    optimizer = torch.optim.SGD(model.prompter.parameters(), lr=1e-4)
    method.loss(model, batch, model.weights()).backward()
    optimizer.step()
    assert model(batch).chosen.distance.mean().item() < before


def test_clients_with_the_same_inter_prompts_in_another_order_get_those_prompts_back(tiny: Backbone):
    method = FedPrime(num_prompts=4, pool_size=4)
    weights = build(method, tiny).weights()
    prompts = far_apart(4, tiny.dim)
    here, there = with_pools(weights, inter=prompts), with_pools(weights, inter=prompts[[2, 0, 3, 1]])
    aligned = server(method, with_pools(weights, inter=prompts), here, there)[INTER]
    torch.testing.assert_close(aligned, prompts)


def test_the_intra_pool_is_averaged_row_by_row_and_weighted_by_samples(tiny: Backbone):
    method = FedPrime(num_prompts=4, pool_size=4)
    weights = build(method, tiny).weights()
    prompts = far_apart(4, tiny.dim)
    here, there = with_pools(weights, intra=prompts), with_pools(weights, intra=prompts[[1, 0, 3, 2]])
    averaged = server(method, weights, here, there, num_samples=(30, 10))[INTRA]
    torch.testing.assert_close(averaged, 0.75 * prompts + 0.25 * prompts[[1, 0, 3, 2]])


def test_the_inter_pool_does_not_take_part_in_the_average(tiny: Backbone):
    method = FedPrime(num_prompts=4, pool_size=4)
    weights = build(method, tiny).weights()
    prompts = far_apart(4, tiny.dim)
    here, there = with_pools(weights, inter=prompts), with_pools(weights, inter=prompts + 0.01)
    # A client with 1000 times the samples counts no more than another: prompts are matched, each counts once.
    aligned = server(method, with_pools(weights, inter=prompts), here, there, num_samples=(1000, 1))[INTER]
    torch.testing.assert_close(aligned, prompts + 0.005)


@pytest.mark.parametrize("name", ["pooler.weight", "head.bias", "prompter.query", "prompter.key"])
def test_everything_but_the_inter_pool_is_averaged(name: str, tiny: Backbone):
    method = FedPrime(num_prompts=4, pool_size=4)
    weights = build(method, tiny).weights()
    there = {**weights, name: weights[name] + 4}
    assert torch.allclose(server(method, weights, weights, there, num_samples=(3, 1))[name], weights[name] + 1)


def test_fed_intra_aligns_nothing(tiny: Backbone):
    method = FedIntra(num_prompts=4, pool_size=4)
    weights = build(method, tiny).weights()
    here, there = (
        with_pools(weights, intra=torch.zeros(4, tiny.dim)),
        with_pools(weights, intra=torch.ones(4, tiny.dim)),
    )
    torch.testing.assert_close(server(method, weights, here, there)[INTRA], torch.full((4, tiny.dim), 0.5))


def test_a_prompt_that_only_one_client_has_is_kept(tiny: Backbone):
    method = FedInter(num_prompts=3, pool_size=3)
    weights = build(method, tiny).weights()
    prompts = far_apart(4, tiny.dim)
    common, alone = prompts[:3], prompts[[0, 1, 3]]
    pool = server(
        method,
        with_pools(weights, inter=common),
        *[with_pools(weights, inter=common)] * 5,
        with_pools(weights, inter=alone),
    )[INTER]
    nearest = torch.cdist(prompts, pool).amin(dim=1)
    assert nearest.max() < 1


@pytest.mark.parametrize("centres_per_prompt", [1.0, 1.5, 2.0])
def test_the_aligned_pool_stays_within_its_bound_over_rounds(centres_per_prompt: float, tiny: Backbone):
    # The sum over coordinates makes pools grow to whatever is allowed.
    method = FedInter(num_prompts=4, pool_size=4, centres_per_prompt=centres_per_prompt, likelihood="sum")
    weights = build(method, tiny).weights()
    for round_number in range(3):
        rng = torch_stream(round_number, "clients")
        sent = [{**weights, INTER: weights[INTER] + torch.randn(weights[INTER].shape, generator=rng)} for _ in range(5)]
        weights = server(method, weights, *sent)
        assert len(weights[INTER]) <= int(4 * centres_per_prompt)


def test_without_a_bound_every_prompt_of_every_client_may_become_a_centre(tiny: Backbone):
    method = FedInter(num_prompts=4, pool_size=4, centres_per_prompt=0.0, likelihood="sum")
    weights = build(method, tiny).weights()
    rng = torch_stream(0, "clients")
    sent = [{**weights, INTER: 10 * torch.randn(weights[INTER].shape, generator=rng)} for _ in range(5)]
    size = len(server(method, weights, *sent)[INTER])
    assert 8 < size <= 5 * 4


def test_the_order_of_clients_does_not_change_the_aligned_pool(tiny: Backbone):
    method = FedInter(num_prompts=4, pool_size=4)
    weights = build(method, tiny).weights()
    rng = torch_stream(0, "clients")
    sent = [
        {**weights, INTER: weights[INTER] + 0.01 * torch.randn(weights[INTER].shape, generator=rng)} for _ in range(4)
    ]
    forwards, backwards = server(method, weights, *sent)[INTER], server(method, weights, *sent[::-1])[INTER]
    torch.testing.assert_close(forwards, backwards)


def test_a_run_that_starts_from_a_pool_beyond_the_bound_keeps_it(tiny: Backbone):
    method = FedInter(num_prompts=2, pool_size=2, centres_per_prompt=1.0)
    weights = with_pools(build(method, tiny).weights(), inter=far_apart(5, tiny.dim))
    assert torch.allclose(server(method, weights, weights, weights)[INTER], far_apart(5, tiny.dim), atol=1e-6)


# Standardised queries and contexts


def mean_tokens(experiment: Experiment, client: int) -> torch.Tensor:
    """Each sample's mean token, one sample at a time."""
    rows = []
    for batch in experiment.shards[client].batches(1):
        tokens = experiment.model.backbone.assemble(batch.embedded)
        rows.append(tokens.values[0][tokens.mask[0]].mean(dim=0))
    return torch.stack(rows)


def test_a_client_measures_the_moments_of_its_mean_tokens(small_experiment: Experiment, tiny: Backbone):
    method = FedPrime(num_prompts=4, standardised_queries=True)
    model = build(method, tiny)
    start, measured = method.prepare(model, small_experiment.shards[1], model.weights())
    rows = mean_tokens(small_experiment, 1)
    torch.testing.assert_close(measured["prompter.moments"], torch.stack([rows.mean(0), (rows**2).mean(0)]))
    # Nothing is known of the others in the first round.
    assert torch.equal(start["prompter.moments"], measured["prompter.moments"])


def test_the_mean_of_all_clients_moments_is_that_of_all_samples(small_experiment: Experiment, tiny: Backbone):
    method = FedPrime(num_prompts=4, standardised_queries=True)
    model = build(method, tiny)
    weights, shards = model.weights(), small_experiment.shards
    updates = [
        Update(client, len(shard), {**weights, **method.prepare(model, shard, weights)[1]})
        for client, shard in enumerate(shards)
    ]
    shared = method.aggregate(ServerState(weights), updates, torch_stream(0, "server")).shared
    rows = torch.cat([mean_tokens(small_experiment, client) for client in range(len(shards))])
    torch.testing.assert_close(shared["prompter.moments"], torch.stack([rows.mean(0), (rows**2).mean(0)]))
    # From then on a client trains by these, and sends its own again.
    start, measured = method.prepare(model, shards[0], shared)
    assert torch.equal(start["prompter.moments"], shared["prompter.moments"])
    assert torch.equal(measured["prompter.moments"], updates[0].weights["prompter.moments"])


def test_a_clients_context_is_where_its_samples_lie_and_stays_there(small_experiment: Experiment, tiny: Backbone):
    method = FedPrime(num_prompts=4, standardised_queries=True, context_weight=1.0)
    model = build(method, tiny)
    moments = torch.stack([torch.full((tiny.dim,), 0.5), torch.full((tiny.dim,), 4.25)])  # mean 0.5, variance 4
    start, measured = method.prepare(
        model, small_experiment.shards[0], {**model.weights(), "prompter.moments": moments}
    )
    expected = (mean_tokens(small_experiment, 0).mean(dim=0) - 0.5) / 2
    torch.testing.assert_close(start["prompter.context"], expected, rtol=1e-4, atol=1e-5)
    assert "prompter.context" not in measured
    assert not method.travels("prompter.context")
    assert method.travels("prompter.moments")


def test_with_queries_as_in_the_paper_nothing_is_measured(small_experiment: Experiment, tiny: Backbone):
    method = FedPrime(num_prompts=4)
    model = build(method, tiny)
    weights = model.weights()
    assert "prompter.moments" not in weights
    start, measured = method.prepare(model, small_experiment.shards[0], weights)
    assert start is weights
    assert measured == {}

"""Gradients by hand: those that torch finds, to the bit."""

from dataclasses import replace

import pytest
import torch

from fedprime.methods.aggregation.mixture import Mixture, Statistics, constant_network
from fedprime.methods.aggregation.mixture_gradients import Network
from fedprime.reproducibility.seeding import torch_stream


@pytest.mark.parametrize(("num_centres", "dim"), [(1, 1), (3, 8), (40, 768), (300, 64)])
@pytest.mark.parametrize("term", ["likelihood", "popularity"])
def test_losses_and_gradients_are_those_of_torch_to_the_bit(term: str, num_centres: int, dim: int) -> None:
    rng = torch_stream(0, "gradients", num_centres)
    centres = torch.randn(num_centres, dim, generator=rng).double()
    counts = torch.randint(0, 20, (num_centres,), generator=rng).double()
    squares = torch.rand(num_centres, dim, generator=rng).double() * counts[:, None]
    statistics = Statistics(20, 1 / dim, counts, centres + 0.1, squares)
    networks = []
    for num_outputs in (dim, 1):
        plain = constant_network(dim, num_outputs, 0.3, rng)
        plain = plain._replace(readout=torch.randn(plain.readout.shape, generator=rng))
        networks.append(Network(*(weight.requires_grad_() for weight in plain)))
    model = Mixture(centres, *networks)
    network = networks[0] if term == "likelihood" else networks[1]
    expected = model.likelihood_term(statistics) if term == "likelihood" else model.popularity_term(statistics)
    expected.backward()
    still = replace(model, deviation_network=networks[1], popularity_network=networks[0])  # neither is looked at
    loss = still.likelihood_loss(statistics) if term == "likelihood" else still.popularity_loss(statistics)
    found = loss(Network(*(weight.detach() for weight in network)))
    assert found.value.item() == expected.item()
    for weight, gradient in zip(network, found.gradients, strict=True):
        assert weight.grad is not None
        assert torch.equal(weight.grad, gradient)

"""The gradients of the mixture's two networks, by hand: a fraction of the time that finding them out takes.

Each operation is the one that torch's own differentiation does, in the same order, so that losses and gradients are the
same to the bit; a test compares them.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import softplus


class Network(NamedTuple):
    """A perceptron with one hidden layer."""

    features: Tensor
    feature_bias: Tensor
    readout: Tensor
    bias: Tensor

    def __call__(self, inputs: Float64[Tensor, "centre dim"]) -> Float64[Tensor, "centre out"]:
        """Returns the outputs for every centre."""
        return _forward(self, inputs.float())[1]


class LossWithGradient(NamedTuple):
    """A loss, and the gradients of it with respect to a network's weights."""

    value: Tensor
    gradients: Network


def likelihood_loss(
    network: Network,
    inputs: Float[Tensor, "centre dim"],
    counts: Float64[Tensor, "centre 1"],
    squares: Float64[Tensor, "centre dim"],
    weight: float,
    floor: float,
) -> LossWithGradient:
    """Returns the loss of the deviation network, see `Mixture.likelihood_term`.

    Args:
        inputs: The centres.
        counts: Prompts of each centre.
        squares: Their squared deviations from it, summed.
        weight: Of a coordinate.
        floor: The smallest standard deviation.
    """
    hidden, outputs = _forward(network, inputs)
    # In place wherever nobody reads what was there: new memory would cost as much as the numbers.
    deviation = softplus(outputs).add_(floor)
    doubled = deviation.square().mul_(2)
    scaled = squares / doubled
    log_scale = deviation.log().add_(0.5 * math.log(2 * math.pi))
    value = weight * log_scale.mul_(counts).add_(scaled).sum()
    # The gradient of a weighted sum is the weight everywhere.
    by_log = (weight * counts) / deviation
    by_square = scaled.div_(doubled).mul_(-weight).mul_(2).mul_(deviation.mul_(2))
    back = torch.ops.aten.softplus_backward(by_log.add_(by_square), outputs, 1, 20)
    return LossWithGradient(value, _backward(network, inputs, hidden, back))


def popularity_loss(
    network: Network,
    inputs: Float[Tensor, "centre dim"],
    used: Float64[Tensor, " centre"],
    unused: Float64[Tensor, " centre"],
    largest: float,
) -> LossWithGradient:
    """Returns the loss of the popularity network, see `Mixture.popularity_term`.

    Args:
        inputs: The centres.
        used: How many clients use each.
        unused: How many do not.
        largest: What the log-odds stay below.
    """
    hidden, outputs = _forward(network, inputs)
    share = outputs.squeeze(1) / largest
    below = share.abs() + 1
    soft = share / below
    log_odds = largest * soft
    yes, yes_buffer = torch.ops.aten.log_sigmoid_forward(log_odds)
    no, no_buffer = torch.ops.aten.log_sigmoid_forward(-log_odds)
    value = -(used * yes + unused * no).sum()
    by_yes = torch.ops.aten.log_sigmoid_backward(-used, log_odds, yes_buffer)
    by_no = torch.ops.aten.log_sigmoid_backward(-unused, -log_odds, no_buffer)
    by_soft = (by_yes + -by_no) * largest
    by_share = by_soft / below + (-by_soft * (soft / below)) * share.sgn()
    return LossWithGradient(value, _backward(network, inputs, hidden, (by_share / largest)[:, None]))


def _forward(network: Network, inputs: Float[Tensor, "centre dim"]) -> tuple[Tensor, Tensor]:
    hidden = torch.tanh(inputs @ network.features + network.feature_bias)
    return hidden, (hidden @ network.readout + network.bias).double()


def _backward(network: Network, inputs: Tensor, hidden: Tensor, outputs: Float64[Tensor, "centre out"]) -> Network:
    back = outputs.float()
    inside = torch.ops.aten.tanh_backward(back @ network.readout.T, hidden)
    return Network(inputs.T @ inside, inside.sum(0), hidden.T @ back, back.sum(0))

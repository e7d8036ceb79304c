"""Local training of several clients side by side, each with its own weights, around one pass of the frozen backbone.

Where batches are small, most of a step is what calls cost beside their rows. The backbone is frozen and the same for
all: it is run once on the rows of several clients. Everything that is a client's own (prompts, head, loss, the norm of
its gradient, its optimiser) is computed as in a step by itself, so that the weights are the same to the bit where the
backbone gives each row the same bits (`backbones.together`).
"""

from collections.abc import Callable, Sequence

import torch

from fedprime.backbones.backbone import Backbone
from fedprime.backbones.together import FEWEST_SAMPLES, JoiningBackbone
from fedprime.data.micro_batches import num_values
from fedprime.federation.local_training import ClientTraining, optimizer_of
from fedprime.methods.method import Update
from fedprime.models.prompted_model import Encoded

# Numbers of the tokens of one pass, without prompts. More rows cost little less each, and much more of them leave the
# cache: at a width of 64 these are some 200 samples of the built-in world.
_MOST_VALUES = 2**18


def train_together(
    trainings: Sequence[ClientTraining],
    backbone: Backbone,
    may_join: Callable[[], bool] = lambda: True,
    most_values: int = _MOST_VALUES,
) -> list[Update]:
    """Trains clients to the end, in passes of as many as there is room for; those that are through drop out.

    Args:
        trainings: What is about to begin, each with a model of its own.
        backbone: That of all models; if it cannot run several batches as one, steps are taken one by one.
        may_join: Whether several batches may be run as one; asked when there is something to join.
        most_values: How many numbers the tokens of one pass may have.
    """
    optimizer = optimizer_of(trainings)
    can_join = isinstance(backbone, JoiningBackbone)
    while left := [training for training in trainings if training.num_left]:
        # Those with the most steps left go first, so that passes are full until the end.
        stack = _first_of(sorted(left, key=lambda training: -training.num_left), backbone.dim, most_values)
        if len(stack) > 1 and can_join and may_join():
            _step_together(stack, backbone, optimizer)
        else:
            for training in stack:
                training.step(optimizer)
                optimizer.zero_grad(set_to_none=True)
    return [training.update() for training in trainings]


def _first_of(left: Sequence[ClientTraining], dim: int, most_values: int) -> list[ClientTraining]:
    """Returns as many as there is room for, or one that takes its step by itself."""
    stack: list[ClientTraining] = []
    room = most_values
    for training in left:
        size = num_values(training.batch, dim)
        alone = len(training.batch) < FEWEST_SAMPLES or 2 * size > most_values
        if alone and not stack:
            return [training]
        if not alone and size <= room:
            stack.append(training)
            room -= size
    return stack


def _step_together(
    stack: Sequence[ClientTraining], backbone: JoiningBackbone, optimizer: torch.optim.Optimizer
) -> None:
    prompted = [training.model.prompted(training.batch) for training in stack]
    features = backbone.encode_together([tokens for tokens, _ in prompted])
    losses = []
    for training, feature, (_, chosen) in zip(stack, features, prompted, strict=True):
        training.model.encoded = Encoded(training.batch, feature, chosen)
        losses.append(training.loss())
        training.model.encoded = None
    torch.autograd.backward(losses)  # no value has gradients of two losses
    for training in stack:
        training.clip_gradients()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)  # or the next step would change who takes no part in it
    for training, loss in zip(stack, torch.stack(losses).tolist(), strict=True):
        training.taken(loss * len(training.batch))

"""Where the authors' research code departs from the paper, as switches, to see what each departure is worth.

A quirk is a class of its own that goes before a method's class and overrides what the research code does otherwise, so
no method knows of quirks. Those that change a prediction are made in `fedprime.reproduction.reading`.

Source: the authors' research code of FED-PRIME (arXiv 2602.07081); see docs/paper.md.
"""

import dataclasses
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Batch
from fedprime.data.sources import Task
from fedprime.methods import METHODS
from fedprime.methods.fedprime import FedPrime
from fedprime.methods.head_only import HeadOnly
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.models.prompts import PromptPools
from fedprime.reproducibility.seeding import torch_stream
from fedprime.reproduction.reading import ReferenceBackbone, VotedPools

Quirk = Literal[
    "shared_parameters", "similarity_sign", "batch_vote", "unsynced_query", "prompt_readout", "placeholder_input"
]
#: All quirks.
QUIRKS: tuple[Quirk, ...] = get_args(Quirk)

_QUERY = "prompter.query"
_READING: tuple[Quirk, ...] = ("prompt_readout", "placeholder_input")  # those of a `ReferenceBackbone`


class SharedParameters(Method):
    """After the first round, all clients hold the same parameter objects and train them one after the other.

    The clients do this, see `fedprime.reproduction.shared_parameters`; the server has a different answer for nobody.
    """

    shares_parameters = True

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
        """Returns what the method makes of the updates, for everybody."""
        return dataclasses.replace(super().aggregate(current, updates, rng), personal={})


class SimilaritySign(FedPrime):
    """The similarity of a sample and its prompts is added to the loss: chosen prompts are pushed away."""

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:  # noqa: ARG002
        """Returns the task loss plus the weighted mean similarity, ``cos = 1 - distance``."""
        output = model(batch)
        similarity = 1 - output.chosen.distance.mean()
        return model.task_loss(output.logits, batch.labels) + self.pull_weight * similarity


class BatchVote(FedPrime):
    """All samples of a batch get the prompts that most of them would have chosen, at test too."""

    def build_prompter(self, backbone: Backbone, rng: torch.Generator | None) -> VotedPools:
        """Returns the method's pools, which now vote."""
        pools = super().build_prompter(backbone, rng)
        voted = VotedPools(backbone.dim, **pools.options())
        voted.load_state_dict(pools.state_dict())
        return voted


class UnsyncedQuery(FedPrime):
    """The query map starts at random and stays at its client; the server evaluates with the one that it began with."""

    evaluates_shared = True

    def build_prompter(self, backbone: Backbone, rng: torch.Generator | None) -> PromptPools:
        """Returns the method's pools with a random query map; all else starts as it does without the quirk.

        Args:
            rng: Source of the initial prompts; the map comes from a stream of its own.
        """
        pools = super().build_prompter(backbone, rng)
        if rng is not None:
            stream = torch_stream(rng.initial_seed(), "query map")
            drawn = torch.randn(backbone.dim, backbone.dim, generator=stream) * backbone.dim**-0.5
            pools.query = torch.nn.Parameter(drawn)
        return pools

    def travels(self, name: str) -> bool:
        """Says yes to all that the method sends but the query map."""
        return name != _QUERY and super().travels(name)


class ReferenceReading(Method):
    """The backbone is read as by the research code: at the first prompt, with placeholders for what is missing."""

    reading_quirks: ClassVar[Collection[str]]

    def build(
        self,
        backbone: Backbone,
        label_names: Sequence[str],
        task: Task = "one_class",
        rng: torch.Generator | None = None,
    ) -> PromptedModel:
        """Returns the method's model around the backbone that is read so."""
        return super().build(ReferenceBackbone(backbone, self.reading_quirks), label_names, task, rng)


_CLASSES: dict[Quirk, type[Method]] = {
    "shared_parameters": SharedParameters,
    "similarity_sign": SimilaritySign,
    "batch_vote": BatchVote,
    "unsynced_query": UnsyncedQuery,
    "prompt_readout": ReferenceReading,
    "placeholder_input": ReferenceReading,
}


def possible_quirks(method: Method) -> tuple[Quirk, ...]:
    """Returns the quirks that a method can have; one of another package has none, which is not in the research code.

    Args:
        method: The method, without quirks.
    """
    if type(method) not in METHODS.values():
        return ()
    has_clients = not method.is_centralized
    possible: dict[Quirk, bool] = {
        # What a client does not send it does not share either.
        "shared_parameters": has_clients and method.travels("head.weight"),
        "similarity_sign": isinstance(method, FedPrime),
        "batch_vote": isinstance(method, FedPrime),
        "unsynced_query": isinstance(method, FedPrime)
        and has_clients
        and method.pull_weight > 0,  # without a pull there is no map
        "prompt_readout": not isinstance(method, HeadOnly),
        "placeholder_input": True,
    }
    return tuple(quirk for quirk in QUIRKS if possible[quirk])


def quirks_of(method: Method) -> tuple[Quirk, ...]:
    """Returns the quirks that a method has, in the order in which they were named."""
    return method.reference_quirks if isinstance(method, _Quirky) else ()


def with_quirks(method: Method, quirks: Collection[Quirk]) -> Method:
    """Returns a method that departs from the paper as the research code does.

    Args:
        method: The method, with or without other quirks, which it loses.
        quirks: Which departures, in any order; with none the method is as its paper has it.

    Raises:
        ValueError: If the method cannot have one of them.
    """
    values = {entry.name: getattr(method, entry.name) for entry in dataclasses.fields(method)}
    plain = method.without_quirks(**values) if isinstance(method, _Quirky) else method
    possible = possible_quirks(plain)
    impossible = [quirk for quirk in quirks if quirk not in possible]
    if impossible:
        raise ValueError(
            f"{method.name} cannot have {', '.join(impossible)}; it can have {', '.join(possible) or 'none'}"
        )
    return _quirky(type(plain), tuple(quirks))(**values) if quirks else plain


class _Quirky(Method):
    """What every method with quirks is."""

    reference_quirks: ClassVar[tuple[Quirk, ...]]
    without_quirks: ClassVar[type[Method]]

    def __reduce__(self) -> tuple[Any, ...]:
        # The class is made here: another process makes it again.
        values = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        return with_quirks, (self.without_quirks(**values), self.reference_quirks)


@cache  # methods are equal if their classes are
def _quirky(kind: type[Method], quirks: tuple[Quirk, ...]) -> type[Method]:
    bases: tuple[type, ...] = (*dict.fromkeys(_CLASSES[quirk] for quirk in QUIRKS if quirk in quirks), _Quirky, kind)
    content = {
        "reading_quirks": [quirk for quirk in _READING if quirk in quirks],
        "reference_quirks": quirks,
        "without_quirks": kind,
    }
    return type(f"Quirky{kind.__name__}", bases, content)

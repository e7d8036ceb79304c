"""How many bytes travel, by the part of the model that they belong to."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from fedprime.federation.compression import SCALE
from fedprime.federation.processors import ServerRound, UpdateProcessor, form_on_the_way
from fedprime.methods.method import Update

#: The part that what nobody asked for belongs to.
UNKNOWN_PART = "unknown"


def traffic(
    asked: ServerRound,
    sent_to: Sequence[int],
    received: Sequence[Update],
    processors: Sequence[UpdateProcessor],
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Returns the bytes of the values sent down and up in a round, by part of the model.

    Args:
        sent_to: The clients that were sent something, each as often as it was.
        received: What came back, as it travelled.
    """
    if asked.method.is_centralized:
        return {}, {}  # holder and server are one
    shared = form_on_the_way(processors, asked.method.travelling(asked.state.shared))
    down, up = Counter[str](), Counter[str]()
    for client in sent_to:
        is_personal = client in asked.state.personal
        down.update(bytes_by_part(form_on_the_way(processors, asked.answer(client)) if is_personal else shared))
    for update in received:
        if asked.start is not None:
            up["start"] += size_bytes(update.weights)
        else:
            up.update(bytes_by_part(update.weights, expected=shared.keys()))
    return dict(down), dict(up)


def part_of(name: str) -> str:
    """Returns the part of the model that a travelling value belongs to.

    Args:
        name: Of the parameter, or of its scale.

    >>> [part_of(name) for name in ("prompter.pools.inter", "prompter.query.scale", "head.2.weight", "pooler.bias")]
    ['pools.inter', 'query', 'head', 'pooler']
    """
    name = name.removesuffix(SCALE)
    return name.removeprefix("prompter.") if name.startswith("prompter.") else name.partition(".")[0]


def bytes_by_part(weights: Mapping[str, Tensor], expected: Collection[str] | None = None) -> Counter[str]:
    """Returns how many bytes values take, by the part of the model that they belong to.

    Args:
        expected: The names that belong there, all if None; the others are counted together.
    """
    parts: Counter[str] = Counter()
    for name, value in weights.items():
        part = part_of(name) if expected is None or name in expected else UNKNOWN_PART
        parts[part] += value.numel() * value.element_size()
    return parts


def size_bytes(weights: Mapping[str, Tensor]) -> int:
    """Returns how many bytes the values take."""
    return sum(value.numel() * value.element_size() for value in weights.values())

"""Updates that come in are checked before they are used: names, shapes, types, values that are not finite."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedprime.federation.processors import ServerRound, UpdateProcessor, form_on_the_way
from fedprime.methods.method import Update
from fedprime.reproducibility.errors import quoted

_logger = logging.getLogger(__name__)
#: Sums of losses stay finite.
_LARGEST_LOSS = 1e30


def judged(
    received: Sequence[Update],
    expected: Sequence[int],
    asked: ServerRound,
    processors: Sequence[UpdateProcessor],
    failures: Mapping[int, str] | None = None,
) -> tuple[list[Update], dict[int, str]]:
    """Returns the valid ones of some updates as the server reads them, and by client that is left out, why.

    Args:
        received: What came in, as it travelled.
        expected: The clients that were asked for them.
        failures: By client that has not answered, why, where that is known.
    """
    counts = Counter(update.client for update in received)
    left_out = {client: (failures or {}).get(client, "no answer") for client in set(expected) - counts.keys()}
    valid: list[Update] = []
    for sent in received:
        try:
            update, problems = _measured(sent, asked) if asked.start else _trained(sent, asked, processors)
        except Exception as error:  # whatever a client sent, it ends nothing but its own part in the round
            _logger.debug("what client %d sent raised an error", sent.client, exc_info=True)
            update, problems = sent, [f"it cannot be judged ({error!r})"]
        if update.client not in expected:
            problems = ["was not asked"]
        if counts[update.client] > 1:
            # Which of them is meant nobody can tell, and the result must not depend on which came first.
            problems = ["answered more than once"]
        if problems:
            left_out[update.client] = quoted("; ".join(problems))
        else:
            valid.append(update)
    return valid, left_out


def _trained(update: Update, asked: ServerRound, processors: Sequence[UpdateProcessor]) -> tuple[Update, list[str]]:
    """Returns what a client trained as the server reads it, and what is wrong with it."""
    answer = asked.answer(update.client)
    problems = update_problems(update, form_on_the_way(processors, answer))
    if processors and not problems:
        for processor in reversed(processors):
            update = processor.at_server(update, asked)
        # A finite step can still be so long that values are not.
        problems = form_problems(update.weights, answer)
    return update, problems


def _measured(update: Update, asked: ServerRound) -> tuple[Update, list[str]]:
    """Returns what a client measured in a round of the start, which travels as it is, and what is wrong with it."""
    if asked.start is None:
        return update, []
    problems = update_problems(update, asked.start.form(asked.answer(update.client)))
    return update, problems or asked.start.problems(update)


def update_problems(update: Update, form: Mapping[str, Tensor]) -> list[str]:
    """Says what is wrong with an update: its counts, and the form of its values; nothing if it is valid."""
    problems: list[str] = []
    # bool counts as int for Python, nan as a float: neither is a number of samples.
    if type(update.num_samples) is not int or update.num_samples < 1:
        problems.append(f"trained on {update.num_samples!r} samples, expected a whole number from 1")
    loss = update.metrics.get("loss", 0.0)
    if type(loss) not in (int, float) or not abs(loss) <= _LARGEST_LOSS:
        problems.append(f"its loss is {loss!r}, expected a finite number")
    return problems + form_problems(update.weights, form)


def form_problems(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Says what is wrong with values that came in: names, shapes, types, what is not finite; nothing if they are valid.

    Args:
        expected: Tensors of the right names, shapes and types; their content does not matter.

    >>> form_problems({"a": torch.zeros(2), "b": torch.zeros(1)}, {"a": torch.zeros(3)})
    ['b is unknown', 'a is (2,) torch.float32, expected (3,) torch.float32']
    """
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in expected]
    for name in sorted(expected.keys() & found.keys()):
        value, wanted = found[name], expected[name]
        if not (isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"):
            problems.append(f"{name} is no dense tensor in main memory")
        elif value.shape != wanted.shape or value.dtype != wanted.dtype:
            have = f"{tuple(value.shape)} {value.dtype}"
            problems.append(f"{name} is {have}, expected {tuple(wanted.shape)} {wanted.dtype}")
        elif not torch.isfinite(value).all():
            problems.append(f"{name} is not finite")
    return problems

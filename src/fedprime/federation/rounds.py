"""The round loop: who takes part, what is sent, what is left out, what the server makes of it."""

import logging
import math
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from torch import Tensor

from fedprime.federation.compression import EXACT, Transport, bytes_by_part, form_problems
from fedprime.federation.differential_privacy import (
    ClientPrivacy,
    operating_system_noise,
    private_updates,
    seeded_noise,
)
from fedprime.methods.aggregation.robust import clip_towards, moved
from fedprime.methods.method import Method, ServerState, Update
from fedprime.reproducibility.seeding import stream, torch_stream

__all__ = [
    "Clients",
    "Round",
    "TooFewAnswersError",
    "choose_clients",
    "federate",
    "num_taking_part",
    "size_bytes",
    "unpack_update",
    "update_problems",
]

_logger = logging.getLogger(__name__)


class TooFewAnswersError(RuntimeError):
    """A round that too few clients answered, however often they were asked; the state before it still stands."""


@runtime_checkable
class Clients(Protocol):
    """The clients of a run, wherever they live; a runtime is an implementation of this."""

    def __len__(self) -> int:
        """Returns how many clients there are; they are numbered from 0."""
        ...

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        """Lets clients train from what the server answers each; a client that fails is simply absent.

        Args:
            round_number: Which round, from 0.
            clients: Who takes part.
            state: What the server holds.

        Returns:
            The updates, with only what travels, in any order.
        """
        ...


@dataclass(frozen=True)
class Round:
    """A finished round.

    Attributes:
        number: Which round, from 0.
        state: What the server holds after it.
        asked: The clients that were asked to train.
        updates: The valid updates, in the order of clients.
        left_out: By client that failed or sent something invalid, why.
        seconds: How long the round took.
        sent_down: Bytes of the values sent to clients, by part of the model; none for a centralised method.
        sent_up: Bytes of the values received from clients, invalid ones included, likewise.
    """

    number: int
    state: ServerState
    asked: tuple[int, ...]
    updates: tuple[Update, ...]
    left_out: Mapping[int, str]
    seconds: float
    sent_down: Mapping[str, int]
    sent_up: Mapping[str, int]

    @property
    def bytes_down(self) -> int:
        """Bytes of the values sent to clients."""
        return sum(self.sent_down.values())

    @property
    def bytes_up(self) -> int:
        """Bytes of the values received from clients."""
        return sum(self.sent_up.values())

    @property
    def loss(self) -> float:
        """Mean training loss over the samples of the clients that measured one; nan if none did."""
        measured = [update for update in self.updates if "loss" in update.metrics]
        total = sum(update.num_samples for update in measured)
        if total == 0:
            return float("nan")
        return sum(update.metrics["loss"] * update.num_samples for update in measured) / total


def federate(
    method: Method,
    clients: Clients,
    state: ServerState,
    *,
    rounds: int,
    fraction: float,
    seed: int,
    first_round: int = 0,
    privacy: ClientPrivacy | None = None,
    transport: Transport = EXACT,
    quorum: float = 0.0,
    repeats: int = 0,
) -> Iterator[Round]:
    """Runs rounds and yields each when it is finished.

    A round depends only on its number, the seed and the state before it, so a run continues after any round as if never
    stopped.

    Args:
        method: The federated method.
        clients: Where local training happens.
        state: What the server holds before the first round.
        rounds: Rounds of the whole run.
        fraction: Share of the clients that take part in a round, in (0, 1]; at least one client does.
        seed: Seed of the run.
        first_round: The round to begin with, when a run is continued.
        privacy: How updates are made private before the method sees them; if None, they are not.
        transport: How the clients' values travel.
        quorum: Share of the asked clients that must send something valid, in [0, 1]; with 0, nobody has to.
        repeats: How often those who did not are asked again when there are too few.

    Raises:
        TooFewAnswersError: If there are too few nevertheless.
    """
    for number in range(first_round, rounds):
        started = time.perf_counter()
        is_secret = privacy is not None and privacy.secret
        asked = choose_clients(len(clients), fraction, secrets.randbits(63) if is_secret else seed, number)
        answers = _ask(method, clients, state, number, asked, quorum, repeats, transport)
        valid, left_out = answers.valid, answers.left_out
        down, up = _traffic(answers.asked, answers.received, state, method, transport)
        if method.clip_norm > 0:
            valid = [_clipped(update, state, method.clip_norm) for update in valid]
        if privacy is not None:
            if not valid:
                # Left out, the step would tell that nobody answered: failures may depend on samples.
                _logger.warning("round %d: nobody answered; noise alone is added (see runtime.quorum)", number)
            state = _private_step(method, state, valid, asked, privacy, seed, number)
            valid = [replace(update, metrics={}) for update in valid]  # losses are the clients' own
        elif valid:
            state = method.aggregate(state, valid, torch_stream(seed, "server", "round", number))
        else:
            _logger.warning("round %d: nobody answered; the weights stay as they were", number)
            state = replace(state, observations={})
        yield Round(
            number,
            state,
            asked,
            tuple(valid),
            left_out,
            time.perf_counter() - started,
            down,
            up,
        )


def _clipped(update: Update, state: ServerState, clip_norm: float) -> Update:
    """Returns the update as it was, or scaled down towards what the client got."""
    received = state.answer(update.client)
    changes, norm = clip_towards(received, update.weights, clip_norm)
    if norm <= clip_norm:
        return update
    weights = {name: moved(received[name], change) for name, change in changes.items()}
    return replace(update, weights=weights)


def _private_step(
    method: Method,
    state: ServerState,
    valid: Sequence[Update],
    asked: Sequence[int],
    privacy: ClientPrivacy,
    seed: int,
    number: int,
) -> ServerState:
    """Returns what the method makes of private updates; what it saw of single clients is told to nobody."""
    noise = operating_system_noise if privacy.secret else seeded_noise(seed, number)
    received = method.travelling(state.shared)
    updates = private_updates(valid, asked, received, aligned=method.aligned, privacy=privacy, noise=noise)
    return replace(method.aggregate(state, updates, torch_stream(seed, "server", "round", number)), observations={})


def num_taking_part(num_clients: int, fraction: float) -> int:
    """Returns how many clients take part in a round.

    Args:
        num_clients: How many clients there are.
        fraction: Share that takes part.
    """
    return max(1, round(fraction * num_clients))


def _traffic(
    asked: Sequence[int], received: Sequence[Update], state: ServerState, method: Method, transport: Transport
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Returns the bytes of the values sent down and up, by part of the model."""
    if method.is_centralized:
        return {}, {}  # holder and server are one
    shared = transport.form(method.travelling(state.shared))
    down, up = Counter[str](), Counter[str]()
    for client in asked:
        personal = method.travelling(state.answer(client)) if client in state.personal else None
        down.update(bytes_by_part(shared if personal is None else transport.form(personal)))
    for update in received:
        up.update(bytes_by_part(update.weights, expected=shared.keys()))
    return dict(down), dict(up)


@dataclass
class _Answers:
    """What came of asking the clients of a round, in one attempt or several."""

    asked: list[int]
    received: list[Update]
    valid: list[Update]
    left_out: dict[int, str]


def _ask(
    method: Method,
    clients: Clients,
    state: ServerState,
    number: int,
    asked: Sequence[int],
    quorum: float,
    repeats: int,
    transport: Transport,
) -> _Answers:
    """Asks clients to train, and those whose valid answer is missing again until there are enough."""
    needed = math.ceil(quorum * len(asked) - 1e-9)  # 0.7 * 10 is a little more than 7
    answers = _Answers([], [], [], {})
    missing = list(asked)
    for attempt in range(repeats + 1):
        if attempt:
            _logger.warning(
                "round %d: %d of %d clients sent something valid, %d must; asking the others again (%d of %d)",
                *(number, len(answers.valid), len(asked), needed, attempt, repeats),
            )
        received = sorted(clients.train(number, missing, state), key=lambda update: update.client)
        valid, answers.left_out = _judge(received, missing, state, method, transport)
        answers.asked += missing
        answers.received += received
        answers.valid = sorted([*answers.valid, *valid], key=lambda update: update.client)
        for client, reason in sorted(answers.left_out.items()):
            _logger.warning("round %d: client %d is left out: %s", number, client, reason)
        if len(answers.valid) >= needed:
            return answers
        missing = [client for client in missing if client in answers.left_out]
    reasons = "; ".join(f"client {client}: {reason}" for client, reason in sorted(answers.left_out.items()))
    raise TooFewAnswersError(
        f"in round {number}, {len(answers.valid)} of {len(asked)} clients sent something valid, {needed} must "
        f"(runtime.quorum is {quorum:g}), and they were asked {repeats + 1} time(s): {reasons}"
    )


def _judge(
    answers: Sequence[Update], asked: Sequence[int], state: ServerState, method: Method, transport: Transport
) -> tuple[list[Update], dict[int, str]]:
    """Returns the valid ones of some answers, and by client that is left out, why."""
    counts = Counter(update.client for update in answers)
    left_out = dict.fromkeys(set(asked) - counts.keys(), "no answer")
    valid: list[Update] = []
    for update in answers:
        unpacked, problems = unpack_update(update, state, method, transport)
        if update.client not in asked:
            problems = ["was not asked"]
        if counts[update.client] > 1:
            # Which of them is meant nobody can tell, and the result must not depend on which came first.
            problems = ["answered more than once"]
        if problems:
            left_out[update.client] = "; ".join(problems)
        else:
            valid.append(unpacked)
    return valid, left_out


def choose_clients(num_clients: int, fraction: float, seed: int, round_number: int) -> tuple[int, ...]:
    """Returns who takes part in a round, in ascending order.

    Args:
        num_clients: How many clients there are.
        fraction: Share that takes part.
        seed: Seed of the run.
        round_number: Which round.

    >>> choose_clients(4, 1.0, seed=0, round_number=0)
    (0, 1, 2, 3)
    """
    num_chosen = num_taking_part(num_clients, fraction)
    chosen = stream(seed, "round", round_number, "clients").permutation(num_clients)[:num_chosen]
    return tuple(sorted(int(client) for client in chosen))


def unpack_update(update: Update, state: ServerState, method: Method, transport: Transport) -> tuple[Update, list[str]]:
    """Returns an update with the values that it stands for, and what is wrong with it.

    Args:
        update: What a client sent, as it travelled.
        state: What the server sent to it.
        method: Says which values travel.
        transport: How they do.
    """
    problems = update_problems(update, state, method, transport)
    if problems or transport.bits == 32:
        return update, problems
    answer = method.travelling(state.answer(update.client))
    unpacked = replace(update, weights=transport.unpack_change(update.weights, answer))
    # A finite step can still be so long that values are not.
    return unpacked, update_problems(unpacked, state, method)


def update_problems(update: Update, state: ServerState, method: Method, transport: Transport = EXACT) -> list[str]:
    """Says what is wrong with an update: names, shapes, types, values that are not finite; nothing if it is valid.

    Args:
        update: What a client sent.
        state: What the server sent to it.
        method: Says which values travel.
        transport: How they do; by default, as they are.
    """
    problems: list[str] = []
    # bool counts as int for Python, nan as a float: neither is a number of samples.
    if type(update.num_samples) is not int or update.num_samples < 1:
        problems.append(f"trained on {update.num_samples!r} samples, expected a whole number from 1")
    loss = update.metrics.get("loss", 0.0)
    if not isinstance(loss, int | float) or not math.isfinite(loss):
        problems.append(f"its loss is {loss!r}, expected a finite number")
    return problems + form_problems(update.weights, transport.form(method.travelling(state.answer(update.client))))


def size_bytes(weights: Mapping[str, Tensor]) -> int:
    """Returns how many bytes the values take.

    Args:
        weights: Values by name.
    """
    return sum(value.numel() * value.element_size() for value in weights.values())

"""The round loop: who takes part, what is sent, what is left out, what the server makes of it."""

import logging
import math
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from fedprime.federation.clients import Clients, ExplainingClients, choose_clients
from fedprime.federation.clipping import Clipping
from fedprime.federation.guard import Guard, unsound
from fedprime.federation.processors import ServerRound, UpdateProcessor
from fedprime.federation.start_round import StartRound
from fedprime.federation.traffic import traffic
from fedprime.federation.updates import judged
from fedprime.methods.method import Method, ServerState, Update
from fedprime.reproducibility.errors import FedprimeError, counted
from fedprime.reproducibility.seeding import torch_stream

_logger = logging.getLogger(__name__)


class TooFewAnswersError(FedprimeError):
    """A round that too few clients answered, however often they were asked; the state before it still stands."""


class UnsoundStartError(FedprimeError):
    """A start that makes no model; the state before it still stands."""


@dataclass(frozen=True)
class Schedule:
    """How many rounds there are, and who has to answer in each.

    Attributes:
        fraction: Share of the clients that take part in a round, in (0, 1]; at least one client does.
        quorum: Share of the asked clients that must send something valid, in [0, 1]; with 0, nobody has to.
        repeats: How often those who did not are asked again when there are too few.
        start: Rounds before the first, which has the number 0, in which all clients measure instead of training.
        guard: What one client can do to the others.
    """

    num_rounds: int
    fraction: float = 1.0
    quorum: float = 0.0
    repeats: int = 0
    start: tuple[StartRound, ...] = ()
    guard: Guard = field(default_factory=Guard)


@dataclass(frozen=True)
class Round:
    """A finished round.

    Attributes:
        state: What the server holds after it.
        asked: The clients that were asked to train.
        updates: The valid updates, in the order of clients.
        left_out: By client that failed or sent something invalid, why.
        sent_down: Bytes of the values sent to clients, by part of the model; none for a centralised method.
        sent_up: Bytes of the values received from clients, invalid ones included, likewise.
        rejected: Why the state is that before the round, if what came in made none that can be used; else empty.
    """

    number: int
    state: ServerState
    asked: tuple[int, ...]
    updates: tuple[Update, ...]
    left_out: Mapping[int, str]
    seconds: float
    sent_down: Mapping[str, int]
    sent_up: Mapping[str, int]
    rejected: str = ""

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
    schedule: Schedule,
    *,
    seed: int,
    processors: Sequence[UpdateProcessor] = (),
    first_round: int = 0,
) -> Iterator[Round]:
    """Runs rounds and yields each when it is finished.

    A round depends only on its number, the seed and the state before it, so a run continues after any round as if never
    stopped.

    Args:
        state: What the server holds before the first round.
        processors: What touches values on their way, beside the method's clipping; here their server's sides work,
            those of the clients where the clients are.
        first_round: The round to begin with, when a run is continued.

    Raises:
        TooFewAnswersError: If too few clients send something valid, however often they are asked.
    """
    if method.clip_norm > 0:
        processors = [Clipping(method.clip_norm), *processors]
    _logger.debug("updates pass %s", list(processors) or "nothing")
    hides_choice = any(processor.hides_choice for processor in processors)
    hides_clients = any(processor.hides_clients for processor in processors)
    for number in range(first_round, schedule.num_rounds):
        started = time.perf_counter()
        start = schedule.start[number] if number < 0 else None
        fraction = 1.0 if start else schedule.fraction
        chosen = choose_clients(len(clients), fraction, secrets.randbits(63) if hides_choice else seed, number)
        asked = ServerRound(number, seed, chosen, method, state, start)
        answers = _ask(clients, asked, schedule, processors, hides_clients=hides_clients)
        down, up = traffic(asked, answers.asked, answers.received, processors)
        updates: Sequence[Update] = answers.valid
        if updates and not hides_clients:
            updates = schedule.guard.weighed(updates, are_sums=start is not None)
        for processor in reversed(processors):
            if not start or processor.hides_clients:
                updates = processor.of_round(updates, asked)
        before, rejected = state, ""
        if updates:
            state, rejected = _stepped(asked, updates)
        else:
            _logger.warning("round %d: nobody answered; the weights stay as they were", number)
            state = start.unanswered(state) if start else state
        if rejected:
            _logger.warning("round %d is rejected, the weights stay as they were: %s", number, rejected)
            state = before
        if hides_clients or rejected or not updates:
            state = replace(state, observations={})
        told = [replace(update, metrics={}) for update in answers.valid] if hides_clients else answers.valid
        seconds = time.perf_counter() - started
        yield Round(number, state, chosen, tuple(told), answers.left_out, seconds, down, up, rejected)


def _stepped(asked: ServerRound, updates: Sequence[Update]) -> tuple[ServerState, str]:
    """Returns what the server makes of a round, and why that cannot be used; nothing if it can."""
    state, number = asked.state, asked.number
    try:
        if asked.start is None:
            state = asked.method.aggregate(state, updates, torch_stream(asked.seed, "server", "round", number))
        else:
            state = asked.start.aggregate(state, updates)
        problem = unsound(state)
    except (ArithmeticError, torch.linalg.LinAlgError) as error:  # pyright: ignore[reportPrivateImportUsage]
        problem = f"it cannot be computed ({error})"
    if problem and asked.start is not None:
        raise UnsoundStartError(
            f"what the clients measured in round {number} makes no model: {problem}; look at what is said above of "
            "clients that were left out, mend their data, and start the same again"
        )
    return state, problem


@dataclass
class _Answers:
    """What came of asking the clients of a round, in one attempt or several."""

    asked: list[int]
    received: list[Update]
    valid: list[Update]
    left_out: dict[int, str]


def _ask(
    clients: Clients,
    asked: ServerRound,
    schedule: Schedule,
    processors: Sequence[UpdateProcessor],
    *,
    hides_clients: bool,
) -> _Answers:
    """Asks clients to train, and those whose valid answer is missing again until there are enough."""
    number, num_asked, repeats = asked.number, len(asked.clients), schedule.repeats
    needed = math.ceil(schedule.quorum * num_asked - 1e-9)  # 0.7 * 10 is a little more than 7
    told = replace(asked.state, server={})  # what the server keeps no runtime can send
    answers = _Answers([], [], [], {})
    missing = list(asked.clients)
    for attempt in range(repeats + 1):
        if attempt:
            _logger.warning(
                "round %d: %d of %d clients sent something valid, %d must; asking the others again (%d of %d)",
                *(number, len(answers.valid), num_asked, needed, attempt, repeats),
            )
        received = sorted(clients.train(number, missing, told), key=lambda update: update.client)
        failures = clients.failures if isinstance(clients, ExplainingClients) else {}
        valid, answers.left_out = judged(received, missing, asked, processors, failures)
        answers.asked += missing
        answers.received += received
        answers.valid = sorted([*answers.valid, *valid], key=lambda update: update.client)
        if not hides_clients:
            answers.left_out |= schedule.guard.too_far(answers.valid, asked)
            answers.valid = [update for update in answers.valid if update.client not in answers.left_out]
        for client, reason in sorted(answers.left_out.items()):
            _logger.warning("round %d: client %d is left out: %s", number, client, reason)
        if len(answers.valid) >= needed:
            return answers
        missing = sorted(answers.left_out)
    reasons = "; ".join(f"client {client}: {reason}" for client, reason in sorted(answers.left_out.items()))
    raise TooFewAnswersError(
        f"in round {number}, {len(answers.valid)} of {num_asked} clients sent something valid, {needed} must "
        f"(runtime.quorum is {schedule.quorum:g}), and they were asked {counted(repeats + 1, 'time')}: {reasons}"
    )

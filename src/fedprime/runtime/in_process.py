"""All clients in this process, around one frozen backbone: several in one pass of it, or one after the other."""

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Literal

from torch import Tensor

from fedprime.backbones.together import keeps_bits
from fedprime.data.batches import Shard
from fedprime.federation.local_training import ClientTraining
from fedprime.federation.processors import UpdateProcessor
from fedprime.federation.start import is_started, start_rounds, started_alone
from fedprime.federation.start_round import LocalSamples
from fedprime.federation.traffic import size_bytes
from fedprime.federation.train_together import train_together
from fedprime.federation.training_options import LocalTraining
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import PromptedModel, Weights

#: Clients that are held at the same time, where nobody says how many.
_MOST_TOGETHER = 32

_logger = logging.getLogger(__name__)


def _memory_bytes() -> int:
    """Returns how much memory this machine has; where the system does not say, as much as small ones have."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # there is no such call on Windows
        return 8 * 2**30


class _MeasuredAnew(Mapping[str, Tensor]):
    """What a client measured, which is measured again when somebody looks: of thousands, it would fill the memory."""

    def __init__(
        self,
        names: Collection[str],
        measure: Callable[[], Weights],
        latest: "list[tuple[_MeasuredAnew, Weights]]",
    ) -> None:
        """Takes names and how to measure.

        Args:
            latest: Who was looked at last, of all clients, and what it measured.
        """
        self._names, self._measure, self._latest = tuple(names), measure, latest

    def __getitem__(self, name: str) -> Tensor:
        if not (self._latest and self._latest[0][0] is self):
            self._latest[:] = [(self, self._measure())]
        return self._latest[0][1][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class InProcessClients:
    """Isolated clients in one process: each starts from copies of what the server answers it, and of nothing else."""

    def __init__(
        self,
        method: Method,
        model: PromptedModel,
        shards: Sequence[Shard] | Mapping[int, Shard],
        training: LocalTraining,
        *,
        num_rounds: int,
        seed: int,
        validation: Mapping[int, Shard] | None = None,
        processors: Sequence[UpdateProcessor] = (),
        stacked_clients: Literal["auto"] | int = "auto",
    ) -> None:
        """Takes the parts.

        Args:
            model: A model of the method's shape to train in; its weights are overwritten.
            shards: The samples of every client, or by number those of some.
            validation: By client, samples that nothing is fitted to; for the start alone.
            processors: What touches values on their way, of which the start has to know.
            stacked_clients: How many clients train in one pass of the backbone at most; 1 for one after the other. With
                "auto" there are several where each gets the same weights to the bit as by itself.
        """
        self._validation = validation or {}
        self._start = start_rounds(method, model.task, processors)
        self._hides_counts = any(processor.hides_clients for processor in processors)
        self._method = method
        self._model = model
        self._shards = shards
        self._training = training
        self._num_rounds = num_rounds
        self._seed = seed
        self._stacked_clients = stacked_clients
        self._models = [model]
        self._in_start: dict[int, LocalSamples] = {}
        self._room = _memory_bytes() // 4  # what all clients may send together in a round of the start
        self._latest: list[tuple[_MeasuredAnew, Weights]] = []
        #: By client, its trained values that do not travel; part of a run's state.
        self.kept: dict[int, Weights] = {}

    def __len__(self) -> int:
        return len(self._shards)

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        """Lets clients train; one that fails is logged with its traceback and left out.

        Raises:
            Exception: If every client fails, the failure of the last: then it is not the clients that are at fault.
        """
        if round_number >= 0:
            self._in_start.clear()
            self._latest.clear()
        if round_number >= 0 and len(clients) > 1 and self._stacked_clients != 1:
            try:
                return self._train_together(round_number, clients, state)
            except MemoryError:
                raise
            except Exception as error:
                # One after the other, who fails is known, and the others come to the same weights.
                _logger.warning("round %d: clients train one after the other, because of %r", round_number, error)
        updates: list[Update] = []
        for client in clients:
            try:
                updates.append(self._train_one(round_number, client, state))
            except MemoryError:
                raise
            except Exception:
                if client == clients[-1] and not updates:
                    raise
                _logger.exception("round %d: client %d failed", round_number, client)
        return updates

    def _train_together(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        most = self._stacked_clients if isinstance(self._stacked_clients, int) else _MOST_TOGETHER
        may_stack = (lambda: self._keeps_bits) if self._stacked_clients == "auto" else (lambda: True)
        updates: list[Update] = []
        for start in range(0, len(clients), most):
            some = clients[start : start + most]
            self._models += [self._model.copy() for _ in range(len(some) - len(self._models))]
            trainings = [
                self._training_of(model, round_number, client, self._received(model, client, state))
                for model, client in zip(self._models, some, strict=False)
            ]
            updates += train_together(trainings, self._model.backbone, may_stack)
        return [self._sent(update) for update in updates]

    @cached_property
    def _keeps_bits(self) -> bool:
        return keeps_bits(self._model.backbone)

    def _train_one(self, round_number: int, client: int, state: ServerState) -> Update:
        model = self._model
        if round_number < 0:
            return self._measured(round_number, client, state)
        training = self._training_of(model, round_number, client, self._received(model, client, state))
        return self._sent(training.run())

    def _measured(self, round_number: int, client: int, state: ServerState) -> Update:
        # Kept from one round of the start to the next, since it remembers what it has computed.
        samples = self._in_start.setdefault(client, self._samples(client))

        def measure() -> Weights:
            received = {**state.answer(client), **self.kept.get(client, {})}
            self._model.load_weights(received)
            return self._start[round_number].measure(self._model, samples, received)

        measured = measure()
        num_samples = 1 if self._hides_counts else len(samples.train)
        if len(self) * size_bytes(measured) <= self._room:
            return Update(client, num_samples, measured)
        return Update(client, num_samples, _MeasuredAnew(measured.keys(), measure, self._latest))

    def _received(self, model: PromptedModel, client: int, state: ServerState) -> Weights:
        """Returns what a client trains from: the answer, what it kept, and a start of its own if it has one."""
        received = {**state.answer(client), **self.kept.get(client, {})}
        if self._method.reads_blocks and not self._method.shares_head and not is_started(received):
            return started_alone(self._method, model, self._samples(client), received)
        return received

    def _training_of(self, model: PromptedModel, round_number: int, client: int, received: Weights) -> ClientTraining:
        return ClientTraining(
            model,
            self._method,
            self._shards[client],
            received,
            self._training,
            client=client,
            round_number=round_number,
            num_rounds=self._num_rounds,
            seed=self._seed,
        )

    def _sent(self, update: Update) -> Update:
        """Returns what travels of an update, and keeps the rest."""
        travelling = self._method.travelling(update.weights)
        kept = {name: value for name, value in update.weights.items() if name not in travelling}
        # The server leaves out a client that diverged; it starts its next round as if it had not trained.
        if kept and all(value.isfinite().all() for value in update.weights.values()):
            self.kept[update.client] = kept
        return replace(update, weights=travelling)

    def _samples(self, client: int) -> LocalSamples:
        return LocalSamples(self._shards[client], self._validation[client])

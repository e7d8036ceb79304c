"""All clients in this process, one after the other, around one frozen backbone."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fedprime.data.batches import Shard
from fedprime.federation.local_training import train_locally
from fedprime.federation.processors import UpdateProcessor
from fedprime.federation.start import is_started, start_rounds, started_alone
from fedprime.federation.start_round import LocalSamples
from fedprime.federation.training_options import LocalTraining
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import PromptedModel, Weights

__all__ = ["InProcessClients"]

_logger = logging.getLogger(__name__)


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
    ) -> None:
        """Takes the parts.

        Args:
            method: The federated method.
            model: A model of the method's shape to train in; its weights are overwritten.
            shards: The samples of every client, or by number those of some.
            training: How a client trains.
            num_rounds: Rounds of the whole run.
            seed: Seed of the run.
            validation: By client, samples that nothing is fitted to; for the start alone.
            processors: What touches values on their way, of which the start has to know.
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
        #: By client, its trained values that do not travel; part of a run's state.
        self.kept: dict[int, Weights] = {}

    def __len__(self) -> int:
        """Returns how many clients there are."""
        return len(self._shards)

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        """Lets clients train one after the other; one that fails is logged with its traceback and left out.

        Args:
            round_number: Which round, from 0.
            clients: Who takes part.
            state: What the server holds.

        Raises:
            Exception: If every client fails, the failure of the last: then it is not the clients that are at fault.
        """
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

    def _train_one(self, round_number: int, client: int, state: ServerState) -> Update:
        received = {**state.answer(client), **self.kept.get(client, {})}
        if round_number < 0:
            self._model.load_weights(received)
            samples = self._samples(client)
            measured = self._start[round_number].measure(self._model, samples, received)
            return Update(client, 1 if self._hides_counts else len(samples.train), measured)
        if self._method.reads_blocks and not self._method.shares_head and not is_started(received):
            samples = self._samples(client)
            received = started_alone(self._method, self._model, samples, received)
        update = train_locally(
            self._model,
            self._method,
            self._shards[client],
            received,
            self._training,
            client=client,
            round_number=round_number,
            num_rounds=self._num_rounds,
            seed=self._seed,
        )
        travelling = self._method.travelling(update.weights)
        kept = {name: value for name, value in update.weights.items() if name not in travelling}
        # The server leaves out a client that diverged; it starts its next round as if it had not trained.
        if kept and all(value.isfinite().all() for value in update.weights.values()):
            self.kept[client] = kept
        return replace(update, weights=travelling)

    def _samples(self, client: int) -> LocalSamples:
        return LocalSamples(self._shards[client], self._validation[client])

"""The clients that work in this process, as the server meets them: all of a run, or the one that a message is for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fedprime.data.batches import Shard
from fedprime.experiment.build import Experiment
from fedprime.federation.clients import Clients
from fedprime.federation.compression import Compression
from fedprime.federation.processors import UpdateProcessor, values_arrived, values_sent
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import Weights
from fedprime.reproduction.shared_parameters import SharedParameterClients
from fedprime.runtime.attacks import LabelFlippedShard, draw_hostile
from fedprime.runtime.in_process import InProcessClients
from fedprime.runtime.processors import processors_of
from fedprime.settings.settings import Settings


class LocalClients:
    """Clients of this process behind the processors of a run.

    Attributes:
        kept: By client, its values that do not travel; part of a run's state.
        residuals: By client, what rounding held back of its last message; part of a run's state.
    """

    def __init__(
        self, clients: Clients, method: Method, processors: Sequence[UpdateProcessor], kept: dict[int, Weights]
    ) -> None:
        """Takes the parts.

        Args:
            method: Says which values travel.
            kept: The very table in which the clients keep what does not travel.
        """
        self._clients = clients
        self._method = method
        self._processors = processors
        self.kept = kept
        compressions = [processor for processor in processors if isinstance(processor, Compression)]
        self.residuals: dict[int, Weights] = compressions[0].residuals if compressions else {}

    def __len__(self) -> int:
        return len(self._clients)

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        """Lets clients train from what arrives of the server's answers; returns the updates as they travel."""
        personal = {client: state.personal[client] for client in clients if client in state.personal}
        arrived = replace(
            state,
            shared=self._arrived(state.shared),
            personal={client: self._arrived(weights) for client, weights in personal.items()},
        )
        return self.train_from_arrived(round_number, clients, arrived)

    def train_from_arrived(self, round_number: int, clients: Sequence[int], arrived: ServerState) -> list[Update]:
        """Lets clients train from what has arrived: their end of the line, wherever they are."""
        updates = self._clients.train(round_number, clients, arrived)
        if round_number < 0:
            return updates  # what is measured in the start travels as it is
        return [
            self._processed(update, self._method.travelling(arrived.answer(update.client)), round_number)
            for update in updates
        ]

    def _processed(self, update: Update, received: Weights, round_number: int) -> Update:
        for processor in self._processors:
            update = processor.at_client(update, received, round_number)
        return update

    def _arrived(self, weights: Weights) -> Weights:
        travelling = self._method.travelling(weights)
        return {**weights, **values_arrived(self._processors, values_sent(self._processors, travelling))}


def local_clients(experiment: Experiment, shards: Mapping[int, Shard], settings: Settings) -> LocalClients:
    """Returns clients that train in the experiment's model, some of them hostile if the settings say so.

    Args:
        settings: Those of the run; the experiment of a site with data of its own has others.
    """
    method, attack = experiment.method, settings.attack
    if attack.kind == "label-flip":
        hostile = draw_hostile(settings.partition.num_clients, attack.share, settings.seed)
        shards = {
            client: LabelFlippedShard.of(shard) if client in hostile else shard for client, shard in shards.items()
        }
    processors = processors_of(method, settings)
    honest = InProcessClients(
        method,
        experiment.model,
        shards,
        settings.training,
        num_rounds=settings.training.rounds,
        seed=settings.seed,
        validation={client: experiment.validation_of(client) for client in shards},
        processors=processors,
        stacked_clients=settings.runtime.stacked_clients,
    )
    clients = SharedParameterClients(honest) if method.shares_parameters else honest
    return LocalClients(clients, method, processors, honest.kept)

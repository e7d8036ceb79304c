"""The clients that work in this process, as the server meets them: all of a run, or the one that a message is for."""

from collections.abc import Mapping

from fedprime.data.batches import Shard
from fedprime.experiment.build import Experiment
from fedprime.reproduction.shared_parameters import SharedParameterClients
from fedprime.runtime.attacks import HostileClients, LabelFlippedShard, draw_hostile
from fedprime.runtime.in_process import InProcessClients
from fedprime.runtime.packed_clients import PackedClients, transport_of
from fedprime.settings.settings import Settings

__all__ = ["local_clients"]


def local_clients(experiment: Experiment, shards: Mapping[int, Shard], settings: Settings) -> PackedClients:
    """Returns clients that train in the experiment's model, some of them hostile if the settings say so.

    Args:
        experiment: What they are part of.
        shards: By client, its samples.
        settings: Those of the run; the experiment of a site with data of its own has others.
    """
    method, attack = experiment.method, settings.attack
    hostile = draw_hostile(settings.partition.num_clients, attack.share, settings.seed)
    if attack.kind == "label-flip":
        shards = {
            client: LabelFlippedShard.of(shard) if client in hostile else shard for client, shard in shards.items()
        }
    honest = InProcessClients(
        method,
        experiment.model,
        shards,
        settings.training,
        num_rounds=settings.training.rounds,
        seed=settings.seed,
    )
    clients = SharedParameterClients(honest) if method.shares_parameters else honest
    if attack.kind != "none":
        clients = HostileClients(clients, hostile, attack.kind, attack.strength, seed=settings.seed)
    return PackedClients(clients, method, transport_of(method, settings), honest.kept)

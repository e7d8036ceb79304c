"""The clients that work in this process, as the server meets them: all of a run, or the one that a message is for."""

from collections.abc import Mapping

from fedprime.config import Settings
from fedprime.data.batches import Shard
from fedprime.experiment import Experiment
from fedprime.runtime.hostile import HostileClients, LabelFlippedShard, draw_hostile
from fedprime.runtime.in_process import InProcessClients
from fedprime.runtime.packed import PackedClients, transport_of
from fedprime.runtime.shared_parameters import SharedParameterClients

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
    runtime = SharedParameterClients if method.shares_parameters else InProcessClients
    honest = runtime(
        method,
        experiment.model,
        shards,
        settings.training,
        num_rounds=settings.training.rounds,
        seed=settings.seed,
    )
    clients = honest
    if attack.kind != "none":
        clients = HostileClients(honest, hostile, attack.kind, attack.strength, seed=settings.seed)
    return PackedClients(clients, method, transport_of(method, settings), honest.kept)

"""Simulated hostile clients: what they send, worked by hand, and that honest ones are left alone."""

from collections.abc import Sequence

import pytest
import torch

from fedprime.experiment.build import Experiment
from fedprime.federation.rounds import Clients
from fedprime.methods.method import ServerState, Update
from fedprime.runtime.attacks import AttackKind, HostileClients, LabelFlippedShard, draw_hostile


class TwoClients:
    """Client 0 and client 1, who both move from what they got by (3, 4)."""

    def __len__(self) -> int:
        return 2

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        del round_number
        return [Update(client, 7, {"head": state.shared["head"] + torch.tensor([3.0, 4.0])}) for client in clients]


STATE = ServerState({"head": torch.tensor([1.0, 1.0])})


def sent(kind: AttackKind, strength: float, round_number: int = 0) -> list[list[float]]:
    clients = HostileClients(TwoClients(), {1}, kind, strength, seed=0)
    return [update.weights["head"].tolist() for update in clients.train(round_number, (0, 1), STATE)]


def test_they_are_clients_like_others():
    clients = HostileClients(TwoClients(), {1}, "noise", 1.0, seed=0)
    assert isinstance(clients, Clients)
    assert len(clients) == 2


@pytest.mark.parametrize(
    ("kind", "forged"), [("sign-flip", [-5.0, -7.0]), ("scaling", [7.0, 9.0]), ("label-flip", [4.0, 5.0])]
)
def test_a_hostile_client_sends_what_the_attack_says(kind: AttackKind, forged: list[float]):
    assert sent(kind, 2.0) == [[4.0, 5.0], forged]


def test_noise_is_about_as_long_as_asked_for_and_new_in_every_round():
    class Long(TwoClients):
        def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
            del round_number
            return [Update(client, 7, {"head": state.shared["head"] + 1}) for client in clients]

    state = ServerState({"head": torch.zeros(10_000)})
    clients = HostileClients(Long(), {0}, "noise", 3.0, seed=0)
    first, second = (clients.train(number, (0,), state)[0].weights["head"] for number in (0, 1))
    assert first.norm().item() == pytest.approx(3 * 100, rel=0.05)  # the honest change has length 100
    assert not torch.equal(first, second)


def test_as_many_are_hostile_as_asked_for_and_more_of_them_include_the_fewer():
    few, many = draw_hostile(20, 0.1, seed=0), draw_hostile(20, 0.3, seed=0)
    assert (len(few), len(many)) == (2, 6)
    assert set(few) < set(many)
    assert draw_hostile(20, 0.0, seed=0) == ()


def test_flipped_labels_are_the_mirrored_classes_in_the_same_order(small_experiment: Experiment):
    shard = small_experiment.shards[0]
    honest = torch.cat([batch.labels for batch in shard.batches(4)])
    flipped = torch.cat([batch.labels for batch in LabelFlippedShard.of(shard).at(0, 3).batches(4)])
    assert torch.equal(flipped, 2 - honest)  # three classes

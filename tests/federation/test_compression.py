"""Compression: rounding, and error feedback, by which what is held back arrives later."""

import pytest
import torch
from torch import Tensor

from fedprime.federation.compression import Compression
from fedprime.federation.processors import ServerRound
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.seeding import torch_stream


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch_stream(0, "transport"))


def sent_by_client(compression: Compression, trained: Tensor, received: Tensor) -> Weights:
    return compression.at_client(Update(0, 1, {"a": trained}), {"a": received}, 0).weights


@pytest.mark.parametrize("bits", [16, 8])
def test_what_arrives_is_within_half_a_step_of_each_row(bits: int):
    weights = {"pool": drawn(5, 7) * torch.tensor([[1e-4], [1.0], [30.0], [0.0], [1e4]]), "bias": drawn(3)}
    arrived = Compression(bits).arrived(Compression(bits).sent(weights))
    for name, value in weights.items():
        half_step = value.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1) / 2
        assert ((arrived[name] - value).abs() <= half_step * 1.001).all()
    assert torch.equal(arrived["pool"][3], torch.zeros(7))


def test_what_rounding_holds_back_is_sent_along_the_next_time():
    # In steps of 1: a change of 127 and one of 0.4, which rounds to 0; the second time 0.8 rounds to 1.
    trained, received, compression = torch.tensor([127.0, 0.4]), torch.zeros(2), Compression(8)
    assert sent_by_client(compression, trained, received)["a"].tolist() == [127, 0]
    assert compression.residuals[0]["a"].tolist() == pytest.approx([0, 0.4])
    assert sent_by_client(compression, trained, received)["a"].tolist() == [127, 1]
    assert compression.residuals[0]["a"].tolist() == pytest.approx([0, -0.2])


@pytest.mark.parametrize("bits", [16, 8])
def test_over_many_messages_the_sum_of_what_arrives_is_off_by_one_rounding_only(bits: int):
    compression, change, total = Compression(bits), drawn(4, 6), torch.zeros(4, 6)
    for _ in range(50):
        total += compression.arrived(sent_by_client(compression, change, torch.zeros(4, 6)))["a"]
    step = change.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((total - 50 * change).abs() <= step + 1e-4).all()


def test_what_one_client_held_back_is_nothing_to_another():
    compression = Compression(8)
    compression.residuals[1] = {"a": torch.tensor([0.0, 100.0])}
    assert sent_by_client(compression, torch.tensor([127.0, 0.4]), torch.zeros(2))["a"].tolist() == [127, 0]


def test_the_server_adds_a_change_to_its_own_values_that_were_not_rounded():
    compression, answer = Compression(8), {"a": torch.tensor([1.0, 0.001])}
    received = compression.arrived(compression.sent(answer))["a"]
    assert received.tolist() == pytest.approx([1, 0])
    sent = sent_by_client(compression, received + torch.tensor([0.5, 0.0]), received)
    asked = ServerRound(0, 0, (0,), Method(), ServerState(answer))
    assert compression.at_server(Update(0, 1, sent), asked).weights["a"].tolist() == pytest.approx([1.5, 0.001])


def test_a_pool_that_has_another_size_by_now_gets_nothing_of_what_was_held_back():
    compression = Compression(8, {0: {"a": torch.ones(4, 3)}})
    sent = sent_by_client(compression, torch.ones(2, 3), torch.zeros(2, 3))
    assert compression.arrived(sent)["a"].tolist() == [[1.0] * 3] * 2


def test_a_client_that_diverged_holds_back_nothing():
    compression = Compression(8)
    sent_by_client(compression, torch.tensor([float("nan"), 1.0]), torch.zeros(2))
    assert compression.residuals == {}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_told_by_its_step(wrong: float):
    packed = Compression(8).sent({"a": torch.tensor([[1.0, wrong], [1.0, 2.0]])})
    assert packed["a.scale"].isfinite().tolist() == [[False], [True]]

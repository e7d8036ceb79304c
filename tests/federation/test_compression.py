"""How values travel: rounding, error feedback, and what is counted."""

import pytest
import torch
from torch import Tensor

from fedprime.federation.compression import UNKNOWN_PART, Transport, bytes_by_part
from fedprime.reproducibility.seeding import torch_stream


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch_stream(0, "transport"))


@pytest.mark.parametrize("bits", [16, 8])
def test_what_arrives_is_within_half_a_step_of_each_row(bits: int):
    weights = {"pool": drawn(5, 7) * torch.tensor([[1e-4], [1.0], [30.0], [0.0], [1e4]]), "bias": drawn(3)}
    arrived = Transport(bits).unpack(Transport(bits).pack(weights))
    for name, value in weights.items():
        half_step = value.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1) / 2
        assert ((arrived[name] - value).abs() <= half_step * 1.001).all()
    assert torch.equal(arrived["pool"][3], torch.zeros(7))


def test_with_32_bits_everything_travels_as_it_is():
    weights, received, residual = {"a": drawn(2, 3)}, {"a": torch.ones(2, 3)}, {"a": drawn(2, 3)}
    exact = Transport(32)
    assert exact.unpack(exact.pack(weights))["a"] is weights["a"]
    packed, held_back = exact.pack_change(weights, received, residual)
    assert exact.unpack_change(packed, received)["a"] is weights["a"]
    assert held_back == {}


def test_what_rounding_holds_back_is_sent_along_the_next_time():
    # In steps of 1: a change of 127 and one of 0.4, which rounds to 0; the second time 0.8 rounds to 1.
    trained, received = {"a": torch.tensor([127.0, 0.4])}, {"a": torch.zeros(2)}
    transport = Transport(8)
    first, held_back = transport.pack_change(trained, received, {})
    second, held_back_then = transport.pack_change(trained, received, held_back)
    assert (first["a"].tolist(), second["a"].tolist()) == ([127, 0], [127, 1])
    assert held_back["a"].tolist() == pytest.approx([0, 0.4])
    assert held_back_then["a"].tolist() == pytest.approx([0, -0.2])


@pytest.mark.parametrize("bits", [16, 8])
def test_over_many_messages_the_sum_of_what_arrives_is_off_by_one_rounding_only(bits: int):
    transport, change, residual = Transport(bits), {"a": drawn(4, 6)}, {}
    nothing, total = {"a": torch.zeros(4, 6)}, torch.zeros(4, 6)
    for _ in range(50):
        packed, residual = transport.pack_change(change, nothing, residual)
        total += transport.unpack(packed)["a"]
    step = change["a"].abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((total - 50 * change["a"]).abs() <= step + 1e-4).all()


def test_the_server_adds_a_change_to_its_own_values_that_were_not_rounded():
    transport, answer = Transport(8), {"a": torch.tensor([1.0, 0.001])}
    received = transport.unpack(transport.pack(answer))
    assert received["a"].tolist() == pytest.approx([1, 0])
    trained = {"a": received["a"] + torch.tensor([0.5, 0.0])}
    packed, _ = transport.pack_change(trained, received, {})
    assert transport.unpack_change(packed, answer)["a"].tolist() == pytest.approx([1.5, 0.001])


def test_a_pool_that_has_another_size_by_now_gets_nothing_of_what_was_held_back():
    packed, _ = Transport(8).pack_change({"a": torch.ones(2, 3)}, {"a": torch.zeros(2, 3)}, {"a": torch.ones(4, 3)})
    assert Transport(8).unpack(packed)["a"].tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_told_by_its_step(wrong: float):
    packed = Transport(8).pack({"a": torch.tensor([[1.0, wrong], [1.0, 2.0]])})
    assert packed["a.scale"].isfinite().tolist() == [[False], [True]]


@pytest.mark.parametrize("bits", [32, 16, 8])
def test_the_form_is_that_of_what_is_sent(bits: int):
    weights = {"prompter.sets": drawn(3, 2, 4), "head.bias": drawn(5), "temperature": torch.tensor(2.0)[None]}
    form, packed = Transport(bits).form(weights), Transport(bits).pack(weights)
    assert {name: (value.shape, value.dtype) for name, value in form.items()} == {
        name: (value.shape, value.dtype) for name, value in packed.items()
    }


def test_every_byte_is_counted_with_the_part_that_it_belongs_to():
    weights = {
        "prompter.pools.inter": torch.zeros(20, 8),
        "head.weight": torch.zeros(3, 8),
        "head.bias": torch.zeros(3),
    }
    assert bytes_by_part(weights) == {"pools.inter": 640, "head": 96 + 12}
    # A byte for each value, and 4 for each row's step.
    assert bytes_by_part(Transport(8).form(weights)) == {"pools.inter": 160 + 80, "head": 24 + 12 + 3 + 4}


def test_what_nobody_asked_for_is_counted_together():
    sent = {"head.bias": torch.zeros(3), "a": torch.zeros(1), "b": torch.zeros(2)}
    assert bytes_by_part(sent, expected={"head.bias"}) == {"head": 12, UNKNOWN_PART: 12}


def test_the_papers_head_makes_up_its_7_27_megabytes():
    dim, wide, classes = 768, 1536, 8
    sent = {
        "prompter.pools.inter": torch.empty(20, dim, device="meta"),
        "prompter.pools.intra": torch.empty(20, dim, device="meta"),
        "pooler.weight": torch.empty(dim, dim, device="meta"),
        "pooler.bias": torch.empty(dim, device="meta"),
        "head.0.weight": torch.empty(wide, dim, device="meta"),
        "head.0.bias": torch.empty(wide, device="meta"),
        "head.1.weight": torch.empty(wide, device="meta"),
        "head.1.bias": torch.empty(wide, device="meta"),
        "head.3.weight": torch.empty(classes, wide, device="meta"),
        "head.3.bias": torch.empty(classes, device="meta"),
    }
    parts = bytes_by_part(sent)
    assert sum(parts.values()) == 7_271_456
    assert round(100 * (parts["pooler"] + parts["head"]) / 7_271_456) == 98

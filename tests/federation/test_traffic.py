"""Every byte is counted, with the part that it belongs to."""

import torch

from fedprime.federation.compression import Compression
from fedprime.federation.processors import ServerRound, form_on_the_way
from fedprime.federation.traffic import UNKNOWN_PART, bytes_by_part, size_bytes, traffic
from fedprime.methods.centralized import CentralizedP
from fedprime.methods.method import Method, ServerState, Update


def test_every_byte_is_counted_with_the_part_that_it_belongs_to():
    weights = {
        "prompter.pools.inter": torch.zeros(20, 8),
        "head.weight": torch.zeros(3, 8),
        "head.bias": torch.zeros(3),
    }
    assert bytes_by_part(weights) == {"pools.inter": 640, "head": 96 + 12}
    # A byte for each value, and 4 for each row's step.
    assert bytes_by_part(form_on_the_way([Compression(8)], weights)) == {
        "pools.inter": 160 + 80,
        "head": 24 + 12 + 3 + 4,
    }


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


def test_bytes_follow_the_data_type():
    assert size_bytes({"half": torch.ones(3, dtype=torch.float16), "double": torch.ones(2, 2).double()}) == 6 + 32


#: Client 1 gets a head of two values, the others one of three.
STATE = ServerState({"head.bias": torch.zeros(3)}, {1: {"head.bias": torch.zeros(2)}}, {"momentum": torch.zeros(99)})


def test_a_round_counts_what_each_client_was_sent_as_often_as_it_was_and_what_came_back():
    asked = ServerRound(0, 0, (0, 1), Method(), STATE)
    received = [Update(1, 5, {"head.bias": torch.zeros(2), "spam": torch.zeros(1)})]
    assert traffic(asked, [0, 1, 0], received, ()) == ({"head": 4 * (3 + 2 + 3)}, {"head": 8, UNKNOWN_PART: 4})
    # A byte for each value, and 4 for the step.
    assert traffic(asked, [0, 1], [], [Compression(8)])[0] == {"head": 3 + 4 + 2 + 4}


def test_where_holder_and_server_are_one_nothing_travels():
    assert traffic(ServerRound(0, 0, (0,), CentralizedP(), STATE), [0], [], ()) == ({}, {})

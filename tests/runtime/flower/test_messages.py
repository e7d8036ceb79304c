"""What server and clients say to each other: it arrives as it was, and nothing else is believed."""

import json
import math
import struct

import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedprime.runtime.flower.messages import Content, MessageError, pack, unpack

WEIGHTS = {"z": torch.tensor([1.5, math.nan]), "a": torch.zeros(2, 3, dtype=torch.bfloat16), "m": torch.tensor(7)}


def records() -> RecordDict:
    return pack(Content({"round": 3}, {"sent": WEIGHTS}))


def test_what_was_said_arrives_with_its_bits_types_and_order():
    content = unpack(records(), ("sent",))
    assert content.facts == {"round": 3}
    assert list(content.weights["sent"]) == ["z", "a", "m"]
    for name, value in content.weights["sent"].items():
        assert (value.dtype, value.shape) == (WEIGHTS[name].dtype, WEIGHTS[name].shape)
        assert value.view(torch.uint8 if value.dim() else value.dtype).equal(
            WEIGHTS[name].view(torch.uint8 if value.dim() else value.dtype)
        )


def test_nothing_is_changed_by_being_sent():
    before = WEIGHTS["a"].clone()
    unpack(records(), ("sent",)).weights["sent"]["a"].add_(1)
    assert WEIGHTS["a"].equal(before)


def test_no_values_are_values_too():
    assert unpack(pack(Content({}, {"sent": {}})), ("sent",), max_bytes=0).weights == {"sent": {}}


@pytest.mark.parametrize(
    ("part", "array", "reason"),
    [
        ("sent", Array("uint8", (3,), "numpy.ndarray", b"abc"), "format 'numpy.ndarray'"),
        ("sent", Array("uint8", (3,), "safetensors", b"abc"), "no safetensors buffer"),
        ("sent", Array("uint8", (8,), "safetensors", struct.pack("<Q", 1 << 50)), "no safetensors buffer"),
        ("other", Array("uint8", (0,), "safetensors", b""), "weights are other, expected sent"),
    ],
)
def test_a_buffer_that_is_not_one_is_refused(part: str, array: Array, reason: str):
    broken = records()
    broken["weights"] = ArrayRecord({part: array})
    with pytest.raises(MessageError, match=reason):
        unpack(broken, ("sent",))


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_refused(data: bytes):
    broken = records()
    broken["weights"] = ArrayRecord({"sent": Array("uint8", (len(data),), "safetensors", data)})
    with pytest.raises(MessageError):
        unpack(broken, ("sent",))


def test_more_bytes_than_expected_are_refused_before_they_are_read():
    large = pack(Content({}, {"sent": {"head": torch.zeros(1_000_000)}}))
    with pytest.raises(MessageError, match=r"take 4,000,0\d\d bytes, expected at most 52"):
        unpack(large, ("sent",), max_bytes=52)


@pytest.mark.parametrize("facts", ["{", "[]", "[" * 100_000, "null"])
def test_facts_that_are_no_table_are_refused(facts: str):
    with pytest.raises(MessageError, match="facts"):
        unpack(RecordDict({"facts": ConfigRecord({"json": facts})}))


@pytest.mark.parametrize("order", [None, [], ["a", "m", "y"], ["a", "m", "z", "z"], [1, 2, 3]])
def test_a_list_of_names_that_does_not_fit_is_refused(order: object):
    broken = records()
    broken["facts"] = ConfigRecord({"json": json.dumps({"order of names": {"sent": order}})})
    with pytest.raises(MessageError, match="list of names"):
        unpack(broken, ("sent",))


def test_missing_and_unknown_records_are_refused():
    with pytest.raises(MessageError, match="records are facts, expected facts, weights"):
        unpack(pack(Content({})), ("sent",))
    with pytest.raises(MessageError, match="records are facts, weights, expected facts"):
        unpack(records())
    with pytest.raises(MessageError, match="not JSON"):
        unpack(RecordDict({"facts": MetricRecord({"json": 1})}))

"""Answers of one bad site of several: what it sends to each kind of question, by a name that says what is wrong."""

import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from torch import Tensor

from fake_grid import Fault
from fedprime.runtime.flower.messages import PARTS, Content, pack, unpack

#: In the place of a fact: it is not there.
DELETED = object()
_HUGE = 10**400
_SCORES = {"accuracy": 0.5, "loss": 1.0, "macro_f1": 0.5, "num_samples": 5}


def saying(**facts: Any) -> Fault:
    """A site that says something else."""

    def fault(message: Message, reply: Message) -> Message:
        content = unpack(reply.content, PARTS if "weights" in reply.content else ())
        told = {name: value for name, value in {**content.facts, **facts}.items() if value is not DELETED}
        return Message(pack(Content(told, content.weights)), reply_to=message)

    return fault


def sending(change: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]) -> Fault:
    """A site that sends other values."""

    def fault(message: Message, reply: Message) -> Message:
        content = unpack(reply.content, PARTS)
        weights = {**content.weights, "sent": dict(change(content.weights["sent"]))}
        return Message(pack(Content(content.facts, weights)), reply_to=message)

    return fault


def each(change: Callable[[Tensor], Tensor]) -> Fault:
    """A site that changes each of its values."""
    return sending(lambda weights: {name: change(value) for name, value in weights.items()})


def writing(text: str | Callable[[str], str]) -> Fault:
    """A site whose facts are this text."""

    def fault(_: Message, reply: Message) -> Message:
        before = str(reply.content["facts"]["json"])
        reply.content["facts"] = ConfigRecord({"json": text(before) if callable(text) else text})
        return reply

    return fault


def adding(text: str) -> Fault:
    """A site that writes one more fact."""
    return writing(lambda before: f'{before[:-1]}, "more": {text}}}')


def buffer(data: bytes, stype: str = "safetensors") -> Fault:
    """A site that sends a buffer of its own making."""

    def fault(_: Message, reply: Message) -> Message:
        reply.content["weights"]["sent"] = Array("uint8", (len(data),), stype, data)
        return reply

    return fault


def header(text: str, data: bytes = b"") -> Fault:
    """A site whose buffer has this header."""
    return buffer(struct.pack("<Q", len(text)) + text.encode() + data)


def value(shape: object, offsets: object, kind: str = "F32", data: bytes = b"") -> Fault:
    """A site whose buffer says that it holds one value."""
    return header(json.dumps({"head": {"dtype": kind, "shape": shape, "data_offsets": offsets}}), data)


def record(name: str, made: Callable[[], Any] | None) -> Fault:
    """A site that has another record in the place of one, or none."""

    def fault(_: Message, reply: Message) -> Message:
        if made is None:
            del reply.content[name]
        else:
            reply.content[name] = made()
        return reply

    return fault


def failing(reason: str | None, code: int = 2) -> Fault:
    return lambda message, _: Message(Error(code, reason), reply_to=message)


def telling(**facts: Any) -> Fault:
    """A site that says nothing but this."""
    return lambda message, _: Message(pack(Content(facts)), reply_to=message)


TEXTS: dict[str, Fault] = {
    "nothing": writing(""),
    "a list": writing("[]"),
    "a number": writing("3"),
    "null": writing("null"),
    "no JSON": writing("{"),
    "null bytes": writing("\0" * 100),
    "a deep list": writing("[" * 200_000 + "]" * 200_000),
    "an open deep list": writing("[" * 200_000),
    "a deep table": writing('{"a":' * 100_000 + "1" + "}" * 100_000),
    "a fact that is deep": adding("[" * 900 + "]" * 900),
    "a number of 5,000 digits": adding("9" * 5000),
    "a number beyond all": adding("1e999"),
    "NaN": adding("NaN"),
    "half a character": adding('"\\ud800"'),
    "one fact twice": writing(lambda before: before[:-1] + ', "round": 99}'),
    "10 MB": adding('"' + "a" * 10_000_000 + '"'),
}
ANSWERS: dict[str, Fault] = {
    "hangs": lambda _, __: None,
    "crashes": failing("Traceback\nZeroDivisionError: division by zero"),
    "crashes without a word": failing(None),
    "crashes with many words": failing("x" * 1_000_000, 999),
    "says an error that clears the screen": telling(error="\x1b[2J\x1b]0;title\x07 ok"),
    "says a table of errors": telling(error={"a": 1}),
    "says an empty error": telling(error=""),
    "says an error without end": lambda message, _: Message(
        RecordDict({"facts": ConfigRecord({"json": '{"error": ' + "9" * 5000 + "}"})}), reply_to=message
    ),
    "has no facts": record("facts", None),
    "has arrays as facts": record("facts", lambda: ArrayRecord({})),
    "has metrics as facts": record("facts", lambda: MetricRecord({"json": 1})),
    "has bytes as facts": record("facts", lambda: ConfigRecord({"json": b"{}"})),
    "has one record more": record("more", lambda: ConfigRecord({})),
    "has nothing": lambda message, _: Message(RecordDict(), reply_to=message),
    "is of another run": saying(run="ff"),
    "is of no run": saying(run=DELETED),
    **{f"is of round {number!r}": saying(round=number) for number in (7, -9, True, 0.5, None, _HUGE)},
    **{f"is of client {str(number)[:9]}": saying(client=number) for number in (2, 99, -1, 1.0, True, [1], _HUGE)},
    "is of no client": saying(client=DELETED),
    **{f"writes {name}": fault for name, fault in TEXTS.items()},
}
BUFFERS: dict[str, Fault] = {
    "nothing": buffer(b""),
    "seven bytes": buffer(b"1234567"),
    "noise": buffer(bytes(range(256)) * 40),
    "a header of a terabyte": buffer(struct.pack("<Q", 1 << 40)),
    "a header without end": buffer(b"\xff" * 8 + b"{}"),
    "100 GB": value([25_000_000_000], [0, 100_000_000_000]),
    "fewer than no values": value([-1], [-4, 0]),
    "two values in one place": header(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b"\0" * 4,
    ),
    "a type of half a byte": value([8], [0, 4], "F4", b"\0" * 4),
    "a type of a byte": value([4], [0, 4], "F8_E8M0", b"\0" * 4),
    "complex numbers": value([1], [0, 8], "C64", b"\0" * 8),
    "an unknown type": value([4], [0, 4], "Q99", b"\0" * 4),
    "a shape that overflows": value([1 << 32] * 3, [0, 4], "F32", b"\0" * 4),
    "5,000 axes": value([0] * 5000, [0, 0]),
    "70 axes": value([1] * 70, [0, 4], "F32", b"\0" * 4),
    "no rows of endless length": value([0, 1 << 62, 9], [0, 0]),
    "no rows of impossible length": value([0, (1 << 64) - 1], [0, 0]),
    "a shape that is a word": value("wide", [0, 4], "F32", b"\0" * 4),
    "a shape of halves": value([0.5], [0, 4], "F32", b"\0" * 4),
    "a place of one end": value([1], [0], "F32", b"\0" * 4),
    "a header that is a list": header("[]"),
    "a deep header": header("[" * 100_000),
    "20,000 values": header(
        "{" + ",".join(f'"{n}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for n in range(20_000)) + "}"
    ),
    "a pickle": buffer(b"\x80\x04N.", "pickle"),
    "a numpy array": buffer(b"\x93NUMPY", "numpy.ndarray"),
}
VALUES: dict[str, Fault] = {
    **{
        f"all {number}": each(lambda own, number=number: torch.full_like(own, number))
        for number in (math.nan, math.inf, -math.inf, 1e30, -1e30, 3e38)
    },
    "huge values of both signs": each(
        lambda own: torch.where(torch.arange(own.numel()).view_as(own) % 2 == 0, 3e38, -3e38)
    ),
    "one huge value": each(lambda own: own.flatten().index_fill(0, torch.tensor([0]), 3e38).view_as(own)),
    "a step of a million": each(lambda own: own + 1e6),
    "double precision": each(Tensor.double),
    "yes and no": each(Tensor.bool),
    "bfloat16": each(Tensor.bfloat16),
    "single numbers": each(lambda own: own.flatten()[0]),
    "one axis more": each(lambda own: own[None]),
    "transposed values": each(lambda own: own.T.contiguous() if own.ndim == 2 else own[None]),
    "whole numbers": each(Tensor.long),
    "no rows": each(lambda own: own[:0]),
    "one row more": each(lambda own: torch.cat([own, own[:1]])),
    "100,000 rows": each(lambda own: own[:1].repeat(100_000, *[1] * (own.ndim - 1))),
    "no values": sending(lambda _: {}),
    "one value more": sending(lambda own: {**own, "../../x": torch.zeros(1)}),
    "a name that turns the line": sending(lambda own: {**own, "\u202e\x1b[2J": torch.zeros(1)}),
    "2,000 names": sending(lambda own: {**own, **{f"k{n}": torch.zeros(1) for n in range(2_000)}}),
    "one value less": sending(lambda own: dict(list(own.items())[1:])),
}
FAULTS: dict[tuple[str, str], Fault] = {
    **{("train", name): fault for name, fault in ANSWERS.items()},
    **{("train", f"sends {name}"): fault for name, fault in {**BUFFERS, **VALUES}.items()},
    ("train", "has no values"): record("weights", None),
    ("train", "has facts as values"): record("weights", lambda: ConfigRecord({"sent": "x"})),
    ("train", "lists other names"): writing(
        lambda before: json.dumps(
            {**json.loads(before), "order of names": {"sent": [[], {}], "kept": [], "residual": []}}
        )
    ),
    ("train", "lists a number"): writing(lambda before: json.dumps({**json.loads(before), "order of names": 5})),
    **{
        ("train", f"trained on {str(n)[:9]} samples"): saying(num_samples=n)
        for n in (0, -5, True, 1.5, None, "7", _HUGE, 2**63, [1], {}, 1000, DELETED)
    },
    **{
        ("train", f"has loss {str(n)[:9]}"): saying(metrics={"loss": n})
        for n in (1e308, -1e308, None, "x", True, _HUGE, -_HUGE, [], {})
    },
    **{
        ("train", f"has metrics {number}"): saying(metrics=found)
        for number, found in enumerate(
            (None, [], "x", {"loss": 1.0, "a" * 1_000_000: 1.0}, {f"m{n}": n for n in range(10_000)}, {"other": _HUGE})
        )
    },
    ("train", "says more than it is asked"): saying(more=1),
    **{("query", name): fault for name, fault in ANSWERS.items() if name != "is of client 2"},
    **{
        ("query", f"does not say its {name}"): saying(**{name: DELETED})
        for name in ("task", "label_names", "modalities", "kinds", "backbone", "version", "num_samples")
    },
    **{
        ("query", f"has {str(n)[:9]} samples"): saying(num_samples=n)
        for n in ("many", None, [], -1, 0, _HUGE, 10**18, True, 2.5)
    },
    **{
        ("query", f"has labels {number}"): saying(label_names=found)
        for number, found in enumerate(
            (None, [], 5, "cat", ["cat"], [None] * 20, ["x"] * 1000, {}, ["dog", "cat"], ["a" * 10_000, "b"], [["cat"]])
        )
    },
    **{
        ("query", f"has modalities {number}"): saying(modalities=found)
        for number, found in enumerate((None, 5, "it", ["image"], [], ["image", "image"], [1, 2], ["m"] * 1000))
    },
    ("query", "has another backbone"): saying(backbone="x"),
    ("query", "has another task"): saying(task="__import__"),
    ("query", "is of another version"): saying(version="99.0"),
    **{("evaluate", name): fault for name, fault in ANSWERS.items()},
    **{
        ("evaluate", f"measured {name}"): saying(scores=found)
        for name, found in {
            "nothing": None,
            "a list": [],
            "a number": 7,
            "no loss": {"full": {"accuracy": 0.5, "num_samples": 5}},
            "no accuracy": {"full": {"loss": 1.0, "num_samples": 5}},
            "no samples": {"full": {"accuracy": 0.5, "loss": 1.0}},
            "something unknown": {"full": {**_SCORES, "\x1b[31mroot": 1.0}},
            "a table of tables": {"full": {**_SCORES, "loss": {}}},
            "words": {"full": {**_SCORES, "accuracy": "high"}},
            **{
                f"{str(n)[:9]} samples": {"full": {**_SCORES, "num_samples": n}}
                for n in (0, -1, True, 1.5, _HUGE, 10**18)
            },
            **{f"accuracy {str(n)[:9]}": {"full": {**_SCORES, "accuracy": n}} for n in (5.0, -1.0, _HUGE, True, None)},
            **{f"loss {str(n)[:9]}": {"full": {**_SCORES, "loss": n}} for n in (1e300, -1e300, -1.0, _HUGE)},
            "100,000 kinds of samples": {str(n): _SCORES for n in range(10_000)},
        }.items()
    },
}

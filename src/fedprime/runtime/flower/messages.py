"""What server and clients say to each other, as Flower's records; what comes in is checked before it is used.

Weights travel as one safetensors buffer, whose header is checked against the bytes that are there before anything is
allocated; everything else as JSON. Nothing is pickled or unpickled.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from safetensors.torch import load, save

from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.errors import FedprimeError, quoted
from fedprime.reproducibility.strict_json import JsonError, parse_json

#: The parts of weights in a task and in the answer to it: what travels; and, of a simulated client, which has no disk,
#: what it keeps, and what rounding held back of its last message.
PARTS = ("sent", "kept", "residual")
#: Stands for the number of a client that the server does not know yet.
ANY_CLIENT = -1

_FORMAT = "safetensors"
_ORDER = "order of names"
#: Beside its values, a buffer has a header with a name, a shape and a type for each.
_HEADER_BYTES = 1_000_000
#: Characters of all that is no weights: what is predicted may have many names.
_LONGEST_FACTS = 4_000_000
#: Axes of a tensor, and elements along one: none that is trained comes near.
_MOST_AXES, _LONGEST_AXIS = 8, 1 << 40
_BYTES_OF_TYPE = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


class MessageError(FedprimeError):
    """A message that is not what it should be."""


@dataclass(frozen=True)
class Content:
    """What a message says.

    Attributes:
        facts: Plain JSON values by name.
        weights: By part (`PARTS`), values by name.
    """

    facts: Mapping[str, Any]
    weights: Mapping[str, Weights] = field(default_factory=dict)


def pack(content: Content) -> RecordDict:
    """Turns what shall be said into records."""
    # A buffer sorts its names, and sums over values run in their order: it must be the same on both sides.
    order = {part: list(weights) for part, weights in content.weights.items()}
    records = RecordDict({"facts": ConfigRecord({"json": json.dumps({**content.facts, _ORDER: order})})})
    if content.weights:
        records["weights"] = ArrayRecord(
            {
                part: _buffer(save({name: value.contiguous() for name, value in weights.items()}))
                for part, weights in content.weights.items()
            }
        )
    return records


def unpack(records: RecordDict, parts: tuple[str, ...] = (), max_bytes: int | None = None) -> Content:
    """Reads records that came in.

    Args:
        parts: The parts of weights that must be there, no more and no fewer.
        max_bytes: As many bytes of values at most, over all parts; None for any number.

    Raises:
        MessageError: If records are missing, unknown, too large or not what they say they are.
    """
    expected = {"facts", "weights"} if parts else {"facts"}
    if set(records) != expected:
        raise MessageError(f"its records are {_listed(records)}, expected {_listed(expected)}")
    facts = _facts(records["facts"])
    order = facts.pop(_ORDER, None)
    if not parts:
        return Content(facts)
    arrays = records["weights"]
    if not isinstance(arrays, ArrayRecord) or set(arrays) != set(parts):
        raise MessageError(f"its weights are {_listed(arrays)}, expected {_listed(parts)}")
    found = sum(len(array.data) for array in arrays.values())
    if max_bytes is not None and found > max_bytes + _HEADER_BYTES * len(parts):
        raise MessageError(f"its weights take {found:,} bytes, expected at most {max_bytes:,}")
    weights = {part: _weights(part, arrays[part]) for part in parts}
    for part in parts:
        names = order.get(part) if isinstance(order, dict) else None
        if not isinstance(names, list) or sorted(map(repr, names)) != sorted(map(repr, weights[part])):
            raise MessageError(f"its list of names does not fit its {part} weights")
    return Content(facts, {part: {name: weights[part][name] for name in order[part]} for part in parts})


def _facts(record: object) -> dict[str, Any]:
    text = record.get("json") if isinstance(record, ConfigRecord) else None
    if not isinstance(text, str):
        raise MessageError("its facts are not JSON")
    if len(text) > _LONGEST_FACTS:
        raise MessageError(f"its facts take {len(text):,} characters, expected at most {_LONGEST_FACTS:,}")
    try:
        facts = parse_json(text)
    except JsonError as error:
        raise MessageError(f"its facts are not JSON: {error}") from error
    if not isinstance(facts, dict):
        raise MessageError("its facts are not a table")
    return facts


def _buffer(data: bytes) -> Array:
    return Array(dtype="uint8", shape=(len(data),), stype=_FORMAT, data=data)


def _weights(part: str, array: Array) -> Weights:
    if array.stype != _FORMAT:
        raise MessageError(f"{part} weights are in the format {quoted(array.stype, 40)!r}, expected {_FORMAT}")
    try:
        _refuse_broken_header(array.data)
        return load(array.data)
    except Exception as error:  # whatever the library makes of bytes that anybody may have sent
        raise MessageError(f"{part} weights are no {_FORMAT} buffer: {quoted(error, 200)}") from error


def _refuse_broken_header(data: bytes) -> None:
    """Raises a `MessageError` if a buffer is not what its header says, before anything is made of it."""
    (length,) = struct.unpack_from("<Q", data) if len(data) >= 8 else (0,)
    if not 2 <= length <= min(len(data) - 8, _HEADER_BYTES):
        raise MessageError(f"it has a header of {length:,} bytes")
    header = parse_json(data[8 : 8 + length])
    entries = [entry for name, entry in header.items() if name != "__metadata__"] if isinstance(header, dict) else [{}]
    for entry in entries:
        shape, offsets = (entry.get(key) or [] for key in ("shape", "data_offsets"))
        kind = str(entry.get("dtype"))
        if kind not in _BYTES_OF_TYPE:
            raise MessageError("a value has no type that is known here")
        if not _are_whole(shape, _MOST_AXES) or not _are_whole(offsets, 2) or len(offsets) != 2:
            raise MessageError("a value has an impossible shape or place")
        if math.prod(shape) * _BYTES_OF_TYPE[kind] != offsets[1] - offsets[0]:
            raise MessageError("a value takes other bytes than its shape needs")


def _are_whole(numbers: Any, most: int) -> bool:
    return (
        isinstance(numbers, list)
        and len(numbers) <= most
        and all(type(number) is int and 0 <= number <= _LONGEST_AXIS for number in numbers)
    )


def _listed(names: object) -> str:
    try:
        return quoted(", ".join(sorted(map(str, names)))) or "none"  # pyright: ignore[reportCallIssue, reportArgumentType]
    except TypeError:
        return type(names).__name__

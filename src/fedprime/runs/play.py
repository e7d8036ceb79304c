"""A model behind a page and a small interface: one sample at a time, by every subset of what is there of it."""

import base64
import binascii
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyio import fail_after
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from fedprime.data.images import InputError, read_image
from fedprime.data.sets.table.options import stated_columns
from fedprime.data.sets.table.plain_words import cleaned
from fedprime.data.sounds import read_sound
from fedprime.data.sources import ValueKind
from fedprime.models.discriminant import frequencies_of
from fedprime.models.explanation import explain
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.errors import FedprimeError, quoted
from fedprime.reproducibility.strict_json import JsonError, parse_json

#: Names of this machine for itself; a page that listens there answers no other name.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: Of a request, unless another limit is given.
MOST_BYTES = 20_000_000
#: To send it: whoever sends without end takes the place of others.
_MOST_SECONDS = 30
#: How many times that many bytes are read and dropped, so that a client that sends before it listens sees the answer.
_DROPPED = 20
_MOST_LETTERS = 100_000  # of a text, and of a cell
_MOST_NUMBERS = 100_000

_PAGE = Path(__file__).parent / "play.html"
#: The page loads nothing but itself, and what a person gave it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data: blob:; media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class _TooLargeError(FedprimeError):
    """A request of more bytes than are read."""


def play_app(model: PromptedModel, place: str, *, host: str = LOOPBACK[0], most_bytes: int = MOST_BYTES) -> Starlette:
    """Returns the application: ``GET /`` is the page, ``GET /model`` what it knows, ``POST /predict`` the interface.

    Args:
        model: Kept in memory; it answers one request after the other.
        place: What to call it.
        host: What the server listens to.
        most_bytes: Of a request.
    """
    in_use = threading.Lock()
    known = description(model, place, most_bytes)

    def answer(content: bytes) -> dict[str, Any]:
        started = time.perf_counter()
        asked = _parsed(content)
        with in_use:  # a photo may take a hundred times the memory of its file
            sample = read_values(asked["sample"], model.backbone.kinds)
        unknown = [own for own in asked["without"] if own not in model.backbone.kinds]
        if unknown:
            raise InputError(f"without: the model reads {', '.join(model.backbone.kinds)}; not {str(unknown[0])[:100]}")
        sample = {name: value for name, value in sample.items() if name not in asked["without"]}
        with in_use:
            answers = explain(model, sample, asked["prior"], every_subset=asked["subsets"])
        return {"answers": answers, "seconds": round(time.perf_counter() - started, 4)}

    async def predict(request: Request) -> Response:
        try:
            with fail_after(_MOST_SECONDS):
                content = await _body(request, most_bytes)
            return JSONResponse(await run_sync(answer, content), headers=_HEADERS)
        except TimeoutError:
            said = f"the request has not come in {_MOST_SECONDS} seconds; send it again"
            return JSONResponse({"error": said}, 408, {**_HEADERS, "Connection": "close"})
        except _TooLargeError as error:
            return JSONResponse({"error": str(error)}, 413, {**_HEADERS, "Connection": "close"})
        except (FedprimeError, ClientDisconnect) as error:
            return JSONResponse({"error": quoted(error)}, 400, _HEADERS)

    async def page(_: Request) -> Response:
        return HTMLResponse(_PAGE.read_text(encoding="utf-8"), headers=_HEADERS)

    async def about(_: Request) -> Response:
        return JSONResponse(known, headers=_HEADERS)

    routes = [Route("/", page), Route("/model", about), Route("/predict", predict, methods=["POST"])]
    # A page of somebody else, whose name was made to point here, is not answered. "[" begins the name of IPv6.
    hosts = [Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "["])] if host in LOOPBACK else []
    return Starlette(routes=routes, middleware=hosts)


def description(model: PromptedModel, place: str, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Returns what a page has to know of a model; the arguments are those of `play_app`."""
    about = model.about
    columns = dict(map(stated_columns, about.get("columns", [])))
    forms, styles = about.get("forms", {}), about.get("styles", {})
    modalities = [
        {
            "name": name,
            "kind": kind,
            "fields": [
                {"name": column, "is_number": forms.get(column) == "number" and column not in styles}
                for column in (columns.get(name, []) if kind == "table" else [])
            ],
        }
        for name, kind in model.backbone.kinds.items()
    ]
    prior = model.log_prior
    frequencies = None if prior is None else frequencies_of(prior, model.task).tolist()
    return {
        "place": place,
        "labels": list(model.label_names),
        "task": model.task,
        "modalities": modalities,
        "prior": None if frequencies is None else dict(zip(model.label_names, frequencies, strict=True)),
        "backbone": model.backbone.reference if "/" not in model.backbone.reference else "in files",
        "training": {name: own for name, own in about.get("training", {}).items() if name in ("method", "rounds")},
        "chosen": about.get("training", {}).get("chosen", {}),
        "most_bytes": most_bytes,
    }


def read_values(sample: Mapping[str, object], kinds: Mapping[str, ValueKind]) -> dict[str, object]:
    """Returns the raw values of a sample that came as JSON; holes are left out. No file of this machine is read.

    Args:
        sample: Images and sounds as base64, texts, cells by column, lists of numbers.
        kinds: Of what kind each modality is.

    Raises:
        InputError: If one is of another form.
    """
    unknown = [modality for modality in sample if modality not in kinds]
    if unknown:
        raise InputError(f"the model reads {', '.join(kinds)}; it cannot use {', '.join(unknown)[:200]}")
    read = {name: _read(name, value, kinds[name]) for name, value in sample.items() if value not in (None, "", [], {})}
    return {name: value for name, value in read.items() if not (isinstance(value, str | dict) and not value)}


def _read(name: str, value: Any, kind: ValueKind) -> object:
    if kind in ("image", "audio"):
        if not isinstance(value, str):
            raise InputError(f"{name}: found {type(value).__name__}; expected the bytes of a file as base64")
        try:
            content = base64.b64decode(value.rpartition(",")[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError(f"{name}: it is no base64: {error}") from error
        return read_image(content, name) if kind == "image" else read_sound(content, name)
    if kind == "text":
        if not isinstance(value, str) or len(value) > _MOST_LETTERS:
            raise InputError(f"{name}: expected a text of at most {_MOST_LETTERS:,} letters")
        return " ".join(value.split()) if cleaned(value) else ""
    if kind == "numbers":
        fits = isinstance(value, list) and 0 < len(value) <= _MOST_NUMBERS
        if not fits or not all(type(number) in (int, float) for number in value):
            raise InputError(f"{name}: expected a list of numbers, at most {_MOST_NUMBERS:,}")
        return value
    plain = isinstance(value, dict) and all(
        cell is None or type(cell) in (int, float) or (isinstance(cell, str) and len(cell) <= _MOST_LETTERS)
        for cell in value.values()
    )
    if not plain:
        raise InputError(f"{name}: expected numbers and words by column")
    return {column: cell for column, cell in value.items() if cell is not None and cell != ""}


def _parsed(content: bytes) -> dict[str, Any]:
    """Returns what is asked for, checked but for the values of the sample."""
    try:
        asked = parse_json(content)
    except JsonError as error:
        raise InputError(f"the request cannot be read: {error}") from error
    expected = {"sample": {}, "without": [], "prior": "train", "subsets": False}
    kinds = {"sample": dict, "without": list, "prior": str | dict, "subsets": bool}
    if not isinstance(asked, dict) or "sample" not in asked or not asked.keys() <= expected.keys():
        raise InputError(f"the request has to be an object with {', '.join(expected)}, of which sample is needed")
    for name, kind in kinds.items():
        if not isinstance(asked.get(name, expected[name]), kind):
            raise InputError(f"{name} is of {type(asked[name]).__name__}; see docs/play.md for what is expected")
    prior = asked.get("prior")
    if not all(isinstance(name, str) for name in asked.get("without", [])):
        raise InputError("without: expected the names of modalities")
    if isinstance(prior, dict) and not all(type(number) in (int, float) for number in prior.values()):
        raise InputError("prior: expected a number for each label")
    return expected | asked


async def _body(request: Request, most_bytes: int) -> bytes:
    """Returns what was sent.

    Raises:
        _TooLargeError: If that is too much. It is read to its end even so: a connection that is closed over unread
            bytes is reset, and the client never sees why. One that asks first, or sends far more, is not waited for.
    """
    too_large = _TooLargeError(f"the request has more than {most_bytes:,} bytes; send a smaller file")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most_bytes and "expect" in request.headers:
        raise too_large
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= most_bytes:
            parts.append(part)
            continue
        parts.clear()
        if size > _DROPPED * most_bytes:
            break
    if size > most_bytes:
        raise too_large
    return b"".join(parts)

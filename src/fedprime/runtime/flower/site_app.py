"""What Flower starts at a site for every message: it hands it to the site's worker, and brings the answer back.

The worker has torch, the backbone and the samples at hand; this imports none of them. What the worker makes of a
message, and what it refuses, is in `fedprime.runtime.flower.client_app`.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto

from fedprime.reproducibility.strict_json import JsonError, parse_json
from fedprime.runtime.flower.processes import STATE_KEY
from fedprime.runtime.flower.worker_socket import WorkerError, ask, worker_folder

app = ClientApp()


@app.query()
def describe(message: Message, context: Context) -> Message:
    """Answers which client this is, and what the server has to know about its samples."""
    return _handed_on("query", message, context)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Trains from what the server sent."""
    return _handed_on("train", message, context)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measures what the server sent on the client's own samples."""
    return _handed_on("evaluate", message, context)


def _handed_on(kind: str, message: Message, context: Context) -> Message:
    node = dict(context.node_config)
    if STATE_KEY not in node:
        raise WorkerError("this node has no folder for its state; start it by `fedprime deploy client`")
    header = {"kind": kind, "node": node, "concerns": _concern(message.content)}
    payload = recorddict_to_proto(message.content).SerializeToString()
    found = ask(worker_folder(Path(str(node[STATE_KEY]))), header, payload)
    return Message(recorddict_from_proto(RecordDictProto.FromString(found)), reply_to=message)


def _concern(records: RecordDict) -> str:
    """Returns a digest of what a worker keeps between messages: with another one, it begins anew.

    That is the run (before another one, the site's samples may have changed), its settings, and the installed version.
    """
    record = records.get("facts")
    text = record.get("json") if isinstance(record, ConfigRecord) else None
    try:
        facts = parse_json(text) if isinstance(text, str) else None
    except JsonError:
        facts = None  # which the worker refuses, and says why
    known = [facts.get(name) for name in ("run", "settings")] if isinstance(facts, dict) else []
    return hashlib.sha256(json.dumps([*known, version("fedprime")]).encode()).hexdigest()

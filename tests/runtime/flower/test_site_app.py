"""What Flower starts at a site for every message: it imports nothing heavy, and hands on all that it gets."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Context, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from flwr.supercore.task_identity import TaskIdentity

from fedprime.runtime.flower.messages import PARTS, Content, pack, unpack
from fedprime.runtime.flower.processes import NUMBER_KEY, STATE_KEY
from fedprime.runtime.flower.site_app import app
from fedprime.runtime.flower.worker_socket import WorkerError, bound_socket, read_frame, worker_folder, write_frame

FACTS = {"settings": "rounds = 3", "run": "abc", "round": 4, "client": 1}


def message_of(records: RecordDict, kind: str) -> Message:
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    message = Message(records, 7, kind)
    message.metadata.__dict__["_message_id"] = "1"
    return message


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """What a worker that gives everything back was told about each message, besides what it says."""
    folder, told = worker_folder(tmp_path), []
    folder.mkdir()
    with bound_socket(folder) as listener:

        def echo() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, connection.makefile("rwb") as stream:
                    header, payload = read_frame(stream)
                    told.append(header)
                    records = recorddict_from_proto(RecordDictProto.FromString(payload))
                    write_frame(stream, {}, recorddict_to_proto(records).SerializeToString())

        thread = threading.Thread(target=echo, daemon=True)
        thread.start()
        yield told


def test_a_message_is_handed_to_the_worker_and_its_answer_comes_back_to_the_bit(
    heard: list[dict[str, Any]], tmp_path: Path
):
    node = Context(0, 7, {NUMBER_KEY: 1, STATE_KEY: str(tmp_path)}, RecordDict(), {})
    sent = {"b": torch.randn(3), "a": torch.tensor([1.5], dtype=torch.bfloat16)}
    content = Content(FACTS, {"sent": sent, "kept": {}, "residual": {}})
    answer = unpack(app(message_of(pack(content), "train"), node).content, PARTS)
    assert answer.facts == FACTS
    assert list(answer.weights["sent"]) == ["b", "a"]
    assert all(torch.equal(value, sent[name]) for name, value in answer.weights["sent"].items())
    for kind, facts in (
        ("query", {**FACTS, "round": 5}),
        ("evaluate", {**FACTS, "run": "abd"}),
        ("query", {**FACTS, "settings": ""}),
    ):
        app(message_of(pack(Content(facts)), kind), node)
    app(message_of(RecordDict(), "query"), node)  # the worker says what is wrong with it
    assert [told["kind"] for told in heard] == ["train", "query", "evaluate", "query", "query"]
    assert {told["node"][STATE_KEY] for told in heard} == {str(tmp_path)}
    concerns = [told["concerns"] for told in heard]
    assert concerns[0] == concerns[1]
    assert len(set(concerns)) == 4


def test_a_site_without_a_worker_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fedprime.runtime.flower.worker_socket.PATIENCE", 0.0)
    for config, reason in (({STATE_KEY: str(tmp_path)}, "not reached"), ({}, "start it by `fedprime deploy client`")):
        with pytest.raises(WorkerError, match=reason):
            app(message_of(pack(Content(FACTS)), "query"), Context(0, 7, config, RecordDict(), {}))


def test_it_imports_neither_torch_nor_anything_that_trains():
    code = "import sys, fedprime.runtime.flower.site_app; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

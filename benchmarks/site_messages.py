"""Processor seconds of a message at a site: by a worker that is kept, and by a process that begins anew for each.

Each message goes through a process that imports what Flower's own does. The start of the kept worker is told apart:

    python benchmarks/site_messages.py --messages 5
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flwr.app import RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto

from fedprime.experiment.build import build_experiment
from fedprime.runtime.flower.messages import PARTS, Content, pack, unpack
from fedprime.runtime.flower.processes import NUMBER_KEY, STATE_KEY
from fedprime.runtime.flower.worker_keeper import kept_worker
from fedprime.settings.reading import dump_toml, read_settings

_FLAGS = (
    *("--data.num_train=40", "--data.num_validation=8", "--data.num_test=24", "--data.num_classes=3"),
    *("--partition.num_clients=2", "--partition.min_samples=3", "--training.batch_size=8"),
)
#: What Flower's process imports, and then what answers: by a name of this file, and the node's words.
_PROCESS = """
import json, sys
import flwr.supernode.cli.flwr_clientapp
from flwr.app import Context, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from flwr.supercore.task_identity import TaskIdentity
from fedprime.runtime.flower.{module} import app

TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
message = Message(recorddict_from_proto(RecordDictProto.FromString(sys.stdin.buffer.read())), 7, "train")
message.metadata.__dict__["_message_id"] = "1"
reply = app(message, Context(0, 7, json.loads(sys.argv[1]), RecordDict(), {{}}))
sys.stdout.buffer.write(recorddict_to_proto(reply.content).SerializeToString())
"""


def main() -> None:
    """Reads the command line and prints a table."""
    parser = argparse.ArgumentParser(description="Processor seconds of a message at a site.")
    parser.add_argument("--messages", type=int, default=5)
    number = parser.parse_args().messages
    settings = read_settings("builtin/quickstart", _FLAGS)
    experiment = build_experiment(settings)
    sent = experiment.method.travelling(experiment.method.initial_state(experiment.model, 2).shared)
    facts = {"settings": dump_toml(settings), "run": "0123", "round": 0, "client": 0}
    message = pack(Content(facts, {"sent": sent, "kept": {}, "residual": {}}))
    print("| a message is answered by | processor s of the first | of each further one |\n| :-- | --: | --: |")
    answers = []
    for title, module in (("a process of its own", "client_app"), ("the worker that is kept", "site_app")):
        (one, _), (all_of_them, found) = (_spent(module, count, message) for count in (1, number + 1))
        answers.append(found)
        print(f"| {title} | {one:.1f} | {(all_of_them - one) / number:.1f} |", flush=True)
    same = "the same values" if answers[0] == answers[1] else "OTHER VALUES"
    print(f"\n{same}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, {time.strftime('%F')}")


def _spent(module: str, count: int, message: RecordDict) -> tuple[float, dict[str, list[float]]]:
    """Returns the processor seconds of some messages, and the values that the last of them was answered with."""
    payload = recorddict_to_proto(message).SerializeToString()
    with tempfile.TemporaryDirectory() as place:
        state = Path(place)
        node = {NUMBER_KEY: 0, STATE_KEY: place}
        environment = {**os.environ, "FEDPRIME_CACHE": str(state / "cache")}
        before = _processor_seconds()
        with kept_worker(state, node, environment, state / "log"):
            command = [sys.executable, "-c", _PROCESS.format(module=module), json.dumps(node)]
            done = subprocess.run(command, env=environment, input=payload, capture_output=True, check=True)
            for _ in range(count - 1):
                done = subprocess.run(command, env=environment, input=payload, capture_output=True, check=True)
        records = recorddict_from_proto(RecordDictProto.FromString(done.stdout))
        values = unpack(records, PARTS).weights["sent"]
        return _processor_seconds() - before, {name: value.flatten().tolist() for name, value in values.items()}


def _processor_seconds() -> float:
    """Returns the processor time of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

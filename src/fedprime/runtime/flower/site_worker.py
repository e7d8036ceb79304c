"""The worker of a site: a process that answers one message after the other, as `worker_keeper` hands them to it.

Messages come over its input and answers go over its output; when its input ends, so does it, whatever it is doing.
"""

import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import IO, Any

from fedprime.runtime.flower.worker_socket import read_frame, write_frame

Answer = Callable[[str, bytes, dict[str, Any]], bytes]


def serve(load: Callable[[], Answer]) -> int:
    """Answers messages until there is nobody any more who asks, and returns the exit code.

    An answer that fails for a reason that nobody foresaw is told, and ends the process: the next message finds a new
    one, and nothing of what has gone wrong.

    Args:
        load: Imports what answers, while the first message is already coming.
    """
    # Files of our own: whatever a library prints is no answer, and at the end Python would wait for its own input.
    asked, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.Queue[tuple[dict[str, Any], bytes]] = queue.Queue()
    threading.Thread(target=_read_requests, args=(asked, requests), daemon=True).start()
    answer = load()
    while True:
        header, payload = requests.get()
        try:
            found = answer(header["kind"], payload, header["node"])
        except Exception as error:
            traceback.print_exc()
            write_frame(replies, {"failed": f"{type(error).__name__}: {error}"})
            return 1
        write_frame(replies, {}, found)


def _read_requests(stream: IO[bytes], requests: queue.Queue[tuple[dict[str, Any], bytes]]) -> None:
    while True:
        try:
            requests.put(read_frame(stream))
        except EOFError:
            os._exit(0)  # the site has stopped; files are written beside and renamed, so none is left half written


def _answer_of_client() -> Answer:
    from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
    from flwr.proto.recorddict_pb2 import RecordDict

    from fedprime.runtime.flower.client_app import answer

    def answered(kind: str, payload: bytes, node: dict[str, Any]) -> bytes:
        records = recorddict_from_proto(RecordDict.FromString(payload))
        return recorddict_to_proto(answer(kind, records, node)).SerializeToString()

    return answered


if __name__ == "__main__":
    sys.exit(serve(_answer_of_client))

"""How long `fedprime play` takes for one answer: a photo and a text over HTTP, with and without every subset.

    python benchmarks/play.py MODEL [--requests 100]

The server runs in this process, on loopback; requests come one after the other. Prints a Markdown table.
"""

import argparse
import base64
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from PIL import Image

from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.seeding import stream
from fedprime.runs.play import play_app


def sample_for(model: PromptedModel) -> dict[str, Any]:
    """Returns what each modality is given: a photo as a telephone takes it, a sentence, a row of numbers."""
    pixels = stream(0, "photo").integers(0, 256, (48, 64, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((1600, 1200)).save(file, "JPEG")
    values = {"image": base64.b64encode(file.getvalue()).decode(), "text": "a warm apple tart with a scoop of cream"}
    return {name: values[kind] for name, kind in model.backbone.kinds.items() if kind in values}


def measure(port: int, request: Mapping[str, Any], repeats: int) -> list[float]:
    """Returns the seconds of each request, sorted."""
    connection, content = http.client.HTTPConnection("127.0.0.1", port), json.dumps(request)
    seconds: list[float] = []
    for _ in range(repeats + 3):
        started = time.perf_counter()
        connection.request("POST", "/predict", content)
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise SystemExit(told.decode())
        seconds.append(time.perf_counter() - started)
    return sorted(seconds[3:])  # the first ones warm up


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--requests", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = PromptedModel.from_pretrained(options.model)
    server = uvicorn.Server(uvicorn.Config(play_app(model, "benchmark"), log_level="warning", ws="none"))
    sample = sample_for(model)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        serving.start()
        print("| from | answers | p50, ms | p95, ms |\n|--|--|--|--|")
        for names, subsets in (*(([name], False) for name in sample), (list(sample), False), (list(sample), True)):
            request = {"sample": {name: sample[name] for name in names}, "subsets": subsets}
            found = measure(listening.getsockname()[1], request, options.requests)
            middle, late = found[len(found) // 2], found[int(0.95 * len(found))]
            answers = 2 ** len(names) - 1 if subsets else 1
            print(f"| {', '.join(names)} | {answers} | {1000 * middle:.0f} | {1000 * late:.0f} |", flush=True)
        server.should_exit = True
        serving.join()


if __name__ == "__main__":
    main()

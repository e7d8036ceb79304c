"""A deployment on one machine: keys, a server and two clients, each a process of its own, over TLS on loopback.

    python examples/deployment.py

It takes two minutes: Flower starts processes, and polls every three seconds. On other machines: docs/deployment.md.
"""

import json
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

FEDPRIME = (sys.executable, "-m", "fedprime")


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def main() -> None:
    """Runs two rounds and prints what the sites measured."""
    with tempfile.TemporaryDirectory() as place:
        folder, address = Path(place), f"127.0.0.1:{free_port()}"
        keys = folder / "keys"
        subprocess.run([*FEDPRIME, "deploy", "keys", str(keys), "--hosts", "127.0.0.1", "--clients", "2"], check=True)
        clients = []
        for number in range(2):
            own = ["--keys", str(keys / f"client-{number}"), "--state", str(folder / f"{number}")]
            clients.append(
                subprocess.Popen([*FEDPRIME, "deploy", "client", "--server", address, *own], stdout=subprocess.DEVNULL)
            )
        small = ["--data.num_train=120", "--data.num_test=60", "--partition.num_clients=2", "--training.rounds=2"]
        server = ["server", "builtin/quickstart", "--keys", str(keys / "server"), "--output", str(folder / "run")]
        try:
            subprocess.run([*FEDPRIME, "deploy", *server, "--port", address.split(":")[1], *small], check=True)
        finally:
            for client in clients:
                client.send_signal(signal.SIGINT)
            for client in clients:
                client.wait()
        results = json.loads((folder / "run" / "results.json").read_text())
    print({name: round(scores["accuracy"], 3) for name, scores in results["scenarios"].items()})


if __name__ == "__main__":
    main()

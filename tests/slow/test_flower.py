"""Flower's engines with real processes: the weights of one process, to the bit, and nobody let in without a key."""

import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from flwr.app import RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto

from fedprime.experiment.run_folder import RunFolder
from fedprime.runs.run import start_run
from fedprime.runtime.flower.client_app import answer
from fedprime.runtime.flower.keys import make_keys
from fedprime.runtime.flower.messages import PARTS, Content, pack, unpack
from fedprime.runtime.flower.processes import NUMBER_KEY, STATE_KEY, node_command, node_environment, started_link
from fedprime.runtime.flower.worker_keeper import kept_worker
from fedprime.runtime.flower.worker_socket import ask, worker_folder
from fedprime.settings.reading import dump_toml, read_settings

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "fedprime")
PATIENCE = 1200
WORKERS = re.compile(r"a worker has started, process (\d+)")


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "checkpoint.safetensors").read_bytes()).hexdigest()


def wait_for(condition: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    patience = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < patience, what
        assert process is None or process.poll() is None, what
        time.sleep(0.5)


@contextmanager
def started(log: Path, command: list[str], env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file:
        process = subprocess.Popen(command, env=env, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def recipe(small_flags: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clients, three rounds."""
    flags = ["--partition.num_clients=2", "--training.rounds=3", "--runtime.quorum=1", "--runtime.repeats=20"]
    path = tmp_path_factory.mktemp("recipes") / "two.toml"
    path.write_text(dump_toml(read_settings(None, [*small_flags, *flags])))
    return path


@pytest.fixture(scope="module")
def in_process(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of what one process comes to."""
    folder = tmp_path_factory.mktemp("runs") / "here"
    start_run(read_settings(recipe), folder)
    return digest(folder)


def test_a_simulation_in_two_processes_comes_to_the_same_bits_also_where_hostile_clients_send_8_of_them(
    recipe: Path, tmp_path: Path
):
    flags = ["--transport.bits", "8", "--attack.kind", "noise", "--attack.share", "0.5"]
    start_run(read_settings(recipe, flags), tmp_path / "here")
    flags += ["--output", str(tmp_path / "run"), "--runtime.kind", "simulation", "--runtime.processes", "2"]
    done = subprocess.run([*COMMAND, "run", str(recipe), *flags], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "run") == digest(tmp_path / "here")


def rounds_of(run: Path) -> int:
    return (run / "metrics.jsonl").read_text().count("\n") if (run / "metrics.jsonl").exists() else 0


def kill_node_of(client: subprocess.Popen[bytes]) -> None:
    """Kills Flower's node, which `fedprime deploy client` then starts again."""
    [node] = Path(f"/proc/{client.pid}/task/{client.pid}/children").read_text().split()
    os.kill(int(node), signal.SIGKILL)


def test_sites_behind_tls_come_to_the_same_bits_though_the_server_is_killed_and_a_node_in_mid_round(
    recipe: Path, in_process: str, tmp_path: Path
):
    keys, run, port = tmp_path / "keys", tmp_path / "run", free_port()
    make_keys(keys, ("127.0.0.1",), 2)
    server = [*COMMAND, "deploy", "server", str(recipe), "--keys", str(keys / "server"), "--output", str(run)]
    server += ["--port", str(port)]
    with ExitStack() as stack:
        clients = []
        for number in range(2):
            client = [*COMMAND, "deploy", "client", "--keys", str(keys / f"client-{number}")]
            client += ["--server", f"127.0.0.1:{port}", "--state", str(tmp_path / f"state-{number}")]
            clients.append(stack.enter_context(started(tmp_path / f"client-{number}.log", client)))
        with started(tmp_path / "server.log", server) as process:
            wait_for(lambda: rounds_of(run) >= 1, "no round was finished", process)
            process.kill()  # its SuperLink goes on without it, and must not be in the way
            process.wait()
        with started(tmp_path / "server.log", server) as process:
            wait_for(lambda: rounds_of(run) >= 2, "no second round was finished", process)
            kill_node_of(clients[1])
            assert process.wait(PATIENCE) == 0, (tmp_path / "server.log").read_text()
    assert digest(run) == in_process
    assert RunFolder(run).results()["measured_by"] == [0, 1]
    assert "has ended with code -9" in (tmp_path / "client-1.log").read_text()
    for number in range(2):  # not one for each message, and none that is left over
        workers = WORKERS.findall((tmp_path / f"client-{number}.log").read_text())
        assert 1 <= len(workers) <= 4
        wait_for(lambda gone=workers: not any(Path(f"/proc/{worker}").exists() for worker in gone), "a worker is left")


def test_a_kept_worker_answers_to_the_bit_as_a_process_of_its_own_does_also_after_it_was_killed(
    small_flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    settings = read_settings(None, [*small_flags, "--method.name=local-p"])
    node = {NUMBER_KEY: 1, STATE_KEY: str(tmp_path)}

    def message(round_number: int) -> RecordDict:
        facts = {"settings": dump_toml(settings), "run": "abc", "round": round_number, "client": 1}
        return pack(Content(facts, {"sent": {}, "kept": {}, "residual": {}}))

    with kept_worker(tmp_path, node, dict(os.environ), tmp_path / "worker.log"):
        for round_number in range(3):
            header = {"kind": "train", "node": node, "concerns": "one run"}
            payload = recorddict_to_proto(message(round_number)).SerializeToString()
            found = recorddict_from_proto(RecordDictProto.FromString(ask(worker_folder(tmp_path), header, payload)))
            assert unpack(found, PARTS).facts["client"] == 1, unpack(found).facts
            if round_number == 1:
                worker = int(WORKERS.findall(caplog.text)[-1])
                os.kill(worker, signal.SIGKILL)
                wait_for(lambda gone=worker: not Path(f"/proc/{gone}").exists(), "the worker is not gone")
    assert len(WORKERS.findall(caplog.text)) == 2
    for round_number in range(3):
        answer("train", message(round_number), node | {STATE_KEY: str(tmp_path / "here")})
    kept = [(tmp_path / place / "abc" / "1" / "2.safetensors").read_bytes() for place in ("", "here")]
    assert kept[0] == kept[1]


def _node(keys: Path, port: int) -> list[str]:
    return node_command(keys, f"127.0.0.1:{port}", {"partition-id": 0})


def _without(command: list[str], flag: str) -> list[str]:
    position = command.index(flag)
    return command[:position] + command[position + 2 :]


def _unregistered(keys: Path, others: Path, port: int) -> list[str]:
    command = _node(others / "client-0", port)
    command[command.index("--root-certificates") + 1] = str(keys / "client-0" / "ca.crt")
    return command


#: By what is wrong with them, nodes that must not get in.
STRANGERS: dict[str, Callable[[Path, Path, int], list[str]]] = {
    "a key that nobody registered": _unregistered,
    "a key that is in use": lambda keys, _, port: _node(keys / "client-0", port),
    "no key": lambda keys, _, port: _without(_node(keys / "client-0", port), "--auth-supernode-private-key"),
    "another authority": lambda _, others, port: _node(others / "client-0", port),
    "no encryption": lambda keys, _, port: [
        *_without(_node(keys / "client-0", port), "--root-certificates"),
        "--insecure",
    ],
}


def test_only_nodes_with_a_registered_key_get_in_and_each_key_once(tmp_path: Path):
    keys, others, port = tmp_path / "keys", tmp_path / "others", free_port()
    make_keys(keys, ("127.0.0.1",), 1)
    make_keys(others, ("127.0.0.1",), 1)
    (tmp_path / "job.json").write_text("{}")
    log = tmp_path / "node.log"
    with started_link(keys / "server", tmp_path / "link", "127.0.0.1", port, tmp_path / "job.json") as link:
        link.register(keys / "server" / "nodes" / "client-0.pub")
        link.register(keys / "server" / "nodes" / "client-0.pub")  # as after a restart
        known = started(log, _node(keys / "client-0", port), node_environment(tmp_path / "known"))
        with known as node, ExitStack() as stack:
            wait_for(lambda: "SuperNode ID" in log.read_text(), "a registered node does not get in", node)
            strangers = {
                name: subprocess.Popen(
                    [*change(keys, others, port), "--max-retries", "1"],
                    env=node_environment(tmp_path / name),
                    stdout=stack.enter_context((tmp_path / f"{name}.log").open("wb")),
                    stderr=subprocess.STDOUT,
                )
                for name, change in STRANGERS.items()
            }
            codes = {name: stranger.wait(PATIENCE) for name, stranger in strangers.items()}
            assert [name for name, code in codes.items() if code == 0] == []
            assert [name for name in codes if "SuperNode ID" in (tmp_path / f"{name}.log").read_text()] == []
            assert node.poll() is None


def _status(port: int, authority: Path, path: str) -> int:
    context = ssl.create_default_context(cafile=str(authority))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
    try:
        connection.request("POST", path)
        with connection.getresponse() as response:
            return response.status
    finally:
        connection.close()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_the_proxy_of_the_docs_lets_sites_through_and_shuts_the_control_interface(tmp_path: Path):
    keys, inner, outer = tmp_path / "keys", free_port(), free_port()
    make_keys(keys, ("127.0.0.1",), 1)
    page = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
    block = page[page.index("    server {  ") : page.index("Sites then use `--server")]
    changes = {"9443": str(outer), "9092": str(inner), "/etc/fedprime": str(keys), "fl.example.org": "127.0.0.1"}
    for found, replacement in changes.items():
        assert found in block
        block = block.replace(found, replacement)
    temporary = "".join(
        f"{kind}_temp_path {tmp_path / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"user root;\npid {tmp_path / 'pid'};\nerror_log {tmp_path / 'log'};\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{block}}}\n"
    )
    (tmp_path / "job.json").write_text("{}")
    command = ["nginx", "-g", "daemon off;", "-c", str(tmp_path / "nginx.conf")]
    with (
        started_link(keys / "server", tmp_path / "link", "127.0.0.1", inner, tmp_path / "job.json"),
        started(tmp_path / "nginx.log", command) as proxy,
    ):
        wait_for(lambda: _is_open(outer), (tmp_path / "nginx.log").read_text(), proxy)
        authority = keys / "server" / "ca.crt"
        assert _status(inner, authority, "/v1/control/list-runs") != 403
        assert _status(outer, authority, "/v1/control/list-runs") == 403
        assert _status(outer, authority, "/v1/runtime/pull-messages") == 403
        # It came to the SuperLink, which has its own reasons to refuse an empty request.
        assert _status(outer, authority, "/v1/fleet/activate-node") == _status(
            inner, authority, "/v1/fleet/activate-node"
        )


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

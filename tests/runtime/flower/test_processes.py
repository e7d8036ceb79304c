"""Flower's programs as processes of ours: how they are called, and what cannot be told to them."""

import subprocess
import sys
from pathlib import Path

import pytest

from fedprime.runtime.flower.processes import FlowerError, node_command, node_environment, stop


def value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


def test_a_node_has_tls_a_key_and_its_own_number(tmp_path: Path):
    command = node_command(tmp_path, "hospital.example:9092", {"partition-id": 3, "fedprime-data": "/my data"})
    assert "--insecure" not in command
    assert value(command, "--root-certificates") == str(tmp_path / "ca.crt")
    assert value(command, "--auth-supernode-private-key") == str(tmp_path / "client.key")
    assert value(command, "--superlink") == "hospital.example:9092"
    assert value(command, "--node-config") == "partition-id=3 fedprime-data='/my data'"
    assert value(command, "--host") == "127.0.0.1"  # what its own programs talk to


@pytest.mark.parametrize("path", ["/it's", "/two\nlines"])
def test_a_name_that_would_be_read_as_something_else_is_refused(path: str, tmp_path: Path):
    with pytest.raises(FlowerError, match="name another folder"):
        node_command(tmp_path, "localhost:1", {"fedprime-data": path})


def test_its_programs_report_nothing_install_nothing_and_keep_to_their_folder(tmp_path: Path):
    environment = node_environment(tmp_path)
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert environment["FLWR_HOME"] == str(tmp_path)


def test_a_process_is_stopped_and_stopping_twice_does_no_harm():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    stop(process)
    assert process.returncode not in (None, 0)
    stop(process)

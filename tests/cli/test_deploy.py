"""``fedprime deploy``: what it says to wrong words, before anything is started."""

from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import exit_code

Complaint = Callable[..., str]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert exit_code("deploy", "keys", tmp_path / "keys", "--hosts", "localhost", "--clients", 1) == 0
    return tmp_path / "keys"


def test_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]):
    assert exit_code("deploy", "--help") == 0
    assert "fedprime deploy client --keys" in capsys.readouterr().out
    assert exit_code("deploy", "peer") == 2


def test_keys_say_what_to_do_with_them_and_are_not_overwritten(
    tmp_path: Path, complaint: Complaint, capsys: pytest.CaptureFixture[str]
):
    words = ["deploy", "keys", tmp_path / "keys", "--hosts", "localhost", "--clients", 1]
    assert exit_code(*words) == 0
    assert "put it away" in capsys.readouterr().out
    assert "exists already" in complaint(*words)


def test_a_server_needs_a_recipe_keys_and_a_folder(keys: Path, complaint: Complaint, tmp_path: Path):
    said = complaint("deploy", "server", "--keys", keys / "server", "--output", tmp_path / "r")
    assert "needs RECIPE --keys FOLDER --output RUN; missing: RECIPE" in said
    said = complaint("deploy", "server", "builtin/quickstart", "--keys=k", "--output=r", "--port", "x")
    assert "--port is 'x'; expected a number" in said
    said = complaint("deploy", "server", "builtin/quickstart", "--keys", keys / "client-0", "--output", tmp_path / "r")
    assert "has no server.crt, server.key; --keys names the folder server" in said
    assert not (tmp_path / "r").exists()


def test_settings_are_checked_before_anything_listens(keys: Path, complaint: Complaint, tmp_path: Path):
    words = ["deploy", "server", "builtin/quickstart", "--keys", keys / "server", "--output", tmp_path / "r"]
    assert "did you mean training.rounds?" in complaint(*words, "--training.round", 1)
    assert "needs all samples in one place" in complaint(*words, "--method.name", "centralized-p")


def test_a_client_needs_its_own_keys(keys: Path, complaint: Complaint, tmp_path: Path):
    said = complaint("deploy", "client", "--keys", keys, "--server", "localhost:1", "--state", tmp_path / "state")
    assert "has no ca.crt, client.key, client.json" in said
    assert not (tmp_path / "state").exists()


def test_a_client_does_not_start_with_data_that_cannot_be_used(keys: Path, complaint: Complaint, tmp_path: Path):
    (tmp_path / "data").mkdir()
    words = ["deploy", "client", "--keys", keys / "client-0", "--server", "localhost:1", "--state", tmp_path / "state"]
    assert str(tmp_path / "data") in complaint(*words, "--data", tmp_path / "data", "--format", "food101")
    assert "is no table" in complaint(*words, "--data", tmp_path / "data")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("text,label\nleaf,herb\nstem,herb\n", "has only one class, herb"),
        ("text,diagnosis\nleaf,herb\nstem,fruit\n", "has no column label"),
        ("text,label\nleaf,herb\nstem,fruit\n", "0 of 2 training samples would be set apart"),
    ],
)
def test_a_client_starts_with_a_table_of_which_the_server_may_say_more(
    table: str,
    said: str,
    keys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    started: list[object] = []
    monkeypatch.setattr("fedprime.cli.deployment.take_part", started.append)
    (tmp_path / "rows.csv").write_text(table)
    words = ["deploy", "client", "--keys", keys / "client-0", "--server", "localhost:1", "--state", tmp_path / "state"]
    assert exit_code(*words, "--data", tmp_path / "rows.csv") == 0
    assert len(started) == 1
    told = capsys.readouterr().out
    assert f"the data cannot be used as it is: {tmp_path / 'rows.csv'}" in told or "as it is: 0 of 2" in told
    assert said in told


def test_a_kit_is_made_of_one_site_s_keys_only(keys: Path, complaint: Complaint, tmp_path: Path):
    words = ["deploy", "kit", keys / "client-0", "--output", tmp_path / "site0.zip"]
    assert exit_code(*words) == 0
    assert (tmp_path / "site0.zip").stat().st_mode & 0o777 == 0o600
    assert "is not overwritten" in complaint(*words)
    assert "has no client.key, client.json" in complaint(
        "deploy", "kit", keys / "server", "--output", tmp_path / "s.zip"
    )

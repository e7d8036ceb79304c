"""The kit of a site: all that it needs, nothing of others, always the same bytes."""

import configparser
import json
import shlex
import string
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from fedprime.cli.deploy import ClientOptions
from fedprime.reproducibility.errors import FedprimeError
from fedprime.runtime.flower import site_kit
from fedprime.runtime.flower.keys import KeysError, make_keys
from fedprime.runtime.flower.site_kit import make_kit


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "keys"
    make_keys(folder, ("fl.example.org", "10.0.0.5"), 3)
    return folder


@pytest.fixture
def kit(keys: Path, tmp_path: Path) -> Path:
    """A kit of client 1, unpacked."""
    make_kit(keys / "client-1", tmp_path / "site.zip", data="/data/food101", data_format="food101")
    with zipfile.ZipFile(tmp_path / "site.zip") as file:
        file.extractall(tmp_path)
    return tmp_path / "fedprime-client-1"


def test_it_holds_the_keys_of_one_site_readable_by_their_owner_alone(keys: Path, tmp_path: Path):
    (keys / "client-1" / "notes.txt").write_text("of the one who made the keys")
    make_kit(keys / "client-1", tmp_path / "site.zip")
    assert (tmp_path / "site.zip").stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(tmp_path / "site.zip") as kit:
        modes = {entry.filename: entry.external_attr >> 16 for entry in kit.infolist()}
        content = b"".join(kit.read(name) for name in modes)
        assert kit.read("fedprime-client-1/client-1/client.key") == (keys / "client-1" / "client.key").read_bytes()
    names = {name.removeprefix("fedprime-client-1/") for name in modes}
    assert names == {
        *("", "README.md", "compose.yaml", "fedprime-client.service", "site.env", "state/"),
        *("client-1/", "client-1/ca.crt", "client-1/client.json", "client-1/client.key"),
    }
    assert {mode for name, mode in modes.items() if name.endswith("/")} == {0o40700}
    assert {mode for name, mode in modes.items() if not name.endswith("/")} == {0o100600}
    secrets = [path.read_bytes() for path in keys.rglob("*.key") if path.parent.name != "client-1"]
    assert len(secrets) == 4
    assert not any(secret in content for secret in secrets)


def test_the_tag_of_its_image_is_one_that_docker_takes(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(site_kit, "version", lambda _: "0.2.0.dev3+gabc1234")
    make_kit(keys / "client-1", tmp_path / "site.zip")
    with zipfile.ZipFile(tmp_path / "site.zip") as kit:
        image = yaml.safe_load(kit.read("fedprime-client-1/compose.yaml"))["services"]["client"]["image"]
        words = kit.read("fedprime-client-1/README.md").decode()
    assert image == "fedprime:0.2.0.dev3-gabc1234"
    assert f"-t {image} ." in words
    assert "fedprime[flower]==0.2.0.dev3+gabc1234" in words


def test_its_bytes_do_not_depend_on_when_and_where_it_is_made(keys: Path, tmp_path: Path):
    for place in ("here", "there"):
        make_kit(keys / "client-0", tmp_path / place / "site.zip")
    assert (tmp_path / "here" / "site.zip").read_bytes() == (tmp_path / "there" / "site.zip").read_bytes()


def test_unzip_keeps_who_may_read_the_key(keys: Path, tmp_path: Path):
    make_kit(keys / "client-0", tmp_path / "site.zip")
    try:
        subprocess.run(["unzip", "-q", "site.zip"], cwd=tmp_path, check=True)
    except FileNotFoundError:
        pytest.skip("unzip is not installed")
    key = tmp_path / "fedprime-client-0" / "client-0" / "client.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700


def test_it_overwrites_nothing_and_refuses_what_does_not_fit_into_settings(keys: Path, tmp_path: Path):
    (tmp_path / "mine.zip").write_text("mine")
    with pytest.raises(KeysError, match="exists already and is not overwritten"):
        make_kit(keys / "client-0", tmp_path / "mine.zip")
    assert (tmp_path / "mine.zip").read_text() == "mine"
    for words, reason in (
        ({"server": "fl.example.org"}, "expected HOST:PORT"),
        ({"server": "a:1; rm -rf /:2"}, "expected HOST:PORT"),
        ({"data": "data"}, "expected an absolute path"),
        ({"data": "/my data"}, "expected an absolute path"),
    ):
        with pytest.raises(KeysError, match=reason):
            make_kit(keys / "client-0", tmp_path / "site.zip", **words)
    alone = tmp_path / "client-0"
    alone.mkdir()
    (alone / "client.json").write_text('{"number": 0}')
    with pytest.raises(KeysError, match="say --server HOST:PORT"):
        make_kit(alone, tmp_path / "site.zip")
    for broken in ("[]", '{"number": -1}', '{"number": true}'):
        (alone / "client.json").write_text(broken)
        with pytest.raises(FedprimeError, match="is broken"):
            make_kit(alone, tmp_path / "site.zip")
    assert not (tmp_path / "site.zip").exists()


def settings_of(kit: Path) -> dict[str, str]:
    lines = [line for line in (kit / "site.env").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def options_of(command: str) -> dict[str, str]:
    words = shlex.split(command.split("deploy client ")[1])
    return dict(zip(words[::2], words[1::2], strict=True))


def test_the_service_and_the_container_start_the_same_client(kit: Path):
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str
    unit.read_string((kit / "fedprime-client.service").read_text())
    settings = settings_of(kit)
    assert settings["FEDPRIME_SERVER"] == "fl.example.org:9092"
    service = string.Template(unit["Service"]["ExecStart"]).substitute(settings)
    assert options_of(service) == {
        "--keys": "/etc/fedprime/client-1",
        "--server": "fl.example.org:9092",
        "--state": "/var/lib/fedprime/state",
        "--data": "/data/food101",
        "--format": "food101",
    }
    container = yaml.safe_load((kit / "compose.yaml").read_text())["services"]["client"]
    command = string.Template(container["command"].replace(":?}", "}")).substitute(settings)
    assert options_of(command) == options_of(service) | {"--keys": "/keys", "--state": "/state"}
    assert container["volumes"] == ["./client-1:/keys:ro", "./state:/state", "/data/food101:/data/food101:ro"]
    known = {f"--{name}" for name in ClientOptions.__dataclass_fields__}
    assert options_of(service).keys() <= known
    assert json.loads((kit / "client-1" / "client.json").read_text()) == {"number": 1}
    assert "$" not in (kit / "README.md").read_text()

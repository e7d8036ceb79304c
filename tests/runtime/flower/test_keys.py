"""Keys of a deployment: what is signed by whom, for which hosts, and who may read it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from fedprime.runtime.flower.keys import KeysError, make_keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "made"
    make_keys(folder, ("hospital.example", "127.0.0.1"), 2)
    return folder


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_server_is_certified_by_the_authority_for_its_hosts(keys: Path):
    authority, server = certificate(keys / "authority/ca.crt"), certificate(keys / "server/server.crt")
    server.verify_directly_issued_by(authority)
    hosts = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert hosts.get_values_for_type(x509.DNSName) == ["hospital.example"]
    assert [str(address) for address in hosts.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert server.not_valid_before_utc < datetime.now(UTC) < server.not_valid_after_utc
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_everybody_has_the_authoritys_certificate_and_nobody_its_key(keys: Path):
    expected = (keys / "authority/ca.crt").read_bytes()
    assert [(keys / place / "ca.crt").read_bytes() for place in ("server", "client-0", "client-1")] == [expected] * 3
    assert [str(path.relative_to(keys)) for path in keys.rglob("ca.key")] == ["authority/ca.key"]


def test_the_server_knows_the_public_half_of_every_clients_key(keys: Path):
    publics = []
    for number in range(2):
        private = load_ssh_private_key((keys / f"client-{number}/client.key").read_bytes(), None)
        publics.append(private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
        assert (keys / f"server/nodes/client-{number}.pub").read_bytes().strip() == publics[-1]
        assert json.loads((keys / f"client-{number}/client.json").read_text()) == {"number": number}
    assert publics[0] != publics[1]


def test_nobody_but_the_owner_may_read_anything(keys: Path):
    assert [path for path in [keys, *keys.rglob("*")] if path.stat().st_mode & 0o077] == []


def test_keys_are_never_overwritten(keys: Path):
    before = (keys / "server/server.key").read_bytes()
    with pytest.raises(KeysError, match="exists already"):
        make_keys(keys, ("localhost",), 1)
    assert (keys / "server/server.key").read_bytes() == before


@pytest.mark.parametrize(("hosts", "num_clients"), [((), 1), (("localhost",), 0), (("höst",), 1), (("two words",), 1)])
def test_impossible_wishes_make_nothing(hosts: tuple[str, ...], num_clients: int, tmp_path: Path):
    with pytest.raises(KeysError):
        make_keys(tmp_path / "keys", hosts, num_clients)
    assert list(tmp_path.iterdir()) == []

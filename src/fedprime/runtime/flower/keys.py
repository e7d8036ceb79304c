"""Keys of a deployment: an authority, the server's certificate, and a key for every client.

FOLDER/authority/ca.key        signs further certificates; needed by nobody while the federation runs
FOLDER/server/                 ca.crt, server.crt, server.key, and nodes/client-N.pub for every client
FOLDER/client-N/               ca.crt, client.key, client.json: all that site N needs
"""

import ipaddress
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedprime.reproducibility.atomic_files import replaced_folder
from fedprime.reproducibility.errors import FedprimeError
from fedprime.reproducibility.strict_json import read_json

#: Where the server listens, if nobody says otherwise.
_PORT = 9092

_DAYS_OF_AUTHORITY, _DAYS_OF_SERVER = 3650, 825
_CLOCKS_DIFFER = timedelta(days=1)


class KeysError(FedprimeError):
    """Keys that cannot be made or used."""


def make_keys(folder: Path, hosts: Sequence[str], num_clients: int) -> None:
    """Makes all keys of a deployment, readable by their owner alone.

    Args:
        hosts: Names and addresses under which clients reach the server.

    Raises:
        KeysError: If there is something at `folder` already, or a host is no name.
    """
    if folder.exists():
        raise KeysError(f"{folder} exists already and is not overwritten; name another folder")
    if num_clients < 1 or not hosts:
        raise KeysError("there is at least one client, and one host name of the server")
    names = [_host_name(host) for host in hosts]
    authority_key, server_key = _new_key(), _new_key()
    authority = _certificate("fedprime authority", authority_key, None, authority_key, [], _DAYS_OF_AUTHORITY)
    server = _certificate(hosts[0], server_key, authority, authority_key, names, _DAYS_OF_SERVER)
    with replaced_folder(folder, overwrites=False) as beside:
        beside.chmod(0o700)
        _write(beside / "authority" / "ca.key", _pem(authority_key))
        for place in ("authority", "server"):
            _write(beside / place / "ca.crt", authority.public_bytes(Encoding.PEM))
        _write(beside / "server" / "server.crt", server.public_bytes(Encoding.PEM))
        _write(beside / "server" / "server.key", _pem(server_key))
        for number in range(num_clients):
            key, own = _new_key(), beside / f"client-{number}"
            _write(own / "ca.crt", authority.public_bytes(Encoding.PEM))
            _write(own / "client.key", key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
            _write(own / "client.json", json.dumps({"number": number}).encode() + b"\n")
            public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
            _write(beside / "server" / "nodes" / f"client-{number}.pub", public + b"\n")


def number_of_client(folder: Path) -> int:
    """Returns which client a folder of keys was made for.

    Raises:
        KeysError: If its file has no number.
        JsonError: If it is no JSON.
    """
    path = folder / "client.json"
    number = read_json(path).get("number")
    if type(number) is not int or number < 0:
        raise KeysError(f'{path} is broken; expected {{"number": 0}}, with the number of this client')
    return number


def server_address(folder: Path) -> str:
    """Returns where clients find the server: the first name of its certificate, and the port that it has by itself.

    Args:
        folder: The server's folder of keys.

    Raises:
        KeysError: If there is no certificate.
    """
    path = folder / "server.crt"
    if not path.exists():
        raise KeysError(f"{path} is not there, which names the server; say --server HOST:PORT")
    names = x509.load_pem_x509_certificate(path.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    host = str(next(iter(names.value)).value)
    return f"[{host}]:{_PORT}" if ":" in host else f"{host}:{_PORT}"


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass  # not an address, so a name
    if not re.fullmatch(r"(?!-)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", host):
        raise KeysError(f"{host!r} is neither a host name nor an address")
    return x509.DNSName(host)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[x509.GeneralName],
    days: int,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(
            x509.BasicConstraints(ca=issuer is None, path_length=0 if issuer is None else None), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(_usage(is_authority=issuer is None), critical=True)
    )
    if issuer is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(issuer_key, hashes.SHA384())


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)

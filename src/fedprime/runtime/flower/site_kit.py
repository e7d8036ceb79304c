"""What a site needs to take part, in one file: its key, its settings, a service, a container, and how to use them."""

import re
import string
import zipfile
from importlib.metadata import version
from pathlib import Path

from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.runtime.flower.keys import KeysError, number_of_client, server_address

_TEMPLATES = Path(__file__).with_name("kit")
_KEYS = ("ca.crt", "client.json", "client.key")
#: The earliest that a zip file can tell: the same kit has the same bytes whenever it is made.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_UNIX, _FOLDER, _FILE = 3, 0o40700, 0o100600


def make_kit(keys: Path, output: Path, *, server: str = "", data: str = "", data_format: str = "table") -> None:
    """Writes the kit of one site; files in it, and it itself, are readable by their owner alone.

    Args:
        keys: The site's own folder of `fedprime.runtime.flower.keys`; nothing else is taken from beside it.
        output: The zip file to make.
        server: Host and port; if not given, as the server's certificate beside `keys` names it.
        data: Folder of the samples at the site, if it does not take part on the built-in world.

    Raises:
        KeysError: If there is something at `output` already, or words do not fit into settings.
    """
    if output.exists():
        raise KeysError(f"{output} exists already and is not overwritten; name another file")
    number = number_of_client(keys)
    server = server or server_address(keys.parent / "server")
    if not re.fullmatch(r"[\w.\-\[\]:]+:[0-9]{1,5}", server):
        raise KeysError(f"the server is {server!r}, expected HOST:PORT, for example fl.example.org:9092")
    if data and not re.fullmatch(r"/[\w./+@-]*", data):
        raise KeysError(
            f"the data is in {data!r}, expected an absolute path of letters, digits and ._+@- at the site; name it so, "
            "or make a link there that is named so"
        )
    words = {
        "number": str(number),
        "server": server,
        "version": version("fedprime"),
        "tag": version("fedprime").replace("+", "-"),  # which a tag of an image cannot have
        "options": f"--data {data} --format {data_format}" if data else "",
        "data_volume": f"      - {data}:{data}:ro" if data else "",
    }
    name = f"fedprime-client-{number}"
    files = {f"{name}/client-{number}/{key}": (keys / key).read_bytes() for key in _KEYS}
    for template in _TEMPLATES.iterdir():
        text = string.Template(template.read_text(encoding="utf-8")).substitute(words).rstrip() + "\n"
        files[f"{name}/{template.name}"] = text.encode()
    with replaced_file(output) as beside:
        beside.touch(mode=0o600)
        with zipfile.ZipFile(beside, "w") as kit:
            for folder in ("", f"client-{number}/", "state/"):
                kit.writestr(_entry(f"{name}/{folder}", _FOLDER), b"")
            for path, content in sorted(files.items()):
                kit.writestr(_entry(path, _FILE), content)


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _MOMENT)
    entry.create_system = _UNIX
    entry.external_attr = mode << 16
    return entry

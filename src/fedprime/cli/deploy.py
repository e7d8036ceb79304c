"""The verb ``deploy`` of the command line: a federation of sites on other machines."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fedprime.cli.data import Format, look_at_data
from fedprime.cli.stopping import importing
from fedprime.settings.problems import SettingsError, known_verb, needing_flower

_USAGE = """\
usage: fedprime deploy keys FOLDER --hosts NAME ... --clients N
       fedprime deploy kit FOLDER --output FILE [--server HOST:PORT] [--data FOLDER --format NAME]
       fedprime deploy server RECIPE --keys FOLDER --output RUN [--host ADDRESS] [--port PORT] [--SETTING VALUE ...]
       fedprime deploy client --keys FOLDER --server HOST:PORT --state FOLDER [--data FOLDER --format NAME] ...

keys    makes an authority, the server's certificate and a key for every client
kit     packs what one site needs: its key, settings, a service, a container, and how to use them
server  waits for the clients, runs the rounds, shows them, ends with the table; the same command again goes on
client  takes part, until it is stopped; its samples stay where they are

Each explains its flags with --help. From nothing to one server and two sites: docs/deployment.md."""


@dataclass(frozen=True)
class _KeysOptions:
    folder: tyro.conf.Positional[Path]
    """The folder to make."""
    hosts: tuple[str, ...]
    """Names and addresses under which clients reach the server."""
    clients: int
    """How many clients there are."""


@dataclass(frozen=True)
class _KitOptions:
    folder: tyro.conf.Positional[Path]
    """The site's folder, client-N, as `fedprime deploy keys` made it."""
    output: Path
    """The zip file to make."""
    server: Annotated[str, tyro.conf.arg(metavar="HOST:PORT")] = ""
    """Where the server is; if not given, what its certificate beside the folder names first, and port 9092."""
    data: str = ""
    """Folder of the samples at the site; without one, it takes part on the built-in world."""
    format: Format = "table"
    """Which data set the folder holds."""


@dataclass(frozen=True)
class ClientOptions:
    """How a client takes part."""

    keys: Path
    """This client's folder, client-N, as `fedprime deploy keys` made it."""
    server: Annotated[str, tyro.conf.arg(metavar="HOST:PORT")]
    """Where the server is."""
    state: Path
    """Folder for what must last: values that are not sent, Flower's own files. Nobody else should read it."""
    data: Path | None = None
    """Folder of this site's samples; without one, the run is on the built-in world."""
    format: Format = "table"
    """Which data set the folder holds."""
    backbone: Path | None = None
    """Folder or file of the frozen model at this site, if it is not one that comes along."""


def deploy(words: list[str]) -> int:
    """Makes keys, or runs a server or a client, and returns the exit code."""
    verbs = {"keys": _keys, "kit": _kit, "server": _server, "client": _client}
    if not known_verb(words, verbs, "deploy"):
        print(_USAGE)
        return 0 if words else 2
    if words[0] not in ("keys", "kit"):
        # As a service or in the background, too, whatever was started is ended before this process is.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
    return verbs[words[0]](words[1:])


def _keys(words: list[str]) -> int:
    options = tyro.cli(_KeysOptions, args=words, prog="fedprime deploy keys")
    with importing(), needing_flower():
        from fedprime.runtime.flower.keys import make_keys
    make_keys(options.folder, options.hosts, options.clients)
    print(
        f"{options.folder}/server is for the server, {options.folder}/client-N for site N: carry each there by a way "
        f"that is safe, and keep no copy. {options.folder}/authority signs certificates: put it away."
    )
    return 0


def _kit(words: list[str]) -> int:
    options = tyro.cli(_KitOptions, args=words, prog="fedprime deploy kit")
    _refuse_broken_keys(options.folder, ("ca.crt", "client.key", "client.json"), "client-N")
    with importing(), needing_flower():
        from fedprime.runtime.flower.site_kit import make_kit
    make_kit(options.folder, options.output, server=options.server, data=options.data, data_format=options.format)
    print(
        f"{options.output} has all that this site needs, its key too: carry it there by a way that is safe, and keep "
        "no copy. Its README.md says how to go on."
    )
    return 0


def _server(words: list[str]) -> int:
    recipe = words.pop(0) if words and not words[0].startswith("-") else None
    if "--help" in words or "-h" in words:
        print(
            f"{_USAGE}\n\n--host is 127.0.0.1 if not given: only this machine, or a proxy on it, is let in.\n"
            "--port is 9092 if not given. fedprime run --help explains the settings."
        )
        return 0
    from fedprime.settings.first_look import refuse_plainly_wrong
    from fedprime.settings.flags import take_folder
    from fedprime.settings.recipes import find_recipe

    keys, output = take_folder(words, "--keys"), take_folder(words, "--output")
    host, port = take_folder(words, "--host") or "127.0.0.1", take_folder(words, "--port") or "9092"
    needed = {"RECIPE": recipe, "--keys FOLDER": keys, "--output RUN": output}
    missing = [word for word, found in needed.items() if found is None]
    if recipe is None or keys is None or output is None:
        raise SettingsError(f"fedprime deploy server needs {' '.join(needed)}; missing: {', '.join(missing)}")
    if not port.isdecimal():
        raise SettingsError(f"--port is {port!r}; expected a number")
    _refuse_broken_keys(Path(keys), ("ca.crt", "server.crt", "server.key"), "server")
    path = find_recipe(recipe)
    refuse_plainly_wrong(path, words)
    with importing():
        from fedprime.cli.deployment import see_through
        from fedprime.settings.reading import read_settings
    return see_through(read_settings(path, words), Path(output), Path(keys), host, int(port))


def _client(words: list[str]) -> int:
    options = tyro.cli(ClientOptions, args=words, prog="fedprime deploy client")
    _refuse_broken_keys(options.keys, ("ca.crt", "client.key", "client.json"), "client-N")
    if options.data is not None:
        print(_checked(options.data, options.format), flush=True)
    with importing():
        from fedprime.cli.deployment import take_part
    take_part(options)
    return 0


def _checked(data: Path, data_format: str) -> str:
    """Checks the samples of a site, and returns in words whether they can be used.

    Raises:
        DataError: If they cannot, whatever the server says of them.
    """
    from fedprime.data.sets.table.files import open_parts
    from fedprime.data.sources import DataError

    try:
        checked = look_at_data(["check", str(data), "--format", data_format])
    except DataError as error:
        if data_format != "table":
            raise
        open_parts(str(data))  # what is no table at all stays none
        return (
            f"the data cannot be used as it is: {error}. What the server states (data.label, data.classes, ...) may "
            "mend that; if not, the server says so of this site"
        )
    return "the data can be used" if checked == 0 else "the data can be used, but look at what is said above"


def _refuse_broken_keys(folder: Path, names: tuple[str, ...], title: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        made = f"the folder {title} that `fedprime deploy keys` made"
        raise SettingsError(f"{folder} has no {', '.join(missing)}; --keys names {made}")

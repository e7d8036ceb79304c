"""The verb ``deploy`` of the command line: a federation of sites on other machines."""

import json
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any

import tyro
from rich.console import Console

from fedprime.cli.data import look_at_data
from fedprime.cli.progress import display_run
from fedprime.cli.stopping import interruptible
from fedprime.data.embeddings.cache_folder import PLACE_VARIABLE
from fedprime.experiment.loading import with_absolute_folders
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.experiment.site import deployable_method
from fedprime.report.single_run import scenario_table
from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.runs.metrics import progress_after
from fedprime.runtime.clients import flower_is_missing
from fedprime.settings.flags import take_folder
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import dump_toml, read_settings
from fedprime.settings.recipes import find_recipe
from fedprime.settings.settings import Settings

__all__ = ["deploy"]

_USAGE = """\
usage: fedprime deploy keys FOLDER --hosts NAME ... --clients N
       fedprime deploy server RECIPE --keys FOLDER --output RUN [--host ADDRESS] [--port PORT] [--SETTING VALUE ...]
       fedprime deploy client --keys FOLDER --server HOST:PORT --state FOLDER [--data FOLDER --format food101] ...

keys    makes an authority, the server's certificate and a key for every client
server  waits for the clients, runs the rounds, shows them, ends with the table; the same command again goes on
client  takes part, until it is stopped; its samples stay where they are

Each explains its flags with --help. From nothing to one server and two sites: docs/deployment.md."""

_POLL_SECONDS = 2.0
_STATUS_SECONDS = 180.0
_LONGEST_PAUSE_SECONDS = 120.0


@dataclass(frozen=True)
class _KeysOptions:
    folder: tyro.conf.Positional[Path]
    """The folder to make."""
    hosts: tuple[str, ...]
    """Names and addresses under which clients reach the server."""
    clients: int
    """How many clients there are."""


@dataclass(frozen=True)
class _ClientOptions:
    keys: Path
    """This client's folder, client-N, as `fedprime deploy keys` made it."""
    server: Annotated[str, tyro.conf.arg(metavar="HOST:PORT")]
    """Where the server is."""
    state: Path
    """Folder for what must last: values that are not sent, Flower's own files. Nobody else should read it."""
    data: Path | None = None
    """Folder of this site's samples; without one, the run is on the built-in world."""
    format: str = "food101"
    """Which data set the folder holds."""
    backbone: Path | None = None
    """Folder or file of the frozen model at this site, if it is not one that comes along."""


def deploy(words: list[str]) -> int:
    """Makes keys, or runs a server or a client, and returns the exit code.

    Args:
        words: What stands after ``fedprime deploy``.

    Raises:
        SettingsError: If Flower is not installed, or settings do not fit together.
        RunError: If the run cannot go on.
    """
    verbs = {"keys": _keys, "server": _server, "client": _client}
    if not words or words[0] not in verbs:
        print(_USAGE)
        return 0 if words in (["-h"], ["--help"]) else 2
    if words[0] != "keys":
        # As a service or in the background, too, whatever was started is ended before this process is.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
    return verbs[words[0]](words[1:])


def _keys(words: list[str]) -> int:
    options = tyro.cli(_KeysOptions, args=words, prog="fedprime deploy keys")
    try:
        from fedprime.runtime.flower.keys import make_keys
    except ImportError as error:
        raise flower_is_missing("flower", error) from error
    make_keys(options.folder, options.hosts, options.clients)
    print(
        f"{options.folder}/server is for the server, {options.folder}/client-N for site N: carry each there by a way "
        f"that is safe, and keep no copy. {options.folder}/authority signs certificates: put it away."
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
    keys, output = take_folder(words, "--keys"), take_folder(words, "--output")
    host, port = take_folder(words, "--host") or "127.0.0.1", take_folder(words, "--port") or "9092"
    if recipe is None or keys is None or output is None or not port.isdecimal():
        raise SettingsError([_USAGE])
    _refuse_broken_keys(Path(keys), ("ca.crt", "server.crt", "server.key"), "server")
    settings = with_absolute_folders(read_settings(find_recipe(recipe), words))
    settings = replace(settings, runtime=replace(settings.runtime, kind="deployment"))
    deployable_method(settings)
    folder = Path(output)
    results = folder / "results.json"
    if not results.exists():
        with display_run() as watch, interruptible(lambda: f"; the same command goes on with {folder}"):
            _serve(settings, folder, Path(keys), host, int(port), watch)
    Console().print(scenario_table(RunFolder(folder).results()))
    print(f"run folder: {folder}")
    return 0


def _serve(settings: Settings, folder: Path, keys: Path, host: str, port: int, watch: Any) -> None:
    try:
        from fedprime.runtime.flower.processes import started_link
    except ImportError as error:
        raise flower_is_missing("flower", error) from error
    state = folder.with_name(f"{folder.name}.deployment")
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    job = state / "job.json"
    # The clients know the run by this name; what they keep for it is found again under it.
    name = json.loads(job.read_text(encoding="utf-8"))["run"] if job.exists() else token_hex(16)
    attempt = token_hex(8)
    (state / "settings.toml").write_text(dump_toml(settings), encoding="utf-8")
    facts = {
        "run": name,
        "attempt": attempt,
        "folder": str(folder.resolve()),
        "settings": str((state / "settings.toml").resolve()),
    }
    with replaced_file(job) as beside:
        beside.write_text(json.dumps(facts), encoding="utf-8")
    with started_link(keys, state, host, port, job) as link:
        for public_key in sorted((keys / "nodes").glob("*.pub")):
            link.register(public_key)
        run = link.submit()
        print(f"listening on {host}:{port}; waiting for {settings.partition.num_clients} clients", flush=True)
        _follow(link, run, settings, folder, job.with_name("outcome.json"), attempt, watch)


def _follow(link: Any, run: str, settings: Settings, folder: Path, outcome: Path, attempt: str, watch: Any) -> None:
    """Shows rounds as they are finished, until the app says that it has ended or has plainly gone."""
    started, first_round, shown = time.perf_counter(), None, 0
    looked, status = time.monotonic(), ""
    while True:
        ended = json.loads(outcome.read_text(encoding="utf-8")) if outcome.exists() else {}
        history = RunFolder(folder).metrics() if (folder / "metrics.jsonl").exists() else []
        first_round = len(history) if first_round is None else first_round
        if len(history) > max(shown, first_round):
            shown = len(history)
            watch(progress_after(history, settings.training.rounds, first_round, time.perf_counter() - started))
        if ended.get("attempt") == attempt:
            if ended["error"] is not None:
                raise RunError(f"the run has stopped, and the same command goes on with it: {ended['error']}")
            return
        if status.startswith("finished"):  # as found before, and the app has not said anything since
            raise RunError(f"Flower says that the run is {status}; the reason is in {outcome.parent / 'superlink.log'}")
        if link.process.poll() is not None:
            raise RunError(f"the SuperLink has ended; the reason is in {outcome.parent / 'superlink.log'}")
        if time.monotonic() - looked > _STATUS_SECONDS:
            looked, status = time.monotonic(), link.status(run)
        time.sleep(_POLL_SECONDS)


def _client(words: list[str]) -> int:
    options = tyro.cli(_ClientOptions, args=words, prog="fedprime deploy client")
    _refuse_broken_keys(options.keys, ("ca.crt", "client.key", "client.json"), "client-N")
    if options.data is not None:
        checked = look_at_data(["check", str(options.data), "--format", options.format])
        print(
            "the data can be used" if checked == 0 else "the data can be used, but look at what is said above",
            flush=True,
        )
    try:
        from fedprime.runtime.flower import client_app as node
        from fedprime.runtime.flower.processes import node_command, node_environment, stop
    except ImportError as error:
        raise flower_is_missing("flower", error) from error
    number = int(json.loads((options.keys / "client.json").read_text(encoding="utf-8"))["number"])
    options.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    config: dict[str, str | int] = {node.NUMBER_KEY: number, node.STATE_KEY: str(options.state.resolve())}
    if options.data is not None:
        config |= {node.DATA_KEY: str(options.data.resolve()), node.FORMAT_KEY: options.format}
    if options.backbone is not None:
        config[node.BACKBONE_KEY] = str(options.backbone.resolve())
    # A service has no home; and what a process embeds for one message, that of the next one reads.
    environment = {
        PLACE_VARIABLE: str((options.state / "cache").resolve()),
        **node_environment(options.state / "flower"),
    }
    (options.state / "flower").mkdir(exist_ok=True, mode=0o700)
    pause = 5.0
    with interruptible(lambda: f"; the same command takes part again as client {number}"):
        while True:
            command = node_command(options.keys, options.server, config)
            print(f"client {number} takes part at {options.server}", flush=True)
            started = time.monotonic()
            with (options.state / "supernode.log").open("ab") as log:
                process = subprocess.Popen(  # noqa: S603
                    command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
                try:
                    code = process.wait()
                finally:
                    stop(process)
            # A server refuses a client that comes back before it has noticed that it was gone.
            pause = (
                5.0 if time.monotonic() - started > _LONGEST_PAUSE_SECONDS else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            )
            print(
                f"Flower's node has ended with code {code}: {_reason(options.state / 'supernode.log')}; "
                f"starting it again in {pause:.0f} s",
                flush=True,
            )
            time.sleep(pause)


def _reason(log: Path) -> str:
    """Returns the last error in a log of Flower's, or where to look for one."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if "[code:" in line or "Error:" in line]
    return errors[-1].strip()[:300] if errors else f"look into {log}"


def _refuse_broken_keys(folder: Path, names: tuple[str, ...], title: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise RunError(
            f"{folder} has no {', '.join(missing)}; --keys names the folder {title} that `fedprime deploy keys` made"
        )

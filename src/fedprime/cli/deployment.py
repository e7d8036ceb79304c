"""What the verb ``deploy`` starts: a server that sees a run through, a client that takes part until it is stopped."""

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fedprime.cli.progress import display_run
from fedprime.cli.run import exit_code, where_it_lies
from fedprime.cli.stopping import interruptible
from fedprime.data.embeddings.cache_folder import PLACE_VARIABLE
from fedprime.experiment.loading import with_absolute_folders
from fedprime.experiment.round_lines import whole_lines
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.experiment.site import deployable_method
from fedprime.report.single_run import notices, scenario_table
from fedprime.reproducibility.atomic_files import write_whole
from fedprime.reproducibility.errors import quoted
from fedprime.reproducibility.strict_json import read_json
from fedprime.runs.metrics import progress_after
from fedprime.runtime.clients import REFUSALS
from fedprime.settings.problems import needing_flower
from fedprime.settings.reading import dump_toml
from fedprime.settings.settings import Settings

if TYPE_CHECKING:
    from fedprime.cli.deploy import ClientOptions

_logger = logging.getLogger(__name__)
_POLL_SECONDS = 2.0
_STATUS_SECONDS = 180.0
_LONGEST_PAUSE_SECONDS = 30.0


def see_through(settings: Settings, folder: Path, keys: Path, host: str, port: int) -> int:
    """Makes the rounds of a run that are left, with clients elsewhere, shows its table, and returns the exit code.

    Args:
        host: The address at which clients are let in.

    Raises:
        SettingsError: If Flower is not installed, or the method cannot be deployed.
        RunError: If the run cannot go on.
    """
    settings = with_absolute_folders(settings)
    settings = replace(settings, runtime=replace(settings.runtime, kind="deployment"))
    deployable_method(settings)
    if not (folder / "results.json").exists():
        with display_run() as display, interruptible(lambda: f"; the same command goes on with {folder}"):
            _serve(settings, folder, keys, host, port, display.round_finished)
    found = RunFolder(folder).results()
    Console().print(scenario_table(found))
    for line in notices(found):
        Console().print(line, highlight=False, markup=False, soft_wrap=True)
    print(where_it_lies(folder))
    return exit_code(found, folder)


def _serve(settings: Settings, folder: Path, keys: Path, host: str, port: int, watch: Any) -> None:
    with needing_flower():
        from fedprime.runtime.flower.processes import started_link
    state = folder.with_name(f"{folder.name}.deployment")
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    job = state / "job.json"
    # The clients know the run by this name; what they keep for it is found again under it.
    name = _name_of_run(job) if job.exists() else token_hex(16)
    attempt = token_hex(8)
    (state / "settings.toml").write_text(dump_toml(settings), encoding="utf-8")
    facts = {
        "run": name,
        "attempt": attempt,
        "folder": str(folder.resolve()),
        "settings": str((state / "settings.toml").resolve()),
    }
    write_whole(job, json.dumps(facts))
    refusals = state / REFUSALS
    refusals.unlink(missing_ok=True)
    with started_link(keys, state, host, port, job) as link:
        for public_key in sorted((keys / "nodes").glob("*.pub")):
            link.register(public_key)
        run = link.submit()
        print(f"listening on {host}:{port}; waiting for {settings.partition.num_clients} clients", flush=True)
        _follow(link, run, settings, folder, job.with_name("outcome.json"), attempt, watch)


def _follow(link: Any, run: str, settings: Settings, folder: Path, outcome: Path, attempt: str, watch: Any) -> None:
    """Shows rounds as they are finished, until the app says that it has ended or has plainly gone."""
    started, first_round, shown, num_refused = time.perf_counter(), None, 0, 0
    refusals = outcome.with_name(REFUSALS)
    looked, status = time.monotonic(), ""
    while True:
        ended = read_json(outcome) if outcome.exists() else {}
        history = RunFolder(folder).metrics() if (folder / "metrics.jsonl").exists() else []
        first_round = len(history) if first_round is None else first_round
        if len(history) > max(shown, first_round):
            _tell_left_out(history[max(shown, first_round) :])
            shown = len(history)
            watch(progress_after(history, settings.training.rounds, first_round, time.perf_counter() - started))
        refused = whole_lines(refusals) if refusals.exists() else []
        for line in refused[num_refused:]:
            _logger.warning("%s", line.rstrip())
        num_refused = len(refused)
        if ended.get("attempt") == attempt:
            if ended.get("error") is not None:
                raise RunError(f"the run has stopped, and the same command goes on with it: {ended['error']}")
            return
        if status.startswith("finished"):  # as found before, and the app has not said anything since
            raise RunError(f"Flower says that the run is {status}; the reason is in {outcome.parent / 'superlink.log'}")
        if link.process.poll() is not None:
            raise RunError(f"the SuperLink has ended; the reason is in {outcome.parent / 'superlink.log'}")
        if time.monotonic() - looked > _STATUS_SECONDS:
            looked, status = time.monotonic(), link.status(run)
        time.sleep(_POLL_SECONDS)


def _tell_left_out(rows: Sequence[Mapping[str, Any]]) -> None:
    """Says who is left out of rounds, which is told in a log of Flower's otherwise."""
    for row in rows:
        for client, reason in row["left_out"].items():
            _logger.warning("round %d: client %s is left out: %s", row["round"] + 1, client, quoted(reason))


def take_part(options: "ClientOptions") -> None:
    """Takes part in the runs of a server until it is stopped.

    Raises:
        SettingsError: If Flower is not installed.
    """
    with needing_flower():
        from fedprime.runtime.flower import processes as node
        from fedprime.runtime.flower.keys import number_of_client
        from fedprime.runtime.flower.watched import start_watched
        from fedprime.runtime.flower.worker_keeper import kept_worker
    number = number_of_client(options.keys)
    options.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    config: dict[str, str | int] = {node.NUMBER_KEY: number, node.STATE_KEY: str(options.state.resolve())}
    if options.data is not None:
        config |= {node.DATA_KEY: str(options.data.resolve()), node.FORMAT_KEY: options.format}
    if options.backbone is not None:
        config[node.BACKBONE_KEY] = str(options.backbone.resolve())
    # A service has no home; and what one worker embeds, the next one reads.
    environment = {
        PLACE_VARIABLE: str((options.state / "cache").resolve()),
        **node.node_environment(options.state / "flower"),
    }
    (options.state / "flower").mkdir(exist_ok=True, mode=0o700)
    pause = 5.0
    with interruptible(lambda: f"; the same command takes part again as client {number}"):
        while True:
            command = node.node_command(options.keys, options.server, config)
            print(f"client {number} takes part at {options.server}", flush=True)
            started = time.monotonic()
            path = options.state / "supernode.log"
            with path.open("ab") as log, kept_worker(options.state.resolve(), config, environment, path):
                process = start_watched(command, environment, log)
                try:
                    code = process.wait()
                finally:
                    node.stop(process)
            # A server refuses a client that comes back before it has noticed that it was gone.
            pause = (
                5.0 if time.monotonic() - started > _LONGEST_PAUSE_SECONDS else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            )
            print(
                f"Flower's node has ended with code {code}: {_reason(options.state / 'supernode.log').rstrip('.')}; "
                f"starting it again in {pause:.0f} s",
                flush=True,
            )
            time.sleep(pause)


def _name_of_run(job: Path) -> str:
    name = read_json(job).get("run")
    if not isinstance(name, str) or not re.fullmatch(r"[0-9a-f]{1,64}", name):
        raise RunError(
            f"{job} is broken (it has no name of the run); restore it, or remove it to begin anew at the sites"
        )
    return name


def _reason(log: Path) -> str:
    """Returns the last error in a log of Flower's, or where to look for one."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if "[code:" in line or "Error:" in line]
    return (
        errors[-1].strip()[:300]
        if errors
        else f"{log} has no error; mostly the server does not let it in: is this site's key there, and does the clock "
        "of this machine agree with the server's to within five minutes"
    )

"""The verb ``play`` of the command line: a page to try a model."""

import socket
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fedprime.cli.stopping import importing
from fedprime.reproducibility.errors import as_word
from fedprime.settings.problems import SettingsError

_MOST_REQUESTS = 16  # at a time; whoever comes then is told to come later
_THREADS = 1  # of torch: one answer is too little work for several


@dataclass(frozen=True)
class _PlayOptions:
    """Shows a page on which a model is tried: a photo, a text, numbers, each switched on and off.

    The interface beside it, POST /predict, is described in docs/play.md.
    """

    model: tyro.conf.Positional[Path]
    """Folder of a saved model or of a finished run, or the name of a model on the hub (OWNER/NAME)."""
    host: Annotated[str, tyro.conf.arg(metavar="ADDRESS")] = "127.0.0.1"
    """What to listen to; others than this machine reach it only at another address, such as 0.0.0.0, and nothing asks
    who they are."""
    port: Annotated[int, tyro.conf.arg(metavar="NUMBER")] = 8000
    """At which port; 0 for any that is free."""
    open: bool = False
    """Open the page in the browser."""
    backbone: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """Where the frozen model lies now, if not where the model says."""
    export: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Write a Space for the hub there, an app of gradio with the model in it, and show nothing."""


def play(words: list[str]) -> int:
    """Shows a page to try a model until it is stopped, or exports one; returns the exit code."""
    options = tyro.cli(_PlayOptions, args=words, prog="fedprime play", config=(tyro.conf.FlagCreatePairsOff,))
    with importing():
        from fedprime.models.prompted_model import PromptedModel
    if options.export is not None:
        from fedprime.runs.space import export_space

        export_space(PromptedModel.from_pretrained(options.model, options.backbone), options.export)
        app = as_word(options.export / "app.py")
        print(f"a Space lies in {options.export}; push it to one, or try it where gradio is installed: python {app}")
        return 0
    with importing():
        try:
            import uvicorn

            from fedprime.reproducibility.determinism import reproducible
            from fedprime.runs.play import play_app
        except ModuleNotFoundError as error:
            raise SettingsError(f'{error.name} is not installed; install it: pip install "fedprime[page]"') from error
    with _listen(options.host, options.port) as listening, reproducible(_THREADS):
        model = PromptedModel.from_pretrained(options.model, options.backbone, device="auto")
        app = play_app(model, options.model.name, host=options.host)
        shown = f"[{options.host}]" if ":" in options.host else options.host
        address = f"http://{shown}:{listening.getsockname()[1]}/"
        print(f"{address}   (Ctrl-C ends it)", flush=True)
        if options.open and not webbrowser.open(address):
            print(f"fedprime: there is no browser here; open {address} in one", file=sys.stderr)
        served = uvicorn.Config(
            app, log_config=None, log_level="warning", limit_concurrency=_MOST_REQUESTS, timeout_keep_alive=5, ws="none"
        )  # its own configuration of logs would close the handlers of all others, and with some of them sys.stderr
        uvicorn.Server(served).run(sockets=[listening])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens, before seconds go by that might be in vain."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address[0], port, *address[2:]))  # a look-up takes ports that are too large for others
            listening.listen()
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        said = str(error).rstrip(".")
        raise SettingsError(f"cannot listen at {host}:{port}: {said}; name another --port or --host") from error
    return listening

"""The command line: from a verb to the file that carries it out, and from an error to one line and an exit code.

Nothing heavy is imported before it is needed, so that help, a list or an error is there at once. Verbs raise what a
person can put right as `FedprimeError` or `OSError`.
"""

import io
import logging
import os
import pkgutil
import signal
import sys
from collections.abc import Sequence

from fedprime.cli.stopping import INTERRUPTED, close_output, importing
from fedprime.reproducibility.errors import FedprimeError, nearest_name, printable

#: By verb, what carries it out, and what it does in one line.
VERBS = {
    "run": ("fedprime.cli.run:run_recipe", "train: fedprime run RECIPE [--training.rounds 50 ...], or --resume RUN"),
    "grid": (
        "fedprime.cli.grid:make_grid",
        "train many: fedprime grid PLAN; the same command again goes on where it was stopped",
    ),
    "tune": (
        "fedprime.cli.tune:tune_settings",
        "search for settings on validation samples: fedprime tune builtin/study makes a recipe",
    ),
    "evaluate": ("fedprime.cli.evaluate:evaluate", "measure a finished run's model on every test scenario again"),
    "predict": (
        "fedprime.cli.predict:predict_labels",
        "predict from any subset of modalities, or for the rows of a table",
    ),
    "merge": (
        "fedprime.cli.merge:merge",
        "make one model of those that sites trained alone: fedprime merge SITE_MODEL ... --output merged",
    ),
    "push": (
        "fedprime.cli.push:push",
        "save a model to the hub, with a card that says what it is: fedprime push MODEL OWNER/NAME",
    ),
    "play": (
        "fedprime.cli.play:play",
        "try a model on a page in the browser: fedprime play MODEL",
    ),
    "report": (
        "fedprime.cli.report:report_runs",
        "turn finished runs into tables, comparisons and plots: fedprime report runs/main",
    ),
    "track": (
        "fedprime.cli.track:track_runs",
        "send finished runs to TensorBoard, MLflow, W&B or Trackio: fedprime track runs/main --to tensorboard",
    ),
    "data": (
        "fedprime.cli.data:look_at_data",
        "look at data: fedprime data check PATH, or show for a picture of samples",
    ),
    "cache": (
        "fedprime.cli.cache:manage_cache",
        "where embeddings of samples are kept for later runs; make room: fedprime cache show",
    ),
    "new": (
        "fedprime.cli.new:start_study",
        "begin a study: fedprime new my-study writes a method, a recipe and a test",
    ),
    "deploy": (
        "fedprime.cli.deploy:deploy",
        "federate sites on other machines: fedprime deploy keys, kit, server, client",
    ),
    "completion": (
        "fedprime.cli.completion:complete",
        "let the shell complete words: fedprime completion bash, zsh, fish say how",
    ),
    "recipes": ("fedprime.cli.recipes:show_recipes", "list the recipes and plans that come along, or show one"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 in part, 2 wrong input, 3 a client absent, 130 stopped.

    Args:
        arguments: The words after the program's name; those of this process when not given.
    """
    try:
        return _carry_out(list(sys.argv[1:] if arguments is None else arguments))
    except FedprimeError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        close_output()
        return 0
    except IsADirectoryError as error:
        return _fail(f"{error.filename2 or error.filename} is a folder; name a file")
    except OSError as error:
        return _fail(f"{error}; free space, check permissions, or name another file or folder")
    finally:
        if arguments is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said: the interpreter ends in a moment


def _carry_out(words: list[str]) -> int:
    _print_whatever_the_encoding()
    if not words or words[0] in ("-h", "--help"):
        print("Federated prompt-tuning of frozen multimodal models when clients' data is incomplete.\n")
        print("usage: fedprime VERB ...   (fedprime VERB --help explains a verb)\n")
        print("\n".join(f"  {name:12}{summary}" for name, (_, summary) in VERBS.items()))
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(version("fedprime"))
        return 0
    if words[0] not in VERBS:
        known = [*VERBS, "--help", "--version"]
        return _fail(f"{words[0]!r} is not a verb of fedprime: {', '.join(VERBS)}{nearest_name(words[0], known)}")
    _log_to_stderr()
    with importing():
        carry_out = pkgutil.resolve_name(VERBS[words[0]][0])
    return carry_out(words[1:])


def _print_whatever_the_encoding() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _PrintableFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (its name in `logging`)
        return printable(super().formatMessage(record)).replace("\n", " ")  # a name may have a line break in it


def _log_to_stderr() -> None:
    # Our own log only: libraries say what matters by their errors, and the hub's library would report every retry.
    handler = logging.StreamHandler()
    handler.setFormatter(_PrintableFormatter("%(levelname)s: %(message)s"))
    logging.getLogger("fedprime").handlers = [handler]
    logging.getLogger("fedprime").setLevel(logging.INFO)
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # read at its import, which would undo a level set now


def _fail(message: str) -> int:
    print(f"fedprime: {printable(message)}", file=sys.stderr)
    return 2

"""The examples: each is short, runs by itself, and says what came of it."""

import contextlib
import functools
import io
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flwr.cli.config_utils import load_and_validate
from flwr.clientapp import ClientApp
from flwr.clientapp.client_app import LoadClientAppError
from flwr.serverapp import ServerApp
from flwr.serverapp.server_app import LoadServerAppError
from flwr.supercore.object_ref import load_app

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").glob("*.py"))


#: Minutes, for its processes.
SLOW = ("examples/deployment.py",)
#: Run by a test of its own, which looks at what it says.
READ = ("examples/loop_by_hand.py",)


@pytest.fixture(scope="module")
def said_by(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Runs an example once, as a program in an empty folder but in this process, and returns what it printed."""

    @functools.cache
    def run(example: str) -> str:
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
            patch.chdir(tmp_path_factory.mktemp("example"))
            patch.setattr(sys, "argv", [example])
            runpy.run_path(str(ROOT / example), run_name="__main__")
        return said.getvalue()

    return run


@pytest.mark.parametrize(
    "example",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in EXAMPLES if name not in READ],
)
def test_an_example_runs_as_a_program_and_prints_something(example: str, said_by: Callable[[str], str]):
    assert said_by(example).strip()


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_read_in_a_minute_and_says_what_it_shows(example: str):
    lines = (ROOT / example).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    assert lines[0].startswith('"""')
    assert f"python {example}" in "\n".join(lines)


def test_the_loop_by_hand_tells_the_accuracy_of_every_round_and_learns(said_by: Callable[[str], str]):
    said = said_by("examples/loop_by_hand.py")
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in said.splitlines()]
    accuracies = [float(line.rsplit(" ", 1)[1]) for line in said.splitlines()]
    assert losses == sorted(losses, reverse=True)
    assert len(accuracies) == 3
    assert accuracies[-1] > 1 / 8  # of eight classes


def test_the_flower_app_depends_on_fedprime_and_names_components_that_flower_can_load(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(sys, "path", list(sys.path))  # Flower adds the folder of an app
    folder = ROOT / "examples" / "flower_app"
    config, warnings = load_and_validate(folder / "pyproject.toml", check_module=True)
    assert warnings == []
    assert config["project"]["dependencies"] == ["fedprime[simulation]"]
    components = config["tool"]["flwr"]["app"]["components"]
    server = load_app(components["serverapp"], LoadServerAppError, folder)
    client = load_app(components["clientapp"], LoadClientAppError, folder)
    assert isinstance(server, ServerApp)
    assert isinstance(client, ClientApp)
    assert set(config["tool"]["flwr"]["app"]["config"]) == {"recipe", "flags", "output"}  # what the server reads

"""Shape checks at run time for everything under test, one thread, no network, and fixtures that many tests share.

Nothing heavy is imported at the top: the process that hands out tests to others would pay for it before they start.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import functools
import gc
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxtyping
import pytest

if TYPE_CHECKING:
    from fedprime.backbones.backbone import Backbone
    from fedprime.experiment.build import Experiment
    from fedprime.models.prompted_model import Weights
    from fedprime.settings.settings import Settings

gc.disable()  # what is imported to collect tests stays: looking through it again and again takes seconds

SOURCE = Path(__file__).parents[1] / "src"

# Must come before the first import of fedprime: what is imported earlier is not checked. Modules without shapes are
# left to pyright: making their checks took every process of the tests seconds.
_hook = jaxtyping.install_import_hook(
    [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for path in sorted((SOURCE / "fedprime").rglob("*.py"))
        if "jaxtyping" in path.read_text(encoding="utf-8")
    ],
    "beartype.beartype",
)

#: Rooms whose own tests have all shapes checked. Checks are two fifths of what a run costs, and whole runs, as other
#: tests make them, call what these call.
CHECKED = {"backbones", "data", "experiment", "federation", "methods", "models", "reproduction"}

# A shell that starts the tests in the background has Ctrl-C ignored; some of them press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Switches the checks of shapes on or off, before any fixture of the test is made."""
    rooms = item.path.relative_to(item.config.rootpath).parts
    is_checked = CHECKED.intersection(rooms) and not item.get_closest_marker("without_shape_checks")
    jaxtyping.config.update("jaxtyping_disable", not is_checked)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps embeddings out of the user's own cache, and shares them among the tests of a process."""
    os.environ["FEDPRIME_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _quick_runs() -> Iterator[None]:
    """Runs without what takes long and shows nothing more: a backbone that comes along is loaded once, none is drawn.

    What draws the plot of a run has tests of its own. Nothing here survives a loss of power, so no disk is waited for.
    """
    from fedprime.backbones import NAMES, load_backbone
    from fedprime.reproducibility.atomic_files import replaced_file

    load_once = functools.cache(load_backbone)

    def load(reference: str = "auto", *words: Any, **options: Any) -> Backbone:
        return (load_once if reference in NAMES else load_backbone)(reference, *words, **options)

    def write(_: object, path: Path) -> None:
        with replaced_file(path) as beside:
            beside.write_text("a plot")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr("fedprime.experiment.backbone_choice.load_backbone", load)
        patch.setattr("fedprime.runs.run_loop.plot_scenarios", write)
        yield


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves the seconds that plots of a report take: there is no data for any."""
    from fedprime.report.plots import PLOTS

    none = {kind: (lambda *_: iter(()), reason) for kind, (_, reason) in PLOTS.items()}
    monkeypatch.setattr("fedprime.report.writing.PLOTS", none)


@pytest.fixture(scope="session")
def tiny() -> Backbone:
    """The backbone that comes with fedprime."""
    from fedprime.backbones import load_backbone

    return load_backbone()


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe that says hardly anything."""
    path = tmp_path / "recipe.toml"
    path.write_text("seed = 0\n")
    return path


@pytest.fixture(scope="session")
def small_flags() -> tuple[str, ...]:
    """The settings of a run that takes a second, as on a command line."""
    settings = {
        "data.num_train": 40,
        "data.num_validation": 8,
        "data.num_test": 24,
        "data.num_classes": 3,
        "data.num_sites": 4,
        "partition.num_clients": 4,
        "partition.min_samples": 3,
        "method.num_prompts": 4,
        "method.paper": "true",  # what is set beside it is what a test is about
        "training.rounds": 3,
        "training.batch_size": 8,
        "evaluation.every": 2,
        "evaluation.batch_size": 16,
    }
    return tuple(f"--{name}={value}" for name, value in settings.items())


@pytest.fixture(scope="session")
def small_settings(small_flags: tuple[str, ...]) -> Settings:
    """The settings of a run that takes a second."""
    from fedprime.settings.reading import read_settings

    return read_settings(None, small_flags)


@pytest.fixture(scope="session")
def _built_experiment(small_settings: Settings) -> tuple[Experiment, Weights]:
    from fedprime.experiment.build import build_experiment

    experiment = build_experiment(small_settings)
    return experiment, experiment.model.weights()


@pytest.fixture
def small_experiment(_built_experiment: tuple[Experiment, Weights]) -> Experiment:
    """Data, backbone, method and model of a small run; a test may train the model, the next one finds it untrained."""
    experiment, initial_weights = _built_experiment
    experiment.model.load_weights(initial_weights)
    return experiment


@pytest.fixture(scope="session")
def finished_run(small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run that is finished; only for reading."""
    from fedprime.runs.run import start_run

    folder = tmp_path_factory.mktemp("runs") / "finished"
    start_run(small_settings, folder)
    return folder


@pytest.fixture
def finished_copy(finished_run: Path, tmp_path: Path) -> Path:
    """The folder of a small run that is finished; a test may break it."""
    return Path(shutil.copytree(finished_run, tmp_path / "finished"))


@pytest.fixture(scope="session")
def _stopped_run(small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fedprime.runs.callbacks import AfterRound
    from fedprime.runs.run import start_run

    folder = tmp_path_factory.mktemp("runs") / "stopped"

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(small_settings, folder, callbacks=[AfterRound(stop)])
    return folder


@pytest.fixture
def stopped_run(_stopped_run: Path, tmp_path: Path) -> Path:
    """The folder of a small run that was stopped after the first of its three rounds; a test may break it."""
    return Path(shutil.copytree(_stopped_run, tmp_path / "stopped"))


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that is wrong; returns what it said to that."""
    from command_line import exit_code

    def complain(*words: object) -> str:
        assert exit_code(*words) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    return complain

"""A run at sites: the weights and scores are those of one process, stopped and continued or not."""

import errno
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from flwr.app import Message

from bad_site import saying
from command_line import exit_code
from fake_grid import FakeGrid
from fedprime.experiment.run_folder import Checkpoint, RunError, RunFolder
from fedprime.experiment.site import VALIDATION, deployable_method
from fedprime.federation.differential_privacy import ClientPrivacy
from fedprime.federation.rounds import TooFewAnswersError
from fedprime.methods import METHODS
from fedprime.methods.method import ServerState
from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.runs.callbacks import AfterRound
from fedprime.runs.run import resume_run, start_run
from fedprime.runs.site_run import SiteClients, SiteSamples, complete_site_run
from fedprime.runtime.flower.client_app import STATE_KEY
from fedprime.runtime.flower.grid_clients import GridClients
from fedprime.runtime.flower.messages import unpack
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import read_settings
from fedprime.settings.sections import TransportSettings
from fedprime.settings.settings import Settings

RUN = "0123456789abcdef"


@pytest.fixture
def settings(small_flags: tuple[str, ...]) -> Settings:
    flags = ["--runtime.kind=deployment", "--runtime.wait_seconds=0.01", "--method.name=fedmsplit-p"]
    return read_settings(None, [*small_flags, *flags])


def sites(settings: Settings, grid: FakeGrid) -> GridClients:
    return GridClients(grid, deployable_method(settings), settings, settings.partition.num_clients, run_id=RUN)


def grid_of(tmp_path: Path, num_clients: int = 4) -> FakeGrid:
    return FakeGrid(num_clients, **{STATE_KEY: str(tmp_path / "state")})


def same_checkpoint(here: Path, there: Path) -> bool:
    ours, theirs = RunFolder(here).load_checkpoint(), RunFolder(there).load_checkpoint()
    return ours.next_round == theirs.next_round and all(
        torch.equal(ours.weights(client)[name], value)
        for client in range(4)
        for name, value in theirs.weights(client).items()
    )


def stop_now(_: object) -> None:
    raise KeyboardInterrupt


STOP = [AfterRound(stop_now)]


def test_sites_come_to_the_weights_and_scores_of_one_process_also_when_the_server_is_stopped(
    settings: Settings, tmp_path: Path
):
    here = replace(settings, runtime=replace(settings.runtime, kind="in-process"))
    expected = start_run(here, tmp_path / "here")
    clients = sites(settings, grid_of(tmp_path))
    assert isinstance(clients, SiteClients)
    with pytest.raises(KeyboardInterrupt):
        complete_site_run(settings, tmp_path / "there", clients, STOP)
    assert RunFolder(tmp_path / "there").load_checkpoint().next_round == 1
    found = complete_site_run(settings, tmp_path / "there", sites(settings, grid_of(tmp_path)))
    assert same_checkpoint(tmp_path / "there", tmp_path / "here")
    assert found["measured_by"] == [0, 1, 2, 3]
    for name, scores in expected["scenarios"].items():
        assert found["scenarios"][name]["accuracy"] == pytest.approx(scores["accuracy"], abs=1e-9)
        assert found["scenarios"][name]["loss"] == pytest.approx(scores["loss"], rel=1e-6)
    assert {name: found[name] for name in ("bytes_up", "bytes_down", "trained_values")} == {
        name: expected[name] for name in ("bytes_up", "bytes_down", "trained_values")
    }


def test_a_run_that_too_few_answer_keeps_its_rounds_and_goes_on_later(settings: Settings, tmp_path: Path):
    settings = replace(settings, runtime=replace(settings.runtime, quorum=1.0, repeats=0))
    grid = grid_of(tmp_path)
    grid.faults["train", 1] = lambda _, reply: reply if grid.asked.count(("train", 1)) == 1 else None
    folder = tmp_path / "run"
    with pytest.raises(TooFewAnswersError, match="client 1: no answer"):
        complete_site_run(settings, folder, sites(settings, grid))
    assert RunFolder(folder).load_checkpoint().next_round == 1
    del grid.faults["train", 1]
    assert complete_site_run(settings, folder, sites(settings, grid))["rounds"] == 3


def test_a_full_disk_loses_no_finished_round(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, saved = tmp_path / "run", []

    def full(path: Path) -> AbstractContextManager[Path]:
        if path.name == "checkpoint.safetensors" and path.exists():
            saved.append(path)
            if len(saved) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        return replaced_file(path)

    monkeypatch.setattr("fedprime.experiment.saved_states.replaced_file", full)
    with pytest.raises(OSError, match="No space left"):
        complete_site_run(settings, folder, sites(settings, grid_of(tmp_path)))
    assert RunFolder(folder).load_checkpoint().next_round == 1
    monkeypatch.undo()
    assert complete_site_run(settings, folder, sites(settings, grid_of(tmp_path)))["rounds"] == 3


def test_a_site_that_does_not_agree_about_the_labels_is_put_aside_and_the_run_goes_on_if_the_quorum_allows(
    settings: Settings, tmp_path: Path
):
    grid = grid_of(tmp_path)
    grid.faults["query", 2] = saying(label_names=["cat", "dog"])
    strict = replace(settings, runtime=replace(settings.runtime, quorum=1.0))
    with pytest.raises(
        RunError, match=r"3 of 4 sites agree .* client 2: it has label_names \['cat', 'dog'\], expected"
    ):
        complete_site_run(strict, tmp_path / "run", sites(strict, grid))
    assert not (tmp_path / "run").exists()
    assert complete_site_run(settings, tmp_path / "run", sites(settings, grid))["measured_by"] == [0, 1, 3]


@pytest.mark.parametrize("scores", [{"loss": 1e6}, {"loss": 1e30, "num_samples": 1_000_000_000}])
def test_a_site_that_measures_an_impossible_loss_has_no_round_rejected(
    scores: dict[str, float], settings: Settings, tmp_path: Path
):
    """It tells the truth before the first round, so that what it says later is a rise."""
    grid = grid_of(tmp_path)

    def lie(message: Message, reply: Message) -> Message | None:
        told = unpack(reply.content).facts["scores"]
        is_first = grid.asked.count(("evaluate", 1)) == 1
        lies = told if is_first else {name: {**own, **scores} for name, own in told.items()}
        return saying(scores=lies)(message, reply)

    grid.faults["evaluate", 1] = lie
    complete_site_run(settings, tmp_path / "run", sites(settings, grid))
    history = RunFolder(tmp_path / "run").metrics()
    assert not any("rejected" in row for row in history)
    losses = [row["validation_loss"] for row in history if "validation_loss" in row]
    assert losses[1] > losses[0] + 1  # it counts,
    assert max(losses) <= 20 * math.log(3)  # and no more than a loss that is 20 times that of guessing one of three


def test_without_any_client_nothing_begins(settings: Settings, tmp_path: Path):
    with pytest.raises(RunError, match="no client is connected"):
        complete_site_run(settings, tmp_path / "run", sites(settings, grid_of(tmp_path, 0)))


@pytest.mark.parametrize("flags", [["--method.name=centralized-p"], ["--method.reference_quirks", "shared_parameters"]])
def test_what_needs_all_samples_in_one_place_is_refused(flags: list[str]):
    with pytest.raises(SettingsError, match="needs all samples in one place"):
        deployable_method(read_settings(None, flags))


def test_sites_begin_from_a_saved_model_if_all_of_it_travels(settings: Settings, finished_run: Path, tmp_path: Path):
    method = METHODS["fedprime"](num_prompts=4)
    settings = replace(settings, initial_model=str(finished_run / "model"), method=method)
    here = replace(settings, runtime=replace(settings.runtime, kind="in-process"))
    start_run(here, tmp_path / "here")
    complete_site_run(settings, tmp_path / "there", sites(settings, grid_of(tmp_path)))
    assert same_checkpoint(tmp_path / "there", tmp_path / "here")


def test_values_that_never_travel_cannot_begin_from_a_saved_model_at_sites(settings: Settings, tmp_path: Path):
    settings = replace(settings, initial_model=str(tmp_path), method=METHODS["local-p"](num_prompts=4))
    with pytest.raises(SettingsError, match=r"initial_model: with local-p, .*head\.bias.* never travel"):
        complete_site_run(settings, tmp_path / "run", sites(settings, grid_of(tmp_path)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("bits", [8, pytest.param(16, marks=pytest.mark.slow)])
def test_sites_that_round_come_to_the_weights_of_one_process_also_when_the_server_is_stopped(
    bits: Literal[16, 8], settings: Settings, tmp_path: Path
):
    settings = replace(settings, transport=TransportSettings(bits=bits))
    here = replace(settings, runtime=replace(settings.runtime, kind="in-process"))
    expected = start_run(here, tmp_path / "here")
    with pytest.raises(KeyboardInterrupt):
        complete_site_run(settings, tmp_path / "there", sites(settings, grid_of(tmp_path)), STOP)
    found = complete_site_run(settings, tmp_path / "there", sites(settings, grid_of(tmp_path)))
    assert same_checkpoint(tmp_path / "there", tmp_path / "here")
    assert found["bytes_by_part"] == expected["bytes_by_part"]


def test_no_site_chooses_the_round_by_the_number_of_samples_that_it_says_it_has(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clients = sites(settings, grid_of(tmp_path))
    told = {client: {VALIDATION: {"loss": 1.0, "accuracy": 0.5, "num_samples": 8}} for client in range(4)}
    told[3] = {VALIDATION: {"loss": 3.0, "accuracy": 0.0, "num_samples": 10**9}}
    monkeypatch.setattr(clients, "evaluate", lambda *_: told)
    state, privacy = ServerState({}), ClientPrivacy(0.0, 0.0, 1e-5, secret=False)
    # Three of 8 samples each, and one that counts as ten times their median: 80.
    expected = (3 * 8 * 1.0 + 80 * 3.0) / (3 * 8 + 80)
    found = SiteSamples(clients, privacy).on_validation(Checkpoint(1, state))
    assert found["validation_loss"] == pytest.approx(expected)
    limited = SiteSamples(clients, privacy, max_samples=8).on_validation(Checkpoint(1, state))
    assert limited["validation_loss"] == pytest.approx(1.5)
    limited = SiteSamples(clients, privacy, max_samples=8, max_loss=2.0).on_validation(Checkpoint(1, state))
    assert limited["validation_loss"] == pytest.approx((3 * 1.0 + 2.0) / 4)


def test_a_finished_run_that_an_earlier_version_began_keeps_its_results_when_it_is_to_go_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = replace(settings, method=METHODS["fedprime"](num_prompts=4))
    folder = tmp_path / "run"
    results = complete_site_run(settings, folder, sites(settings, grid_of(tmp_path)))
    monkeypatch.setattr("fedprime.models.prompted_model.PromptedModel.lacking", lambda *_: {"head.bias.image patches"})
    more = replace(settings, training=replace(settings.training, rounds=5))
    with pytest.raises(RunError, match="was begun by an earlier version of fedprime"):
        complete_site_run(more, folder, sites(more, grid_of(tmp_path)))
    assert complete_site_run(settings, folder, sites(settings, grid_of(tmp_path))) == results


@pytest.fixture
def finished_site_run(settings: Settings, tmp_path: Path) -> Path:
    settings = replace(settings, method=METHODS["fedprime"](num_prompts=4))
    complete_site_run(settings, tmp_path / "run", sites(settings, grid_of(tmp_path)))
    return tmp_path / "run"


@pytest.mark.usefixtures("without_plots")
def test_a_finished_run_of_sites_is_reported_and_its_model_predicts(
    finished_site_run: Path, tmp_path: Path, complaint: Callable[..., str], capsys: pytest.CaptureFixture[str]
):
    assert exit_code("report", finished_site_run, "--output", tmp_path / "report") == 0
    assert "fedprime" in (tmp_path / "report" / "README.md").read_text()
    assert exit_code("predict", finished_site_run / "model", "--text", "a red square") == 0
    assert capsys.readouterr().out
    assert "find what the sites measured in its results.json" in complaint("evaluate", finished_site_run)


def test_a_run_of_sites_is_neither_started_nor_continued_in_one_process(settings: Settings, tmp_path: Path):
    with pytest.raises(SettingsError, match="fedprime deploy server"):
        start_run(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    clients = sites(settings, grid_of(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        complete_site_run(settings, tmp_path / "run", clients, STOP)
    with pytest.raises(RunError, match="fedprime deploy server"):
        resume_run(tmp_path / "run")

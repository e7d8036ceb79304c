"""The models that a run leaves, and what they tell of the samples behind them."""

import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fedprime.experiment.build import build_experiment
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.federation.differential_privacy import ClientPrivacy
from fedprime.methods.method import ServerState
from fedprime.models.model_folder import STATISTICS, ModelError
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.runs.run import start_run
from fedprime.runs.saved_models import check_blocks, save_models
from fedprime.runs.site_run import SiteSamples
from fedprime.runtime.in_process import InProcessClients
from fedprime.settings.reading import read_settings

NUM_TRAIN = 40


@pytest.fixture
def made(small_flags: tuple[str, ...], tmp_path: Path) -> Callable[..., Path]:
    """Makes a small run, and returns its folder."""

    def make(*flags: str) -> Path:
        own = ("--data.num-test=12", "--training.rounds=1", *flags)
        start_run(read_settings(None, [*small_flags, *own]), tmp_path / "run")
        return tmp_path / "run"

    return make


def blocks_of(folder: Path) -> set[str]:
    start = "sums.total."
    return {name.removeprefix(start) for name in load_file(folder / STATISTICS) if name.startswith(start)}


def test_a_closed_form_carries_the_sums_that_it_was_made_from(made: Callable[..., Path]):
    run = made("--method.name=closed-form")
    found = load_file(run / "model" / STATISTICS)
    assert found["sums.num_samples"].item() == NUM_TRAIN
    assert found["sums.labels"].sum().item() == NUM_TRAIN
    assert blocks_of(run / "model") == {"summary", "image", "image patches", "text"}
    checkpoint = RunFolder(run).load_checkpoint()
    for name, value in checkpoint.state.server.items():
        assert torch.equal(found[name], value), name


def test_a_run_that_an_earlier_version_began_is_not_gone_on_with(made: Callable[..., Path]):
    run = RunFolder(made("--method.readout=blocks", "--method.start=closed-form"))
    checkpoint, model = run.load_checkpoint(), PromptedModel.from_pretrained(run.path)
    check_blocks(run, model, checkpoint)
    for then, said in (("image patches", "read image patches"), ("together", "weigh what several modalities say")):
        earlier = {name: value for name, value in checkpoint.state.shared.items() if then not in name}
        begun = replace(checkpoint, state=ServerState(earlier))
        with pytest.raises(RunError, match=f"was begun by an earlier version.*did not {said}.*; go on with that"):
            check_blocks(run, model, begun)


def test_where_prompts_were_trained_the_sums_are_those_of_the_model_that_is_saved(made: Callable[..., Path]):
    run = made("--method.readout=blocks", "--method.start=closed-form", "--training.keep=last")
    start, found = load_file(run / "start.safetensors"), load_file(run / "model" / STATISTICS)
    assert found.keys() == start.keys()
    # Features are computed in batches of other sizes, in single precision.
    assert torch.allclose(found["sums.second.image"], start["sums.second.image"], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found["sums.second.summary"], start["sums.second.summary"], rtol=1e-2)


def test_a_head_that_reads_no_blocks_tells_labels_alone(finished_run: Path):
    found = load_file(finished_run / "model" / STATISTICS)
    assert found.keys() == {"sums.labels", "sums.num_samples"}
    assert found["sums.num_samples"].item() == NUM_TRAIN


@pytest.mark.parametrize("flags", [("--runtime.statistics=none",), ("--privacy.clip-norm=1",)])
def test_nothing_is_told_where_that_is_asked_for_or_the_run_is_private(made: Callable[..., Path], flags: Sequence[str]):
    run = made("--method.name=head-only", *flags)
    assert not (run / "model" / STATISTICS).exists()
    assert not (run / "start.safetensors").exists()


def test_models_of_single_clients_tell_on_request(made: Callable[..., Path]):
    flags = ("--method.name=local-p", "--method.readout=blocks", "--method.start=closed-form")
    run = made(*flags, "--runtime.statistics=all")
    clients = sorted((run / "clients").iterdir())
    assert len(clients) == 4
    assert sum(load_file(folder / STATISTICS)["sums.num_samples"].item() for folder in clients) == NUM_TRAIN
    assert not (run / "model").exists()


def test_what_sites_summed_up_still_holds_for_all_that_no_prompt_reaches(
    made: Callable[..., Path], small_flags: tuple[str, ...]
):
    flags = ("--method.readout=blocks", "--method.start=closed-form")
    run = RunFolder(made(*flags))
    settings = read_settings(None, [*small_flags, *flags])
    checkpoint = run.load_checkpoint()
    (run.path / "results.json").unlink()  # as before it is finished

    model = build_experiment(settings).model
    save_models(run, settings.method, model, checkpoint, SiteSamples(_NoClients(), NO_PRIVACY), "shared")
    assert blocks_of(run.model_path) == {"image", "image patches", "text"}
    save_models(run, settings.method, model, checkpoint, SiteSamples(_NoClients(), NO_PRIVACY), "none")
    assert not (run.model_path / STATISTICS).exists()


NO_PRIVACY = ClientPrivacy(0.0, 0.0, 1e-3, secret=False)


class _NoClients(InProcessClients):
    """Sites that are never asked."""

    def __init__(self) -> None:
        self.descriptions: dict[int, dict[str, Any]] = {}
        self.failures: dict[int, str] = {}
        self.kept: dict[int, Weights] = {}
        self.residuals: dict[int, Weights] = {}

    def find(self, clients: Collection[int], needed: int) -> None: ...

    def agree_on(self, facts: Mapping[str, Any]) -> None: ...

    def evaluate(self, *_: object) -> dict[int, dict[str, dict[str, Any]]]:
        return {}


def about_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())["about"]


def test_a_model_says_how_it_was_trained_and_what_it_scored(finished_run: Path):
    results, masks = RunFolder(finished_run).results(), RunFolder(finished_run).masks()
    told = about_of(finished_run / "model")["training"]
    assert (told["method"], told["rounds"], told["num_clients"]) == ("fedprime", 3, 4)
    assert told["num_samples"] == NUM_TRAIN
    assert told["scores"] == results["scenarios"]
    present = torch.cat([masks[f"client.{client}.present"] for client in range(4)]).double()
    assert list(told["missing"].values()) == pytest.approx((1 - present.mean(dim=0)).tolist())
    assert set(told["chosen"]) == {"inter", "intra"}  # by validation samples
    assert "| full |" in (finished_run / "model" / "README.md").read_text()


def test_models_of_single_clients_say_what_they_scored_on_their_own_samples(made: Callable[..., Path]):
    run = made("--method.name=local-p")
    own = RunFolder(run).results()["clients"]
    for folder in (run / "clients").iterdir():
        expected = {"its own test samples": own[folder.name]} if own[folder.name] else None
        assert about_of(folder)["training"].get("scores") == expected


def test_a_private_model_tells_what_was_spent_and_nothing_that_was_not_under_noise(made: Callable[..., Path]):
    run = made("--privacy.clip-norm=1")
    told = about_of(run / "model")["training"]
    spent = RunFolder(run).results()["privacy"]
    assert told["privacy"] == {"epsilon": spent["epsilon"], "delta": spent["delta"]}
    assert told.keys().isdisjoint({"scores", "missing", "num_samples", "chosen"})
    assert "Differential privacy of clients" in (run / "model" / "README.md").read_text()


def test_the_model_of_another_run_in_the_place_of_its_own_is_refused(finished_copy: Path, tmp_path: Path):
    other = PromptedModel.from_pretrained(finished_copy)
    other.about = {**other.about, "training": {}}
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match=r"is the model of the finished run .*, and would be replaced; name another"):
        other.save_pretrained(finished_copy / "model")
    PromptedModel.from_pretrained(finished_copy)  # nothing was lost
    shutil.rmtree(finished_copy / "model")
    (tmp_path / "other").rename(finished_copy / "model")
    for place in (finished_copy, finished_copy / "model"):
        with pytest.raises(ModelError, match=r"is not the model that the run .* saved; put that back from a copy, or"):
            PromptedModel.from_pretrained(place)
    (finished_copy / "model").rename(tmp_path / "other")
    assert PromptedModel.from_pretrained(tmp_path / "other").about["training"] == {}


def test_the_models_of_two_clients_that_changed_places_are_refused(made: Callable[..., Path]):
    clients = made("--method.name=local-p") / "clients"
    (clients / "0").rename(clients / "other")
    (clients / "1").rename(clients / "0")
    with pytest.raises(ModelError, match="is not the model that the run"):
        PromptedModel.from_pretrained(clients / "0")

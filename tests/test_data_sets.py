"""Runs on miniatures of data sets that do not come along, from files to the final table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from command_line import exit_code
from fedprime.data.sources import DataError
from fedprime.experiment import embedded_data as samples
from fedprime.experiment.build import build_experiment
from fedprime.experiment.run_folder import RunError
from fedprime.report.plots import PLOTS
from fedprime.report.writing import write_report
from fedprime.runs.callbacks import AfterRound
from fedprime.runs.run import resume_run, start_run
from fedprime.settings.plans import Plan, PlannedRun, read_plan
from fedprime.settings.reading import read_settings
from fedprime.settings.recipes import find_plan
from fedprime.settings.settings import Settings
from miniatures import write_food101, write_hateful_memes, write_kaggle_food101, write_mmimdb


def settings_of(name: str, folder: Path, *flags: str) -> Settings:
    """The settings of a run of two rounds on a miniature."""
    small = {
        "data.name": name,
        "backbone": "tiny",
        "data.path": folder,
        "data.num_classes": 3,
        "partition.num_clients": 3,
        "partition.min_samples": 3,
        "method.num_prompts": 4,
        "training.rounds": 2,
        "training.batch_size": 16,
    }
    return read_settings(None, [*(f"--{key}={value}" for key, value in small.items()), *flags])


def results_of(name: str, write: Callable[[Path], Path], tmp_path: Path, *flags: str) -> dict[str, Any]:
    start_run(settings_of(name, write(tmp_path / "data"), *flags), tmp_path / "run")
    return json.loads((tmp_path / "run" / "results.json").read_text())


def test_food101_is_trained_on_and_no_limit_is_told(tmp_path: Path):
    results = results_of("food101", write_food101, tmp_path)
    assert list(results["scenarios"]) == ["like train", "miss both", "full", "image only", "text only"]
    of_all = {"accuracy", "macro_f1", "loss", "num_samples", "majority_accuracy"}
    at_its_client = {"own_accuracy", "own_macro_f1", "own_loss"}
    assert set(results["scenarios"]["full"]) == of_all | at_its_client
    assert results["scenarios"]["full"]["num_samples"] == 12
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all("accuracy" in line for line in lines if line["round"] >= -1)
    assert all("bayes_accuracy" not in line for line in lines)


def test_a_report_is_made_of_a_run_without_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Those that show limits: the others have tests of their own.
    monkeypatch.setattr("fedprime.report.writing.PLOTS", {kind: PLOTS[kind] for kind in ("scenarios", "rounds")})
    results_of("food101", write_food101, tmp_path)
    report = write_report([tmp_path / "run"], tmp_path / "report")
    assert report.problems == ()
    assert report.num_runs == 1


def test_without_a_validation_split_training_samples_are_set_apart(tmp_path: Path):
    results_of("food101", write_kaggle_food101, tmp_path, "--data.validation_share=0.2")
    masks = load_file(tmp_path / "run" / "masks.safetensors")
    assert len(masks["validation.owners"]) == 9
    assert sum(len(masks[f"client.{client}.samples"]) for client in range(3)) == 36


def test_mmimdb_is_trained_on_with_several_labels(tmp_path: Path):
    results = results_of("mmimdb", write_mmimdb, tmp_path, "--data.several_labels=true")
    scores = results["scenarios"]["full"]
    measured = {"accuracy", "macro_f1", "micro_f1", "auroc", "loss"}
    assert set(scores) == measured | {f"own_{name}" for name in measured} | {"num_samples", "majority_accuracy"}
    assert all(0 <= scores[name] <= 1 for name in ("micro_f1", "auroc"))
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["task"] == "several_labels"
    assert len(config["label_names"]) == 23


def test_mmimdb_is_trained_on_with_one_class(tmp_path: Path):
    results = results_of("mmimdb", write_mmimdb, tmp_path)
    assert "micro_f1" not in results["scenarios"]["full"]
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["label_names"] == ["Comedy", "Drama", "Horror"]


@pytest.mark.parametrize("kind", ["client-mixes", "by-label", "by-observed", "drift"])
def test_hateful_memes_are_trained_on_whatever_is_missing(kind: str, tmp_path: Path):
    results = results_of("hateful_memes", write_hateful_memes, tmp_path, f"--missing.kind={kind}")
    assert results["scenarios"]["full"]["num_samples"] == 8
    assert 0 <= results["scenarios"]["full"]["auroc"] <= 1


def wrecked(folder: Path) -> Path:
    """Food-101 with photos that are absent, empty, truncated and no photos, and without some texts."""
    write_food101(folder)
    photos = sorted((folder / "images").rglob("*.jpg"))
    for position in range(0, len(photos), 8):
        absent, empty, truncated, strange, good, *_ = photos[position : position + 8]
        absent.unlink()
        empty.write_bytes(b"")
        truncated.write_bytes(truncated.read_bytes()[:300])
        strange.write_text("not a photo")
        texts = json.loads((folder / "text.json").read_text())
        texts[good.name] = [" "]
        (folder / "text.json").write_text(json.dumps(texts))
        if position > 40:
            break
    return folder


def test_files_with_all_kinds_of_damage_are_trained_on(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    results = results_of("food101", wrecked, tmp_path)
    assert results["scenarios"]["text only"]["num_samples"] <= 12
    said = "\n".join(caplog.messages)
    missing = "missing values of 57 rows: image: 7 file not there, 7 file of 0 bytes; text: 7 empty"
    assert said.count(missing) == 1
    assert said.count("a missing image") > 0


def test_a_run_on_files_ends_the_same_whether_it_was_stopped_or_not(tmp_path: Path):
    settings = settings_of("food101", write_food101(tmp_path / "data"))

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(settings, tmp_path / "stopped", callbacks=[AfterRound(stop)])
    resume_run(tmp_path / "stopped")
    start_run(settings, tmp_path / "whole")
    ours, theirs = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("stopped", "whole"))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_a_run_does_not_go_on_with_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_food101(tmp_path / "data")

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(settings_of("food101", Path("data")), tmp_path / "run", callbacks=[AfterRound(stop)])
    monkeypatch.setattr("fedprime.experiment.embedded_data._latest", {})
    monkeypatch.chdir("/")  # the folder is remembered by its full path
    texts = json.loads((tmp_path / "data" / "text.json").read_text())
    (tmp_path / "data" / "text.json").write_text(json.dumps(texts | dict.fromkeys(list(texts)[::2], "")))
    with pytest.raises(RunError, match=f"and with {tmp_path / 'data'} as it was"):
        resume_run(tmp_path / "run")


def test_a_data_set_that_does_not_come_along_asks_for_its_folder(tmp_path: Path):
    with pytest.raises(DataError, match=r"mmimdb does not come along: name the folder where it lies, --data\.path"):
        start_run(read_settings(None, ["--data.name=mmimdb"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# The plans, started from the recipes of the benchmarks

WRITERS = {"food101": write_food101, "mmimdb": write_mmimdb, "hateful_memes": write_hateful_memes}
STUDIES = (
    *("main", "ablation", "missing_rate", "label_skew", "missing_skew", "participation"),
    *("pool_size", "chosen_prompts", "alternations", "quirks"),
)


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By name of the data set, the folder of its miniature."""
    folder = tmp_path_factory.mktemp("miniatures")
    return {name: write(folder / name) for name, write in WRITERS.items()}


def shrunken(folder: Path) -> list[str]:
    """The flags that fit a plan to a miniature."""
    small = {
        "backbone": "tiny",
        "data.path": folder,
        "data.num_classes": 3,
        "partition.num_clients": 4,
        "partition.min_samples": 2,
        "training.batch_size": 8,
        "training.rounds": 1,
    }
    return [f"--{key}={value}" for key, value in small.items()]


def with_every_label(plan: Plan) -> list[PlannedRun]:
    """Some of a plan's runs: every label of every axis is there, not each with each."""
    seen: set[tuple[str, str]] = set()
    return [run for run in plan.runs if not seen.issuperset(run.labels.items()) and not seen.update(run.labels.items())]


@pytest.mark.parametrize("built", ["first and last", pytest.param("every label", marks=pytest.mark.slow)])
@pytest.mark.parametrize("plan", STUDIES)
@pytest.mark.parametrize("name", WRITERS)
def test_every_study_can_be_made_of_every_benchmark(name: str, plan: str, built: str, miniatures: dict[str, Path]):
    path, recipe = find_plan(plan), f"{name}/study"
    whole = read_plan(path, recipe=recipe)
    assert {run.settings.data.name for run in whole.runs} == {name}
    assert {run.settings.backbone for run in whole.runs} == {"dandelin/vilt-b32-mlm"}
    small = read_plan(path, shrunken(miniatures[name]), whole.seeds[:1], recipe)
    for run in with_every_label(small) if built == "every label" else (small.runs[0], small.runs[-1]):
        experiment = build_experiment(run.settings)
        assert len(experiment.shards) == 4
        assert experiment.model.label_names == experiment.source.label_names


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "food101" else pytest.mark.slow) for name in WRITERS]
)
def test_a_study_of_a_benchmark_is_made_and_reported(name: str, miniatures: dict[str, Path], tmp_path: Path):
    flags = shrunken(miniatures[name])
    only = ("--only", "method=fedprime,head-only", "trained on=miss both", "--processes=1", "--seeds=0")
    command = ("grid", "main", "--recipe", f"{name}/study", "--output", tmp_path / "grid", *only, *flags)
    assert exit_code(*command) == 0
    assert exit_code("report", tmp_path / "grid") == 1  # in part: the others of the plan's runs are not there
    assert (tmp_path / "grid" / "report" / "README.md").exists()


# With prompts of a later layer, hidden states are kept beside the embeddings.
@pytest.mark.parametrize("prompt_layer", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_run_is_the_same_to_the_bit_whatever_the_cache_holds(
    prompt_layer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = settings_of("food101", write_food101(tmp_path / "data"), f"--method.prompt_layer={prompt_layer}")
    places = {"without": "off", "filling": str(tmp_path / "cache"), "reading": str(tmp_path / "cache")}
    models = {}
    for name, place in places.items():
        monkeypatch.setenv("FEDPRIME_CACHE", place)
        samples._latest.clear()
        start_run(settings, tmp_path / name)
        models[name] = (tmp_path / name / "model" / "model.safetensors").read_bytes()
    assert models["without"] == models["filling"] == models["reading"]
    # A chunk of each modality, and one of hidden states.
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 2 + (prompt_layer > 0)

"""Federation by files: saved models of sites become one, from their files alone."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fedprime.experiment.build import Experiment
from fedprime.federation.start import statistics_alone
from fedprime.federation.start_round import LocalSamples
from fedprime.methods import METHODS
from fedprime.methods.method import Method
from fedprime.models.evaluation import predict
from fedprime.models.model_folder import STATISTICS, ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.statistics import Statistics
from fedprime.reproducibility.seeding import torch_stream
from fedprime.runs.merging import merge_models
from started import divided

SITES = ("north", "south", "west")
OWNERS = (0, 1, 2, 2)  # the third has half of the samples
CLOSED_FORM = METHODS["closed-form"]()
BLOCKS = METHODS["fedprime"](pool_size=4, num_prompts=4, readout="blocks", start="closed-form")


def site_models(experiment: Experiment, folder: Path, method: Method, parts: Sequence[LocalSamples]) -> list[Path]:
    """Saves a model of each site, as a run of its own would: the head in closed form, prompts of the site's seed."""
    backbone, source = experiment.model.backbone, experiment.source
    paths: list[Path] = []
    for number, (name, samples) in enumerate(zip(SITES, parts, strict=False)):
        model = method.build(backbone, source.label_names, source.task, torch_stream(number, "site"))
        before = model.weights()
        statistics = statistics_alone(model, samples)
        model.load_weights(before | statistics.head(source.task))
        model.save_pretrained(folder / name, statistics.weights())
        paths.append(folder / name)
    return paths


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Experiment, Method], Path]:
    folders: dict[Method, Path] = {}

    def make(experiment: Experiment, method: Method) -> Path:
        if method not in folders:
            folders[method] = tmp_path_factory.mktemp("sites")
            site_models(experiment, folders[method], method, divided(experiment, OWNERS))
        return folders[method]

    return make


@pytest.fixture
def sites(
    small_experiment: Experiment, tmp_path: Path, _made: Callable[[Experiment, Method], Path]
) -> Callable[[Method], list[Path]]:
    """Makes the models of three sites that a test may break."""

    def made(method: Method) -> list[Path]:
        shutil.copytree(_made(small_experiment, method), tmp_path / "sites", dirs_exist_ok=True)
        return [tmp_path / "sites" / name for name in SITES]

    return made


def change_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    for digest in ("sha256", "statistics_sha256"):  # as an earlier version wrote it
        config.pop(digest, None)
    (folder / "config.json").write_text(json.dumps(config | values))


def test_the_head_is_that_of_all_samples_in_one_place(
    small_experiment: Experiment, sites: Callable[[Method], list[Path]], tmp_path: Path
):
    merged = merge_models(sites(CLOSED_FORM), tmp_path / "merged")
    (whole,) = divided(small_experiment, [0])
    expected = statistics_alone(CLOSED_FORM.build(merged.model.backbone, small_experiment.source.label_names), whole)
    found = Statistics.load(tmp_path / "merged", merged.model)
    assert found is not None
    assert merged.num_samples == len(whole.train)
    for name, value in expected.sums.weights().items():
        # Features are computed in batches of other sizes, in single precision.
        assert torch.allclose(found.sums.weights()[name], value, rtol=1e-4, atol=1e-4), name
    head = replace(expected, temperature=found.temperature).head("one_class")
    for name, value in head.items():
        assert torch.allclose(merged.model.weights()[name], value, rtol=1e-2, atol=1e-2), name


def test_the_merged_model_is_an_ordinary_one(
    small_experiment: Experiment, sites: Callable[[Method], list[Path]], tmp_path: Path
):
    merged = merge_models(sites(BLOCKS), tmp_path / "merged")
    loaded = PromptedModel.from_pretrained(tmp_path / "merged", merged.model.backbone)
    test = small_experiment.scenarios["full"]
    logits = predict(loaded, test).logits
    assert np.array_equal(logits, predict(merged.model, test).logits)
    assert 4 <= len(loaded.prompter.pools["inter"]) <= 8


def test_merged_models_can_be_merged(sites: Callable[[Method], list[Path]], tmp_path: Path):
    north, south, west = sites(BLOCKS)
    merge_models([north, south], tmp_path / "two", prompts="average")
    merge_models([tmp_path / "two", west], tmp_path / "step by step", prompts="average")
    merge_models([north, south, west], tmp_path / "at once", prompts="average")
    ours, theirs = (load_file(tmp_path / name / STATISTICS) for name in ("step by step", "at once"))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.allclose(ours[name].double(), value.double(), rtol=1e-9, atol=1e-9), name
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("step by step", "at once"))
    for name, value in theirs.items():
        if name.startswith("head."):
            assert torch.allclose(ours[name], value, rtol=1e-5, atol=1e-5), name


def test_labels_are_matched_by_name_and_those_of_single_sites_are_joined(
    sites: Callable[[Method], list[Path]], tmp_path: Path
):
    north, south, west = sites(CLOSED_FORM)
    straight = merge_models([north, south, west], tmp_path / "straight").model
    names = list(straight.label_names)
    # The same model with its labels in another order, and one that calls the last label by another name.
    order = torch.tensor([2, 0, 1])
    for file, by_label in (
        ("model.safetensors", ("head.weight", "head.bias", "head.log_prior")),
        (STATISTICS, ("sums.labels", "sums.count", "sums.first")),
    ):
        values = load_file(south / file)
        save_file(
            {name: value[order].contiguous() if name.startswith(by_label) else value for name, value in values.items()},
            south / file,
        )
    change_config(south, label_names=[names[place] for place in order])
    turned = merge_models([north, south, west], tmp_path / "turned").model
    assert turned.label_names == straight.label_names
    for name, value in straight.weights().items():
        assert torch.allclose(turned.weights()[name], value, rtol=1e-5, atol=1e-5), name
    change_config(west, label_names=[*names[:2], "pudding"])
    joined = merge_models([north, south, west], tmp_path / "joined")
    assert joined.model.label_names == (*names, "pudding")
    counts = load_file(tmp_path / "joined" / STATISTICS)["sums.labels"]
    assert counts[3] == load_file(west / STATISTICS)["sums.labels"][2]
    assert counts.sum() == joined.num_samples


def test_two_models_of_the_same_samples_are_refused(sites: Callable[[Method], list[Path]], tmp_path: Path):
    north, south, west = sites(CLOSED_FORM)
    for paths in ([north, north], [north, south, south.parent / "." / "south"]):
        with pytest.raises(ModelError, match="named twice"):
            merge_models(paths, tmp_path / "merged")
    with pytest.raises(ModelError, match="same samples"):
        merge_models([north, shutil.copytree(north, tmp_path / "copy")], tmp_path / "merged")
    merge_models([north, south], tmp_path / "two")
    with pytest.raises(ModelError, match="same samples"):
        merge_models([tmp_path / "two", west, south], tmp_path / "merged")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "several_labels"}, "the task"),
        ({"readout": "summary"}, "the readout"),
        ({"head": "linear"}, "the head"),
        ({"prompter": {"kind": "all", "options": {"num_prompts": 2}}}, "prompts of kind"),
        ({"backbone": {"reference": "other", "fingerprint": "1234", "modalities": ["image", "text"]}}, "the backbone"),
        ({"backbone": None}, "broken"),
        ({"format": 7}, "format 7"),
    ],
)
def test_models_that_do_not_go_together_are_named_in_a_line(
    sites: Callable[[Method], list[Path]], tmp_path: Path, change: dict[str, object], said: str
):
    north, south, _ = sites(CLOSED_FORM)
    change_config(south, **change)
    with pytest.raises(ModelError, match=said) as caught:
        merge_models([north, south], tmp_path / "merged")
    assert str(south) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "merged").exists()


def test_broken_files_are_named_in_a_line(sites: Callable[[Method], list[Path]], tmp_path: Path):
    north, south, west = sites(CLOSED_FORM)
    values = load_file(south / "model.safetensors")
    values["head.log_prior"][0] = float("nan")
    save_file(values, south / "model.safetensors")
    change_config(south)
    (west / "model.safetensors").write_bytes(b"no tensors")
    (tmp_path / "empty").mkdir()
    for paths, said in (
        ([north, south], "south is broken .*head.log_prior has values that are not finite"),
        ([north, west], "west is broken"),
        ([north, tmp_path / "empty"], "empty is not a saved model"),
        ([north], "at least two"),
    ):
        with pytest.raises(ModelError, match=said) as caught:
            merge_models(paths, tmp_path / "merged")
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="exists already"):
        merge_models([north, south], tmp_path / "empty")


def test_of_a_model_without_statistics_a_note_tells(sites: Callable[[Method], list[Path]], tmp_path: Path):
    north, south, west = sites(CLOSED_FORM)
    (south / STATISTICS).unlink()
    merged = merge_models([north, south, west], tmp_path / "merged")
    assert merged.num_samples is None
    assert not (tmp_path / "merged" / STATISTICS).exists()
    (note,) = merged.notes
    assert "1 of 3 models carry no statistics.safetensors" in note
    assert str(south) in note


def test_a_finished_run_stands_for_its_shared_model(finished_run: Path, tmp_path: Path):
    shutil.copytree(finished_run / "model", tmp_path / "other")
    values = load_file(tmp_path / "other" / "model.safetensors")
    save_file({name: value + 0.01 for name, value in values.items()}, tmp_path / "other" / "model.safetensors")
    change_config(tmp_path / "other")
    merged = merge_models([finished_run, tmp_path / "other"], tmp_path / "merged")
    assert merged.num_samples == 80  # 40 of each

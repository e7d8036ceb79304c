"""The quirks of the research code: what each changes, what it leaves, and which method can have it."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Batch
from fedprime.experiment.build import Experiment
from fedprime.experiment.loading import load_experiment
from fedprime.experiment.run_folder import RunFolder
from fedprime.methods import METHODS
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.fedmsplit_p import FedMSplitP
from fedprime.methods.fedprime import FedIntra, FedPrime
from fedprime.methods.local_p import LocalP
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.evaluation import predict
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import PromptPools
from fedprime.reproducibility.seeding import torch_stream
from fedprime.reproduction.quirks import QUIRKS, Quirk, possible_quirks, with_quirks
from fedprime.reproduction.reading import ReferenceBackbone, VotedPools
from fedprime.runs.callbacks import AfterRound
from fedprime.runs.evaluators import OwnSamples
from fedprime.runs.run import resume_run, start_run
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import read_settings
from fedprime.settings.settings import Settings
from run_files import metrics_of, results_of

pytestmark = pytest.mark.without_shape_checks

LABELS = ("bread", "soup", "cake")
QUERY = "prompter.query"


@pytest.fixture
def batch(small_experiment: Experiment) -> Batch:
    return next(small_experiment.shards[0].batches(16))


def build(method: Method, backbone: Backbone) -> PromptedModel:
    return method.build(backbone, LABELS, rng=torch_stream(0, "initial weights"))


# Which method can have which


def test_without_quirks_a_method_is_given_back():
    method = FedPrime(num_prompts=6, pool_size=7)
    assert with_quirks(method, ()) is method


@pytest.mark.parametrize("name", METHODS)
def test_a_method_with_quirks_keeps_its_name_and_its_options(name: str):
    method = METHODS[name](num_prompts=6)
    quirky = with_quirks(method, possible_quirks(method))
    assert isinstance(quirky, METHODS[name])
    assert quirky.name == name
    assert quirky.num_prompts == 6


def test_every_method_can_have_what_makes_sense_for_it():
    anybodys = {"shared_parameters", "prompt_readout", "placeholder_input"}
    of_pools = {"similarity_sign", "batch_vote", "unsynced_query"}
    exceptions = {
        "local-p": anybodys - {"shared_parameters"},  # sends nothing that could be shared
        "head-only": anybodys - {"prompt_readout"},  # has no prompt that could be read
        "closed-form": anybodys - {"prompt_readout"},
        "centralized-p": anybodys - {"shared_parameters"},  # nobody to share with
        "centralized-pools": (anybodys | of_pools) - {"shared_parameters", "unsynced_query"},
    }
    for name, method in METHODS.items():
        usual = anybodys | of_pools if issubclass(method, FedPrime) else anybodys
        assert set(possible_quirks(method())) == exceptions.get(name, usual), name


@pytest.mark.parametrize(
    ("name", "quirk"),
    [
        (name, quirk)
        for name, quirk in itertools.product(METHODS, QUIRKS)
        if quirk not in possible_quirks(METHODS[name]())
    ],
)
def test_a_quirk_that_a_method_cannot_have_is_a_settings_error_that_names_those_it_can(name: str, quirk: Quirk):
    with pytest.raises(SettingsError) as caught:
        read_settings(None, ["--method.name", name, "--method.reference_quirks", "placeholder_input", quirk])
    possible = ", ".join(possible_quirks(METHODS[name]()))
    assert caught.value.problems == [f"method: reference_quirks: {name} cannot have {quirk}; it can have {possible}"]


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (["shared_params"], "shared_params"),
        (["batch_vote", "batch_vote"], "batch_vote stands there more than once"),
    ],
    ids=str,
)
def test_a_quirk_that_there_is_not_or_that_is_named_twice_is_refused(value: list[str], part: str):
    with pytest.raises(SettingsError, match=part):
        read_settings(None, ["--method.reference_quirks", *value])


def test_the_order_of_quirks_means_nothing(tiny: Backbone, batch: Batch):
    logits = [
        build(with_quirks(FedPrime(num_prompts=4), quirks), tiny)(batch).logits for quirks in (QUIRKS, QUIRKS[::-1])
    ]
    assert torch.equal(*logits)


def test_settings_switch_quirks_on(small_settings: Settings, tiny: Backbone):
    settings = replace(small_settings, method=with_quirks(small_settings.method, ["batch_vote"]))
    assert type(small_settings.method) is FedPrime
    assert isinstance(settings.method.build_prompter(tiny, None), VotedPools)


# shared_parameters


def test_with_shared_parameters_nobody_has_an_answer_of_its_own():
    method = with_quirks(FedMSplitP(), ["shared_parameters"])
    update = Update(0, 1, {"block": torch.tensor([1.0, 2.0])})
    current = ServerState({"block": torch.zeros(2)})
    state = method.aggregate(current, [update, replace(update, client=1)], torch_stream(0, "server"))
    assert FedMSplitP().aggregate(current, [update], torch_stream(0, "server")).personal
    assert state.personal == {}
    assert state.shared["block"].tolist() == [1.0, 2.0]


def test_only_shared_parameters_are_shared():
    for quirk in QUIRKS:
        assert with_quirks(FedPrime(), [quirk]).shares_parameters == (quirk == "shared_parameters")


# similarity_sign


def test_with_similarity_sign_the_mean_cosine_is_added_to_the_loss(tiny: Backbone, batch: Batch):
    method = with_quirks(FedPrime(num_prompts=4, pull_weight=0.25), ["similarity_sign"])
    model = build(method, tiny)
    output = model(batch)
    tokens = tiny.assemble(batch.embedded)
    cosines = []
    for sample in range(len(batch)):
        query = tokens.values[sample][tokens.mask[sample]].mean(dim=0).numpy()
        prompts = output.chosen.prompts[sample].detach().numpy()
        cosines += [query @ prompt / np.linalg.norm(query) / np.linalg.norm(prompt) for prompt in prompts]
    expected = torch.nn.functional.cross_entropy(output.logits, batch.labels).item() + 0.25 * np.mean(cosines)
    assert method.loss(model, batch, model.weights()).item() == pytest.approx(expected, rel=1e-5)


def test_with_similarity_sign_prompts_are_pushed_as_they_would_be_pulled(tiny: Backbone, batch: Batch):
    # The gradient of the loss less that of its task part, with the quirk and without.
    def pull(method: Method) -> torch.Tensor:
        model = build(method, tiny)
        loss = method.loss(model, batch, model.weights()) - model.task_loss(model(batch).logits, batch.labels)
        loss.backward()
        gradient = model.prompter.get_parameter("pools.inter").grad
        assert gradient is not None
        return gradient

    method = FedPrime(num_prompts=4, pull_weight=10.0)
    honest, quirky = pull(method), pull(with_quirks(method, ["similarity_sign"]))
    assert honest.abs().max() > 0
    torch.testing.assert_close(quirky, -honest, rtol=1e-4, atol=1e-6)


# batch_vote


@pytest.mark.parametrize("method", [FedPrime(num_prompts=4), FedIntra(num_prompts=4)], ids=lambda method: method.name)
def test_with_batch_vote_the_same_prompts_are_voted_for(method: FedPrime, tiny: Backbone, batch: Batch):
    quirky, honest = build(with_quirks(method, ["batch_vote"]), tiny), build(method, tiny)
    assert all(torch.equal(value, honest.weights()[name]) for name, value in quirky.weights().items())
    assert isinstance(quirky.prompter, VotedPools)
    for indices in quirky(batch).chosen.indices.values():
        assert torch.equal(indices, indices[:1].expand_as(indices))


def test_with_batch_vote_predictions_depend_on_the_batch_size(small_experiment: Experiment, tiny: Backbone):
    model = build(with_quirks(FedPrime(num_prompts=4), ["batch_vote"]), tiny)
    shard = small_experiment.scenarios["miss both"]
    whole, single = predict(model, shard, 24), predict(model, shard, 1)
    assert not np.allclose(whole.probabilities, single.probabilities, rtol=1e-4)


# unsynced_query


def test_with_unsynced_query_only_the_query_map_stays_where_it_is():
    method = with_quirks(FedPrime(), ["unsynced_query"])
    assert not method.travels(QUERY)
    assert method.travels("prompter.key")
    assert method.travels("prompter.pools.inter")


def test_without_a_pull_there_is_no_query_map_to_leave_unsynced():
    with pytest.raises(ValueError, match="fedprime cannot have unsynced_query; it can have shared_parameters"):
        with_quirks(FedPrime(pull_weight=0.0), ["unsynced_query"])


def test_with_unsynced_query_the_map_starts_at_random_and_all_else_as_it_does(tiny: Backbone):
    quirky = build(with_quirks(FedPrime(), ["unsynced_query"]), tiny).weights()
    honest = build(FedPrime(), tiny).weights()
    differing = [name for name, value in quirky.items() if not torch.equal(value, honest[name])]
    assert differing == [QUERY]
    # A random map that keeps lengths on the average: a mean square of 1 / dim.
    assert quirky[QUERY].square().mean().item() == pytest.approx(1 / tiny.dim, rel=0.1)
    again = build(with_quirks(FedPrime(), ["unsynced_query"]), tiny).weights()
    assert torch.equal(again[QUERY], quirky[QUERY])


# prompt_readout and placeholder_input


@pytest.mark.parametrize("quirk", ["prompt_readout", "placeholder_input"])
@pytest.mark.parametrize("method", [FedPrime(num_prompts=4), FedAvgP(num_prompts=4)], ids=lambda method: method.name)
def test_how_a_batch_is_read_changes_scores_and_not_weights(quirk: Quirk, method: Method, tiny: Backbone, batch: Batch):
    quirky, honest = build(with_quirks(method, [quirk]), tiny), build(method, tiny)
    assert all(torch.equal(value, honest.weights()[name]) for name, value in quirky.weights().items())
    assert isinstance(quirky.backbone, ReferenceBackbone)
    assert quirky.backbone.quirks == (quirk,)
    assert not torch.allclose(quirky(batch).logits, honest(batch).logits)


def test_both_ways_of_reading_go_together(tiny: Backbone):
    backbone = build(with_quirks(LocalP(), ["placeholder_input", "prompt_readout"]), tiny).backbone
    assert isinstance(backbone, ReferenceBackbone)
    assert backbone.quirks == ("placeholder_input", "prompt_readout")


# Runs


def settings_with(settings: Settings, *quirks: Quirk) -> Settings:
    return replace(settings, method=with_quirks(settings.method, quirks))


@pytest.fixture(scope="module")
def quirky_run(small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with all quirks at once."""
    folder = tmp_path_factory.mktemp("quirks") / "run"
    start_run(settings_with(small_settings, *QUIRKS), folder)
    return folder


def test_a_run_with_all_quirks_continues_to_the_same_bits(quirky_run: Path, small_settings: Settings, tmp_path: Path):
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(settings_with(small_settings, *QUIRKS), tmp_path / "run", callbacks=[AfterRound(stop)])
    with pytest.raises(KeyboardInterrupt):
        resume_run(tmp_path / "run", callbacks=[AfterRound(stop)])
    resume_run(tmp_path / "run")
    assert metrics_of(tmp_path / "run") == metrics_of(quirky_run)
    assert results_of(tmp_path / "run") == results_of(quirky_run)
    ours, theirs = (RunFolder(path).load_checkpoint() for path in (tmp_path / "run", quirky_run))
    assert all(torch.equal(value, theirs.state.shared[name]) for name, value in ours.state.shared.items())
    assert all(torch.equal(ours.kept[client][QUERY], theirs.kept[client][QUERY]) for client in range(4))


def test_with_unsynced_query_the_shared_model_is_evaluated_and_the_only_one_that_is_saved(quirky_run: Path):
    run = RunFolder(quirky_run)
    checkpoint = run.load_checkpoint()
    assert checkpoint.kept.keys() == {0, 1, 2, 3}
    assert all(weights.keys() == {QUERY} for weights in checkpoint.kept.values())
    assert not (quirky_run / "clients").exists()
    begun = load_experiment(run).model.weights()[QUERY]
    assert torch.equal(checkpoint.state.shared[QUERY], begun)
    assert not torch.equal(checkpoint.kept[0][QUERY], checkpoint.kept[1][QUERY])


def test_a_run_with_all_quirks_is_evaluated_again_to_the_same_numbers(quirky_run: Path):
    run = RunFolder(quirky_run)
    measured = OwnSamples(load_experiment(run)).on_test(run.load_checkpoint())
    assert measured["scenarios"] == run.results()["scenarios"]
    assert measured["clients"] == run.results()["clients"]


def test_the_saved_model_of_a_run_with_all_quirks_predicts_what_the_run_measured(quirky_run: Path):
    run = RunFolder(quirky_run)
    experiment = load_experiment(run)
    model = PromptedModel.from_pretrained(run.model_path)
    shard, batch_size = experiment.scenarios["miss both"], experiment.settings.evaluation.batch_size
    experiment.model.load_weights(run.load_checkpoint().state.shared)
    expected, found = predict(experiment.model, shard, batch_size), predict(model, shard, batch_size)
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert isinstance(model.prompter, PromptPools)

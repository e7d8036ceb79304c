"""Settings: right defaults, every mistake reported at once, the same after a round trip through TOML."""

import dataclasses

import pytest

from changed_settings import problems_of
from fedprime.federation.training_options import LocalTraining
from fedprime.methods import METHODS
from fedprime.reproduction.quirks import quirks_of
from fedprime.settings.describe import describe_settings
from fedprime.settings.reading import flat_settings, read_settings
from fedprime.settings.settings import Settings


def test_a_wrong_method_is_told_the_nearest_right_one():
    assert problems_of("--method.name", "fed-avg-p") == [
        f"method.name: 'fed-avg-p' is no method: {', '.join(METHODS)}; one of another package is found when that is "
        "installed; did you mean fedavg-p?"
    ]


def test_a_head_of_evidence_comes_with_a_readout_or_a_start_and_is_none_to_choose():
    (problem,) = problems_of("--method.head", "evidence")
    assert problem == "method.head is 'evidence': input should be 'linear', 'pooled' or 'paper'"


def test_every_method_can_be_named():
    assert [read_settings(None, ["--method.name", name]).method.name for name in METHODS] == list(METHODS)


def test_quirks_are_named_in_any_order_and_none_by_default():
    assert quirks_of(Settings().method) == ()
    flags = ["--method.reference_quirks", "prompt_readout", "shared_parameters"]
    assert quirks_of(read_settings(None, flags).method) == ("prompt_readout", "shared_parameters")


@pytest.mark.parametrize(
    "flag",
    [
        "--training.rounds=0",
        "--training.rounds=2.5",
        "--training.rounds=many",
        "--training.rounds=",
        "--training.fraction=0",
        "--training.fraction=1.1",
        "--training.epochs=0",
        "--training.batch_size=-1",
        "--training.optimizer=adam",
        "--training.lr=0",
        "--training.lr=nan",
        "--training.lr=inf",
        "--training.momentum=1",
        "--training.weight_decay=-0.1",
        "--training.max_gradient_norm=-1",
        "--training.schedule=exponential",
        "--data.name=imagenet",
        "--data.num_train=0",
        "--data.num_classes=1",
        "--data.num_classes=102",
        "--data.num_sites=0",
        "--partition.kind=random",
        "--partition.num_clients=0",
        "--partition.alpha=0",
        "--partition.min_samples=0",
        "--missing.kind=sometimes",
        "--missing.rate=70",
        "--missing.rate=-0.1",
        "--missing.alpha=-1",
        "--method.num_prompts=0",
        "--method.pool_size=0",
        "--method.pull_weight=-1",
        "--method.centres_per_prompt=0.5",
        "--method.likelihood=median",
        "--method.num_alternations=0",
        "--evaluation.every=0",
        "--evaluation.rate=1.01",
        "--evaluation.batch_size=0",
        "--threads=0",
        "--seed=lucky",
    ],
)
def test_a_value_out_of_its_range_is_refused_and_named(flag: str):
    name, _, value = flag.removeprefix("--").partition("=")
    (problem,) = problems_of(flag)
    assert name.rpartition(".")[2] in problem
    assert value in problem


@pytest.mark.parametrize("flag", ["--training.fraction=1", "--missing.rate=0", "--missing.rate=1", "--seed=-7"])
def test_a_value_at_the_end_of_its_range_is_accepted(flag: str):
    name, _, value = flag.removeprefix("--").partition("=")
    assert flat_settings(read_settings(None, [flag]))[name] == float(value)


@pytest.mark.parametrize(
    ("name", "num_prompts"), [("fedprime", 1), ("fedprime", 5), ("fed-inter", 12), ("fed-intra", 12)]
)
def test_prompts_that_the_pools_cannot_give_evenly_are_refused(name: str, num_prompts: int):
    # Another number would enter the transformer than was asked for, and methods would not compare.
    (problem,) = problems_of("--method.name", name, "--method.num_prompts", str(num_prompts), "--method.pool_size", "8")
    assert str(num_prompts) in problem


@pytest.mark.parametrize("name", ["fedavg-p", "head-only"])
def test_a_method_without_pools_may_have_any_number_of_prompts(name: str):
    flags = ["--method.name", name, "--method.num_prompts", "5"]
    assert read_settings(None, flags).method.num_prompts == 5


def test_everything_that_local_training_needs_is_a_setting():
    names = {entry.name for entry in dataclasses.fields(LocalTraining)}
    assert names <= {entry.name for entry in dataclasses.fields(Settings().training)}


def test_every_setting_has_a_sentence():
    settings = describe_settings()
    assert len(settings) > 60
    assert [setting.name for setting in settings if not setting.description.endswith(".")] == []


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().seed = 3


@pytest.mark.parametrize("flag", ["--data.modalities", "--missing.lacking"])
def test_a_modality_that_the_world_does_not_have_is_reported_with_the_nearest_name(flag: str):
    (problem,) = problems_of(flag, "imge")
    assert "'imge' is not one of image, text, readings; did you mean image?" in problem


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--method.name=fedmsplit-p", "--method.aggregation=median"], "a mix of its own"),
        (["--method.name=local-p", "--method.clip_norm=1"], "its clients send nothing"),
        (["--method.name=centralized-p", "--method.aggregation=trimmed-mean"], "one holder has all samples"),
        (["--method.reference_quirks", "shared_parameters", "--method.aggregation=median"], "one model in turn"),
        (["--method.name=fedmsplit-p", "--privacy.clip_norm=1"], "fedmsplit-p cannot be made private"),
        (["--method.name=local-p", "--privacy.clip_norm=1"], "its clients send nothing"),
        (["--method.standardised_queries=true", "--privacy.clip_norm=1"], "means of their samples"),
        (["--method.aggregation=median", "--privacy.clip_norm=1"], "work on single updates"),
        (["--privacy.clip_norm=1", "--privacy.delta=0.05"], "choose less than 0.05"),
        (["--method.name=centralized-p", "--attack.kind=noise"], "no clients to be hostile"),
    ],
)
def test_what_cannot_be_made_robust_or_private_is_refused_with_the_reason(flags: list[str], reason: str):
    (problem,) = problems_of(*flags)
    assert reason in problem
    assert problem.startswith(("method: ", "privacy", "attack.kind "))


def test_a_method_that_answers_each_client_may_still_clip():
    assert read_settings(None, ["--method.name=fedmsplit-p", "--method.clip_norm=2"]).method.clip_norm == 2


def test_no_site_is_asked_to_be_hostile():
    (problem,) = problems_of("--runtime.kind", "deployment", "--attack.kind", "noise")
    assert problem.startswith("attack.kind is 'noise': an attack is simulated, and no site is asked to be hostile")
    assert read_settings(None, ["--runtime.kind", "simulation", "--attack.kind", "noise"]).attack.kind == "noise"


def test_values_may_travel_in_fewer_bits_wherever_clients_live():
    assert read_settings(None, ["--runtime.kind", "deployment", "--transport.bits", "8"]).transport.bits == 8

"""What a saved model tells of its samples: that it adds up, and that the head of the sum is that of all samples."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sklearn.covariance import oas
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from fedprime.backbones.backbone import Backbone
from fedprime.models.class_sums import sum_blocks
from fedprime.models.model_folder import STATISTICS, ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts
from fedprime.models.readout import Blocks
from fedprime.models.statistics import Statistics, digest_of, least_error_shrinkage

CHOSEN = [{"image": {"temperature": 0.5}}, {"image": {"factor": 0.8}}, {"image": {"factor": 0.5}}]


def samples(num_samples: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (num_samples,), generator=rng)
    return torch.randn(num_samples, 4, generator=rng) + labels[:, None], labels


def statistics_of(rows: Tensor, labels: Tensor, num_labels: int = 3) -> Statistics:
    blocks = Blocks({"image": rows}, {"image": torch.ones(len(rows), dtype=torch.bool)})
    return Statistics.of_start(sum_blocks(blocks, labels, num_labels, "one_class"), CHOSEN)


def close(ours: Statistics, theirs: Statistics) -> bool:
    values, others = ours.weights(), theirs.weights()
    return values.keys() == others.keys() and all(
        torch.allclose(value, others[name], rtol=1e-9, atol=1e-9) for name, value in values.items()
    )


@pytest.fixture
def model(tiny: Backbone) -> PromptedModel:
    return PromptedModel(tiny, NoPrompts(tiny.dim), ("a", "b", "c"), "one_class", None, "evidence", "blocks")


@pytest.fixture
def saved(model: PromptedModel, tmp_path: Path) -> Path:
    """A model with the sums over four samples of one block."""
    width = model.head.widths["text"]
    blocks = Blocks({"text": torch.ones(4, width)}, {"text": torch.ones(4, dtype=torch.bool)})
    sums = sum_blocks(blocks, torch.tensor([0, 1, 2, 2]), 3, "one_class")
    model.save_pretrained(tmp_path / "model", Statistics.of_start(sums, []).weights())
    return tmp_path / "model"


def rewrite(folder: Path, values: Mapping[str, Tensor]) -> None:
    save_file(load_file(folder / STATISTICS) | dict(values), folder / STATISTICS)


def test_temperatures_that_rounds_chose_are_multiplied_and_count_by_their_samples():
    # 0.5 x 0.8 x 0.5 = 0.2 of 100 samples, and 0.3 of 200 more.
    assert statistics_of(*samples(100)).temperature["image"] == pytest.approx((0.2 * 100 + 0.3 * 200) / 300)


def test_a_sum_takes_the_mean_temperature_over_samples():
    ours = replace(statistics_of(*samples(10)), temperature={"image": 0.4})
    theirs = replace(statistics_of(*samples(30)), temperature={"image": 0.8})
    assert (ours + theirs).temperature["image"] == pytest.approx(0.7)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(3, 60), st.integers(0, 1000), st.permutations([0, 1, 2]))
def test_sums_of_three_parts_are_those_of_the_whole_in_whatever_order_they_are_added(
    num_samples: int, seed: int, order: list[int]
):
    rows, labels = samples(num_samples, seed)
    parts = [statistics_of(rows[start::3], labels[start::3]) for start in order]
    (first, second, third), whole = parts, statistics_of(rows, labels)
    assert close((first + second) + third, first + (second + third))
    assert close(replace(first + second + third, temperature=whole.temperature), whole)


def test_the_head_is_the_linear_discriminant_of_all_samples():
    rows, labels = samples(2000)
    rows = rows + 3 * torch.randn(2000, 1, generator=torch.Generator().manual_seed(1))  # far from independent
    parts = [replace(statistics_of(rows[start::3], labels[start::3]), temperature={"image": 1.0}) for start in range(3)]
    values = (parts[0] + parts[1] + parts[2]).head("one_class")
    mean, scale = values["head.moments.image"].double()
    standardised = (rows.double() - mean) / scale
    logits = (
        standardised @ values["head.weight.image"].double().T + values["head.bias.image"] + values["head.log_prior"]
    )
    expected = LinearDiscriminantAnalysis(solver="lsqr").fit(rows.numpy(), labels.numpy()).predict_proba(rows.numpy())
    # From a covariance so unlike a multiple of the identity, shrinkage moves little.
    assert torch.allclose(logits.softmax(dim=1), torch.from_numpy(expected).double(), atol=0.03)


@pytest.mark.parametrize("num_samples", [10, 100])
def test_the_shrinkage_is_that_of_scikit_learn(num_samples: int):
    rows = samples(num_samples)[0].double() * torch.tensor([1.0, 2.0, 3.0, 9.0])
    spectrum = torch.linalg.eigvalsh(torch.cov(rows.T, correction=0))
    assert least_error_shrinkage(spectrum, num_samples) == pytest.approx(oas(rows.numpy())[1])
    assert least_error_shrinkage(torch.ones(4, dtype=torch.float64), num_samples) == 1


def test_labels_go_to_other_places_and_a_label_that_nobody_has_applies_to_nothing():
    rows, labels = samples(20)
    moved = statistics_of(rows, labels).with_labels([3, 0, 1], 4)
    assert close(moved, statistics_of(rows, torch.tensor([3, 0, 1])[labels], 4))


def test_of_blocks_that_not_all_have_nothing_is_told():
    ours = statistics_of(*samples(9))
    blocks = Blocks({"text": torch.ones(3, 2)}, {"text": torch.ones(3, dtype=torch.bool)})
    theirs = Statistics.of_start(sum_blocks(blocks, torch.tensor([0, 1, 2]), 3, "one_class"), [])
    assert (ours + theirs).sums.total == {}
    assert (ours + theirs).sums.num_samples == 12


def test_of_labels_alone_only_a_prior_follows():
    values = Statistics.of_labels(torch.tensor([3.0, 1.0], dtype=torch.float64), 4).head("one_class")
    assert values["head.log_prior"].exp().tolist() == pytest.approx([0.7, 0.3])
    assert values.keys() == {"head.log_prior"}


def test_what_is_saved_is_what_is_loaded(model: PromptedModel, saved: Path):
    found = Statistics.load(saved, model)
    assert found is not None
    assert found.sums.labels.tolist() == [1, 1, 2]
    again = replace(found, origins=frozenset({b"x" * 32, b"y" * 32}))
    assert Statistics.of_weights(again.weights()).origins == again.origins


def test_a_model_without_the_file_tells_nothing(model: PromptedModel, tmp_path: Path):
    model.save_pretrained(tmp_path / "model")
    assert Statistics.load(tmp_path / "model", model) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sums.labels": torch.tensor([1.0, 1.0])}, "sums.labels has shape"),
        ({"sums.labels": torch.tensor([-1.0, 2.0, 3.0])}, "no number from 0"),
        ({"sums.second.text": torch.tensor([float("nan")])}, "sums.second.text has shape"),
        ({"sums.total.voice": torch.zeros(3)}, "sums.total.voice is unknown"),
        ({"temperature.text": torch.tensor([float("nan")], dtype=torch.float64)}, "temperature of text"),
        ({"sums.num_samples": torch.tensor([5.0])}, "all together 5"),
    ],
)
def test_sums_of_no_samples_are_refused_in_a_line(
    model: PromptedModel, saved: Path, values: dict[str, Tensor], said: str
):
    rewrite(saved, values)
    with pytest.raises(ModelError, match=said) as caught:
        Statistics.load(saved, model)
    assert str(saved / STATISTICS) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sums_in_which_one_site_counted_for_less_are_those_of_samples(model: PromptedModel, saved: Path):
    found = Statistics.load(saved, model)
    assert found is not None
    less = found.sums.of_weights({name: value * (10 / 3e7) for name, value in found.sums.weights().items()})
    rewrite(saved, replace(found, sums=less + found.sums).weights())
    with pytest.raises(ModelError, match="is not what was saved with this model"):  # and not of no samples
        Statistics.load(saved, model)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origins", torch.ones(1, 32)),
        ("origins", torch.full((1, 32), 300)),
        ("origins", torch.tensor(3, dtype=torch.uint8)),
        ("sums.labels", torch.ones(3, dtype=torch.complex64)),
    ],
)
def test_values_of_another_type_are_refused_in_a_line(model: PromptedModel, saved: Path, name: str, value: Tensor):
    rewrite(saved, {name: value})
    with pytest.raises(ModelError, match=f"{name} (holds|has shape)"):
        Statistics.load(saved, model)


def test_sums_that_are_not_finite_are_refused(model: PromptedModel, saved: Path):
    second = load_file(saved / STATISTICS)["sums.second.text"]
    rewrite(saved, {"sums.second.text": second.fill_(float("nan"))})
    with pytest.raises(ModelError, match="not finite"):
        Statistics.load(saved, model)


def test_statistics_of_another_model_are_refused_in_a_line(model: PromptedModel, saved: Path):
    found = Statistics.load(saved, model)
    assert found is not None
    rewrite(saved, (found + found).weights())  # such samples there could be
    with pytest.raises(
        ModelError, match=r"statistics\.safetensors is not what was saved with this model; take another"
    ):
        Statistics.load(saved, model)


def test_a_broken_file_is_told_in_a_line(model: PromptedModel, saved: Path):
    (saved / STATISTICS).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="is broken"):
        Statistics.load(saved, model)


def test_models_are_told_apart_by_their_files(saved: Path, tmp_path: Path, model: PromptedModel):
    before = digest_of(saved)
    rewrite(saved, {"temperature.text": torch.tensor([0.7], dtype=torch.float64)})
    assert digest_of(saved) != before
    model.save_pretrained(tmp_path / "plain")
    assert len(digest_of(tmp_path / "plain")) == 32

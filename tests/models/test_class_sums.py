"""Sums over samples: what they are, that they add up, and which no samples can have."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedprime.models.class_sums import ClassSums, sum_blocks
from fedprime.models.readout import Blocks
from fedprime.reproducibility.seeding import torch_stream

WIDTHS = {"image": 3, "text": 2}


def drawn(num_samples: int, seed: int = 0) -> tuple[Blocks, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    values = {name: torch.randn(num_samples, width, generator=rng) for name, width in WIDTHS.items()}
    present = {name: torch.rand(num_samples, generator=rng) < 0.7 for name in WIDTHS}
    return Blocks(values, present), torch.randint(0, 4, (num_samples,), generator=rng)


def rows(blocks: Blocks, chosen: Tensor) -> Blocks:
    return Blocks(
        {name: value[chosen] for name, value in blocks.values.items()},
        {name: value[chosen] for name, value in blocks.present.items()},
    )


def test_they_are_those_of_three_samples_by_hand():
    blocks = Blocks(
        {"image": torch.tensor([[1.0, 2.0], [3.0, -1.0], [9.0, 9.0]])}, {"image": torch.tensor([True, True, False])}
    )
    sums = sum_blocks(blocks, torch.tensor([1, 1, 0]), 2, "one_class")
    assert sums.labels.tolist() == [1, 2]
    assert sums.num_samples == 3
    assert sums.count["image"].tolist() == [0, 2]
    assert sums.first["image"].tolist() == [[0, 0], [4, 1]]
    assert sums.total["image"].tolist() == [2, 4, 1]
    assert sums.second_moments("image").tolist() == [[10, -1], [-1, 5]]


def test_of_several_labels_each_is_summed_over_the_samples_that_have_it():
    blocks = Blocks({"image": torch.tensor([[1.0], [2.0]])}, {"image": torch.tensor([True, True])})
    sums = sum_blocks(blocks, torch.tensor([[1.0, 1.0], [0.0, 1.0]]), 2, "several_labels")
    assert sums.labels.tolist() == [1, 2]
    assert sums.first["image"].tolist() == [[1], [3]]
    assert sums.problems(one_class=False) == []


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 1000))
def test_they_add_up_whatever_the_partition(num_samples: int, num_clients: int, seed: int):
    blocks, labels = drawn(num_samples, seed)
    owner = torch.randint(0, num_clients, (num_samples,), generator=torch.Generator().manual_seed(seed))
    whole = sum_blocks(blocks, labels, 4, "one_class").weights()
    total = ClassSums.nothing(WIDTHS, 4)
    for client in reversed(range(num_clients)):
        own = (owner == client).nonzero()[:, 0]
        total = total + sum_blocks(rows(blocks, own), labels[own], 4, "one_class")
    for name, value in total.weights().items():
        torch.testing.assert_close(value, whole[name], rtol=0, atol=1e-9)


def test_they_come_back_from_the_values_that_are_sent():
    blocks, labels = drawn(9)
    sums = sum_blocks(blocks, labels, 4, "one_class")
    found = ClassSums.of_weights(sums.weights()).weights()
    assert found.keys() == sums.weights().keys()
    assert all(torch.equal(value, found[name]) for name, value in sums.weights().items())


def test_what_is_absent_can_be_anything_and_nothing_changes():
    blocks, labels = drawn(20)
    expected = sum_blocks(blocks, labels, 4, "one_class").weights()
    for name, values in blocks.values.items():
        values[~blocks.present[name]] = float("nan")
    found = sum_blocks(blocks, labels, 4, "one_class").weights()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_sums_of_samples_have_no_problem():
    for seed in range(5):
        blocks, labels = drawn(3 + seed, seed)
        assert sum_blocks(blocks, labels, 4, "one_class").problems(one_class=True) == []


def changed(sums: ClassSums, part: str, change: float) -> ClassSums:
    value = {name: entry.clone() for name, entry in getattr(sums, part).items()}
    value["text"].view(-1)[0] += change
    return replace(sums, **{part: value})


@pytest.mark.parametrize(
    ("part", "change", "reason"),
    [
        ("first", float("nan"), "not finite"),
        ("count", 0.5, "no whole number"),
        ("count", -100.0, "no whole number"),
        ("count", 100.0, "more samples have text"),
        ("total", 100.0, "more samples have text"),
        ("first", 3.0, "not the sum over all samples"),
        ("second", -1e3, "those of no samples"),
    ],
)
def test_sums_that_no_samples_can_have_are_told(part: str, change: float, reason: str):
    sums = sum_blocks(*drawn(30), 4, "one_class")
    assert reason in "; ".join(changed(sums, part, change).problems(one_class=True))


def test_classes_that_do_not_sum_to_the_number_of_samples_are_told():
    sums = sum_blocks(*drawn(30), 4, "one_class")
    problems = replace(sums, num_samples=torch.tensor(31.0, dtype=torch.float64)).problems(one_class=True)
    assert problems == ["the classes have 30 samples, all together 31"]


def test_sums_that_fit_no_split_into_classes_are_told():
    blocks, labels = Blocks({"image": torch.tensor([[1.0], [3.0]])}, {"image": torch.ones(2, dtype=torch.bool)}), [0, 1]
    sums = sum_blocks(blocks, torch.tensor(labels), 2, "one_class")
    assert sums.problems(one_class=True) == []
    # The squares are 1 + 9; one sample of 0 and one of 4 would need 16.
    other = replace(sums, first={"image": torch.tensor([[0.0], [4.0]], dtype=torch.float64)})
    assert other.problems(one_class=True) == ["the second moments of image are those of no samples"]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e200])
def test_sums_beyond_all_numbers_are_told_and_raise_nothing(value: float):
    blocks = Blocks({"image": torch.tensor([[1.0], [3.0]])}, {"image": torch.ones(2, dtype=torch.bool)})
    sums = sum_blocks(blocks, torch.tensor([0, 1]), 2, "one_class")
    sums = replace(sums, total={"image": torch.tensor([2.0, value], dtype=torch.float64)})
    assert sums.problems(one_class=True)


def test_the_mean_square_is_that_of_the_samples() -> None:
    rows = torch.randn(7, 3, generator=torch_stream(0, "rows")).double()
    sums = replace(
        ClassSums.nothing({"text": 3}, 2),
        total={"text": torch.cat([torch.tensor([7.0]).double(), rows.sum(dim=0)])},
        second={"text": (rows.T @ rows)[tuple(torch.triu_indices(3, 3))]},
    )
    assert sums.mean_square("text") == pytest.approx(float(rows.square().sum(dim=1).mean()))

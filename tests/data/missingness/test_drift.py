"""Missingness that drifts: every round is a pure function, and samples change at their own moment, never back."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedprime.data.batches import EmbeddedSamples
from fedprime.data.missingness.drift import Drift, DriftingShard, drift_stages
from fedprime.data.missingness.kinds import ANY
from fedprime.data.missingness.mechanisms import Split
from fedprime.data.missingness.patterns import all_patterns
from fedprime.data.sources import Task

TWO, THREE = ("image", "text"), ("image", "text", "readings")
examples = settings(max_examples=50, deadline=None, derandomize=True)


class Nothing:
    """A data set of which nothing is read."""

    modalities = THREE
    label_names = ("only",)
    labels = np.zeros(100, dtype=np.int64)
    sites = np.zeros(100, dtype=np.int64)
    task: Task = "one_class"
    splits: Mapping[str, np.ndarray] = {"train": np.arange(100)}

    def __init__(self, there: np.ndarray | None = None) -> None:
        self.there = np.ones((1000, 3), dtype=bool) if there is None else there

    def __len__(self) -> int:
        return 100

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        return dict.fromkeys(modalities, index)


def embed(modality: str, values: Sequence[object]) -> list[Tensor]:
    return [torch.zeros(1, len(modality)) for _ in values]


def split(num_samples: int, name: str = "train") -> Split:
    nothing = np.zeros(num_samples, dtype=np.int64)
    return Split(name, np.arange(num_samples), nothing, nothing, nothing)


@pytest.fixture
def shard() -> DriftingShard:
    """A hundred samples that lack the image first and the readings in the end."""
    drift = Drift(drift_stages(THREE, 0.6), seed=0)
    return DriftingShard.begin(
        EmbeddedSamples(Nothing(), THREE, embed), np.arange(100), drift, drift.numbers(split(100))
    )


# What is moved through


@pytest.mark.parametrize(
    ("modalities", "rate", "lacking", "expected"),
    [
        # image, text, image+text: first the image is lacking, in the end the text.
        (TWO, 0.7, ANY, [[0, 0.7, 0.3], [0.7, 0, 0.3]]),
        # From 2 * 0.7 - 1 to 1, and from 0 to 2 * 0.3: the mean is the rate.
        (TWO, 0.7, "text", [[0.4, 0, 0.6], [1, 0, 0]]),
        (TWO, 0.3, "image", [[0, 0, 1], [0, 0.6, 0.4]]),
        # image, text, image+text, readings, image+readings, text+readings, all
        (THREE, 0.6, ANY, [[0, 0, 0, 0, 0, 0.6, 0.4], [0, 0, 0, 0, 0.6, 0, 0.4], [0, 0, 0.6, 0, 0, 0, 0.4]]),
        (("text",), 0.0, ANY, [[1]]),
    ],
)
def test_stages_lead_from_the_first_modality_to_the_last_or_from_rare_to_frequent(
    modalities: tuple[str, ...], rate: float, lacking: str, expected: list[list[float]]
) -> None:
    assert drift_stages(modalities, rate, lacking) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("modalities", "rate", "lacking", "message"),
    [
        (TWO, 1.2, "text", "rate is 1.2"),
        (TWO, 0.5, "sound", "cannot lack 'sound'"),
        (("text",), 0.5, ANY, "only text cannot lack it"),
    ],
)
def test_impossible_drifts_are_refused(modalities: tuple[str, ...], rate: float, lacking: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drift_stages(modalities, rate, lacking)


def test_shares_move_evenly_from_stage_to_stage() -> None:
    drift = Drift(drift_stages(THREE, 0.6), seed=0)
    # A quarter of the way is half of the first of two steps: half lack the image, half the text.
    assert drift.shares(0.25) == pytest.approx(np.array([0, 0, 0, 0, 0.3, 0.3, 0.4]))
    assert drift.shares(1.0) == pytest.approx(np.array([0, 0, 0.6, 0, 0, 0, 0.4]))


# Rounds


@examples
@given(
    st.floats(0, 1),
    st.sampled_from([*THREE, ANY]),
    st.integers(0, 200),
    st.integers(1, 9),
    st.integers(0, 1000),
)
def test_in_every_round_counts_are_met_and_no_sample_goes_back(
    rate: float, lacking: str, num_samples: int, num_rounds: int, seed: int
) -> None:
    stages = drift_stages(THREE, rate, lacking)
    drift = Drift(stages, seed=seed)
    numbers = drift.numbers(split(num_samples))
    begun = DriftingShard.begin(EmbeddedSamples(Nothing(), THREE, embed), np.arange(num_samples), drift, numbers)
    # At which stage a sample has arrived: with "any" by what it lacks, else by whether it does.
    arrived: list[np.ndarray] = []
    for round_number in range(num_rounds):
        present = begun.at(round_number, num_rounds).present
        assert present.any(axis=1).all()
        progress = round_number / (num_rounds - 1) if num_rounds > 1 else 1.0
        place = progress * (len(stages) - 1)
        left = min(int(place), len(stages) - 2)
        expected = (1 - (place - left)) * stages[left] + (place - left) * stages[left + 1]
        for pattern, share in zip(all_patterns(3), expected, strict=True):
            assert abs((present == pattern).all(axis=1).sum() - share * num_samples) < 1 + 1e-6
        complete = present.all(axis=1)
        arrived.append(np.where(complete, -1, present.argmin(axis=1)) if lacking == ANY else ~complete)
    steps = np.diff(np.array(arrived, dtype=int), axis=0)
    assert (steps >= 0).all()
    if lacking == ANY:
        # Those that lack something do so all the time.
        assert all(np.array_equal(stage == -1, arrived[0] == -1) for stage in arrived)


def test_a_round_does_not_depend_on_the_rounds_before_it(shard: DriftingShard) -> None:
    in_order = [shard.at(round_number, 10).present for round_number in range(10)]
    for round_number in (7, 0, 9, 3):
        assert np.array_equal(shard.at(round_number, 10).present, in_order[round_number])
    assert not np.array_equal(in_order[3], in_order[7])


def test_a_drifting_shard_is_at_first_as_in_the_first_round(shard: DriftingShard) -> None:
    assert np.array_equal(shard.present, shard.at(0, 10).present)
    assert shard.present.sum(axis=0).tolist() == [40, 100, 100]
    assert shard.at(9, 10).present.sum(axis=0).tolist() == [100, 100, 40]


def test_a_drifting_shard_never_has_what_its_samples_really_lack() -> None:
    there = np.ones((1000, 3), dtype=bool)
    there[:50, 1] = False
    samples = EmbeddedSamples(Nothing(there), THREE, embed)
    drift = Drift(drift_stages(THREE, 0.6), seed=0)
    begun = DriftingShard.begin(samples, np.arange(100), drift, drift.numbers(split(100)))
    for present in (begun.present, begun.at(5, 10).present, DriftingShard.joined([begun]).at(9, 10).present):
        assert not present[:50, 1].any()
        assert present.any(axis=1).all()
    assert begun.at(9, 10).present[:, 2].sum() == 40


def test_a_run_of_one_round_is_at_its_end(shard: DriftingShard) -> None:
    assert np.array_equal(shard.at(0, 1).present, shard.at(9, 10).present)


def test_what_is_drawn_for_other_splits_is_as_in_the_last_round(shard: DriftingShard) -> None:
    drift = shard.drift
    assert np.array_equal(drift.draw(split(100)), shard.at(9, 10).present)
    test = drift.draw(split(100, "test"))
    assert test.sum(axis=0).tolist() == [100, 100, 40]
    assert not np.array_equal(test, drift.draw(split(100)))


def test_some_rows_drift_as_they_would_among_the_others(shard: DriftingShard) -> None:
    rows = np.array([5, 50, 7])
    some = shard.rows(rows)
    assert some.indices.tolist() == rows.tolist()
    for round_number in range(5):
        assert np.array_equal(some.at(round_number, 5).present, shard.at(round_number, 5).present[rows])
    assert np.array_equal(some.present, shard.present[rows])


def test_batches_hold_what_there_is_in_the_round(shard: DriftingShard) -> None:
    [batch] = shard.at(4, 10).batches(100)
    assert np.array_equal(batch.present.numpy(), shard.at(4, 10).present)


def test_joined_samples_drift_as_they_did_before(shard: DriftingShard) -> None:
    parts = [shard.rows(np.array([5, 80, 7])), shard.rows(np.array([50, 6]))]
    joined = DriftingShard.joined(parts)
    assert joined.indices.tolist() == [5, 6, 7, 50, 80]
    for round_number in range(5):
        assert np.array_equal(joined.at(round_number, 5).present, shard.at(round_number, 5).present[joined.indices])
    assert np.array_equal(joined.present, shard.present[joined.indices])

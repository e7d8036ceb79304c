"""Missingness by class and by what is seen: rates of a logistic model, counts that are met, nothing missing is read."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Int
from scipy import stats

from fedprime.data.missingness.kinds import ANY
from fedprime.data.missingness.logistic import ByLabel, ByObserved, logistic_rates, summarise
from fedprime.data.missingness.mechanisms import Split
from fedprime.data.missingness.patterns import pattern_numbers, pattern_shares
from fedprime.data.sources import Task
from fedprime.reproducibility.seeding import stream

NUM_LABELS = 4
TWO, THREE = ("image", "text"), ("image", "text", "readings")
examples = settings(max_examples=50, deadline=None, derandomize=True)
strengths = st.floats(-20, 20)


class Letters:
    """Texts of a random length, images that are brighter with it, readings that are noise around the class."""

    label_names = tuple("abcd")
    task: Task = "one_class"

    def __init__(self, num_samples: int, modalities: tuple[str, ...] = TWO) -> None:
        rng = stream(0, "letters")
        self.modalities = modalities
        self.labels: Int[np.ndarray, " sample"] = rng.integers(0, NUM_LABELS, num_samples)
        self.sites = np.zeros(num_samples, dtype=np.int64)
        self.lengths = rng.integers(1, 200, num_samples)
        self.brightness = self.lengths / 2 + rng.uniform(0, 100, num_samples)
        self.readings = self.labels + rng.standard_normal((num_samples, 6)).T
        self.there = np.ones((num_samples, len(modalities)), dtype=bool)
        self.splits = {"train": np.arange(num_samples)}
        self.poisoned = np.zeros((num_samples, len(modalities)), dtype=bool)
        self.read_so_far: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        self.read_so_far += [(index, modality) for modality in modalities]
        values = {
            "text": "x" * int(self.lengths[index]),
            "image": np.full((2, 2, 3), self.brightness[index]),
            "readings": self.readings[:, index].astype(np.float32),
        }
        columns = {modality: self.modalities.index(modality) for modality in modalities}
        garbage = {"text": "", "image": np.full((1, 1, 3), math.nan), "readings": np.array([math.inf])}
        return {name: (garbage if self.poisoned[index, column] else values)[name] for name, column in columns.items()}

    def split(self, name: str, indices: np.ndarray) -> Split:
        owners = np.zeros_like(indices)
        return Split(name, indices, owners, self.labels[indices], self.sites[indices], self.there[indices])


def by_label(
    labels: np.ndarray, strength: float = 2.0, rate: float = 0.7, lacking: str = ANY, seed: int = 0
) -> ByLabel:
    return ByLabel(pattern_shares(THREE, rate, lacking), labels, NUM_LABELS, strength, seed=seed)


def by_observed(
    data: Letters, train: Split, strength: float = 2.0, rate: float = 0.7, lacking: str = ANY, seed: int = 0
) -> ByObserved:
    shares = pattern_shares(data.modalities, rate, lacking)
    return ByObserved(shares, data, data.modalities, train, strength, seed=seed)


def independence(one: np.ndarray, other: np.ndarray) -> float:
    """The p-value of the chi-square test of independence of two numberings."""
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    return float(stats.chi2_contingency(table).pvalue)


def quarters(values: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), values)


@pytest.fixture
def skewed() -> Split:
    """A thousand samples, of which the classes are 40, 30, 20 and 10 %."""
    labels = stream(0, "labels").permutation(np.repeat(np.arange(NUM_LABELS), [400, 300, 200, 100]))
    nothing = np.zeros(1000, dtype=np.int64)
    return Split("train", np.arange(1000), nothing, labels, nothing)


# The logistic model


@examples
@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=30).map(np.array),
    st.floats(0.001, 0.999),
    strengths,
)
def test_the_mean_over_the_reference_is_the_rate(scores: np.ndarray, rate: float, strength: float) -> None:
    assert logistic_rates(scores, scores, rate, strength).mean() == pytest.approx(rate, abs=1e-9)


@examples
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.05, 0.95), st.floats(-3, 3))
def test_the_log_odds_rise_with_the_score_at_the_given_slope(
    one: float, other: float, rate: float, strength: float
) -> None:
    reference = np.linspace(-1, 1, 9)
    first, second = logistic_rates(np.array([one, other]), reference, rate, strength)
    found = math.log(first / (1 - first)) - math.log(second / (1 - second))
    assert found == pytest.approx(strength * (one - other), abs=1e-6)


def test_rates_of_two_equal_parts_are_those_of_the_closed_form() -> None:
    # With scores -1 and 1 and rate 1/2, b is 0 by symmetry.
    found = logistic_rates(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]), 0.5, 2.0)
    assert found == pytest.approx([1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))])


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_at_rate_nothing_or_everything_there_is_no_difference_to_make(rate: float) -> None:
    assert logistic_rates(np.array([-1.0, 0.3]), np.array([-1.0, 1.0]), rate, 2.0).tolist() == [rate, rate]


def test_without_a_reference_the_rate_holds_in_the_middle() -> None:
    assert logistic_rates(np.zeros(1), np.zeros(0), 0.3, 2.0) == pytest.approx([0.3])


# By label


@pytest.mark.parametrize("strength", [0.5, 2.0, -2.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_odds_of_the_extreme_classes_are_as_far_apart_as_said(skewed: Split, strength: float, seed: int) -> None:
    rates = by_label(skewed.labels, strength, seed=seed).rates
    odds = rates / (1 - rates)
    assert odds.max() / odds.min() == pytest.approx(math.exp(2 * abs(strength)))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.7, 0.95])
def test_over_training_samples_the_rates_of_classes_have_the_mean_that_was_asked_for(
    skewed: Split, rate: float
) -> None:
    assert by_label(skewed.labels, rate=rate).rates[skewed.labels].mean() == pytest.approx(rate)


@examples
@given(st.integers(0, 1000), st.floats(0, 1), strengths)
def test_counts_are_met_over_all_and_in_every_class(seed: int, rate: float, strength: float) -> None:
    labels = stream(seed, "labels").integers(0, NUM_LABELS, 173)
    split = Split("train", np.arange(173), labels * 0, labels, labels * 0)
    mechanism = by_label(labels, strength, rate, seed=seed)
    lacks = ~mechanism.draw(split).all(axis=1)
    assert abs(lacks.sum() - rate * 173) < 1 + 1e-6
    for label in range(NUM_LABELS):
        own = labels == label
        assert abs(lacks[own].sum() - mechanism.rates[label] * own.sum()) < 1 + 1e-6


def test_each_thing_is_lacking_equally_often_whatever_the_class(skewed: Split) -> None:
    present = by_label(skewed.labels).draw(skewed)
    # A third of 700.
    assert sorted((~present).sum(axis=0).tolist()) in ([233, 233, 234], [233, 234, 233], [232, 234, 234])
    lacks = ~present.all(axis=1)
    assert independence(present[lacks].argmin(axis=1), skewed.labels[lacks]) > 0.01


def test_patterns_and_classes_depend_on_each_other_unless_the_strength_is_nought(skewed: Split) -> None:
    dependent, independent = (by_label(skewed.labels, strength).draw(skewed) for strength in (1.0, 0.0))
    assert independence(pattern_numbers(dependent), skewed.labels) < 1e-6
    assert independence(pattern_numbers(independent), skewed.labels) > 0.01


def test_a_class_has_the_same_rate_in_every_split(skewed: Split) -> None:
    mechanism = by_label(skewed.labels)
    # Other classes are frequent here.
    labels = NUM_LABELS - 1 - skewed.labels
    test = Split("test", skewed.indices, skewed.owners, labels, skewed.sites)
    lacks = ~mechanism.draw(test).all(axis=1)
    for label in range(NUM_LABELS):
        own = labels == label
        assert lacks[own].mean() == pytest.approx(mechanism.rates[label], abs=1 / own.sum() + 1e-9)


def test_which_classes_lack_more_depends_on_the_seed(skewed: Split) -> None:
    orders = {tuple(np.argsort(by_label(skewed.labels, seed=seed).rates).tolist()) for seed in range(10)}
    assert len(orders) > 3


def test_the_likelihood_is_the_rate_of_the_class_shared_among_patterns(skewed: Split) -> None:
    mechanism = by_label(skewed.labels, lacking="text")
    [likelihood] = mechanism.likelihood()
    # Without the text is pattern 4: image and readings. Complete is pattern 6.
    expected = np.zeros((NUM_LABELS, 7))
    expected[:, 4], expected[:, 6] = mechanism.rates, 1 - mechanism.rates
    assert likelihood == pytest.approx(expected)


def test_each_sample_alone_has_exactly_the_likelihood_of_its_class() -> None:
    # Two samples of a class that has a rate of its own: however few there are, no sample is always served first.
    labels = np.array([0, 0, 1, 2, 3])
    split = Split("train", np.arange(5), labels * 0, labels, labels * 0)
    found = np.zeros(2)
    expected = 0.0
    for seed in range(500):
        mechanism = by_label(labels, seed=seed)
        found += ~mechanism.draw(split).all(axis=1)[:2]
        expected += mechanism.rates[0]
    assert (np.abs(found - expected) < 4 * math.sqrt(500 * 0.25)).all()


# By what is seen


def test_values_are_summarised_by_length_or_mean() -> None:
    assert summarise("four") == 4
    assert summarise("") == 0
    assert summarise(np.array([[0, 255], [255, 0]], dtype=np.uint8)) == 127.5
    assert summarise(np.array([1, 2, 6], dtype=np.float32)) == 3


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        # Patterns that lack something are image alone, text alone.
        (TWO, ["image", "text"]),
        # Of image, text, image+text, readings, image+readings, text+readings: the first one that is there after the
        # first that is lacking. Image alone lacks text, after it readings, too: the image decides.
        (THREE, ["image", "text", "image", "readings", "readings", "text"]),
    ],
)
def test_what_decides_is_the_next_modality_that_is_there(modalities: tuple[str, ...], expected: list[str]) -> None:
    data = Letters(10, modalities)
    mechanism = by_observed(data, data.split("train", np.arange(10)))
    assert [mechanism.driver(pattern) for pattern in range(len(expected))] == expected


@pytest.mark.parametrize("modalities", [TWO, THREE])
@pytest.mark.parametrize("lacking", [ANY, "text"])
def test_nothing_that_is_missing_is_read_and_poisoning_it_changes_nothing(
    modalities: tuple[str, ...], lacking: str
) -> None:
    data = Letters(400, modalities)
    train, test = data.split("train", np.arange(300)), data.split("test", np.arange(300, 400))
    mechanism = by_observed(data, train, lacking=lacking)
    present = np.concatenate([mechanism.draw(train), mechanism.draw(test)])
    assert data.read_so_far
    assert all(present[index, modalities.index(modality)] for index, modality in data.read_so_far)
    data.poisoned = ~present
    again = by_observed(data, train, lacking=lacking)
    assert np.array_equal(np.concatenate([again.draw(train), again.draw(test)]), present)


def test_a_sample_that_really_lacks_what_decides_lacks_nothing_else() -> None:
    data = Letters(400)
    data.there[::2, 1] = False  # every second text, by which it is decided whether the image is lacking
    data.poisoned = ~data.there
    split = data.split("train", np.arange(400))
    present = by_observed(data, split, rate=0.5, lacking="image").draw(split)
    assert present[::2].tolist() == [[True, False]] * 200
    assert (~present[1::2, 0]).sum() == 100


@pytest.mark.parametrize("strength", [1.0, 3.0, -1.0])
def test_the_rate_in_each_quarter_of_lengths_is_that_of_the_logistic_model(strength: float) -> None:
    data = Letters(20_000)
    split = data.split("train", np.arange(20_000))
    lacks = ~by_observed(data, split, strength, rate=0.5, lacking="image").draw(split)[:, 0]
    for quarter in range(4):
        # Scores of a quarter are spread evenly, here from -1 to -1/2 and so on; b is 0 by symmetry. The integral of
        # 1 / (1 + exp(-s z)) is log(1 + exp(s z)) / s.
        low, high = -1 + quarter / 2, -0.5 + quarter / 2
        primitive = [math.log1p(math.exp(strength * end)) / strength for end in (low, high)]
        expected = (primitive[1] - primitive[0]) / 0.5
        found = lacks[quarters(data.lengths) == quarter].mean()
        assert found == pytest.approx(expected, abs=0.03)


def test_at_great_strength_those_with_the_longest_texts_lack_the_image() -> None:
    data = Letters(1000)
    data.lengths = stream(0, "lengths").permutation(1000)  # no two alike
    split = data.split("train", np.arange(1000))
    lacks = ~by_observed(data, split, 100.0, rate=0.3, lacking="image").draw(split)[:, 0]
    assert lacks[data.lengths >= 730].all()
    assert not lacks[data.lengths < 670].any()


def test_given_what_is_seen_what_is_missing_does_not_matter() -> None:
    # Brightness goes along with length, so it is dark where images are there; at equal length there is no difference.
    data = Letters(20_000)
    split = data.split("train", np.arange(20_000))
    lacks = (~by_observed(data, split, lacking="image").draw(split)[:, 0]).astype(int)
    assert independence(lacks, quarters(data.brightness)) < 1e-6
    for length in (40, 100, 160):
        alike = np.abs(data.lengths - length) <= 1
        assert alike.sum() > 150
        noise = data.brightness[alike] - data.lengths[alike] / 2
        assert independence(lacks[alike], quarters(noise)) > 0.01


def test_given_what_is_seen_the_class_does_not_matter() -> None:
    # Readings go along with the class, so classes lack texts at different rates; at equal readings they do not.
    data = Letters(20_000, ("text", "readings"))
    split = data.split("train", np.arange(20_000))
    lacks = (~by_observed(data, split, lacking="text").draw(split)[:, 0]).astype(int)
    assert independence(lacks, data.labels) < 1e-6
    means = data.readings.mean(axis=0)
    for place in (0.5, 1.5, 2.5):
        alike = np.abs(means - place) <= 0.02
        assert alike.sum() > 150
        assert independence(lacks[alike], data.labels[alike]) > 0.01


@examples
@given(st.integers(1, 150), st.floats(0, 1), strengths, st.sampled_from([ANY, "image", "readings"]))
def test_counts_are_met_for_each_thing_that_may_be_lacking(
    num_samples: int, rate: float, strength: float, lacking: str
) -> None:
    data = Letters(num_samples, THREE)
    split = data.split("train", np.arange(num_samples))
    present = by_observed(data, split, strength, rate, lacking).draw(split)
    for column, modality in enumerate(THREE):
        expected = rate / 3 if lacking == ANY else rate * (lacking == modality)
        # Up to one that may lack it, of which the rate does, and up to one that does.
        assert abs((~present[:, column]).sum() - expected * num_samples) < 2 + 1e-6


def test_other_splits_are_measured_by_the_training_samples() -> None:
    data = Letters(4000)
    train, test = data.split("train", np.arange(3000)), data.split("test", np.arange(3000, 4000))
    data.lengths[3000:] = 1000  # longer than any in training
    lacks = ~by_observed(data, train, 3.0, rate=0.5, lacking="image").draw(test)[:, 0]
    # The rate at score 1 by the logistic model with b = 0.
    assert lacks.mean() == pytest.approx(1 / (1 + math.exp(-3)), abs=0.002)


def test_where_all_values_are_alike_everybody_has_the_rate() -> None:
    data = Letters(1000)
    data.lengths[:] = 7
    split = data.split("train", np.arange(1000))
    assert (~by_observed(data, split, lacking="image").draw(split)[:, 0]).sum() == 700


def test_a_value_without_a_mean_is_refused() -> None:
    data = Letters(10)
    data.brightness[4] = math.nan
    with pytest.raises(
        ValueError, match=r"depend on image, but that of sample 4 of the data has no finite mean; mend the data"
    ):
        by_observed(data, data.split("train", np.arange(10)), lacking="text")


def test_sounds_are_as_large_as_they_are_loud_and_rows_as_their_filled_cells() -> None:
    quiet, loud = ({"array": size * np.array([-1.0, 1.0]), "sampling_rate": 8000} for size in (0.1, 0.5))
    assert (summarise(quiet), summarise(loud)) == (0.1, 0.5)
    assert summarise({"price": 1, "brand": "acme", "sold": True, "size": None}) == pytest.approx(2.0)

"""From a data set to batches: what is missing is never read, and what is there is embedded once."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float, Int
from torch import Tensor

from fedprime.data.batches import Batch, EmbeddedSamples, Shard
from fedprime.data.sources import DataError, Task
from fedprime.reproducibility.seeding import stream

examples = settings(max_examples=50, deadline=None, derandomize=True)


class Numbers:
    """A data set whose value is ``100 * index + position of the modality``; it notes what is read."""

    label_names = ("even", "odd")
    task: Task = "one_class"

    def __init__(self, num_samples: int = 10, modalities: tuple[str, ...] = ("sound", "image", "text")) -> None:
        self.modalities = modalities
        self.labels: Int[np.ndarray, " sample"] | Float[np.ndarray, "sample label"] = np.arange(num_samples) % 2
        self.sites = np.zeros(num_samples, dtype=np.int64)
        self.there = everything(num_samples, len(modalities))
        self.splits = {"train": np.arange(num_samples)}
        self.read_so_far: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        self.read_so_far += [(index, modality) for modality in modalities]
        return {modality: 100 * index + self.modalities.index(modality) for modality in modalities}


class Unreadable(Numbers):
    """A data set of which some files turn out to be broken when they are opened."""

    def __init__(self, broken: set[tuple[int, str]]) -> None:
        super().__init__()
        self.broken = broken

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        values = super().read(index, modalities)
        return {name: value for name, value in values.items() if (index, name) not in self.broken}


class Refusing(Numbers):
    """A data set that fails when something is read that is missing."""

    def __init__(self, present: np.ndarray, modalities: tuple[str, ...]) -> None:
        super().__init__(len(present), modalities)
        self.present = present

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        for modality in modalities:
            if not self.present[index, self.modalities.index(modality)]:
                raise AssertionError(f"{modality} of sample {index} is missing, but was read")
        return super().read(index, modalities)


def embed(modality: str, values: Sequence[object]) -> list[Tensor]:
    """Embeds a number as that many tokens of it as the modality has letters."""
    return [torch.full((len(modality), 2), float(value)) for value in values]


def everything(num_samples: int, num_modalities: int) -> np.ndarray:
    return np.ones((num_samples, num_modalities), dtype=bool)


def values_of(batch: Batch) -> dict[str, list[float | None]]:
    return {
        modality: [None if part is None else part[0, 0].item() for part in parts]
        for modality, parts in batch.embedded.items()
    }


# One batch


def test_a_batch_holds_the_embeddings_of_what_is_there_and_none_for_the_rest() -> None:
    samples = EmbeddedSamples(Numbers(), ("image", "text"), embed)
    present = np.array([[True, False], [False, True], [True, True]])
    batch = samples.batch(np.array([4, 2, 7]), present)
    assert values_of(batch) == {"image": [401, None, 701], "text": [None, 202, 702]}
    assert batch.present.tolist() == present.tolist()
    assert batch.labels.tolist() == [0, 0, 1]
    assert len(batch) == 3


def test_modalities_stand_in_the_order_that_is_asked_for() -> None:
    batch = EmbeddedSamples(Numbers(), ("text", "sound"), embed).batch(np.array([1]), np.array([[True, False]]))
    assert list(batch.embedded) == ["text", "sound"]
    assert values_of(batch) == {"text": [102], "sound": [None]}


@pytest.mark.parametrize("modalities", [("a",), ("a", "b", "c"), ("a", "b", "c", "d", "e")])
def test_there_may_be_any_number_of_modalities(modalities: tuple[str, ...]) -> None:
    batch = EmbeddedSamples(Numbers(3, modalities), modalities, embed).batch(
        np.array([2]), everything(1, len(modalities))
    )
    assert values_of(batch) == {modality: [200 + position] for position, modality in enumerate(modalities)}


def test_several_labels_of_a_sample_stay_together() -> None:
    source = Numbers(3)
    source.labels = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=np.float32)
    batch = EmbeddedSamples(source, ("image",), embed).batch(np.array([2, 0]), everything(2, 1))
    assert batch.labels.tolist() == [[1, 1, 0], [1, 0, 1]]


def test_a_sample_may_occur_twice_in_a_batch() -> None:
    batch = EmbeddedSamples(Numbers(), ("image",), embed).batch(np.array([3, 3]), everything(2, 1))
    assert values_of(batch) == {"image": [301, 301]}


def test_a_modality_that_the_data_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="the data has no readings, video, only sound, image, text"):
        EmbeddedSamples(Numbers(), ("text", "readings", "video"), embed)


# What is read


@examples
@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 5), st.integers(0, 1000))
def test_what_is_missing_is_neither_read_nor_embedded(
    num_modalities: int, num_samples: int, batch_size: int, seed: int
) -> None:
    rng = stream(seed, "present")
    modalities = tuple(f"modality {index}" for index in range(num_modalities))
    present = rng.random((num_samples, num_modalities)) < 0.5
    embedded: list[tuple[str, object]] = []

    def noting(modality: str, values: Sequence[object]) -> list[Tensor]:
        embedded.extend((modality, value) for value in values)
        return embed(modality, values)

    samples = EmbeddedSamples(Refusing(present, modalities), modalities, noting)
    list(Shard(samples, np.arange(num_samples), present).batches(batch_size, rng))
    expected = [(modalities[column], 100 * int(index) + int(column)) for index, column in np.argwhere(present)]
    assert sorted(embedded, key=str) == sorted(expected, key=str)


def test_nothing_is_read_before_a_batch_is_asked_for() -> None:
    source = Numbers()
    Shard(EmbeddedSamples(source, ("image",), embed), np.arange(10), everything(10, 1))
    assert source.read_so_far == []


def test_a_sample_is_read_and_embedded_once_however_often_it_is_used() -> None:
    source = Numbers()
    samples = EmbeddedSamples(source, ("image", "text"), embed)
    for epoch in range(3):
        list(Shard(samples, np.arange(10), everything(10, 2)).batches(4, stream(epoch, "epoch")))
    assert len(source.read_so_far) == len(set(source.read_so_far)) == 20


@pytest.mark.parametrize("num_threads", [1, 3])
def test_threads_change_neither_embeddings_nor_blocks_nor_what_is_left_out(num_threads: int) -> None:
    broken = {(index, "image") for index in range(0, 100, 7)}

    class ManyBroken(Unreadable):
        def __init__(self) -> None:
            Numbers.__init__(self, 100)
            self.broken = broken

    def block(modality: str, embedded: Sequence[Tensor]) -> Tensor:
        del modality
        return torch.stack([tokens.mean(dim=0) for tokens in embedded])

    samples = EmbeddedSamples(ManyBroken(), ("text", "image"), embed, block=block, num_threads=num_threads)
    samples.try_all()
    assert set(samples.odd.reasons["image"]) == {index for index, _ in broken}
    batch = samples.batch(np.arange(100), samples.there)
    blocks = batch.blocks
    assert blocks is not None
    for index, (tokens, vector) in enumerate(zip(batch.embedded["text"], blocks("text"), strict=True)):
        assert tokens is not None
        assert vector is not None
        assert torch.equal(tokens, torch.full((4, 2), 100.0 * index + 2))
        assert vector.tolist() == [100.0 * index + 2] * 2


def test_two_holders_of_one_data_set_share_its_embeddings() -> None:
    source = Numbers()
    samples = EmbeddedSamples(source, ("image", "text"), embed)
    one = samples.batch(np.array([5]), np.array([[True, False]]))
    other = samples.batch(np.array([5]), np.array([[True, True]]))
    assert one.embedded["image"][0] is other.embedded["image"][0]
    assert values_of(one) == {"image": [501], "text": [None]}
    assert source.read_so_far == [(5, "image"), (5, "text")]


# What is really missing


def test_what_a_sample_really_lacks_is_not_read_even_if_it_is_asked_for() -> None:
    source = Numbers()
    source.there[3] = [True, False, True]
    samples = EmbeddedSamples(source, ("text", "image"), embed)
    assert samples.there[3].tolist() == [True, False]
    batch = samples.batch(np.array([3, 4]), everything(2, 2))
    assert values_of(batch) == {"text": [302, 402], "image": [None, 401]}
    assert batch.present.tolist() == [[True, False], [True, True]]
    assert (3, "image") not in source.read_so_far


def test_what_turns_out_to_be_unreadable_is_missing_from_then_on() -> None:
    source = Unreadable({(5, "image")})
    samples = EmbeddedSamples(source, ("image", "text"), embed)
    for _ in range(2):
        batch = samples.batch(np.array([5, 6]), everything(2, 2))
        assert values_of(batch) == {"image": [None, 601], "text": [502, 602]}
        assert batch.present.tolist() == [[False, True], [True, True]]
    assert source.read_so_far.count((5, "image")) == 1
    assert source.there.all()  # the data set itself is not changed


def test_a_sample_whose_only_modality_turns_out_to_be_unreadable_falls_back_on_what_it_has() -> None:
    samples = EmbeddedSamples(Unreadable({(5, "image")}), ("image", "text"), embed)
    batch = samples.batch(np.array([5, 6]), np.array([[True, False], [True, False]]))
    assert values_of(batch) == {"image": [None, 601], "text": [502, None]}


def test_a_sample_of_which_nothing_can_be_read_is_named() -> None:
    samples = EmbeddedSamples(Unreadable({(5, "image"), (5, "text")}), ("image", "text"), embed)
    with pytest.raises(DataError, match="nothing of sample 5 of the data can be read"):
        samples.batch(np.array([4, 5]), np.array([[True, True], [False, True]]))


# Shards


@examples
@given(st.integers(0, 30), st.integers(1, 12), st.booleans())
def test_batches_hold_every_sample_of_a_shard_once(num_samples: int, batch_size: int, is_shuffled: bool) -> None:
    samples = EmbeddedSamples(Numbers(100), ("image",), embed)
    indices = stream(0, "indices").permutation(100)[:num_samples]
    shard = Shard(samples, indices, everything(num_samples, 1))
    batches = list(shard.batches(batch_size, stream(1, "order") if is_shuffled else None))
    sizes = [len(batch) for batch in batches]
    found = [value for batch in batches for value in values_of(batch)["image"]]
    assert all(size == batch_size for size in sizes[:-1])
    assert sum(sizes) == len(shard) == num_samples
    assert sorted(found) == sorted(100 * indices + 1)


def test_without_a_generator_samples_come_in_their_own_order() -> None:
    shard = Shard(EmbeddedSamples(Numbers(), ("image",), embed), np.array([8, 1, 5]), everything(3, 1))
    assert [values_of(batch)["image"] for batch in shard.batches(2)] == [[801, 101], [501]]


def test_with_a_generator_its_state_decides_the_order() -> None:
    shard = Shard(EmbeddedSamples(Numbers(50), ("image",), embed), np.arange(50), everything(50, 1))
    orders = [values_of(next(shard.batches(50, stream(seed, "order"))))["image"] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_some_rows_of_a_shard_are_a_shard() -> None:
    present = np.array([[True, False], [False, True], [True, True]])
    shard = Shard(EmbeddedSamples(Numbers(), ("image", "text"), embed), np.array([8, 1, 5]), present)
    [batch] = shard.rows(np.array([2, 0])).batches(9)
    assert values_of(batch) == {"image": [501, 801], "text": [502, None]}


def test_what_is_present_and_the_label_stay_with_the_sample() -> None:
    present = np.array([[index % 3 != 0, index % 3 != 1] for index in range(10)])
    shard = Shard(EmbeddedSamples(Numbers(), ("image", "text"), embed), np.arange(10), present)
    for batch in shard.batches(3, stream(0, "order")):
        values = values_of(batch)
        for image, text, label, there in zip(
            values["image"], values["text"], batch.labels.tolist(), batch.present.tolist(), strict=True
        ):
            index = int((image if image is not None else text) // 100)
            assert there == present[index].tolist() == [image is not None, text is not None]
            assert label == index % 2


def test_joined_samples_are_in_the_order_of_the_data_set_and_lack_what_they_lacked():
    samples = EmbeddedSamples(Numbers(), ("sound", "text"), embed)
    here = Shard(samples, np.array([1, 7, 4]), np.array([[True, False], [False, True], [True, True]]))
    there = Shard(samples, np.array([5, 0]), np.array([[False, True], [True, False]]))
    joined = Shard.joined([here, there])
    assert joined.samples is samples
    assert joined.indices.tolist() == [0, 1, 4, 5, 7]
    assert joined.present.tolist() == [[True, False], [True, False], [True, True], [False, True], [False, True]]


def test_a_shard_is_the_same_in_every_round() -> None:
    shard = Shard(EmbeddedSamples(Numbers(), ("image",), embed), np.arange(3), everything(3, 1))
    assert shard.at(0, 9) is shard.at(8, 9) is shard


def test_some_rows_of_a_shard_are_drawn_as_all_of_it() -> None:
    likelihood = np.full((1, 2, 1), 1.0)
    shard = Shard(EmbeddedSamples(Numbers(), ("image",), embed), np.arange(3), everything(3, 1), likelihood)
    assert shard.rows(np.array([1])).likelihood is likelihood

"""The data set of a run: opened by name, kept for the next run, complained about in one line."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.backbones.composite import CompositeBackbone
from fedprime.backbones.encoder import PooledEncoder
from fedprime.data.batches import Batch
from fedprime.data.embeddings.cache_folder import CacheError
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.data.sources import DataError
from fedprime.experiment import embedded_data as samples
from fedprime.experiment.embedded_data import SOURCES, embedded_samples, open_data, with_three_splits
from fedprime.settings.data_settings import DataSettings
from miniatures import write_csv, write_food101, write_photo


def test_the_same_settings_open_a_data_set_once(tiny: Backbone):
    data = DataSettings(num_train=3, num_validation=1, num_test=1)
    first = embedded_samples(data, tiny)
    assert embedded_samples(replace(data), tiny) is first
    assert embedded_samples(replace(data, num_test=2), tiny) is not first
    assert len(first.source) == 5


def test_a_modality_that_the_data_lacks_is_an_error_of_the_data(tiny: Backbone, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(BuiltinWorld, "modalities", ("text",))
    with pytest.raises(DataError, match="the data has no image, only text; name those to use in data"):
        embedded_samples(DataSettings(num_train=4, num_validation=1, num_test=1), tiny)


# By name


def test_a_data_set_is_opened_by_name_with_options_of_its_own(tmp_path: Path):
    assert len(open_data("builtin", num_train=5, num_validation=2, num_test=3, num_classes=4).label_names) == 4
    assert len(open_data("food101", write_food101(tmp_path / "photos"), num_classes=3).label_names) == 3


def test_options_by_default_are_those_of_the_settings():
    defaults = DataSettings()
    for opener in SOURCES.values():
        for name, parameter in list(inspect.signature(opener).parameters.items())[1:]:
            if parameter.kind is not parameter.VAR_KEYWORD:  # of a table: the settings inherit them
                assert parameter.default == getattr(defaults, name)


def test_an_unknown_data_set_or_option_is_told_with_the_name_that_was_meant():
    with pytest.raises(DataError, match=r"'food' is no data set: builtin, food101, .*; did you mean food101"):
        open_data("food")
    with pytest.raises(DataError, match=r"food101 has no option num_clases; it knows num_classes; did you mean"):
        open_data("food101", num_clases=3)


def test_splits_that_are_not_there_are_set_apart_in_a_copy():
    world = BuiltinWorld(100, num_test=20)
    world.splits = {"train": np.arange(80), "test": np.arange(80, 100)}
    completed = with_three_splits(world, 0.25, 0.5)
    assert {name: len(own) for name, own in completed.splits.items()} == {"train": 60, "validation": 20, "test": 20}
    assert set(world.splits) == {"train", "test"}
    assert with_three_splits(completed, 0.25, 0.5) is completed


def test_a_data_set_without_training_samples_is_refused():
    world = BuiltinWorld(10)
    world.splits = {"test": np.arange(10)}
    with pytest.raises(DataError, match="the data has the splits test; it needs one named train"):
        with_three_splits(world, 0.1, 0.1)


def test_columns_of_a_table_are_readings_where_they_are_stated_to_be_numbers(tmp_path: Path):
    write_csv(tmp_path / "metadata.csv", [{"a": n, "b": -n, "label": n % 2} for n in range(20)])
    backbone = load_backbone("tiny", ("readings",))
    data = DataSettings(name="table", path=str(tmp_path), columns=("readings:numbers=a+b",))
    found = embedded_samples(data, backbone).batch(np.arange(2, 4), np.ones((2, 1), dtype=bool))
    expected = backbone.embed("readings", [np.array([2.0, -2.0]), np.array([3.0, -3.0])])
    for own, tokens in zip(found.embedded["readings"], expected, strict=True):
        assert own is not None
        assert torch.equal(own, tokens)
    with pytest.raises(DataError, match=r"readings:table=a\+b is a row of .* reads readings as an array of numbers"):
        embedded_samples(replace(data, columns=("readings:table=a+b",)), backbone)


# The cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache."""
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    samples._latest.clear()
    return tmp_path / "cache"


class Counting:
    """A backbone that notes how many values it embeds."""

    def __init__(
        self,
        backbone: Backbone,
        fingerprint: str = "",
        options: dict[str, int] | None = None,
        versions: dict[str, int] | None = None,
    ) -> None:
        self.modalities, self.reference, self.kinds = backbone.modalities, backbone.reference, backbone.kinds
        self.versions = versions or backbone.versions
        self.dim, self.feature_dim = backbone.dim, backbone.feature_dim
        self.fingerprint, self.options = fingerprint or backbone.fingerprint, options or {}
        self.assemble, self.encode, self.device = backbone.assemble, backbone.encode, backbone.device
        self._embed = backbone.embed
        self.embedded: list[str] = []

    def embed(self, modality: str, values: Sequence[object]) -> list[Tensor]:
        self.embedded += [modality] * len(values)
        return self._embed(modality, values)


#: Of the miniature that `write_food101` writes.
NUM_PHOTOS = 57


def photos(folder: Path) -> DataSettings:
    return DataSettings(name="food101", path=str(folder), num_classes=3)


def batch_of(data: DataSettings, backbone: Backbone, num_samples: int = 12) -> Batch:
    """The first samples, as a new process would see them."""
    samples._latest.clear()
    found = embedded_samples(data, backbone)
    batch = found.batch(np.arange(num_samples), np.ones((num_samples, 2), dtype=bool))
    found.save()
    return batch


def assert_equal(one: Batch, other: Batch) -> None:
    for modality, parts in one.embedded.items():
        for part, counterpart in zip(parts, other.embedded[modality], strict=True):
            assert part is not None
            assert counterpart is not None
            assert torch.equal(part, counterpart)


def test_a_later_run_computes_nothing_and_sees_the_same_to_the_bit(
    tiny: Backbone, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    data = photos(write_food101(tmp_path / "photos"))
    with monkeypatch.context() as patch:
        patch.setenv("FEDPRIME_CACHE", "off")
        plain = batch_of(data, tiny)
    assert not cache.exists()
    first, second = Counting(tiny), Counting(tiny)
    assert_equal(batch_of(data, first), plain)
    assert sorted(first.embedded) == ["image"] * NUM_PHOTOS + ["text"] * NUM_PHOTOS
    assert_equal(batch_of(data, second), plain)
    assert second.embedded == []


@pytest.mark.usefixtures("cache")
def test_shapes_are_kept_with_the_embedding_that_they_stand_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    content = {"pooled": True, "shapes": True, "modalities": {"image": {"encoder": "pixel_patches"}}}
    (tmp_path / "composite.json").write_text(json.dumps(content))
    data, found = photos(write_food101(tmp_path / "photos")), []
    for number in range(2):
        samples._latest.clear()
        backbone = CompositeBackbone.from_pretrained(tmp_path)
        if number == 1:  # whoever encoded an image again would fail
            monkeypatch.setattr(PooledEncoder, "encode", lambda _, values: [][len(values)])
        own = embedded_samples(data, backbone)
        blocks = own.batch(np.arange(3), np.array([[True], [True], [False]])).blocks
        assert blocks is not None
        found.append(blocks("image"))
        own.save()
    (first, second, none), again = found
    assert none is None
    assert first.shape == second.shape == (192 + 640,)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])


@pytest.mark.usefixtures("cache")
def test_the_built_in_world_is_cached_too(tiny: Backbone):
    data, second = DataSettings(num_train=10, num_validation=1, num_test=1), Counting(tiny)
    first = batch_of(data, tiny)
    assert_equal(batch_of(replace(data, num_train=20), second), first)
    assert second.embedded == []


@pytest.mark.usefixtures("cache")
def test_a_limit_that_is_no_size_is_an_error_of_the_cache(tiny: Backbone, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEDPRIME_CACHE_LIMIT", "plenty")
    with pytest.raises(CacheError, match=r"for example 20GB$"):
        embedded_samples(DataSettings(num_train=10, num_validation=1, num_test=1), tiny)


@pytest.mark.usefixtures("cache")
def test_a_changed_file_is_embedded_again(tiny: Backbone, tmp_path: Path):
    data = photos(write_food101(tmp_path / "photos"))
    before = batch_of(data, tiny)
    write_photo(tmp_path / "photos" / "images" / "train" / "apple_pie" / "apple_pie_3.jpg", 1, 99)
    again = Counting(tiny)
    after = batch_of(data, again)
    assert again.embedded == ["image"]
    images = zip(before.embedded["image"], after.embedded["image"], strict=True)
    changed = [
        number
        for number, (old, new) in enumerate(images)
        if old is not None and new is not None and not torch.equal(old, new)
    ]
    assert changed == [3]


@pytest.mark.usefixtures("cache")
def test_another_backbone_or_number_of_threads_computes_anew(tiny: Backbone, tmp_path: Path):
    data = photos(write_food101(tmp_path / "photos"))
    batch_of(data, tiny)
    for other in (Counting(tiny, fingerprint="other"), Counting(tiny, options={"max_text_tokens": 7})):
        batch_of(data, other)
        assert len(other.embedded) == 2 * NUM_PHOTOS
    threads = Counting(tiny)
    torch.set_num_threads(2)
    try:
        batch_of(data, threads)
    finally:
        torch.set_num_threads(1)
    assert len(threads.embedded) == 2 * NUM_PHOTOS


@pytest.mark.usefixtures("cache")
def test_another_version_of_what_embeds_a_modality_embeds_that_one_anew(tiny: Backbone, tmp_path: Path):
    data = photos(write_food101(tmp_path / "photos"))
    batch_of(data, tiny)
    other = Counting(tiny, versions={"image": tiny.versions["image"] + 1, "text": tiny.versions["text"]})
    batch_of(data, other)
    assert other.embedded == ["image"] * NUM_PHOTOS


@pytest.mark.usefixtures("cache")
def test_what_cannot_be_read_is_asked_for_by_every_run(
    tiny: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    data = photos(write_food101(tmp_path / "photos"))
    broken = tmp_path / "photos" / "images" / "train" / "apple_pie" / "apple_pie_3.jpg"
    broken.write_bytes(b"no image")
    for _ in range(2):
        caplog.clear()
        assert batch_of(data, tiny).present[3].tolist() == [False, True]
        assert [message for message in caplog.messages if str(broken) in message]

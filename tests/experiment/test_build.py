"""From settings to objects: everything is a function of the settings, and comes out as they say."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from changed_settings import changed
from fedprime.data.missingness.logistic import ByLabel
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.experiment import embedded_data as samples
from fedprime.experiment.build import LIKE_TRAIN, Experiment, build_experiment
from fedprime.methods import METHODS
from fedprime.models.model_folder import ModelError
from fedprime.settings.problems import SettingsError
from fedprime.settings.settings import Settings


def test_the_same_settings_build_the_same_experiment(small_experiment: Experiment, small_settings: Settings):
    again = build_experiment(small_settings)
    here, there = small_experiment.masks(), again.masks()
    assert here.keys() == there.keys()
    assert all(torch.equal(here[name], there[name]) for name in here)
    weights = again.model.weights()
    assert all(torch.equal(value, weights[name]) for name, value in small_experiment.model.weights().items())


def test_another_seed_draws_other_owners_masks_and_weights(small_experiment: Experiment, small_settings: Settings):
    other = build_experiment(changed(small_settings, seed=1))
    owned, owned_by_others = small_experiment.shards[0].indices, other.shards[0].indices
    assert owned.tolist() != owned_by_others.tolist()
    assert small_experiment.validation.present.tolist() != other.validation.present.tolist()
    head, other_head = (experiment.model.weights()["head.weight"] for experiment in (small_experiment, other))
    assert not torch.equal(head, other_head)


def test_the_seed_of_the_run_does_not_change_the_samples(small_experiment: Experiment, small_settings: Settings):
    other = build_experiment(changed(small_settings, seed=1))
    assert other.source.labels.tolist() == small_experiment.source.labels.tolist()
    other_world = build_experiment(changed(small_settings, data={"world_seed": 1}))
    assert other_world.source.labels.tolist() != small_experiment.source.labels.tolist()


def test_every_training_sample_has_one_owner(small_experiment: Experiment):
    owned = np.concatenate([shard.indices for shard in small_experiment.shards])
    assert sorted(owned) == list(range(40))


def test_training_validation_and_test_samples_are_different_ones(small_experiment: Experiment):
    assert small_experiment.validation.indices.tolist() == list(range(40, 48))
    assert all(shard.indices.tolist() == list(range(48, 72)) for shard in small_experiment.scenarios.values())


def test_every_client_has_as_many_samples_as_it_must(small_experiment: Experiment):
    assert min(len(shard) for shard in small_experiment.shards) >= 3


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.7, 1.0])
def test_as_many_training_samples_lack_something_as_the_rate_says(rate: float, small_settings: Settings):
    experiment = build_experiment(changed(small_settings, missing={"rate": rate}))
    present = np.concatenate([shard.present for shard in experiment.shards])
    assert (~present.all(axis=1)).sum() == round(rate * 40)
    assert present.any(axis=1).all()


def test_samples_can_lack_one_modality_only(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, missing={"lacking": "text", "rate": 0.5}))
    present = np.concatenate([shard.present for shard in experiment.shards])
    assert present.sum(axis=0).tolist() == [40, 20]
    assert experiment.scenarios[LIKE_TRAIN].present.sum(axis=0).tolist() == [24, 12]


def test_with_absent_sensors_all_samples_of_a_client_have_the_same_pattern(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, missing={"kind": "absent-sensors", "rate": 0.5}))
    assert all(len(np.unique(shard.present, axis=0)) == 1 for shard in experiment.shards)


def test_the_test_scenarios_are_those_of_the_paper(small_experiment: Experiment):
    present = {name: shard.present for name, shard in small_experiment.scenarios.items()}
    assert list(present) == ["like train", "miss both", "full", "image only", "text only"]
    assert present["full"].all()
    assert present["image only"].sum(axis=0).tolist() == [24, 0]
    assert present["text only"].sum(axis=0).tolist() == [0, 24]
    # 70 % of 24 samples is 16.8: 8.4 lack the image, 8.4 the text, 7.2 nothing.
    assert sorted((~present["miss both"]).sum(axis=0).tolist()) in ([8, 8], [8, 9])


def test_the_rate_of_the_test_scenario_is_its_own(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, evaluation={"rate": 1.0}))
    assert not experiment.scenarios["miss both"].present.all(axis=1).any()
    assert experiment.scenarios[LIKE_TRAIN].present.all(axis=1).any()


def test_three_modalities_have_a_scenario_each(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, data={"modalities": ("image", "text", "readings")}))
    assert list(experiment.scenarios) == ["like train", "miss any", "full", "image only", "text only", "readings only"]
    assert experiment.scenarios["readings only"].present.sum(axis=0).tolist() == [0, 0, 24]


def test_a_single_modality_has_nothing_to_miss(small_settings: Settings):
    settings = changed(small_settings, data={"modalities": ("text",)}, missing={"rate": 0.0})
    assert list(build_experiment(settings).scenarios) == ["like train", "full"]


def test_test_samples_are_divided_as_training_samples_are(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, partition={"kind": "site"}))
    sites = experiment.source.sites
    for client, shard in enumerate(experiment.shards):
        own = experiment.scenarios["full"].indices[experiment.test_owners == client]
        assert set(sites[own]) <= set(sites[shard.indices])


def test_one_client_owns_everything(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, partition={"num_clients": 1}))
    assert [len(shard) for shard in experiment.shards] == [40]


def test_an_even_division_is_even(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, partition={"kind": "even"}))
    assert [len(shard) for shard in experiment.shards] == [10, 10, 10, 10]


def test_the_realised_missingness_counts_every_sample_of_every_client(small_experiment: Experiment):
    rows = small_experiment.realised_missingness()
    for row, shard in zip(rows, small_experiment.shards, strict=True):
        has_image, has_text = shard.present[:, 0], shard.present[:, 1]
        assert row["samples"] == len(shard)
        assert row["present"] == {
            "image": (has_image & ~has_text).sum(),
            "text": (has_text & ~has_image).sum(),
            "image+text": (has_image & has_text).sum(),
        }


def test_masks_tell_who_owns_what_and_what_is_present_of_it(small_experiment: Experiment):
    masks = small_experiment.masks()
    for client, shard in enumerate(small_experiment.shards):
        assert masks[f"client.{client}.samples"].tolist() == shard.indices.tolist()
        assert masks[f"client.{client}.present"].tolist() == shard.present.tolist()
    for name, shard in small_experiment.scenarios.items():
        assert masks[f"test.{name}.present"].tolist() == shard.present.tolist()
    assert masks["validation.present"].tolist() == small_experiment.validation.present.tolist()


def test_more_modalities_can_only_raise_the_best_possible_accuracy(small_experiment: Experiment):
    best = {
        name: small_experiment.best_possible(shard, small_experiment.test_owners).mean()
        for name, shard in small_experiment.scenarios.items()
    }
    assert best["full"] >= max(best["image only"], best["text only"])
    assert min(best["image only"], best["text only"]) > 1 / 3


def test_the_best_possible_accuracy_knows_which_modalities_are_in_use(small_settings: Settings):
    both = build_experiment(changed(small_settings, missing={"rate": 0.0}))
    text = build_experiment(changed(small_settings, data={"modalities": ("text",)}, missing={"rate": 0.0}))
    of_text = text.best_possible(text.scenarios["full"], text.test_owners)
    assert np.array_equal(of_text, both.best_possible(both.scenarios["text only"], both.test_owners))


def test_the_method_of_the_settings_is_the_method_of_the_experiment(small_settings: Settings):
    settings = changed(small_settings, method=METHODS["pfpt"](num_prompts=6, num_alternations=2))
    assert build_experiment(settings).method == METHODS["pfpt"](num_prompts=6, num_alternations=2)


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"partition": {"num_clients": 41}}, "partition: 40 samples cannot be divided among 41 clients"),
        ({"partition": {"min_samples": 11}}, "partition: 40 samples are too few for 4 clients with at least 11 each"),
        (
            {
                "data": {"num_sites": 1, "num_validation": 1, "num_test": 1},
                "partition": {"kind": "site", "num_clients": 41},
            },
            "partition: 40 samples cannot be divided among 41 clients",
        ),
        ({"missing": {"lacking": "readings"}}, "missing: samples cannot lack 'readings'"),
        ({"missing": {"lacking": "readings", "kind": "drift"}}, "missing: samples cannot lack 'readings'"),
        ({"missing": {"kind": "by-site", "groups": 5}}, "missing: 4 clients cannot be dealt into 5 groups; ask for at"),
        ({"data": {"modalities": ("text",)}}, "missing: samples that have only text cannot lack it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_do_not_fit_together_are_refused(
    sections: dict[str, dict[str, Any]], problem: str, small_settings: Settings
):
    with pytest.raises(SettingsError) as caught:
        build_experiment(changed(small_settings, **sections))
    assert problem in str(caught.value)


def test_a_client_without_a_training_sample_is_refused(small_settings: Settings):
    # 30 sites and as many clients, but only 40 training samples, drawn from sites at random.
    settings = changed(small_settings, data={"num_sites": 30}, partition={"kind": "site", "num_clients": 25})
    with pytest.raises(SettingsError, match=r"partition: clients .* no training sample"):
        build_experiment(settings)


def test_runs_of_one_process_embed_each_sample_once(small_settings: Settings):
    first, second = (build_experiment(replace(small_settings, seed=seed)) for seed in (1, 2))
    assert first.validation.samples is second.validation.samples
    other = build_experiment(changed(small_settings, data={"world_seed": 1}))
    assert other.validation.samples is not first.validation.samples


def test_a_run_can_start_from_a_saved_model(finished_run: Path, small_settings: Settings):
    experiment = build_experiment(changed(small_settings, initial_model=str(finished_run / "model")))
    drawn = build_experiment(small_settings).model.weights()
    weights = experiment.model.weights()
    assert not torch.equal(weights["head.weight"], drawn["head.weight"])


def test_a_model_of_another_shape_is_no_start(finished_run: Path, small_settings: Settings):
    settings = changed(small_settings, initial_model=str(finished_run / "model"), data={"num_classes": 5})
    with pytest.raises(ModelError, match=r"head\.weight has shape"):
        build_experiment(settings)


def test_clients_with_models_of_their_own_may_know_their_label_mix(small_experiment: Experiment):
    shard, owners = small_experiment.scenarios["text only"], small_experiment.test_owners
    shared = small_experiment.best_possible(shard, owners)
    personal = small_experiment.best_possible(shard, owners, personal=(0,))
    own, world = owners == 0, small_experiment.source
    assert np.array_equal(personal[~own], shared[~own])
    # By hand: the posterior under equal classes, weighed by how frequent each class is among the client's samples.
    text_alone = np.tile([modality == "text" for modality in world.modalities], (own.sum(), 1))
    counts = [(world.labels[shard.indices[own]] == label).sum() for label in range(world.num_classes)]
    weighed = world.posterior(shard.indices[own], text_alone) * counts
    assert np.allclose(personal[own], weighed.max(axis=1) / weighed.sum(axis=1))


# What is missing depends on something


def test_with_by_label_classes_lack_something_at_different_rates(small_settings: Settings):
    settings = changed(small_settings, missing={"kind": "by-label"}, data={"num_train": 400})
    experiment = build_experiment(settings)
    present = np.concatenate([shard.present for shard in experiment.shards])
    labels = experiment.source.labels[np.concatenate([shard.indices for shard in experiment.shards])]
    rates = [(~present[labels == label].all(axis=1)).mean() for label in range(3)]
    odds = sorted(rate / (1 - rate) for rate in rates)
    # exp(2 * 2) = 55 times as high, up to rounding; in the middle exp(2) times.
    assert 30 < odds[2] / odds[0] < 100
    assert (~present.all(axis=1)).sum() == 280


def test_with_by_observed_images_are_lacking_where_titles_are_long(small_settings: Settings):
    missing = {"kind": "by-observed", "lacking": "image", "strength": 100.0, "rate": 0.5}
    experiment = build_experiment(changed(small_settings, missing=missing))
    lengths = {True: [], False: []}
    for shard in experiment.shards:
        for index, (has_image, has_text) in zip(shard.indices, shard.present, strict=True):
            assert has_text
            lengths[bool(has_image)].append(len(experiment.source.read(int(index), ("text",))["text"]))  # pyright: ignore
    assert min(lengths[False]) >= max(lengths[True]) - 1
    assert len(lengths[False]) == 20


def test_with_by_site_clients_of_a_group_share_a_mix(small_settings: Settings):
    missing = {"kind": "by-site", "groups": 2, "alpha": 0.001, "rate": 0.5}
    experiment = build_experiment(changed(small_settings, missing=missing, seed=3))
    # At this alpha a group has one pattern, and so has each of its clients: two and two.
    patterns = [np.unique(shard.present, axis=0).tolist() for shard in experiment.shards]
    assert [len(of_client) for of_client in patterns] == [1, 1, 1, 1]
    assert sorted(patterns.count(pattern) for pattern in patterns) in ([2, 2, 2, 2], [4, 4, 4, 4])


def test_with_by_site_and_natural_sites_a_site_has_a_mix(small_settings: Settings):
    settings = changed(
        small_settings, missing={"kind": "by-site", "alpha": 0.001}, partition={"kind": "site", "num_clients": 2}
    )
    experiment = build_experiment(settings)
    for site in range(4):
        present = [shard.present[experiment.source.sites[shard.indices] == site] for shard in experiment.shards]
        test = experiment.scenarios[LIKE_TRAIN]
        present.append(test.present[experiment.source.sites[test.indices] == site])
        assert len(np.unique(np.concatenate(present), axis=0)) == 1


def test_with_drift_shards_move_and_the_test_is_like_the_last_round(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, missing={"kind": "drift", "rate": 0.5}))
    by_round = [np.concatenate([shard.at(number, 3).present for shard in experiment.shards]) for number in range(3)]
    assert [present.sum(axis=0).tolist() for present in by_round] == [[20, 40], [30, 30], [40, 20]]
    assert experiment.scenarios[LIKE_TRAIN].present.sum(axis=0).tolist() == [24, 12]
    assert experiment.validation.present.sum(axis=0).tolist() == [8, 4]


def test_with_drift_one_holder_of_everything_finds_what_clients_would(small_settings: Settings):
    settings = changed(small_settings, missing={"kind": "drift"}, method=METHODS["centralized-p"]())
    experiment = build_experiment(settings)
    [holder] = experiment.holders
    order = np.argsort(np.concatenate([shard.indices for shard in experiment.shards]))
    for number in range(3):
        of_clients = np.concatenate([shard.at(number, 3).present for shard in experiment.shards])
        assert np.array_equal(holder.at(number, 3).present, of_clients[order])


def test_masks_tell_the_first_and_the_last_round_where_they_drift(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, missing={"kind": "drift"}))
    masks = experiment.masks()
    for client, shard in enumerate(experiment.shards):
        assert masks[f"client.{client}.present"].tolist() == shard.at(0, 3).present.tolist()
        assert masks[f"client.{client}.present in the last round"].tolist() == shard.at(2, 3).present.tolist()


def test_masks_that_do_not_drift_are_told_once(small_experiment: Experiment):
    assert [name for name in small_experiment.masks() if "last round" in name] == []


@pytest.mark.parametrize(
    ("kind", "partition", "name", "titles"),
    [
        ("by-label", "labels", "label", ["dish-00", "dish-01", "dish-02"]),
        ("by-site", "labels", "group", [0, 1, 2, 3]),
        ("by-site", "site", "site", [0, 1, 2, 3]),
    ],
)
def test_the_realised_missingness_counts_classes_and_groups_where_rates_differ_by_them(
    kind: str, partition: str, name: str, titles: list[object], small_settings: Settings
):
    experiment = build_experiment(changed(small_settings, missing={"kind": kind}, partition={"kind": partition}))
    rows = experiment.realised_missingness()
    clients, others = rows[:4], rows[4:]
    assert [row["client"] for row in clients] == [0, 1, 2, 3]
    assert [row[name] for row in others] == titles
    for pattern in ("image", "text", "image+text"):
        assert sum(row["present"][pattern] for row in others) == sum(row["present"][pattern] for row in clients)
    if name != "group":
        indices = np.concatenate([shard.indices for shard in experiment.shards])
        numbers = experiment.source.labels if name == "label" else experiment.source.sites
        assert [row["samples"] for row in others] == np.bincount(numbers[indices]).tolist()


def test_the_realised_missingness_counts_the_first_and_the_last_round_where_it_drifts(small_settings: Settings):
    rows = build_experiment(changed(small_settings, missing={"kind": "drift", "rate": 0.5})).realised_missingness()
    assert (
        sum(row["present"]["text"] for row in rows) == sum(row["present_in_last_round"]["image"] for row in rows) == 20
    )
    assert (
        sum(row["present"]["image"] for row in rows) == sum(row["present_in_last_round"]["text"] for row in rows) == 0
    )


# The best possible accuracy, where what is missing tells about the class


def limit(experiment: Experiment, personal: tuple[int, ...] = ()) -> np.ndarray:
    return experiment.best_possible(experiment.scenarios[LIKE_TRAIN], experiment.test_owners, personal)


def without_patterns(experiment: Experiment, personal: tuple[int, ...] = ()) -> np.ndarray:
    """The limit of a classifier that does not heed what is missing."""
    shard = replace(experiment.scenarios[LIKE_TRAIN], likelihood=None)
    return experiment.best_possible(shard, experiment.test_owners, personal)


def test_where_only_one_class_lacks_the_text_its_absence_says_everything(small_settings: Settings):
    # At this strength one of two classes lacks it always, the other never.
    missing = {"kind": "by-label", "lacking": "text", "strength": 100.0, "rate": 0.5}
    settings = changed(small_settings, missing=missing, data={"num_classes": 2, "num_train": 4000})
    experiment = build_experiment(settings)
    assert limit(experiment).min() > 0.99
    assert without_patterns(experiment).min() < 0.9


@pytest.mark.parametrize("personal", [(), (0, 2)])
def test_the_limit_weighs_classes_by_how_often_they_have_the_pattern(
    personal: tuple[int, ...], small_settings: Settings
):
    experiment = build_experiment(changed(small_settings, missing={"kind": "by-label"}))
    shard, world, owners = experiment.scenarios[LIKE_TRAIN], experiment.source, experiment.test_owners
    assert isinstance(experiment.mechanism, ByLabel)
    rates = experiment.mechanism.rates
    for row, (index, present) in enumerate(zip(shard.indices, shard.present, strict=True)):
        everything = np.array([[*present, False]])
        weights = world.posterior(np.array([index]), everything)[0] * (1 - rates if present.all() else rates / 2)
        if owners[row] in personal:
            own = world.labels[shard.indices[owners == owners[row]]]
            weights = weights * [(own == label).sum() for label in range(3)]
        assert limit(experiment, personal)[row] == pytest.approx(weights.max() / weights.sum())


@pytest.mark.parametrize(
    ("missing", "partition"),
    [
        ({"kind": "by-label"}, {"kind": "even"}),
        ({"kind": "absent-sensors"}, {"kind": "labels", "alpha": 0.1}),
        ({"kind": "by-site", "groups": 2, "alpha": 0.2}, {"kind": "labels", "alpha": 0.1}),
        ({"kind": "by-observed", "strength": 20.0}, {"kind": "even"}),
        ({"kind": "drift"}, {"kind": "even"}),
    ],
    ids=lambda value: value["kind"],
)
def test_the_best_classifier_is_right_as_often_as_the_limit_says(
    missing: dict[str, Any], partition: dict[str, Any], small_settings: Settings
):
    data = {"num_train": 400, "num_test": 3000, "num_classes": 4, "num_sites": 1}
    experiment = build_experiment(changed(small_settings, missing=missing, partition=partition, data=data))
    shard, world = experiment.scenarios[LIKE_TRAIN], experiment.source
    present = np.column_stack([shard.present, np.zeros(3000, dtype=bool)])
    labels = world.labels[shard.indices]
    # How frequent each pattern is in each class, counted: the Bayes classifier by frequencies instead of by formula.
    patterns = shard.present @ [1, 2]
    counts = np.zeros((4, 4))
    np.add.at(counts, (patterns, labels), 1)
    told = counts / np.bincount(labels, minlength=4)
    weights = world.posterior(shard.indices, present) * told[patterns]
    right = weights.argmax(axis=1) == labels
    assert right.mean() == pytest.approx(limit(experiment).mean(), abs=4 * np.sqrt(0.25 / 3000))
    assert (weights.max(axis=1) / weights.sum(axis=1)).mean() == pytest.approx(limit(experiment).mean(), abs=0.01)
    # Heeding the pattern pays exactly where it tells something.
    tells = missing["kind"] not in ("by-observed", "drift")
    gain = limit(experiment).mean() - without_patterns(experiment).mean()
    assert (gain > 0.002) == tells


def test_patterns_of_clients_tell_nothing_unless_clients_are_divided_by_labels(small_settings: Settings):
    missing = {"kind": "absent-sensors", "rate": 0.5}
    for kind in ("even", "site"):
        experiment = build_experiment(changed(small_settings, missing=missing, partition={"kind": kind}))
        assert limit(experiment) == pytest.approx(without_patterns(experiment))
    experiment = build_experiment(changed(small_settings, missing=missing, partition={"kind": "labels"}))
    assert limit(experiment) != pytest.approx(without_patterns(experiment))


def test_who_knows_the_client_learns_nothing_from_what_all_its_samples_lack(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, missing={"kind": "absent-sensors", "rate": 0.5}))
    everybody = (0, 1, 2, 3)
    assert limit(experiment, everybody) == pytest.approx(without_patterns(experiment, everybody))


def test_in_scenarios_that_are_not_like_training_patterns_tell_nothing(small_settings: Settings):
    experiment = build_experiment(changed(small_settings, missing={"kind": "by-label"}))
    assert [name for name, shard in experiment.scenarios.items() if shard.likelihood is not None] == [LIKE_TRAIN]
    assert experiment.validation.likelihood is not None


# Data with holes of its own, whose best possible accuracy is not known


class Holed:
    """The built-in world, but the first modality of every third sample is not there, and nobody knows a limit."""

    def __init__(self, world: BuiltinWorld) -> None:
        self.modalities, self.task, self.label_names = world.modalities, world.task, world.label_names
        self.labels, self.sites, self.splits = world.labels, world.sites, world.splits
        self.there = world.there.copy()
        self.there[::3, 0] = False
        self._world = world

    def __len__(self) -> int:
        return len(self._world)

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        assert all(self.there[index, self.modalities.index(modality)] for modality in modalities)
        return self._world.read(index, modalities)


@pytest.fixture
def holed_world(monkeypatch: pytest.MonkeyPatch) -> dict[str, Holed]:
    """Makes the built-in world such a data set; holds it by name once an experiment is built."""
    opened = samples.SOURCES["builtin"]
    worlds: dict[str, Holed] = {}
    monkeypatch.setattr(samples, "_latest", {})

    @functools.wraps(opened)  # it takes the same settings
    def open_holed(path: str, **options: Any) -> Holed:
        return worlds.setdefault("world", Holed(opened(path, **options)))

    monkeypatch.setattr(samples, "SOURCES", {"builtin": open_holed})
    return worlds


@pytest.fixture
def holed(holed_world: dict[str, Holed], small_settings: Settings) -> Experiment:
    assert holed_world == {}
    return build_experiment(small_settings)


def test_what_samples_really_lack_is_missing_in_every_split_and_scenario(holed: Experiment):
    for shard in (*holed.shards, holed.validation, *holed.scenarios.values()):
        assert not shard.present[shard.indices % 3 == 0, 0].any()
        assert shard.present.any(axis=1).all()


def test_samples_that_lack_the_only_modality_of_a_scenario_are_not_part_of_it(holed: Experiment):
    # Test samples are 48 to 71; 48, 51 and so on have no image.
    only = holed.scenarios["image only"]
    assert only.indices.tolist() == [index for index in range(48, 72) if index % 3]
    assert only.present.tolist() == [[True, False]] * 16
    assert [len(holed.scenarios[name]) for name in ("like train", "miss both", "full", "text only")] == [24] * 4
    assert holed.scenario_owners["image only"].tolist() == holed.test_owners[only.indices - 48].tolist()
    assert holed.masks()["test.image only.samples"].tolist() == only.indices.tolist()


def test_a_scenario_that_no_sample_can_be_part_of_is_left_out(
    small_settings: Settings, holed_world: dict[str, Holed], monkeypatch: pytest.MonkeyPatch
):
    build_experiment(small_settings)
    holed_world["world"].there[:, 0] = False
    monkeypatch.setattr(samples, "_latest", {})
    with pytest.raises(ValueError, match="no sample has any image"):
        build_experiment(small_settings)
    monkeypatch.setattr(samples, "_latest", {})
    experiment = build_experiment(small_settings, at_site=True)  # a site may have no camera
    assert list(experiment.scenarios) == ["like train", "miss both", "full", "text only"]


def test_where_no_limit_is_known_none_is_told(holed: Experiment):
    assert holed.best_possible(holed.validation, holed.validation_owners) is None

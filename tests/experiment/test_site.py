"""One client's part of an experiment: what it tells about itself, what it measures, what all sites measure together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedprime.experiment.build import Experiment
from fedprime.experiment.site import EACH_ALONE, VALIDATION, Site, build_site_experiment, weighted_scores
from fedprime.models.evaluation import predict, score
from miniatures import DISHES, write_food101

pytestmark = pytest.mark.without_shape_checks


def test_a_site_tells_what_is_predicted_from_what_and_on_how_much(small_experiment: Experiment):
    said = Site(2, small_experiment, has_own_data=False).description()
    assert said["client"] == 2
    assert said["task"] == "one_class"
    assert said["label_names"] == list(small_experiment.source.label_names)
    assert said["modalities"] == ["image", "text"]
    assert said["num_samples"] == len(small_experiment.shards[2])


def test_sites_together_measure_what_one_place_with_all_samples_would(small_experiment: Experiment):
    weights = small_experiment.model.weights()
    found = {client: Site(client, small_experiment, has_own_data=False).measure(weights) for client in range(4)}
    joined = weighted_scores(found)
    assert joined.keys() == small_experiment.scenarios.keys()
    for name, shard in small_experiment.scenarios.items():
        expected = score(predict(small_experiment.model, shard, 16))
        assert joined[name]["accuracy"] == pytest.approx(expected.accuracy, abs=1e-12)
        assert joined[name]["loss"] == pytest.approx(expected.loss, rel=1e-6)
        assert joined[name]["num_samples"] == expected.num_samples


def test_validation_is_measured_only_when_it_is_asked_for(small_experiment: Experiment):
    site, weights = Site(0, small_experiment, has_own_data=True), small_experiment.model.weights()
    assert site.measure(weights, [VALIDATION]).keys() == {VALIDATION}
    assert VALIDATION not in site.measure(weights)
    alone = site.measure(weights, [VALIDATION, EACH_ALONE])[EACH_ALONE]
    assert alone["num_samples"] == 2 * (small_experiment.validation.present.sum(axis=1) == 2).sum()


def test_a_site_without_samples_of_a_kind_says_nothing_about_them(small_experiment: Experiment):
    nobody = replace(small_experiment, validation_owners=np.full(8, 3))
    assert Site(0, nobody, has_own_data=False).measure(nobody.model.weights(), [VALIDATION]) == {}


def test_scores_are_weighted_by_samples_and_over_those_who_have_them():
    first = {"full": {"accuracy": 1.0, "auroc": 0.5, "num_samples": 1}}
    second = {"full": {"accuracy": 0.5, "num_samples": 3}, "text only": {"accuracy": 0.25, "num_samples": 2}}
    assert weighted_scores({1: second, 0: first}) == {
        "full": {"accuracy": 0.625, "auroc": 0.5, "num_samples": 4},
        "text only": {"accuracy": 0.25, "num_samples": 2},
    }


def test_all_samples_of_a_folder_of_its_own_are_the_clients(small_experiment: Experiment, tmp_path: Path):
    write_food101(tmp_path, dict.fromkeys(DISHES, (4, 1, 1)))
    settings = replace(small_experiment.settings, data=replace(small_experiment.settings.data, name="food101"))
    experiment = build_site_experiment(settings, 3, str(tmp_path))
    site = Site(3, experiment, has_own_data=True)
    assert len(experiment.shards) == 1
    assert site.description()["num_samples"] == len(experiment.shards[0]) == len(experiment.source.splits["train"])

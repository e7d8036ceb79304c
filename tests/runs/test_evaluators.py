"""What a run has come to, measured on the samples of this process."""

from pathlib import Path

import numpy as np
import pytest

from fedprime.experiment.build import Experiment
from fedprime.experiment.loading import load_experiment
from fedprime.experiment.run_folder import Checkpoint, RunFolder
from fedprime.methods.method import ServerState
from fedprime.runs.evaluators import OwnSamples
from run_files import results_of, weights_of


def test_every_client_is_scored_on_its_own_test_samples(finished_run: Path):
    results = results_of(finished_run)
    clients = [scores for scores in results["clients"].values() if scores]
    assert results["clients"].keys() == {"0", "1", "2", "3"}
    assert sum(scores["num_samples"] for scores in clients) == 24
    right = sum(scores["accuracy"] * scores["num_samples"] for scores in clients)
    assert right / 24 == pytest.approx(results["scenarios"]["like train"]["accuracy"])


def test_the_model_of_a_run_scores_what_its_results_say(finished_run: Path):
    run = RunFolder(finished_run)
    measured = OwnSamples(load_experiment(run)).on_test(Checkpoint(3, ServerState(weights_of(finished_run))))
    assert measured["scenarios"] == run.results()["scenarios"]
    assert measured["clients"] == run.results()["clients"]


def test_the_limit_of_a_client_knows_its_labels(finished_run: Path):
    # Whatever the skew, always answering a client's most frequent class is no better than the best possible.
    experiment = load_experiment(RunFolder(finished_run))
    results = RunFolder(finished_run).results()["clients"]
    for client, scores in results.items():
        own = experiment.scenarios["like train"].indices[experiment.test_owners == int(client)]
        most_frequent = np.bincount(experiment.source.labels[own]).max() / len(own)
        assert scores["bayes_accuracy"] >= most_frequent - 1e-9


def test_the_bayes_limit_is_worked_out_once(small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    asked, best_possible = [], Experiment.best_possible

    def counted(self: Experiment, *arguments: object) -> object:
        asked.append(1)
        return best_possible(self, *arguments)

    monkeypatch.setattr(Experiment, "best_possible", counted)
    evaluator = OwnSamples(small_experiment)
    checkpoint = Checkpoint(1, ServerState(small_experiment.model.weights()))
    assert evaluator.on_validation(checkpoint) == evaluator.on_validation(checkpoint)
    assert len(asked) == 2  # of shared weights, and of models of everybody's own

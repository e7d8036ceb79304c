"""Who measures what a run has come to: the process that has all samples, or the sites that have them."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedprime.data.batches import Shard
from fedprime.experiment.build import LIKE_TRAIN, Experiment
from fedprime.experiment.run_folder import Checkpoint, RunError
from fedprime.experiment.site import VALIDATION, weighted_scores
from fedprime.federation.clients import KeepingClients
from fedprime.methods.method import Method, ServerState
from fedprime.models.discriminant import log_frequencies
from fedprime.models.evaluation import Predictions, count_usage, majority_accuracy, predict, score
from fedprime.reproducibility.determinism import reproducible
from fedprime.runs.metrics import validation_metrics

__all__ = ["Evaluator", "OwnSamples", "SiteClients", "SiteSamples", "personal_clients"]


@runtime_checkable
class Evaluator(Protocol):
    """Who measures what a run has come to."""

    def on_validation(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Returns what the line of metrics of a round says of validation samples."""
        ...

    def on_test(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Returns what the final table says of test samples: of every scenario, and of every client's own."""
        ...


@dataclass(frozen=True)
class OwnSamples:
    """Measures on the samples of an experiment.

    Where clients have models of their own, a sample is predicted by the model of the client that it belongs to.

    Attributes:
        experiment: What was trained on; the weights of its model are overwritten.
    """

    experiment: Experiment

    def on_validation(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Returns what the line of metrics of a round says of validation samples, and which prompts they chose.

        Args:
            checkpoint: The weights.
        """
        shard, modalities = self.experiment.validation, self.experiment.model.backbone.modalities
        predictions, scores = self._measure(checkpoint, shard, self.experiment.validation_owners)
        metrics: dict[str, Any] = validation_metrics(scores)
        if predictions.chosen:
            sizes = {pool: len(checkpoint.state.shared[f"prompter.pools.{pool}"]) for pool in predictions.chosen}
            metrics["usage"] = count_usage(predictions, shard.present, modalities, sizes)
        return metrics

    def on_test(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Measures trained weights on every test scenario, and for every client on test samples like its own.

        Args:
            checkpoint: The weights.

        Returns:
            ``scenarios``: by name, the scores and, where it is known, the best possible accuracy; ``clients``: by
                client, the scores on its test samples.
        """
        experiment = self.experiment
        scenarios: dict[str, Any] = {}
        clients: dict[str, Any] = {}
        for name, shard in experiment.scenarios.items():
            predictions, scenarios[name] = self._measure(checkpoint, shard, experiment.scenario_owners[name])
            if name == LIKE_TRAIN:
                owners = experiment.test_owners
                for client in range(experiment.settings.partition.num_clients):
                    own = np.flatnonzero(owners == client)
                    # With few samples, a client may own none of them.
                    found = (
                        self._scores(checkpoint, predictions.rows(own), shard.rows(own), owners[own])
                        if len(own)
                        else None
                    )
                    if found and "own_bayes_accuracy" in found:
                        # Of one client alone: its labels are not equally frequent, and the limit must know it.
                        found["bayes_accuracy"] = found["own_bayes_accuracy"]
                    clients[str(client)] = found
        return {"scenarios": scenarios, "clients": clients}

    def _measure(
        self, checkpoint: Checkpoint, shard: Shard, owners: Int[np.ndarray, " sample"]
    ) -> tuple[Predictions, dict[str, float]]:
        """Predicts each sample by the model of the client that it belongs to, or by the shared one, and scores that."""
        experiment = self.experiment
        personal = personal_clients(experiment.method, checkpoint)
        groups = [(checkpoint.state.shared, np.flatnonzero(~np.isin(owners, personal)))]
        groups += [(checkpoint.weights(client), np.flatnonzero(owners == client)) for client in personal]
        parts: list[Predictions] = []
        order: list[np.ndarray] = []
        for weights, rows in groups:
            if len(rows):
                experiment.model.load_weights(weights)
                with reproducible(experiment.settings.threads):
                    parts.append(predict(experiment.model, shard.rows(rows), experiment.settings.evaluation.batch_size))
                order.append(rows)
        predictions = Predictions.joined(parts).rows(np.argsort(np.concatenate(order)))
        return predictions, self._scores(checkpoint, predictions, shard, owners)

    def _scores(
        self, checkpoint: Checkpoint, predictions: Predictions, shard: Shard, owners: Int[np.ndarray, " sample"]
    ) -> dict[str, float]:
        """Returns scores with the shared prior; names after ``own_`` are with that of each sample's own client."""
        experiment = self.experiment
        personal = personal_clients(experiment.method, checkpoint)
        at_client = predictions.with_prior(_own_priors(experiment, personal)[owners])
        everybody = range(experiment.settings.partition.num_clients)
        own = _with_limit(at_client, experiment.best_possible(shard, owners, everybody))
        own = {f"own_{name}": value for name, value in own.items() if name != "num_samples"}
        own["majority_accuracy"] = majority_accuracy(predictions.labels, _frequencies(experiment)[0].numpy())
        return _with_limit(predictions, experiment.best_possible(shard, owners, personal)) | own


@runtime_checkable
class SiteClients(KeepingClients, Protocol):
    """Clients that measure on samples of their own; what they keep stays with them.

    Attributes:
        descriptions: By client that was found, what it said about itself (`fedprime.experiment.site.Site.description`).
    """

    descriptions: dict[int, dict[str, Any]]

    def find(self, clients: Collection[int], needed: int) -> None:
        """Waits for clients until enough of them are there, or for as long as the settings say."""
        ...

    def evaluate(
        self, round_number: int, state: ServerState, names: Collection[str] | None
    ) -> dict[int, dict[str, dict[str, Any]]]:
        """Returns the scores of the weights after a round, by client that answered and name of the samples."""
        ...


@dataclass(frozen=True)
class SiteSamples:
    """Asks sites to measure: the server has no samples.

    Attributes:
        clients: The sites.
    """

    clients: SiteClients

    def on_validation(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Returns what the line of metrics of a round says of validation samples: nothing if no site answers.

        Args:
            checkpoint: The weights.
        """
        found = self.clients.evaluate(checkpoint.next_round - 1, checkpoint.state, [VALIDATION])
        scores = weighted_scores(found).get(VALIDATION, {})
        return validation_metrics(scores) | {"measured_by": len(found)} if scores else {}

    def on_test(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Returns what the final table says of test samples, and which sites measured.

        Args:
            checkpoint: The weights.

        Raises:
            RunError: If no site answers.
        """
        found = self.clients.evaluate(checkpoint.next_round - 1, checkpoint.state, None)
        if not found:
            raise RunError(
                "all rounds are done and saved, but no site measured the model; start the same again to ask them once "
                "more"
            )
        return {
            "scenarios": weighted_scores(found),
            "clients": {str(client): found.get(client, {}).get(LIKE_TRAIN) for client in range(len(self.clients))},
            "measured_by": sorted(found),
        }


def personal_clients(method: Method, checkpoint: Checkpoint) -> tuple[int, ...]:
    """Returns the clients that are evaluated with models of their own.

    Args:
        method: The method.
        checkpoint: The weights.
    """
    return () if method.evaluates_shared else checkpoint.personal_clients


def _own_priors(experiment: Experiment, personal: Collection[int]) -> Float[np.ndarray, "client output"]:
    """Returns what each client adds to scores to predict its own samples: the logarithm of its label frequencies.

    Scores that are no evidence hold a prior already: shared weights that of all training samples, which is taken off,
    and those of a single client its own.
    """
    of_all, counts, sizes = _frequencies(experiment)
    task = experiment.source.task
    frequencies = of_all.softmax(dim=0) if task == "one_class" else of_all.sigmoid()
    priors = torch.stack(
        [log_frequencies(own, size, task, frequencies) for own, size in zip(counts, sizes, strict=True)]
    )
    if experiment.model.log_prior is None:
        priors = priors - of_all
        priors[list(personal)] = 0
    return priors.numpy()


def _frequencies(experiment: Experiment) -> tuple[Float[Tensor, " output"], list[Tensor], list[int]]:
    """Returns the logarithms of label frequencies of all training samples, and by client label counts and size."""
    source = experiment.source
    counts = [_label_counts(source.labels[shard.indices], len(source.label_names)) for shard in experiment.shards]
    sizes = [len(shard) for shard in experiment.shards]
    return log_frequencies(torch.stack(counts).sum(dim=0), sum(sizes), source.task), counts, sizes


def _label_counts(labels: Int[np.ndarray, " sample"] | Float[np.ndarray, "sample label"], num_labels: int) -> Tensor:
    if labels.ndim == 1:
        return torch.from_numpy(np.bincount(labels, minlength=num_labels)).double()
    return torch.from_numpy((labels > 0).sum(axis=0)).double()


def _with_limit(predictions: Predictions, best: Float[np.ndarray, " sample"] | None) -> dict[str, float]:
    """Returns the scores that are defined, and the best possible accuracy where it is known."""
    scores = {name: value for name, value in asdict(score(predictions)).items() if value is not None}
    return scores if best is None else scores | {"bayes_accuracy": float(best.mean())}

"""Who measures what a run has come to; here the process that has all samples."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedprime.data.batches import Shard
from fedprime.experiment.build import LIKE_TRAIN, Experiment
from fedprime.experiment.run_folder import Checkpoint
from fedprime.federation.start import statistics_alone
from fedprime.federation.start_round import LocalSamples, each_alone
from fedprime.methods.method import Method, ServerState
from fedprime.models.discriminant import frequencies_of, label_counts, log_frequencies, own_log_frequencies
from fedprime.models.evaluation import Predictions, count_usage, majority_accuracy, predict, score
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.readout import EvidenceHead
from fedprime.models.statistics import Statistics
from fedprime.reproducibility.determinism import reproducible
from fedprime.runs.metrics import validation_metrics


@runtime_checkable
class Evaluator(Protocol):
    """Who measures what a run has come to.

    Attributes:
        is_release: Whether what is measured is made of clients' samples under noise, and counts as often as it is.
    """

    @property
    def is_release(self) -> bool:
        """Whether what is measured is made of clients' samples under noise."""
        ...

    @property
    def encoding_seconds(self) -> float:
        """How long values were encoded in this process so far, which is no time of rounds."""
        ...

    def on_validation(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Returns what the line of metrics of a round says of validation samples."""
        ...

    def on_test(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Returns what the final table says of test samples: of every scenario, and of every client's own."""
        ...

    def statistics(self, model: PromptedModel, client: int | None = None) -> Statistics | None:
        """Returns what training samples sum up to, of one client or of all; None if they are elsewhere."""
        ...


@dataclass(frozen=True)
class OwnSamples:
    """Measures on the samples of an experiment.

    Where clients have models of their own, a sample is predicted by the model of the client that it belongs to.

    Attributes:
        experiment: What was trained on; the weights of its model are overwritten.
    """

    experiment: Experiment
    is_release = False

    @property
    def encoding_seconds(self) -> float:
        """How long the samples' values were encoded so far."""
        return self.experiment.validation.samples.encoding_seconds

    def on_validation(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Returns what the line of metrics of a round says of validation samples, and which prompts they chose."""
        shard, modalities = self.experiment.validation, self.experiment.model.backbone.modalities
        owners = self.experiment.validation_owners
        measured = self._measure(checkpoint, shard, owners)
        predictions = measured.shared
        metrics: dict[str, Any] = validation_metrics(measured.scores(), self._each_alone(checkpoint, shard, owners))
        if predictions.chosen:
            sizes = {pool: len(checkpoint.state.shared[f"prompter.pools.{pool}"]) for pool in predictions.chosen}
            metrics["usage"] = count_usage(predictions, shard.present, modalities, sizes)
        return metrics

    def on_test(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Measures trained weights on every test scenario, and for every client on test samples like its own.

        Returns:
            ``scenarios``: by name, the scores and, where it is known, the best possible accuracy; ``clients``: by
                client, the scores on its test samples.
        """
        experiment = self.experiment
        scenarios: dict[str, Any] = {}
        clients: dict[str, Any] = {}
        for name, shard in experiment.scenarios.items():
            measured = self._measure(checkpoint, shard, experiment.scenario_owners[name])
            scenarios[name] = measured.scores()
            if name == LIKE_TRAIN:
                for client in range(experiment.settings.partition.num_clients):
                    own = np.flatnonzero(experiment.test_owners == client)
                    # With few samples, a client may own none of them.
                    clients[str(client)] = measured.rows_of_client(own).scores() if len(own) else None
        unusable = experiment.odd.counts()
        return {"scenarios": scenarios, "clients": clients, **({"unusable": unusable} if unusable else {})}

    def statistics(self, model: PromptedModel, client: int | None = None) -> Statistics:
        """Returns what training samples sum up to as a model reads them; the labels alone if it reads no blocks.

        Args:
            model: The model; its weights are overwritten.
            client: Whose samples; all if None.
        """
        experiment = self.experiment
        shards = experiment.shards if client is None else (experiment.holders[client],)
        validation = experiment.validation if client is None else experiment.validation_of(client)
        train = type(shards[0]).joined(shards)
        if isinstance(model.head, EvidenceHead):
            with reproducible(experiment.settings.threads):
                return statistics_alone(model, LocalSamples(train, validation))
        source = experiment.source
        counts = label_counts(source.labels[train.indices], len(source.label_names))
        return Statistics.of_labels(counts, len(train))

    def _each_alone(
        self, checkpoint: Checkpoint, shard: Shard, owners: Int[np.ndarray, " sample"]
    ) -> Mapping[str, float]:
        """Returns scores of samples with each of their modalities alone, where a head reads blocks."""
        rows, alone = each_alone(shard)
        if self.experiment.model.log_prior is None or not len(rows):
            return {}
        priors = self._own_priors(personal_clients(self.experiment.method, checkpoint))[owners[rows]]
        predictions = self._predicted(checkpoint, alone, owners[rows]).with_prior(priors)
        return {"num_samples": len(rows), "own_loss": score(predictions).loss}

    def _measure(self, checkpoint: Checkpoint, shard: Shard, owners: Int[np.ndarray, " sample"]) -> "_Measured":
        """Returns predictions of samples beside what is possible."""
        personal = personal_clients(self.experiment.method, checkpoint)
        predictions = self._predicted(checkpoint, shard, owners)
        everybody = range(self.experiment.settings.partition.num_clients)
        return _Measured(
            predictions,
            predictions.with_prior(self._own_priors(personal)[owners]),
            self._best_possible(shard, owners, personal),
            self._best_possible(shard, owners, everybody),
            self._label_priors[0].numpy(),
        )

    def _predicted(self, checkpoint: Checkpoint, shard: Shard, owners: Int[np.ndarray, " sample"]) -> Predictions:
        """Predicts each sample by the model of the client that it belongs to, or by the shared one."""
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
        return Predictions.joined(parts).rows(np.argsort(np.concatenate(order)))

    def _best_possible(
        self, shard: Shard, owners: Int[np.ndarray, " sample"], personal: Collection[int]
    ) -> Float[np.ndarray, " sample"] | None:
        """Returns the Bayes limit of each sample, which no round changes: each is worked out once."""
        asked = (id(shard), tuple(personal))  # the experiment keeps its shards
        if asked not in self._limits:
            self._limits[asked] = self.experiment.best_possible(shard, owners, personal)
        return self._limits[asked]

    @cached_property
    def _limits(self) -> dict[tuple[int, tuple[int, ...]], Float[np.ndarray, " sample"] | None]:
        return {}

    @cached_property
    def _label_priors(self) -> tuple[Float[Tensor, " output"], Float[Tensor, "client output"]]:
        """The logarithms of label frequencies: of all training samples, and of each client's."""
        source, shards = self.experiment.source, self.experiment.shards
        counts = [label_counts(source.labels[shard.indices], len(source.label_names)) for shard in shards]
        of_all = log_frequencies(torch.stack(counts).sum(dim=0), sum(len(shard) for shard in shards), source.task)
        shared = frequencies_of(of_all, source.task)
        pairs = zip(counts, shards, strict=True)
        return of_all, torch.stack([own_log_frequencies(own, len(shard), source.task, shared) for own, shard in pairs])

    def _own_priors(self, personal: Collection[int]) -> Float[np.ndarray, "client output"]:
        """Returns what each client adds to scores to predict its own samples: the logarithm of its label frequencies.

        Scores that are no evidence hold a prior already: shared weights that of all training samples, which is taken
        off, and those of a single client its own.
        """
        of_all, priors = self._label_priors
        if self.experiment.model.log_prior is None:
            priors = priors - of_all
            priors[list(personal)] = 0
        return priors.numpy()


@dataclass(frozen=True)
class _Measured:
    """Predictions of samples with the shared prior and with that of each sample's own client, and their limits."""

    shared: Predictions
    at_client: Predictions
    best: Float[np.ndarray, " sample"] | None
    best_at_client: Float[np.ndarray, " sample"] | None
    log_prior: Float[np.ndarray, " output"]

    def rows_of_client(self, rows: Int[np.ndarray, " row"]) -> "_Measured":
        """Returns what was measured on samples of one client: its labels differ in frequency, and the limit knows."""
        best = None if self.best_at_client is None else self.best_at_client[rows]
        return _Measured(self.shared.rows(rows), self.at_client.rows(rows), best, best, self.log_prior)

    def scores(self) -> dict[str, float]:
        """Returns scores with the shared prior; names after ``own_`` are with that of each sample's own client."""
        own = _with_limit(self.at_client, self.best_at_client)
        own = {f"own_{name}": value for name, value in own.items() if name != "num_samples"}
        own["majority_accuracy"] = majority_accuracy(self.shared.labels, self.log_prior)
        return _with_limit(self.shared, self.best) | own


def measure_model(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """Returns what a saved model scores on the test samples of an experiment, as `OwnSamples.on_test` tells it.

    Raises:
        ModelError: If there is no model, or it is of another backbone or of other labels.
    """
    model = PromptedModel.from_pretrained(folder, experiment.model.backbone)
    expected = experiment.model.label_names
    if model.label_names != expected:
        raise ModelError(
            f"the model in {folder} names the labels {', '.join(model.label_names)}, the data {', '.join(expected)}; "
            "measure it on data with the same labels in that order"
        )
    checkpoint = Checkpoint(0, ServerState(model.weights()))
    return OwnSamples(replace(experiment, model=model)).on_test(checkpoint)


def personal_clients(method: Method, checkpoint: Checkpoint) -> tuple[int, ...]:
    """Returns the clients that are evaluated with models of their own."""
    return () if method.evaluates_shared else checkpoint.personal_clients


def _with_limit(predictions: Predictions, best: Float[np.ndarray, " sample"] | None) -> dict[str, float]:
    """Returns the scores that are defined, and the best possible accuracy where it is known."""
    scores = score(predictions).known()
    return scores if best is None else scores | {"bayes_accuracy": float(best.mean())}

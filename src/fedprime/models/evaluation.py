"""How good a model is: on every test scenario, for every client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedprime.data.batches import Shard
from fedprime.data.missingness.patterns import all_patterns, pattern_name
from fedprime.data.sources import Task
from fedprime.models.calibration import as_target, log_likelihoods
from fedprime.models.prompted_model import PromptedModel


@dataclass(frozen=True)
class Predictions:
    """What a model says about samples.

    Attributes:
        probabilities: Of every class or label.
        labels: The truth, as in `Batch`.
        losses: Task loss of each sample.
        chosen: By pool, which of its prompts each sample was given; empty if the model has no pools.
        logits: The model's scores, without a prior where they are evidence; None where nobody has kept them.
    """

    probabilities: Float[np.ndarray, "sample output"]
    labels: Int[np.ndarray, " sample"] | Float[np.ndarray, "sample label"]
    losses: Float[np.ndarray, " sample"]
    chosen: Mapping[str, Int[np.ndarray, "sample chosen"]] = field(default_factory=dict)
    logits: Float[np.ndarray, "sample output"] | None = None

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Returns predictions of several models, one after the other; prompts of different models do not compare."""
        if len(parts) == 1:
            return parts[0]
        logits = [part.logits for part in parts]
        return cls(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.losses for part in parts]),
            logits=np.concatenate([part for part in logits if part is not None]) if logits[0] is not None else None,
        )

    def rows(self, rows: Int[np.ndarray, " row"]) -> "Predictions":
        """Returns some of the predictions."""
        chosen = {pool: indices[rows] for pool, indices in self.chosen.items()}
        logits = None if self.logits is None else self.logits[rows]
        return Predictions(self.probabilities[rows], self.labels[rows], self.losses[rows], chosen, logits)

    def with_prior(self, log_prior: Float[np.ndarray, "sample output"]) -> "Predictions":
        """Returns what the same scores say with another prior.

        Args:
            log_prior: For each sample, what is added to its scores.

        Raises:
            ValueError: If nobody has kept the scores.
        """
        if self.logits is None:
            raise ValueError("these predictions have no scores; predict again to use another prior")
        task = "one_class" if self.labels.ndim == 1 else "several_labels"
        logits = torch.from_numpy(self.logits + log_prior)
        probabilities = logits.softmax(dim=1) if task == "one_class" else logits.sigmoid()
        losses = sample_losses(logits, torch.from_numpy(self.labels), task)
        return Predictions(probabilities.numpy(), self.labels, losses.numpy(), self.chosen, self.logits)


@dataclass(frozen=True)
class Scores:
    """How good predictions are.

    Attributes:
        accuracy: Share of samples whose class, or whose every label, is right, 0 to 1.
        macro_f1: F1 per class that occurs in the truth or the predictions, averaged without weights, 0 to 1.
        loss: Mean task loss.
        micro_f1: F1 over all decisions about all labels, 0 to 1; None for one class, where it is the accuracy.
        auroc: Area under the ROC curve, 0 to 1: of the second of two classes, or the plain mean over several labels.
            Labels that all samples have, or none, do not count; None if none counts, and with more than two classes.
    """

    accuracy: float
    macro_f1: float
    loss: float
    num_samples: int
    micro_f1: float | None = None
    auroc: float | None = None

    def known(self) -> dict[str, float]:
        """Returns by name those that are defined."""
        return {name: value for name, value in vars(self).items() if value is not None}


@torch.no_grad()
def predict(model: PromptedModel, shard: Shard, batch_size: int = 128) -> Predictions:
    """Returns a model's predictions in the order of the samples.

    They do not depend on the batch size, unless the samples of a batch vote for their prompts
    (`fedprime.reproduction.reading.VotedPools`).
    """
    model.eval()
    scores, probabilities, labels, losses = [], [], [], []
    chosen: dict[str, list[Tensor]] = {}
    for batch in shard.batches(batch_size):
        output = model(batch)
        logits = output.logits.cpu()
        scores.append(logits)
        probabilities.append(model.probabilities(logits))
        labels.append(batch.labels)
        with_prior = logits if model.log_prior is None else logits + model.log_prior
        losses.append(sample_losses(with_prior, batch.labels, model.task))
        for pool, indices in output.chosen.indices.items():
            chosen.setdefault(pool, []).append(indices.cpu())
    return Predictions(
        torch.cat(probabilities).numpy(),
        torch.cat(labels).numpy(),
        torch.cat(losses).double().numpy(),
        {pool: torch.cat(parts).numpy() for pool, parts in chosen.items()},
        torch.cat(scores).numpy(),
    )


def sample_losses(logits: Float[Tensor, "sample output"], labels: Tensor, task: Task) -> Float[Tensor, " sample"]:
    """Returns the task loss of each sample: of several labels, the mean over them.

    Args:
        logits: Scores, with a prior.
    """
    likelihoods = log_likelihoods(logits, as_target(labels, logits.shape[1], task).to(logits.dtype), task)
    return -likelihoods if task == "one_class" else -likelihoods / logits.shape[1]


def score(predictions: Predictions) -> Scores:
    """Scores predictions against the truth.

    Raises:
        ValueError: If there are none.
    """
    if len(predictions.labels) == 0:
        raise ValueError("there are no predictions to score; give at least one sample")
    if predictions.labels.ndim == 1:
        answers = predictions.probabilities.argmax(axis=1)
    else:
        answers = predictions.probabilities > 0.5
    right = predictions.labels == answers
    macro_f1, micro_f1 = _f1(predictions.labels, answers)
    return Scores(
        accuracy=float(right.mean() if right.ndim == 1 else right.all(axis=1).mean()),
        macro_f1=macro_f1,
        loss=float(predictions.losses.mean()),
        num_samples=len(predictions.labels),
        micro_f1=None if predictions.labels.ndim == 1 else micro_f1,
        auroc=_auroc(predictions),
    )


def majority_accuracy(
    labels: Int[np.ndarray, " sample"] | Float[np.ndarray, "sample label"], log_prior: Float[np.ndarray, " output"]
) -> float:
    """Returns the accuracy of naming the likeliest class each time; of several labels, those that mostly apply.

    Args:
        log_prior: Logarithms of label frequencies; of several labels, log-odds.

    >>> majority_accuracy(np.array([0, 1, 1, 2]), np.log(np.array([0.2, 0.5, 0.3])))
    0.5
    """
    if labels.ndim == 1:
        return float((labels == log_prior.argmax()).mean())
    return float(((labels > 0) == (log_prior > 0)).all(axis=1).mean())


def _f1(labels: np.ndarray, answers: np.ndarray) -> tuple[float, float]:
    """Returns the F1 score averaged over classes or labels, and that of all of them together; 0 where nothing counts.

    Classes that are neither true nor answered anywhere are left out, as scikit-learn does, which takes longer to
    import than a small run takes to train.
    """
    if labels.ndim == 1:
        classes = np.union1d(labels, answers)
        labels, answers = labels[:, None] == classes, answers[:, None] == classes
    hits = (labels * answers).sum(axis=0)
    named = labels.sum(axis=0) + answers.sum(axis=0)
    of_each = np.divide(2 * hits, named, out=np.zeros(len(hits)), where=named > 0)
    return float(of_each.mean()), float(2 * hits.sum() / named.sum()) if named.any() else 0.0


def _auroc(predictions: Predictions) -> float | None:
    labels, probabilities = predictions.labels, predictions.probabilities
    if labels.ndim == 1 and probabilities.shape[1] == 2:
        labels, probabilities = labels[:, None], probabilities[:, 1:]
    if labels.ndim == 1 or not np.isfinite(probabilities).all():  # more than two classes; a model that diverged
        return None
    counted = np.flatnonzero((labels.min(axis=0) == 0) & (labels.max(axis=0) == 1))
    from sklearn.metrics import roc_auc_score  # slow to import, and few runs need it

    areas = [roc_auc_score(labels[:, column], probabilities[:, column]) for column in counted]
    return float(np.mean(areas)) if areas else None


def count_usage(
    predictions: Predictions,
    present: Bool[np.ndarray, "sample modality"],
    modalities: Sequence[str],
    pool_sizes: Mapping[str, int],
) -> dict[str, dict[str, list[int]]]:
    """Counts how often each prompt was chosen for samples of each missing pattern that occurs.

    Returns:
        By pool and name of the pattern, a count for each prompt of the pool.
    """
    usage: dict[str, dict[str, list[int]]] = {pool: {} for pool in predictions.chosen}
    for pattern in all_patterns(len(modalities)):
        rows = (present == pattern).all(axis=1)
        for pool, indices in predictions.chosen.items():
            if rows.any():
                counts = np.bincount(indices[rows].ravel(), minlength=pool_sizes[pool])
                usage[pool][pattern_name(pattern, modalities)] = counts.tolist()
    return usage

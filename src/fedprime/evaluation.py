"""How good a model is: on every test scenario, for every client."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.metrics import accuracy_score, f1_score

from fedprime.data.batches import Shard
from fedprime.model import PromptedModel

__all__ = ["Predictions", "Scores", "predict", "score"]


@dataclass(frozen=True)
class Predictions:
    """What a model says about samples.

    Attributes:
        probabilities: Of every class or label.
        labels: The truth, as in `Batch`.
        losses: Task loss of each sample.
    """

    probabilities: Float[np.ndarray, "sample output"]
    labels: Int[np.ndarray, " sample"] | Float[np.ndarray, "sample label"]
    losses: Float[np.ndarray, " sample"]

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Returns predictions one after the other.

        Args:
            parts: At least one.
        """
        return cls(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.losses for part in parts]),
        )

    def rows(self, rows: Int[np.ndarray, " row"]) -> "Predictions":
        """Returns some of the predictions.

        Args:
            rows: Which.
        """
        return Predictions(self.probabilities[rows], self.labels[rows], self.losses[rows])


@dataclass(frozen=True)
class Scores:
    """How good predictions are.

    Attributes:
        accuracy: Share of samples whose class, or whose every label, is right, 0 to 1.
        macro_f1: F1 per class that occurs in the truth or the predictions, averaged without weights, 0 to 1.
        loss: Mean task loss.
        num_samples: How many samples were scored.
    """

    accuracy: float
    macro_f1: float
    loss: float
    num_samples: int


@torch.no_grad()
def predict(model: PromptedModel, shard: Shard, batch_size: int = 128) -> Predictions:
    """Returns a model's predictions in the order of the samples; they do not depend on the batch size.

    Args:
        model: The model.
        shard: The samples and what is present of each.
        batch_size: Samples at a time.
    """
    model.eval()
    probabilities, labels, losses = [], [], []
    for batch in shard.batches(batch_size):
        logits = model(batch).logits
        probabilities.append(model.probabilities(logits))
        labels.append(batch.labels)
        losses += [
            model.task_loss(row[None], label[None]).item() for row, label in zip(logits, batch.labels, strict=True)
        ]
    return Predictions(torch.cat(probabilities).numpy(), torch.cat(labels).numpy(), np.array(losses))


def score(predictions: Predictions) -> Scores:
    """Scores predictions against the truth.

    Args:
        predictions: At least one.

    Raises:
        ValueError: If there are none.
    """
    if len(predictions.labels) == 0:
        raise ValueError("there are no predictions to score; give at least one sample")
    if predictions.labels.ndim == 1:
        answers = predictions.probabilities.argmax(axis=1)
    else:
        answers = predictions.probabilities > 0.5
    # scikit-learn's stub takes a text alone for zero_division.
    macro_f1 = f1_score(predictions.labels, answers, average="macro", zero_division=0.0)  # pyright: ignore[reportArgumentType]
    return Scores(
        accuracy=float(accuracy_score(predictions.labels, answers)),
        macro_f1=float(macro_f1),
        loss=float(predictions.losses.mean()),
        num_samples=len(predictions.labels),
    )

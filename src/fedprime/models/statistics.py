"""What a saved model tells of the samples behind it: sums that add up, so that models can be merged without a server.

The sums make the head again in closed form (`discriminant`). Two numbers of each block were chosen by the likelihood of
validation labels, which are elsewhere:

- *shrinkage* follows from sums by the formula below, which guesses the one of least error.
- the *temperature* is the mean over samples of those that sites chose. A site of few samples chooses badly, and always
  too low, since its covariance is a bad guess: its choice counts as if some more samples had the usual temperature.

Source: He et al. AFL: Single-Round Analytic Approach for Federated Learning with Pre-trained Models. CVPR 2025, for
sums that add up; Chen, Wiesel, Eldar, Hero. Shrinkage Algorithms for MMSE Covariance Estimation. IEEE Transactions on
Signal Processing 2010, for shrinkage (OAS).
"""

import hashlib
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fedprime.data.sources import Task
from fedprime.models.calibration import USUAL_TEMPERATURE
from fedprime.models.class_sums import ClassSums
from fedprime.models.discriminant import BlockDiscriminant, log_frequencies
from fedprime.models.model_folder import STATISTICS, ModelError, refuse_changed
from fedprime.models.prompted_model import PromptedModel, Weights

_USUAL_SAMPLES = 200  # as many more are taken to have the usual temperature

_TEMPERATURE, _ORIGINS = "temperature.", "origins"
_DIGEST = 32  # bytes


@dataclass(frozen=True)
class Statistics:
    """What is known of the training samples of a model.

    Attributes:
        sums: Over the samples; the labels alone of a model whose head reads no blocks.
        temperature: By block, how much its evidence counts.
        origins: Digests of the models that were merged into this one; none for a model that was trained.
    """

    sums: ClassSums
    temperature: Mapping[str, float]
    origins: frozenset[bytes] = frozenset()

    @classmethod
    def of_start(cls, sums: ClassSums, chosen: Sequence[Mapping[str, Mapping[str, float]]]) -> "Statistics":
        """Returns the statistics that a start in closed form leaves.

        Args:
            chosen: What its rounds chose, one after the other: by block a temperature, or a factor of it.
        """
        temperature: dict[str, float] = {}
        for block, total in sums.total.items():
            told = [choice.get(block, {}) for choice in chosen]
            first = [one["temperature"] for one in told if "temperature" in one]
            own = math.prod([*first, *(one.get("factor", 1.0) for one in told)]) if first else USUAL_TEMPERATURE
            number = float(total[0])
            temperature[block] = (number * own + _USUAL_SAMPLES * USUAL_TEMPERATURE) / (number + _USUAL_SAMPLES)
        return cls(sums, temperature)

    @classmethod
    def of_labels(cls, counts: Float64[Tensor, " label"], num_samples: int) -> "Statistics":
        """Returns the statistics of samples of which labels alone are told.

        Args:
            counts: Samples of each class, or that each label applies to.
        """
        sums = replace(
            ClassSums.nothing({}, len(counts)), labels=counts, num_samples=torch.tensor(num_samples).double()
        )
        return cls(sums, {})

    @classmethod
    def load(cls, folder: Path, model: PromptedModel) -> "Statistics | None":
        """Returns the statistics in the folder of a saved model; None if it has none.

        Raises:
            ModelError: If the file is broken, or of no samples that the model could have been made from.
        """
        path, values = folder / STATISTICS, read_statistics(folder)
        if values is None:
            return None
        problems = _form_problems(values, model)
        found = None if problems else cls.of_weights(values)
        if found is not None:
            problems = found._problems(model.task)
        if found is None or problems:
            raise ModelError(f"{path} is not of samples of this model: {'; '.join(problems)}; take another copy")
        refuse_changed(folder, STATISTICS)
        return found

    @classmethod
    def of_weights(cls, weights: Mapping[str, Tensor]) -> "Statistics":
        """Returns the statistics that `weights` made values of."""
        sums = {name: value for name, value in weights.items() if name.startswith("sums.")}
        temperature = {
            name.removeprefix(_TEMPERATURE): value.item()
            for name, value in weights.items()
            if name.startswith(_TEMPERATURE)
        }
        origins = frozenset(bytes(row.tolist()) for row in weights.get(_ORIGINS, torch.empty(0)))
        return cls(ClassSums.of_weights(sums), temperature, origins)

    def weights(self) -> Weights:
        """Returns them as values by name, to be saved beside the model."""
        values = self.sums.weights()
        for block, number in self.temperature.items():
            values[_TEMPERATURE + block] = torch.tensor([number], dtype=torch.float64)
        if self.origins:
            values[_ORIGINS] = torch.tensor([list(digest) for digest in sorted(self.origins)], dtype=torch.uint8)
        return values

    def _problems(self, task: Task) -> list[str]:
        """Says why no samples can have these statistics."""
        found = self.sums.problems(one_class=task == "one_class", are_whole=False)
        if self.sums.num_samples == 0:
            found.append("there are no samples")
        wrong = sorted(block for block, number in self.temperature.items() if not 0 <= number < math.inf)
        return found + [f"the temperature of {block} is no number from 0" for block in wrong]

    def __add__(self, other: "Statistics") -> "Statistics":
        """Returns the statistics of the samples of both, of the blocks that both have."""
        blocks = self.sums.total.keys() & other.sums.total.keys()
        ours, theirs = self.of_blocks(blocks), other.of_blocks(blocks)
        temperature: dict[str, float] = {}
        for block in ours.sums.total:
            own, added = float(ours.sums.total[block][0]), float(theirs.sums.total[block][0])
            share = own / (own + added) if own + added > 0 else 0.5
            temperature[block] = share * ours.temperature[block] + (1 - share) * theirs.temperature[block]
        return Statistics(ours.sums + theirs.sums, temperature, self.origins | other.origins)

    def of_blocks(self, blocks: Set[str]) -> "Statistics":
        """Returns the same of some blocks alone."""

        def kept(values: Mapping[str, Any]) -> dict[str, Any]:
            return {block: value for block, value in values.items() if block in blocks}

        sums = self.sums
        sums = replace(
            sums, count=kept(sums.count), first=kept(sums.first), total=kept(sums.total), second=kept(sums.second)
        )
        return replace(self, sums=sums, temperature=kept(self.temperature))

    def with_labels(self, places: Sequence[int], num_labels: int) -> "Statistics":
        """Returns the same where there are more labels, in another order: none of the others applies to a sample.

        Args:
            places: For each label of today, where it goes.
        """
        sums = self.sums
        count = {block: placed(value, places, num_labels) for block, value in sums.count.items()}
        first = {block: placed(value, places, num_labels) for block, value in sums.first.items()}
        labels = placed(sums.labels, places, num_labels)
        return replace(self, sums=replace(sums, labels=labels, count=count, first=first))

    def head(self, task: Task) -> Weights:
        """Returns the values of a head in closed form, of the blocks that some sample has."""
        prior = log_frequencies(self.sums.labels, float(self.sums.num_samples), task)
        values: Weights = {"head.log_prior": prior.float()}
        for block, total in self.sums.total.items():
            if total[0] == 0:
                continue
            discriminant = BlockDiscriminant.of_sums(self.sums, block, task)
            weight, bias = discriminant.evidence(least_error_shrinkage(discriminant.spectrum, float(total[0])))
            values[f"head.moments.{block}"] = discriminant.moments.float()
            values[f"head.weight.{block}"] = (self.temperature[block] * weight).float()
            values[f"head.bias.{block}"] = (self.temperature[block] * bias).float()
        return values


def placed(
    values: Float[Tensor, "label *shape"], places: Sequence[int], num_labels: int
) -> Float[Tensor, "label2 *shape"]:
    """Returns rows of labels where there are more labels, in another order; those of the others are zeros."""
    rows = values.new_zeros(num_labels, *values.shape[1:])
    rows[list(places)] = values
    return rows


def read_statistics(folder: Path) -> dict[str, Tensor] | None:
    """Returns what a saved model tells of its training samples, if it tells anything.

    Raises:
        ModelError: If the file is broken.
    """
    path = folder / STATISTICS
    try:
        return load_file(path) if path.is_file() else None
    except SafetensorError as error:
        raise ModelError(f"{path} is broken ({error!r}); take another copy, or leave it out") from error


def digest_of(folder: Path) -> bytes:
    """Returns what tells a saved model from others: the digest of its files."""
    found = hashlib.sha256()
    for name in ("model.safetensors", STATISTICS):
        if (folder / name).is_file():
            found.update((folder / name).read_bytes())
    return found.digest()


def least_error_shrinkage(spectrum: Float64[Tensor, " width"], num_samples: int | float) -> float:
    """Returns the shrinkage towards a multiple of the identity that has the least squared error, of normal samples.

    Args:
        spectrum: Eigenvalues of the covariance.
    """
    width, trace, squared = len(spectrum), float(spectrum.sum()), float(spectrum.square().sum())
    apart = (num_samples + 1) * (squared - trace**2 / width)  # 0 for a multiple of the identity
    error = squared + trace**2
    return error / apart if apart > error else 1.0


def _form_problems(values: Mapping[str, Tensor], model: PromptedModel) -> list[str]:
    """Says which values have other names or shapes than statistics of a model."""
    start = "sums.total."
    widths = getattr(model.head, "widths", {})
    blocks = {name.removeprefix(start) for name in values if name.startswith(start)}
    own = {block: width for block, width in widths.items() if block in blocks}
    nothing = ClassSums.nothing(own, len(model.label_names)).weights()
    expected = {name: tuple(value.shape) for name, value in nothing.items()}
    expected |= {f"{_TEMPERATURE}{block}": (1,) for block in own}
    found = {name: tuple(value.shape) for name, value in values.items()}
    if _ORIGINS in found:
        expected[_ORIGINS] = (*found[_ORIGINS][:1], _DIGEST)
    problems = [f"{name} is missing" for name in expected.keys() - found.keys()]
    problems += [f"{name} is unknown" for name in found.keys() - expected.keys()]
    problems += [
        f"{name} holds {value.dtype}, expected {'bytes' if name == _ORIGINS else 'numbers'}"
        for name, value in values.items()
        if value.is_complex() or (name == _ORIGINS and value.dtype != torch.uint8)
    ]
    problems += [
        f"{name} has shape {shape}, expected {expected[name]}"
        for name, shape in found.items()
        if name in expected and shape != expected[name]
    ]
    return sorted(problems)

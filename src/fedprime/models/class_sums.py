"""Sums over samples from which a linear discriminant is made: they add up, so it does not matter who holds what.

For each block: how many samples of each class have it, and its sum over them; over all samples that have it, their
number, its sum, and its second moments. Nothing else of a sample is needed, and nothing else leaves a client.

Source: He et al. AFL: Single-Round Analytic Approach for Federated Learning with Pre-trained Models. CVPR 2025; Luo et
al. No Fear of Heterogeneity: Classifier Calibration for Federated Learning with Non-IID Data. NeurIPS 2021.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from fedprime.data.sources import Task
from fedprime.models.calibration import as_target
from fedprime.models.prompted_model import Weights
from fedprime.models.readout import Blocks

_PREFIX = "sums."
#: Rounding may make an eigenvalue a little less than zero; as a share of the largest.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ClassSums:
    """What some samples sum up to.

    Attributes:
        labels: Samples of each class; of several labels, samples that each applies to.
        count: By block, those of `labels` that have it.
        first: By block, its sum over those.
        total: By block, how many samples have it, and behind that its sum over them.
        second: By block, its second moments summed over them: the rows of the upper triangle, one after the other.
    """

    labels: Float64[Tensor, " label"]
    num_samples: Float64[Tensor, ""]
    count: Mapping[str, Float64[Tensor, " label"]]
    first: Mapping[str, Float64[Tensor, "label _"]]
    total: Mapping[str, Float64[Tensor, " _"]]
    second: Mapping[str, Float64[Tensor, " _"]]

    @classmethod
    def nothing(cls, widths: Mapping[str, int], num_labels: int) -> "ClassSums":
        """Returns the sums over no samples."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64)

        return cls(
            zeros(num_labels),
            zeros(),
            {name: zeros(num_labels) for name in widths},
            {name: zeros(num_labels, width) for name, width in widths.items()},
            {name: zeros(1 + width) for name, width in widths.items()},
            {name: zeros(width * (width + 1) // 2) for name, width in widths.items()},
        )

    @classmethod
    def of_weights(cls, weights: Mapping[str, Tensor]) -> "ClassSums":
        """Returns the sums that `weights` made values of."""
        parts: dict[str, dict[str, Tensor]] = {"count": {}, "first": {}, "total": {}, "second": {}}
        for name, value in weights.items():
            kind, _, block = name.removeprefix(_PREFIX).partition(".")
            if block:
                parts[kind][block] = value.double()
        labels, num_samples = weights[_PREFIX + "labels"].double(), weights[_PREFIX + "num_samples"].double()
        return cls(labels, num_samples.reshape(()), **parts)

    def weights(self) -> Weights:
        """Returns the sums as values by name, to be sent or saved."""
        values: Weights = {_PREFIX + "labels": self.labels, _PREFIX + "num_samples": self.num_samples.reshape(1)}
        for kind in ("count", "first", "total", "second"):
            values |= {f"{_PREFIX}{kind}.{block}": value for block, value in getattr(self, kind).items()}
        return values

    def __add__(self, other: "ClassSums") -> "ClassSums":
        """Returns the sums over the samples of both."""
        ours, theirs = self.weights(), other.weights()
        return self.of_weights({name: value + theirs[name] for name, value in ours.items()})

    def second_moments(self, block: str) -> Float64[Tensor, "width width"]:
        """Returns the second moments of a block as a symmetric matrix."""
        width = len(self.total[block]) - 1
        matrix = torch.zeros(width, width, dtype=torch.float64)
        rows, columns = torch.triu_indices(width, width)
        matrix[rows, columns] = self.second[block]
        matrix[columns, rows] = self.second[block]
        return matrix

    def mean_square(self, block: str) -> float:
        """Returns how long, squared, samples that have a block are there in the mean; at least one must."""
        width = len(self.total[block]) - 1
        rows = torch.arange(width)
        # The diagonal begins each row of the upper triangle.
        return float(self.second[block][rows * width - rows * (rows - 1) // 2].sum() / self.total[block][0])

    def problems(self, *, one_class: bool, are_whole: bool = True) -> list[str]:
        """Says why no samples can have these sums; nothing if some can.

        Args:
            are_whole: Whether each sample counts as one; where one site had too many, they count as less.
        """
        found: list[str] = []
        if not all(value.isfinite().all() for value in self.weights().values()):
            return ["the sums are not finite"]
        counts = [self.labels, self.num_samples.reshape(1), *self.count.values()]
        counts += [total[:1] for total in self.total.values()]
        if any((value < 0).any() or (are_whole and (value != value.round()).any()) for value in counts):
            found.append(f"a number of samples is no {'whole ' if are_whole else ''}number from 0")
        if one_class and not _are_as_many(self.labels.sum(), self.num_samples):
            found.append(f"the classes have {self.labels.sum():g} samples, all together {self.num_samples:g}")
        if (self.labels > self.num_samples).any():
            found.append("a label applies to more samples than there are")
        return found + [problem for block in self.total if (problem := self._problem_of(block, one_class=one_class))]

    def _problem_of(self, block: str, *, one_class: bool) -> str:
        total, count, first = self.total[block], self.count[block], self.first[block]
        if total[0] > self.num_samples or (count > torch.minimum(self.labels, total[0])).any():
            return f"more samples have {block} than there are"
        if one_class and not torch.allclose(first.sum(dim=0), total[1:], rtol=1e-6, atol=1e-6):
            return f"the sums of {block} over the classes are not the sum over all samples"
        if one_class and not _are_as_many(count.sum(), total[0]):
            return f"the classes have {count.sum():g} samples with {block}, all {total[0]:g}"
        if first[count == 0].any() or (total[0] == 0 and total.any()):
            return f"the sums of {block} are not zero where there are no samples"
        if self._is_scattered_too_little(block, one_class=one_class):
            return f"the second moments of {block} are those of no samples"
        return ""

    def _is_scattered_too_little(self, block: str, *, one_class: bool) -> bool:
        """Says whether samples with these sums would have to scatter less than not at all around their means."""
        total, moments = self.total[block], self.second_moments(block)
        around = torch.outer(total[1:], total[1:]) / total[0].clamp_min(1)
        if one_class:  # around the mean of each class: of all that is told, that is left
            around = self.first[block].T @ (self.first[block] / self.count[block].clamp_min(1)[:, None])
        scatter = moments - around
        if not scatter.isfinite().all():
            return True
        # No eigenvalue is below -x if x more in all directions leaves a matrix that has a Cholesky factor: a fraction
        # of the time that eigenvalues take.
        scatter.diagonal().add_(_TOLERANCE * max(1.0, float(moments.diagonal().sum())))
        return bool(torch.linalg.cholesky_ex(scatter).info)


def _are_as_many(found: Tensor, expected: Tensor) -> bool:
    return math.isclose(found, expected, rel_tol=1e-12)


def sum_blocks(blocks: Blocks, labels: Tensor, num_labels: int, task: Task) -> ClassSums:
    """Returns what samples sum up to."""
    applies = as_target(labels, num_labels, task)
    count: dict[str, Tensor] = {}
    first: dict[str, Tensor] = {}
    total: dict[str, Tensor] = {}
    second: dict[str, Tensor] = {}
    for name, values in blocks.values.items():
        there = blocks.present[name].cpu()
        rows, of_label = values.detach().cpu()[there].double(), applies[there]
        upper = torch.triu_indices(rows.shape[1], rows.shape[1])
        count[name] = of_label.sum(dim=0)
        first[name] = of_label.T @ rows
        total[name] = torch.cat([torch.tensor([float(len(rows))], dtype=torch.float64), rows.sum(dim=0)])
        second[name] = (rows.T @ rows)[upper[0], upper[1]]
    return ClassSums(
        applies.sum(dim=0), torch.tensor(float(len(applies)), dtype=torch.float64), count, first, total, second
    )

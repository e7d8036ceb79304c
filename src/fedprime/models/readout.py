"""What a head reads of a sample: the summary feature, and for each modality that is there its frozen vectors.

A *block* is one of these vectors. The blocks of a missing modality are absent, not zero: they say nothing about the
class, and what is not there cannot leak. Evidence of blocks adds up,

    logit_c = sum over present blocks b of  t_b · (W_b · (r_b - mean_b) / scale_b + v_b)_c

so one matrix for each block is a head for every missing pattern, also of those that no training sample has. What
several modalities say of one thing is not independent: ``t_b`` is 1 where a sample has one modality, and one number for
each block where it has several. Evidence holds nobody's label frequencies: whoever predicts adds the logarithm of a
prior.

Source: naive Bayes and linear discriminant analysis, for the sum; docs/learning.md, for what it is worth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fedprime.backbones.backbone import Backbone
from fedprime.backbones.blocks import block_of, block_widths, blocks_by_modality
from fedprime.data.batches import Batch
from fedprime.reproducibility.seeding import torch_stream

#: What a head reads: the summary feature alone, as in the paper, or with it the blocks of each modality.
Readout = Literal["summary", "blocks"]
#: The name of the block that goes through the transformer, with the prompts.
SUMMARY = "summary"
#: Coordinates of a block at most; wider ones are projected by a fixed random rotation.
WIDEST = 1536

_PARTS_OF_BLOCK = ("weight", "bias", "moments")  # without which a block says nothing


@dataclass(frozen=True)
class Blocks:
    """The blocks of a batch.

    Attributes:
        values: By block, its vector for every sample; of one that is absent it does not matter.
        present: By block, which samples have it.
        several: Which samples have more than one modality; none if not given.
    """

    values: Mapping[str, Float[Tensor, "sample _"]]
    present: Mapping[str, Bool[Tensor, " sample"]]
    several: Bool[Tensor, " sample"] | None = None


def readout_widths(backbone: Backbone, readout: Readout) -> dict[str, int]:
    """Returns how many coordinates each block has, by name."""
    widths = {SUMMARY: backbone.feature_dim}
    if readout == "blocks":
        widths |= block_widths(backbone)
    return {name: min(width, WIDEST) for name, width in widths.items()}


def alike_blocks(backbone: Backbone) -> frozenset[str]:
    """Names the blocks of images and texts, which encoders make about as large for all; numbers may have any size."""
    by_modality = blocks_by_modality(backbone)
    alike = [modality for modality, kind in backbone.kinds.items() if kind in ("image", "text")]
    summary = {SUMMARY} if len(alike) == len(by_modality) else set[str]()
    return frozenset(summary.union(*(by_modality[modality] for modality in alike)))


def frozen_blocks(backbone: Backbone, batch: Batch) -> Blocks:
    """Returns the blocks of a batch that no prompt reaches, in main memory."""
    values: dict[str, Tensor] = {}
    present: dict[str, Tensor] = {}
    by_modality = blocks_by_modality(backbone)
    for modality, parts in batch.embedded.items():
        known = None if batch.blocks is None else batch.blocks(modality)
        if known is None:
            found = iter(block_of(backbone, modality, [part for part in parts if part is not None]))
            known = [None if part is None else next(found) for part in parts]
        widths = by_modality[modality]
        absent = torch.zeros(sum(widths.values()))
        rows = torch.stack([absent if row is None else row for row in known])
        there = torch.tensor([part is not None for part in parts])
        for name, own in zip(widths, rows.split(list(widths.values()), dim=1), strict=True):
            values[name], present[name] = _narrowed(name, own), there
    return Blocks(values, present)


def _narrowed(name: str, rows: Float[Tensor, "sample width"]) -> Float[Tensor, "sample _"]:
    """Returns rows of at most `WIDEST` coordinates: lengths and angles change little under a random projection."""
    width = rows.shape[1]
    if width <= WIDEST:
        return rows
    drawn = torch.randn(width, WIDEST, generator=torch_stream(0, "readout", name, width), dtype=torch.float64)
    return rows @ torch.linalg.qr(drawn).Q.to(rows.dtype)


class EvidenceHead(nn.Module):
    """One linear map for each block; what the blocks of a sample say is added.

    Attributes:
        weight: By block, one row for each output.
        bias: By block, one number for each output; it is added where the block is there.
        moments: By block, mean and standard deviation of each coordinate over all clients' samples. Measured.
        log_prior: What is added to evidence when nobody says which prior to predict with: the logarithm of the shared
            label frequencies (of several labels, their log-odds); zeros while they are not known. Measured.
    """

    def __init__(self, widths: Mapping[str, int], num_outputs: int, rng: torch.Generator | None = None) -> None:
        """Draws the first weights.

        Args:
            widths: By block, its coordinates.
            rng: Source of the weights; without one they are zero, to be loaded.
        """
        super().__init__()
        self.weight = nn.ParameterDict(
            {
                name: nn.Parameter(
                    torch.zeros(num_outputs, width)
                    if rng is None
                    else torch.randn(num_outputs, width, generator=rng) * width**-0.5
                )
                for name, width in widths.items()
            }
        )
        self.bias = nn.ParameterDict({name: nn.Parameter(torch.zeros(num_outputs)) for name in widths})
        unknown = {name: torch.stack([torch.zeros(width), torch.ones(width)]) for name, width in widths.items()}
        self.moments = nn.ParameterDict(
            {name: nn.Parameter(value, requires_grad=False) for name, value in unknown.items()}
        )
        self.together = nn.ParameterDict({name: nn.Parameter(torch.ones(1), requires_grad=False) for name in widths})
        self.log_prior = nn.Parameter(torch.zeros(num_outputs), requires_grad=False)

    @property
    def widths(self) -> dict[str, int]:
        """By block, its coordinates."""
        return {name: weight.shape[1] for name, weight in self.weight.items()}

    def lacking(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns values for what heads of earlier versions did not have; these change nothing of what is said.

        That is how evidence is weighed together, and blocks beside the first one of a modality: `image patches` beside
        `image`.

        Args:
            weights: Values of a head, by the names of its parameters.
        """
        known = self.state_dict()
        named = {name.partition(".")[2] for name in weights if name.partition(".")[0] in _PARTS_OF_BLOCK}
        added = [name for name in self.widths.keys() - named if name.partition(" ")[0] in named]
        silent = [f"{part}.{name}" for name in added for part in _PARTS_OF_BLOCK]
        values = {name: torch.zeros_like(known[name]) for name in silent}
        for name in added:
            values[f"moments.{name}"][1] = 1
        together = {f"together.{name}" for name in self.widths} - weights.keys()
        return values | {name: torch.ones_like(known[name]) for name in together}

    def forward(self, blocks: Blocks) -> Float[Tensor, "sample output"]:
        """Returns what the blocks of each sample say together."""
        return torch.stack(list(self.by_block(blocks).values())).sum(dim=0)

    def by_block(self, blocks: Blocks) -> dict[str, Float[Tensor, "sample output"]]:
        """Returns what each block of each sample says; zeros where it is absent.

        Args:
            blocks: At least those that the head reads.
        """
        evidence: dict[str, Tensor] = {}
        for name, weight in self.weight.items():
            device = weight.device
            mean, scale = self.moments[name]
            said = (blocks.values[name].to(device) - mean) / scale @ weight.T + self.bias[name]
            if blocks.several is not None:
                said = said * torch.where(blocks.several.to(device), self.together[name], 1.0)[:, None]
            evidence[name] = said.where(blocks.present[name].to(device)[:, None], said.new_zeros(()))
        return evidence

"""The contract of a frozen backbone, and the tokens that prompts are prepended to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fedprime.data.sources import ValueKind
from fedprime.reproducibility.errors import FedprimeError

#: By modality, one entry per sample: what `Backbone.embed` made of it, or None where the modality is missing.
Embedded = Mapping[str, Sequence[Tensor | None]]


class BackboneError(FedprimeError):
    """A checkpoint that cannot be found or read, or an input that a backbone cannot embed."""


@dataclass(frozen=True)
class Tokens:
    """The token sequences of a batch, between embedding and transformer.

    Attributes:
        mask: True where a token is there; a masked token has no influence on anything.
        modality: Which modality a token position is of, an index into the backbone's modalities; -1 for tokens that
            belong to none (the summary token, prompts).
        summary: Position of the summary token, the one whose output is the sample's feature.
        columns: Where each modality has a transformer of its own, the first column that its tokens fill and the one
            after the last, by modality; empty where all tokens fill all columns and share one transformer.
        layer: The layer that these values go into; those below it have been run (see `LayeredBackbone`).
        deep: Prompts that take the place of what comes out of the first ones, before each of the layers that follow.
    """

    values: Float[Tensor, "sample token dim"]
    mask: Bool[Tensor, "sample token"]
    modality: Int[Tensor, " token"]
    summary: int
    columns: tuple[tuple[int, int], ...] = ()
    layer: int = 0
    deep: tuple[Float[Tensor, "sample prompt dim"], ...] = ()

    def prepend(self, prompts: Float[Tensor, "sample prompt width"]) -> "Tokens":
        """Returns the tokens with prompts in front; every sample gets the same number.

        Args:
            prompts: The prompts of each sample, as wide as the tokens, or as several of them: then those of the layer
                that the tokens go into, and behind them those of each layer that follows.
        """
        first, *deep = prompts.split(self.values.shape[2], dim=2)
        num_samples, num_prompts, _ = first.shape
        return replace(
            self,
            values=torch.cat([first, self.values], dim=1),
            mask=torch.cat([self.mask.new_ones(num_samples, num_prompts), self.mask], dim=1),
            modality=torch.cat([self.modality.new_full((num_prompts,), -1), self.modality]),
            summary=self.summary + num_prompts,
            deep=tuple(deep),
        )

    def pooled(self) -> Float[Tensor, "sample dim"]:
        """Returns the mean over the present tokens of each sample; of each modality, where they are apart, or zero."""
        weights = self.mask.to(self.values.dtype)[:, :, None]
        if not self.columns:
            return (self.values * weights).sum(dim=1) / weights.sum(dim=1)
        means = []
        for index, (start, stop) in enumerate(self.columns):
            own = self.modality == index
            total = (self.values[:, own, start:stop] * weights[:, own]).sum(dim=1)
            means.append(total / weights[:, own].sum(dim=1).clamp(min=1))
        return torch.cat(means, dim=1)


@runtime_checkable
class Backbone(Protocol):
    """A frozen pretrained model, cut open where prompts enter.

    `embed` is computed once per sample and modality; `assemble` joins what is present into one token sequence; `encode`
    runs the transformer and is differentiable in the tokens. Nothing of a backbone is ever trained or sent.

    Attributes:
        modalities: The modalities it reads; their order is the order of modalities everywhere.
        kinds: What the values of each of them are.
        versions: Of what embeds each of them: raised when the same value gives other embeddings with the same
            `fingerprint`, so that those that were cached before are computed anew.
        dim: Width of assembled tokens and prompts.
        reference: Where it was loaded from: a name or a folder.
        options: How else it was loaded: the arguments of `load_backbone` that are not as they are by default.
        fingerprint: Digest of its weights and settings; equal fingerprints compute equal features.
        device: Where it runs. Embeddings are in main memory, assembled tokens and features there.
    """

    modalities: tuple[str, ...]
    kinds: Mapping[str, ValueKind]
    versions: Mapping[str, int]
    dim: int
    feature_dim: int
    reference: str
    options: Mapping[str, int | str]
    fingerprint: str
    device: torch.device

    def embed(self, modality: str, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the frozen tokens of raw values of one modality, in a width that `assemble` brings to `dim`.

        Raises:
            BackboneError: If the modality is none of `modalities`, or a value is not of its kind.
        """
        ...

    def assemble(self, embedded: Embedded) -> Tokens:
        """Joins the embedded modalities of a batch; where a modality is missing its tokens are left out."""
        ...

    def encode(self, tokens: Tokens) -> Float[Tensor, "sample feature"]:
        """Returns the feature of each sample."""
        ...


def assemble(
    embedded: Embedded,
    summary: Float[Tensor, " dim"],
    modalities: Sequence[str],
    columns: tuple[tuple[int, int], ...] = (),
) -> Tokens:
    """Joins a summary token and the tokens of each modality in order, each padded to the longest of the batch.

    Args:
        embedded: By modality, one entry per sample; None where it is missing. All entries have the same number of
            samples, those of one modality lie on one device.
        summary: Embedding of the summary token, which is always there and comes first; tokens go where it is.

    Raises:
        BackboneError: If `embedded` has other modalities than those, or a sample has none.
    """
    if set(embedded) != set(modalities):
        found, expected = sorted(embedded), sorted(modalities)
        raise BackboneError(f"the batch has the modalities {found}; the backbone reads {expected}")
    num_samples = len(next(iter(embedded.values())))
    blocks = [summary.expand(num_samples, 1, -1)]
    # What is there is counted outside of torch: many tiny operations, and on a GPU each answer would be waited for.
    masks = [np.ones((num_samples, 1), dtype=bool)]
    owners = [-1]
    for index, modality in enumerate(modalities):
        there = next((part for part in embedded[modality] if part is not None), None)
        if there is None:
            continue
        nothing = there[:0]
        present = [nothing if part is None else part for part in embedded[modality]]
        lengths = np.array([part.shape[0] for part in present])
        longest = int(lengths.max())
        blocks.append(nn.utils.rnn.pad_sequence(present, batch_first=True).to(summary.device))
        masks.append(np.arange(longest) < lengths[:, None])
        owners += [index] * longest
    mask = np.concatenate(masks, axis=1)
    empty = np.flatnonzero(mask.sum(axis=1) == 1).tolist()
    if empty:
        raise BackboneError(f"samples {empty[:8]} of the batch have no modality; every sample needs at least one")
    present_tokens, modality_of = torch.from_numpy(mask).to(summary.device), torch.tensor(owners).to(summary.device)
    return Tokens(torch.cat(blocks, dim=1), present_tokens, modality_of, summary=0, columns=columns)


def check_modalities(kind: str, modalities: Sequence[str], possible: Sequence[str]) -> None:
    """Refuses modalities that a backbone cannot read.

    Args:
        kind: What the backbone is called.

    Raises:
        BackboneError: If it cannot read one of them, is asked for one twice, or for none.
    """
    unknown = [modality for modality in modalities if modality not in possible]
    if unknown or not modalities:
        raise BackboneError(f"{kind} reads {', '.join(possible)}; it cannot read {', '.join(unknown) or 'nothing'}")
    twice = {modality for modality in modalities if list(modalities).count(modality) > 1}
    if twice:
        raise BackboneError(f"{kind} is asked to read {', '.join(sorted(twice))} twice; name each modality once")

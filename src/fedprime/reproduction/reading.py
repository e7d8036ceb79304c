"""What the research code makes of a batch where it departs from the paper: the quirks that change a prediction.

They are for the experiment "what each departure is worth" and off unless asked for. A saved model names those that it
was trained with, so it predicts as it did. `fedprime.reproduction.quirks` knows all quirks and switches them on.

Source: the authors' research code of FED-PRIME (arXiv 2602.07081); see docs/paper.md.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from fedprime.backbones.backbone import Backbone, BackboneError, Embedded, Tokens
from fedprime.backbones.blocks import block_of, blocks_by_modality
from fedprime.data.sets.builtin import NUM_READINGS
from fedprime.models.prompts import PromptPools

_PROMPT_READOUT = "prompt_readout"
_PLACEHOLDER_INPUT = "placeholder_input"

#: What stands for a missing modality: a white image, which a backbone resizes as any other, no words, zeros.
_PLACEHOLDERS: Mapping[str, object] = {
    "image": np.full((64, 64, 3), 255, dtype=np.uint8),
    "text": "",
    "readings": np.zeros(NUM_READINGS, dtype=np.float32),
}


class VotedPools(PromptPools):
    """Pools from which all samples of a batch get the same prompts: those that most of them would have chosen.

    So a prediction depends on the batch that a sample comes in, at test too: on its size and on its other samples.
    """

    reads_whole_batches = True

    def choose(
        self, distance: Float[Tensor, "sample prompt"]
    ) -> tuple[Float[Tensor, "sample chosen"], Int[Tensor, "sample chosen"]]:
        """Returns the distance of each sample to the prompts with the most votes, and which they are, most votes first.

        Every sample votes for the prompts that are nearest to it. Of prompts with as many votes, the first of the pool
        wins.
        """
        _, votes = super().choose(distance)
        counts = votes.flatten().bincount(minlength=distance.shape[1])
        winners = counts.argsort(descending=True, stable=True)[: votes.shape[1]].expand_as(votes)
        return distance.gather(1, winners), winners


class ReferenceBackbone:
    """A backbone around another that departs from it as the research code does.

    With ``placeholder_input`` a missing modality is encoded as if it were there: an image of ones, an empty text,
    readings of zero. With ``prompt_readout`` the feature of a sample is the output at its first prompt.

    Attributes:
        fingerprint: That of the backbone inside and the quirks, which change features.
        quirks: Which departures, sorted.
        reading: What a saved model says of this.
    """

    def __init__(self, inside: Backbone, quirks: Collection[str]) -> None:
        """Wraps a backbone.

        Args:
            quirks: ``prompt_readout``, ``placeholder_input`` or both.

        Raises:
            ValueError: If there is another quirk.
            BackboneError: If placeholders are asked for a modality that the research code does not know.
        """
        possible = (_PROMPT_READOUT, _PLACEHOLDER_INPUT)
        unknown = [quirk for quirk in quirks if quirk not in possible]
        if unknown:
            raise ValueError(f"a backbone cannot have {', '.join(unknown)}; it can have {', '.join(possible)}")
        strange = [modality for modality in inside.modalities if modality not in _PLACEHOLDERS]
        if strange and _PLACEHOLDER_INPUT in quirks:
            raise BackboneError(
                f"{_PLACEHOLDER_INPUT} knows what stands for a missing {', '.join(_PLACEHOLDERS)}; the backbone reads "
                f"{', '.join(strange)} too"
            )
        self.quirks = tuple(sorted(quirks))
        self.modalities = inside.modalities
        self.dim = inside.dim
        self.feature_dim = inside.feature_dim
        self.reference = inside.reference
        self.options = inside.options
        self.device = inside.device
        self.fingerprint = "+".join([inside.fingerprint, *self.quirks])
        self.inside = inside
        self.kinds, self.versions = inside.kinds, inside.versions
        self.blocks = blocks_by_modality(inside)
        self.reading = {"quirks": list(self.quirks)}
        self._placeholders: dict[str, Tensor] = {}

    def embed(self, modality: str, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns what the backbone inside makes of raw values."""
        return self.inside.embed(modality, values)

    def block(self, modality: str, embedded: Sequence[Float[Tensor, "_ width"]]) -> Float[Tensor, "sample block"]:
        """Returns the vectors of the backbone inside."""
        return block_of(self.inside, modality, embedded)

    def assemble(self, embedded: Embedded) -> Tokens:
        """Joins the embedded modalities of a batch, if asked for with placeholders for what is missing."""
        if _PLACEHOLDER_INPUT in self.quirks:
            embedded = {
                modality: [self._placeholder(modality) if entry is None else entry for entry in entries]
                for modality, entries in embedded.items()
            }
        return self.inside.assemble(embedded)

    def encode(self, tokens: Tokens) -> Float[Tensor, "sample feature"]:
        """Returns the output of each sample's summary token, or if asked for of its first prompt.

        Raises:
            BackboneError: If the output at a prompt is asked for, and there is more than one.
        """
        if tokens.columns and _PROMPT_READOUT in self.quirks:
            raise BackboneError(f"{_PROMPT_READOUT} needs a backbone with one transformer; {self.reference!r} has more")
        return self.inside.encode(replace(tokens, summary=0) if _PROMPT_READOUT in self.quirks else tokens)

    def _placeholder(self, modality: str) -> Tensor:
        if modality not in self._placeholders:
            (self._placeholders[modality],) = self.inside.embed(modality, [_PLACEHOLDERS[modality]])
        return self._placeholders[modality]

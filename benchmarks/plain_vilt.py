"""A ViLT as research code runs it: the reference that fedprime's training step is measured against.

Everything in float32; each sample at full length, with a white image or an empty text for a missing one, texts padded;
images and texts embedded anew in each step; all rows of all layers computed, by the library's own forward.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import ViltConfig, ViltModel

from fedprime.backbones.backbone import Tokens
from fedprime.data.sources import ValueKind

IMAGE_SIDE = 384


def vilt_b32(num_words: int) -> ViltModel:
    """Returns a ViLT-B/32 with random weights that reads texts of some length and images of 384 x 384 pixels."""
    config = ViltConfig(
        max_position_embeddings=num_words,
        image_size=IMAGE_SIDE,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    torch.manual_seed(0)
    return ViltModel(config, add_pooling_layer=False).eval()


class PlainVilt:
    """A `Backbone` whose embedded values are raw: pixels (3, height, width) and word ids."""

    modalities: tuple[str, ...] = ("image", "text")
    kinds: Mapping[str, ValueKind] = {"image": "image", "text": "text"}
    versions: Mapping[str, int] = {"image": 1, "text": 1}
    reference = "plain"
    options: Mapping[str, int | str] = {}
    fingerprint = "plain"

    def __init__(self, model: ViltModel, *, weight_gradients: bool = False) -> None:
        """Wraps a model.

        Args:
            weight_gradients: Whether gradients of all weights are computed, though nobody uses them.
        """
        self.model = model.requires_grad_(weight_gradients)
        self.device = model.device
        self.dim = self.feature_dim = model.config.hidden_size
        self._num_words: int = model.config.max_position_embeddings

    def embed(self, modality: str, values: Sequence[object]) -> list[Tensor]:
        """Is not needed: raw values go into each step."""
        raise NotImplementedError(f"{modality}: {len(values)} values")

    def assemble(self, embedded: Mapping[str, Sequence[Tensor | None]]) -> Tokens:
        """Embeds a batch at full length."""
        white = torch.ones(3, IMAGE_SIDE, IMAGE_SIDE)
        pixels = torch.stack([white if image is None else image for image in embedded["image"]])
        ids = torch.zeros(len(pixels), self._num_words, dtype=torch.long)
        empty = torch.tensor([101, 102])
        for row, words in zip(ids, embedded["text"], strict=True):
            words = empty if words is None else words
            row[: len(words)] = words
        values, mask = self.model.embeddings(
            input_ids=ids.to(self.device),
            attention_mask=(ids > 0).long().to(self.device),
            token_type_ids=torch.zeros_like(ids).to(self.device),
            pixel_values=pixels.to(self.device),
            pixel_mask=torch.ones(len(pixels), IMAGE_SIDE, IMAGE_SIDE, dtype=torch.long, device=self.device),
            inputs_embeds=None,
            image_embeds=None,
        )
        owner = torch.tensor([1] * self._num_words + [0] * (values.shape[1] - self._num_words))
        return Tokens(values, mask.bool(), owner, summary=0)

    def encode(self, tokens: Tokens) -> Tensor:
        """Runs the library's encoder."""
        closed = torch.zeros_like(tokens.mask, dtype=torch.float32)[:, None, None].masked_fill(
            ~tokens.mask[:, None, None], -1e9
        )
        states = self.model.encoder(tokens.values, attention_mask=closed).last_hidden_state
        return self.model.layernorm(states)[:, tokens.summary]

"""The ViLT checkpoints that come with fedprime, read without the library of models, which takes long to import.

A test holds what is read here equal, to the bit, to what `transformers` reads.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from fedprime.backbones.transformer_layer import TransformerLayer


class ShippedConfig(SimpleNamespace):
    """What a ``config.json`` says, by attribute."""

    def to_dict(self) -> dict[str, Any]:
        """Returns it by name."""
        return dict(vars(self))


class ShippedProcessor:
    """What a ``preprocessor_config.json`` says of images; `fedprime.backbones.pixels` does it."""

    def __init__(self, folder: Path) -> None:
        """Reads the file of a folder."""
        self._settings = json.loads((folder / "preprocessor_config.json").read_bytes())

    def to_dict(self) -> dict[str, Any]:
        """Returns it by name."""
        return dict(self._settings)


class ShippedTokenizer:
    """A tokenizer with ``[CLS]`` first and ``[SEP]`` last, called as those of `transformers`."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        """Reads the file of a folder.

        Args:
            max_tokens: As many word pieces of a text are kept.
        """
        self.backend_tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.backend_tokenizer.no_padding()
        # Once: to set it again while another thread reads would fail.
        self.backend_tokenizer.enable_truncation(max_tokens)
        self._max_tokens = max_tokens
        self.cls_token_id = self.backend_tokenizer.token_to_id("[CLS]")

    def __call__(self, texts: Sequence[str], *, truncation: bool, max_length: int) -> dict[str, list[list[int]]]:
        """Returns the word pieces of texts."""
        if not truncation or max_length != self._max_tokens:
            raise ValueError(f"texts are cut to {max_length} word pieces; this tokenizer cuts to {self._max_tokens}")
        return {"input_ids": [self.backend_tokenizer.encode(text).ids for text in texts]}

    def get_vocab(self) -> dict[str, int]:
        """Returns all word pieces by their spelling."""
        return self.backend_tokenizer.get_vocab()


class ShippedVilt(nn.Module):
    """The weights of a ViLT, called as those of `ViltModel` are."""

    def __init__(self, folder: Path) -> None:
        """Reads configuration and weights of a folder."""
        super().__init__()
        self.config = config = ShippedConfig(**json.loads((folder / "config.json").read_bytes()))
        dim, epsilon = config.hidden_size, config.layer_norm_eps
        # On the device without memory, no layer draws its first weights from the global generator.
        with torch.device("meta"):
            self.embeddings = _Embeddings(config)
            layers = [
                TransformerLayer(dim, config.num_attention_heads, epsilon) for _ in range(config.num_hidden_layers)
            ]
            self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
            self.layernorm = nn.LayerNorm(dim, eps=epsilon)
            self.pooler = nn.ModuleDict({"dense": nn.Linear(dim, dim)})
        # Where they lie in the file, and not copied: where a number lies in memory can change the last bit of a sum.
        self.load_state_dict(load_file(folder / "model.safetensors"), assign=True)


class _Embeddings(nn.Module):
    def __init__(self, config: ShippedConfig) -> None:
        super().__init__()
        self.text_embeddings = _TextEmbeddings(config)
        self.patch_embeddings = _PatchEmbeddings(config)
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.hidden_size))
        num_places = self.patch_embeddings.num_patches + 1
        self.position_embeddings = nn.Parameter(torch.empty(1, num_places, config.hidden_size))
        self.token_type_embeddings = _table(config.modality_type_vocab_size, config)


def _table(num_rows: int, config: ShippedConfig) -> nn.Embedding:
    # To fill a new one, torch would import its compiler.
    return nn.Embedding.from_pretrained(torch.empty(num_rows, config.hidden_size))


class _TextEmbeddings(nn.Module):
    def __init__(self, config: ShippedConfig) -> None:
        super().__init__()
        self.word_embeddings = _table(config.vocab_size, config)
        self.position_embeddings = _table(config.max_position_embeddings, config)
        self.token_type_embeddings = _table(config.type_vocab_size, config)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, input_ids: Int[Tensor, "sample token"]) -> Float[Tensor, "sample token dim"]:
        positions = self.position_embeddings.weight[: input_ids.shape[1]]
        typed = self.word_embeddings(input_ids) + self.token_type_embeddings.weight[0]
        return self.LayerNorm(typed + positions)


class _PatchEmbeddings(nn.Module):
    def __init__(self, config: ShippedConfig) -> None:
        super().__init__()
        size = config.patch_size
        self.num_patches: int = (config.image_size // size) ** 2
        self.projection = nn.Conv2d(config.num_channels, config.hidden_size, size, stride=size)

    def forward(self, pixels: Float[Tensor, "sample channel height width"]) -> Tensor:
        return self.projection(pixels)

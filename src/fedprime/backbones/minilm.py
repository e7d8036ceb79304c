"""MiniLM, a small language model, by its own weights: many short texts at once, and no library of models to import.

Sources: Wang et al. MiniLM. NeurIPS 2020; Reimers and Gurevych. Sentence-BERT. EMNLP 2019. The layers are those of BERT
(Devlin et al. NAACL 2019). A test holds its tokens equal to those of `transformers`.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from fedprime.backbones.checkpoint_reading import reading_files
from fedprime.backbones.raw_values import as_texts
from fedprime.backbones.small_weights import MINILM_NOTICE, NOTICE, minilm_folder
from fedprime.data.sources import ValueKind

#: Word pieces of a text that are read: as many as it was trained to read.
MAX_TOKENS = 256

_WIDTH, _NUM_LAYERS, _NUM_HEADS = 384, 6, 12
#: Layers of which is told what enters them: the word pieces by themselves, and half of the way to what the text means.
_TOLD = (0, _NUM_LAYERS // 2)
_EPSILON = 1e-12
#: Word pieces that go through the layers together: enough for fast products of matrices, few enough for the caches.
_TOKENS_AT_ONCE = 512
#: Products of fewer rows are summed otherwise: a short text would have other last bits alone than beside others.
_FEWEST_TOKENS = 16


class MiniLM:
    """An encoder of texts: a token for each word piece; pooled, their mean.

    The word pieces of several texts go through the layers together, without padding; each text is attended to alone.
    """

    width = block_width = _WIDTH
    layers_width = _WIDTH * len(_TOLD)
    squared_length = float(_WIDTH)
    is_normalised = True
    kind: ValueKind = "text"
    version = 2  # to be raised when the same value gives other tokens
    #: That of these weights and this length as a `TextModel`, which makes the same tokens; the weights are checked when
    #: they are found.
    fingerprint = "9eb1f5c73e3be819"

    def __init__(self, weights: Mapping[str, Tensor], tokenizer: Tokenizer) -> None:
        """Takes weights by their names in BERT, and the tokenizer; see `load`."""
        self._weights = dict(weights)
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)  # once: to set it again while another thread reads would fail
        self._tokenizer = tokenizer

    @classmethod
    def load(cls) -> "MiniLM":
        """Loads the published weights.

        Raises:
            BackboneError: If they are not on this machine, or others.
        """
        with minilm_folder() as folder, reading_files(folder, "model.safetensors and tokenizer.json of MiniLM"):
            return cls(load_file(folder / "model.safetensors"), Tokenizer.from_file(str(folder / "tokenizer.json")))

    def to(self, device: torch.device) -> None:
        """Moves the weights."""
        self._weights = {name: value.to(device) for name, value in self._weights.items()}

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the tokens of texts."""
        return [tokens for tokens, _ in self.encode_with_layers(values)]

    def encode_with_layers(
        self, values: Sequence[object]
    ) -> list[tuple[Float[Tensor, "_ width"], Float[Tensor, " layers"]]]:
        """Returns of each text its tokens, and the mean of its word pieces as they enter some layers."""
        rows = [torch.tensor(self._tokenizer.encode(text).ids) for text in as_texts(values)]
        return [both for together in _few_at_once(rows) for both in self._run(together)]

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " width"]:
        """Returns the mean token."""
        return tokens.mean(dim=0)

    def save(self, folder: Path) -> None:
        """Writes the model and its tokenizer in the format of the hub, and under which licence they are."""
        with minilm_folder() as found:
            shutil.copytree(found, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        (folder / NOTICE).write_text(MINILM_NOTICE, encoding="utf-8")

    def _run(
        self, texts: Sequence[Int[Tensor, " _"]]
    ) -> list[tuple[Float[Tensor, "_ width"], Float[Tensor, " layers"]]]:
        lacking = max(0, _FEWEST_TOKENS - sum(map(len, texts)))
        padded = [*texts, torch.zeros(lacking, dtype=torch.int64)] if lacking else texts
        lengths = [len(words) for words in padded]
        device = self._weights["embeddings.LayerNorm.weight"].device
        words = torch.cat(list(padded)).to(device)
        positions = torch.cat([torch.arange(length) for length in lengths]).to(device)
        states = (
            functional.embedding(words, self._weights["embeddings.word_embeddings.weight"])
            + self._weights["embeddings.token_type_embeddings.weight"][0]
            + functional.embedding(positions, self._weights["embeddings.position_embeddings.weight"])
        )
        states = self._norm("embeddings.LayerNorm", states)
        told = []
        for number in range(_NUM_LAYERS):
            if number in _TOLD:
                told.append(torch.stack([own.mean(dim=0) for own in states.split(lengths)]))
            layer = f"encoder.layer.{number}"
            parts = [self._linear(f"{layer}.attention.self.{name}", states) for name in ("query", "key", "value")]
            mixed = torch.cat([_attend(*own) for own in zip(*(part.split(lengths) for part in parts), strict=True)])
            mixed = self._linear(f"{layer}.attention.output.dense", mixed)
            states = self._norm(f"{layer}.attention.output.LayerNorm", mixed + states)
            inside = functional.gelu(self._linear(f"{layer}.intermediate.dense", states))
            states = self._norm(f"{layer}.output.LayerNorm", self._linear(f"{layer}.output.dense", inside) + states)
        return list(zip(states.split(lengths), torch.cat(told, dim=1), strict=True))[: len(texts)]

    def _linear(self, name: str, states: Float[Tensor, "token inside"]) -> Float[Tensor, "token outside"]:
        return functional.linear(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, name: str, states: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(states, weight.shape, weight, bias, _EPSILON)


def _attend(*parts: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
    """Returns what the word pieces of one text, given as queries, keys and values, make of each other."""
    query, key, value = (part.view(1, len(part), _NUM_HEADS, -1).transpose(1, 2) for part in parts)
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(len(parts[0]), -1)


def _few_at_once(texts: Sequence[Int[Tensor, " _"]]) -> Iterator[list[Int[Tensor, " _"]]]:
    """Yields texts in their order, as many together as have few word pieces."""
    together: list[Tensor] = []
    for words in texts:
        if together and sum(map(len, together)) + len(words) > _TOKENS_AT_ONCE:
            yield together
            together = []
        together.append(words)
    if together:
        yield together

"""Encoders of a composite that are pretrained models: any `AutoModel` for images, texts or sounds."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.checkpoint_reading import (
    fingerprint_of,
    library_silenced,
    load_tokenizer,
    load_whole,
    reading_checkpoint,
)
from fedprime.backbones.pixels import pixel_reader
from fedprime.backbones.raw_values import as_images, as_sounds, as_texts
from fedprime.backbones.towers import longest_readable, num_words, reading_part
from fedprime.data.sources import ValueKind

# Of a configuration: where it lies and who wrote it decide no feature.
_NO_FEATURE = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "output_attentions")
_UNREAD = "pooler."  # follows the last hidden states, and is missing from many checkpoints
_EXPECTED = "a folder with config.json, model.safetensors and "


class _PretrainedEncoder:
    """The last hidden states of a model; pooled, their mean.

    To load one raises a `BackboneError` if there is no such checkpoint, it cannot be reached, or it is broken.

    Attributes:
        is_normalised: True: a composite projects hidden states of a mean of 0 and a variance of 1.
        model: The `transformers` model, or the part of it that reads, in evaluation mode, its parameters frozen.
        processor: What turns raw values into its inputs.
    """

    is_normalised = True
    kind: ValueKind

    def __init__(self, model: Any, processor: Any) -> None:
        """Wraps a loaded model; see `from_pretrained`.

        Args:
            processor: A tokenizer, an image processor or a feature extractor.

        Raises:
            BackboneError: If it is a model of several modalities, and which part of it reads this one is not known.
        """
        self._whole = model.eval().requires_grad_(False)
        self.model = reading_part(model, self.kind)
        self.processor = processor
        # That of a model that also writes tells of both its parts.
        model = model if model.config.is_encoder_decoder else self.model
        config = {name: value for name, value in model.config.to_dict().items() if name not in _NO_FEATURE}
        self._shape = json.loads(json.dumps(config, default=str, sort_keys=True))
        # Convolutional networks have several widths; the last is that of their output.
        self.width: int = getattr(model.config, "hidden_size", None) or model.config.hidden_sizes[-1]
        self.block_width = self.width
        self.squared_length = float(self.width)

    def to(self, device: torch.device) -> None:
        """Moves the model."""
        self._whole.to(device)

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " width"]:
        """Returns the mean token."""
        return tokens.mean(dim=0)

    def save(self, folder: Path) -> None:
        """Writes the model and its processor in the format of the hub."""
        with library_silenced():
            self._whole.save_pretrained(folder)
            self.processor.save_pretrained(folder)

    def _weights(self) -> dict[str, Tensor]:
        """Returns what decides the last hidden states."""
        return {name: value for name, value in self.model.state_dict().items() if not name.startswith(_UNREAD)}


class ImageModel(_PretrainedEncoder):
    """A vision transformer or a convolutional network; a token for each of its last hidden states."""

    kind: ValueKind = "image"
    version = 1  # to be raised when the same value gives other tokens

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor)
        self._read_pixels = pixel_reader(processor)
        self.fingerprint = fingerprint_of(self._shape, self._weights(), image_processor=processor)

    @classmethod
    def from_pretrained(cls, reference: str | Path) -> "ImageModel":
        """Loads a model of images."""
        with reading_checkpoint(reference, _EXPECTED + "preprocessor_config.json"):
            model = load_whole(AutoModel, reference, _UNREAD)
            return cls(model, AutoImageProcessor.from_pretrained(reference, backend="pil"))

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the tokens of images as (height, width, 3) uint8."""
        encoded = []
        for image in as_images(values):
            try:
                pixels = self._pixels(image)
            except (ValueError, ZeroDivisionError) as error:
                shape = f"{image.shape[0]} x {image.shape[1]}"
                raise BackboneError(f"cannot resize an image of {shape} pixels ({error}); crop it") from error
            states = self.model(pixel_values=pixels.to(self.model.device)).last_hidden_state[0]
            # A convolutional network answers (width, row, column).
            encoded.append(states.flatten(1).T if states.ndim == 3 else states)
        return encoded

    def _pixels(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Float[Tensor, "1 3 _ _"]:
        if self._read_pixels is not None:
            return torch.from_numpy(self._read_pixels(image))[None]
        return self.processor([image], input_data_format="channels_last", return_tensors="pt")["pixel_values"]


class TextModel(_PretrainedEncoder):
    """A language model that reads a text at once, such as BERT; a token for each word piece."""

    kind: ValueKind = "text"
    version = 1  # to be raised when the same value gives other tokens

    def __init__(self, model: Any, processor: Any, max_tokens: int) -> None:
        """Wraps a loaded model; see `from_pretrained`.

        Args:
            max_tokens: As many word pieces of a text are read, or fewer if the model cannot read so many.
        """
        super().__init__(model, processor)
        table = getattr(self.model.config, "max_position_embeddings", max_tokens)
        most = min(max_tokens, int(min(processor.model_max_length, table)))
        self.max_tokens = longest_readable(self.model, processor, most)
        self._num_words = num_words(self.model)
        self.fingerprint = fingerprint_of([self._shape, self.max_tokens], self._weights(), processor)

    @classmethod
    def from_pretrained(cls, reference: str | Path, max_tokens: int) -> "TextModel":
        """Loads a model of texts."""
        with reading_checkpoint(reference, _EXPECTED + "a tokenizer"):
            return cls(load_whole(AutoModel, reference, _UNREAD), load_tokenizer(reference), max_tokens)

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the tokens of texts."""
        return [self._states(self._words(text), all_layers=False)[-1] for text in as_texts(values)]

    @cached_property
    def layers_width(self) -> int:
        """Numbers of the mean word pieces that enter the first layer and the middle one; 0 if the model tells none."""
        with torch.no_grad():
            before = self._states(torch.zeros(1, 2, dtype=torch.int64))[:-1]
        return 2 * self.width if before and all(states.shape[-1] == self.width for states in before) else 0

    def encode_with_layers(
        self, values: Sequence[object]
    ) -> list[tuple[Float[Tensor, "_ width"], Float[Tensor, " layers"]]]:
        """Returns of each text its tokens, and the mean of its word pieces as they enter the first and middle layer."""
        encoded = []
        for text in as_texts(values):
            *before, last = self._states(self._words(text))
            told = [before[number].mean(dim=0) for number in (0, len(before) // 2)]
            encoded.append((last, torch.cat(told)))
        return encoded

    def _words(self, text: str) -> Int[Tensor, "1 word"]:
        words = self.processor(text, truncation=True, max_length=self.max_tokens, return_tensors="pt")["input_ids"]
        if words.shape[1] == 0:
            raise BackboneError(f"the tokenizer finds nothing in {text!r}; count it as missing")
        # On a GPU, a number that is in no table would end the process for all.
        if int(words.max()) >= self._num_words:
            raise BackboneError(f"the tokenizer knows words of {text[:80]!r} that the model does not")
        return words

    def _states(self, words: Int[Tensor, "1 word"], *, all_layers: bool = True) -> list[Float[Tensor, "token _"]]:
        """Returns what enters each layer, if that is asked for and the model tells, and what comes out of the last."""
        answer = self.model(input_ids=words.to(self.model.device), output_hidden_states=all_layers)
        before = (getattr(answer, "hidden_states", None) or ())[:-1]
        return [states[0] for states in (*before, answer.last_hidden_state)]


class AudioModel(_PretrainedEncoder):
    """A model of sounds, such as wav2vec 2.0, AST or the encoder of Whisper."""

    kind: ValueKind = "audio"
    version = 1  # to be raised when the same value gives other tokens

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor)
        self.sampling_rate: int = processor.sampling_rate
        hearing = {name: value for name, value in processor.to_dict().items() if name != "mel_filters"}
        shape = [self._shape, json.loads(json.dumps(hearing, default=str, sort_keys=True))]
        self.fingerprint = fingerprint_of(shape, self._weights())

    @classmethod
    def from_pretrained(cls, reference: str | Path) -> "AudioModel":
        """Loads a model of sounds."""
        with reading_checkpoint(reference, _EXPECTED + "preprocessor_config.json"):
            return cls(load_whole(AutoModel, reference, _UNREAD), AutoFeatureExtractor.from_pretrained(reference))

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the tokens of sounds."""
        encoded = []
        for sound in as_sounds(values, self.sampling_rate):
            inputs = self.processor(sound, sampling_rate=self.sampling_rate, return_tensors="pt")
            name = self.model.main_input_name
            try:
                states = self.model(**{name: inputs[name].to(self.model.device, torch.float32)}).last_hidden_state[0]
            except (RuntimeError, ValueError) as error:
                seconds = len(sound) / self.sampling_rate
                raise BackboneError(
                    f"cannot encode a sound of {seconds:.3f} s ({error}); count it as missing"
                ) from error
            encoded.append(states)
        return encoded

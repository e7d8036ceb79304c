"""ViLT: one transformer over word and patch embeddings, from any checkpoint that `transformers` can read.

Source: Kim, Son, Kim. ViLT: Vision-and-Language Transformer Without Convolution or Region Supervision. ICML 2021.
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from fedprime.backbones import backbone
from fedprime.backbones.backbone import BackboneError, Embedded, Tokens, check_modalities
from fedprime.backbones.blocks import moments
from fedprime.backbones.checkpoint_reading import fingerprint_of, load_tokenizer, load_whole, reading_checkpoint
from fedprime.backbones.computation import PLAIN, Computation
from fedprime.backbones.kernel_mean import KernelMean
from fedprime.backbones.pixels import pixel_reader
from fedprime.backbones.precision import choose_dtype
from fedprime.backbones.raw_values import as_images, as_numbers, as_texts, embed_in_chunks
from fedprime.backbones.shipped_vilt import ShippedProcessor, ShippedTokenizer, ShippedVilt
from fedprime.backbones.vilt_checkpoint import PIXELS_AS_TRAINED, read_original_checkpoint, stretch_text_positions
from fedprime.backbones.vilt_layers import advance_layers, run_layers
from fedprime.data.sources import ValueKind
from fedprime.reproducibility.seeding import torch_stream

if TYPE_CHECKING:  # slow to import
    from transformers import ViltModel

_KINDS: Mapping[str, ValueKind] = {"image": "image", "text": "text", "readings": "numbers"}
#: By modality, to be raised when the same value gives other embeddings.
_VERSIONS = {"image": 1, "text": 1, "readings": 1}
#: Everything that can enter ViLT's transformer.
MODALITIES = tuple(_KINDS)

_NUM_PATCHES, _SHARPNESS = 128, 0.7  # numbers of the kernel mean of patches, and of the kernel
_PLAIN, _PLAIN_SIDE = (0, 85, 170, 255), 64  # red, green and blue, and pixels, of plain pictures
_TEXT_TYPE, _IMAGE_TYPE = 0, 1  # rows of ViLT's token-type table
# Of the configuration: what the shapes of the weights do not tell.
_SHAPE_SETTINGS = ("num_attention_heads", "hidden_act", "layer_norm_eps", "patch_size", "image_size")
_EXPECTED = "a folder with config.json, model.safetensors, tokenizer and preprocessor_config.json"


class ViltBackbone:
    """A frozen ViLT whose embedding and transformer are called separately, so that prompts can enter between them.

    The summary token is ViLT's own ``[CLS]``. It is always there, also where the text is missing: its embedding depends
    on no input.

    Rows of numbers can be added as a third modality, ``readings``: each number becomes a token by a fixed random
    projection, so that it enters the transformer although ViLT was not trained for it.

    Attributes:
        embeds_in_threads: True: several threads may call `embed` at a time.
        model: The `transformers` model, in evaluation mode, its parameters frozen; those of its layers have the type of
            numbers that the precision names, all others are float32.
        blocks: By modality, how many numbers the moments of its tokens are, and of images their patches' kernel mean.
    """

    embeds_in_threads = True

    def __init__(
        self,
        model: "ViltModel | ShippedVilt",
        tokenizer: Any,
        image_processor: Any,
        reference: str,
        modalities: Sequence[str] = ("image", "text"),
        options: Mapping[str, int | str] | None = None,
        computation: Computation = PLAIN,
    ) -> None:
        """Wraps a loaded model; see `from_pretrained`.

        Args:
            tokenizer: A `transformers` tokenizer with ``[CLS]`` first and ``[SEP]`` last.
            image_processor: A `transformers` image processor for ViLT.

        Raises:
            BackboneError: If it cannot read one of the modalities.
        """
        check_modalities("ViLT", modalities, MODALITIES)
        self.modalities = tuple(modalities)
        self.kinds: Mapping[str, ValueKind] = {name: _KINDS[name] for name in modalities}
        self.versions: Mapping[str, int] = {name: _VERSIONS[name] for name in modalities}
        self.model = model.eval().requires_grad_(False)
        self.reference = reference
        self.options: Mapping[str, int | str] = dict(options or {})
        self._tokenizer = tokenizer
        self._image_processor = image_processor
        self._read_pixels = pixel_reader(image_processor)
        self._config: Any = model.config
        self.dim: int = self._config.hidden_size
        self.feature_dim = self.dim
        self.blocks: Mapping[str, Mapping[str, int]] = {name: self._block_widths(name) for name in modalities}
        self.num_layers: int = self._config.num_hidden_layers
        config = model.config.to_dict()
        shape = {name: config[name] for name in _SHAPE_SETTINGS}
        self.fingerprint = fingerprint_of(shape, model.state_dict(), tokenizer, image_processor)
        # Once, and after the fingerprint, which is that of the weights as they were trained.
        self._layers: Any = model.encoder.layer  # a list of modules, in both kinds of model
        self._layers.to(choose_dtype(computation.precision, self.dim, computation.device))
        model.to(computation.device)  # pyright: ignore[reportArgumentType] (transformers annotates it wrongly)
        self.device = computation.device
        self._checkpointing = computation.activation_checkpointing

    @classmethod
    def from_pretrained(
        cls,
        reference: str | Path,
        modalities: Sequence[str] = ("image", "text"),
        max_text_tokens: int = 0,
        computation: Computation = PLAIN,
    ) -> "ViltBackbone":
        """Loads a checkpoint: a folder as `ViltModel.save_pretrained` writes it, the name of one on the hub, or a file.

        A file is a checkpoint of ViLT's authors (``vilt_200k_mlm_itm.ckpt``); the tokenizer that it was trained with
        lies in the same folder.

        Args:
            reference: Folder, hub name or ``.ckpt`` file.
            modalities: What to read, in order: any of ``image``, ``text``, ``readings``.
            max_text_tokens: As many word pieces of a text are read; 0 for as many as the model was trained for. For
                more, its positions are stretched.

        Raises:
            BackboneError: If there is no such checkpoint, it cannot be reached, or it is broken.
        """
        with reading_checkpoint(reference, _EXPECTED):
            from transformers import ViltImageProcessorPil, ViltModel

            path = Path(reference)
            folder = path.parent if path.is_file() else reference
            if path.is_file():
                model = read_original_checkpoint(path)
            else:
                model = load_whole(ViltModel, reference, attn_implementation="eager")
            tokenizer = load_tokenizer(folder)
            if path.is_file() and not (path.parent / "preprocessor_config.json").exists():
                image_processor = ViltImageProcessorPil(**PIXELS_AS_TRAINED)
            else:
                image_processor = ViltImageProcessorPil.from_pretrained(folder)
        if max_text_tokens:
            stretch_text_positions(model, max_text_tokens)
        options = _options(max_text_tokens, computation)
        return cls(model, tokenizer, image_processor, str(reference), modalities, options, computation)

    @classmethod
    def shipped(
        cls, folder: Path, modalities: Sequence[str], max_text_tokens: int, computation: Computation
    ) -> "ViltBackbone":
        """Loads a checkpoint that comes with fedprime: as `from_pretrained` would, without the library of models."""
        model = ShippedVilt(folder)
        if max_text_tokens:
            stretch_text_positions(model, max_text_tokens)
        tokenizer = ShippedTokenizer(folder, model.config.max_position_embeddings)
        options = _options(max_text_tokens, computation)
        return cls(model, tokenizer, ShippedProcessor(folder), str(folder), modalities, options, computation)

    def embed(self, modality: str, values: Sequence[object]) -> list[Float[Tensor, "_ dim"]]:
        """Returns the frozen token embeddings of raw values: words with positions and types, or patches likewise.

        Args:
            values: Images as (height, width, 3) uint8, texts, or rows of numbers as one-dimensional arrays.
        """
        if modality not in self.modalities:
            raise BackboneError(f"this backbone reads {', '.join(self.modalities)}; it cannot embed {modality!r}")
        embed = {"image": self._embed_images, "text": self._embed_texts, "readings": self._embed_readings}[modality]
        return embed_in_chunks(embed, values)

    def block(self, modality: str, embedded: Sequence[Float[Tensor, "_ dim"]]) -> Float[Tensor, "sample block"]:
        """Returns the moments of a modality's tokens, and of an image which patches it has."""
        if modality != "image":
            return torch.stack([moments(tokens) for tokens in embedded])
        return torch.stack([torch.cat([moments(tokens), self._patches.of(tokens)]) for tokens in embedded])

    def _block_widths(self, modality: str) -> dict[str, int]:
        own = {modality: 2 * self.dim}
        return own | {"image patches": _NUM_PATCHES} if modality == "image" else own

    @cached_property
    def _patches(self) -> KernelMean:
        """What compares patches; where they lie is told by plain pictures, so that no data is asked for it."""
        colours = itertools.product(_PLAIN, repeat=3)
        plain = [np.full((_PLAIN_SIDE, _PLAIN_SIDE, 3), colour, dtype=np.uint8) for colour in colours]
        return KernelMean.around(torch.cat(self._embed_images(plain)).cpu(), _NUM_PATCHES, _SHARPNESS)

    def assemble(self, embedded: Embedded) -> Tokens:
        """Joins the tokens of a batch behind the summary token; missing modalities and padding are masked."""
        return backbone.assemble(embedded, self._summary, self.modalities)

    @cached_property
    def _summary(self) -> Float[Tensor, " dim"]:
        start = torch.tensor([[self._tokenizer.cls_token_id]]).to(self.device)
        return self.embed_words(start)[0, 0]

    def encode(self, tokens: Tokens) -> Float[Tensor, "sample dim"]:
        """Runs the transformer and returns the normalised output of the summary token."""
        return self.encode_together([tokens])[0]

    def encode_together(self, batches: Sequence[Tokens]) -> list[Float[Tensor, "sample dim"]]:
        """Runs the transformer once for several batches and returns what `encode` returns for each."""
        return run_layers(self._layers, self.model.layernorm, batches, checkpointing=self._checkpointing)

    def advance(self, tokens: Tokens, layer: int) -> Tokens:
        """Runs the layers below one, and returns the tokens that go into it."""
        return advance_layers(self._layers, tokens, layer)

    def embed_words(self, word_ids: Int[Tensor, "sample token"]) -> Float[Tensor, "sample token dim"]:
        """Embeds word pieces, the first of each row at position 0.

        Args:
            word_ids: Rows of the tokenizer's vocabulary.
        """
        embeddings = self.model.embeddings
        return embeddings.text_embeddings(input_ids=word_ids) + embeddings.token_type_embeddings.weight[_TEXT_TYPE]

    def embed_patches(self, pixels: Float[Tensor, "sample 3 height width"]) -> Float[Tensor, "sample token dim"]:
        """Embeds the image's class token and every patch; positions are stretched to the image's shape.

        Source: as `ViltEmbeddings.visual_embed` of `transformers` without random selection of patches.

        Args:
            pixels: Normalised images of one size, a multiple of the patch size.
        """
        embeddings = self.model.embeddings
        patches = embeddings.patch_embeddings(pixels)  # (sample, dim, row, column)
        side = int(embeddings.patch_embeddings.num_patches**0.5)
        table = embeddings.position_embeddings[:, 1:].transpose(1, 2).reshape(1, self.dim, side, side)
        positions = nn.functional.interpolate(table, size=patches.shape[2:], mode="bilinear", align_corners=True)
        patches = (patches + positions).flatten(2).transpose(1, 2)
        class_token = (embeddings.cls_token + embeddings.position_embeddings[:, :1]).expand(len(pixels), -1, -1)
        return torch.cat([class_token, patches], dim=1) + embeddings.token_type_embeddings.weight[_IMAGE_TYPE]

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the word pieces of texts, ``[CLS]`` first and ``[SEP]`` last, cut to the model's position table."""
        return self._tokenizer(list(texts), truncation=True, max_length=self._config.max_position_embeddings)[
            "input_ids"
        ]

    def _embed_texts(self, texts: Sequence[object]) -> list[Tensor]:
        ids = [torch.tensor(row) for row in self.tokenize(as_texts(texts))]
        words = self.embed_words(nn.utils.rnn.pad_sequence(ids, batch_first=True).to(self.device))
        # The first token is the summary token, which `assemble` gives to every sample.
        return [row[1 : len(row_ids)].clone() for row, row_ids in zip(words, ids, strict=True)]

    def _embed_images(self, values: Sequence[object]) -> list[Tensor]:
        images = as_images(values)
        try:
            pixels = self._pixels(images)
        except (ValueError, ZeroDivisionError) as error:
            shapes = [image.shape[:2] for image in images]
            height, width = max(shapes, key=lambda shape: max(shape) / max(1, min(shape)))
            raise BackboneError(
                f"an image of {height} x {width} pixels is too narrow to be resized to whole patches; crop it or count "
                "it as missing"
            ) from error
        same_size: dict[torch.Size, list[int]] = {}
        for index, image in enumerate(pixels):
            same_size.setdefault(image.shape, []).append(index)
        embedded: dict[int, Tensor] = {}
        for indices in same_size.values():
            patches = self.embed_patches(torch.stack([pixels[index] for index in indices]).to(self.device))
            # A copy of each, or one sample that is kept would keep all of them in memory.
            embedded |= {index: tokens.clone() for index, tokens in zip(indices, patches, strict=True)}
        return [embedded[index] for index in range(len(images))]

    def _pixels(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[Float[Tensor, "3 _ _"]]:
        if self._read_pixels is not None:
            return [torch.from_numpy(self._read_pixels(image)) for image in images]
        processed = self._image_processor(images, do_pad=False, input_data_format="channels_last")
        return [torch.as_tensor(image) for image in processed["pixel_values"]]

    def _embed_readings(self, rows: Sequence[object]) -> list[Tensor]:
        embedded = []
        for row in as_numbers(rows):
            # Token j is a fixed point, moved by number j along a fixed direction; both are about as long as word
            # embeddings, and the same however many numbers there are.
            streams = [torch_stream(0, "vilt", "readings", position) for position in range(len(row))]
            points, directions = torch.stack([torch.randn(2, self.dim, generator=rng) for rng in streams], dim=1)
            embedded.append(points + row[:, None] * directions)
        return embedded


def _options(max_text_tokens: int, computation: Computation) -> dict[str, int | str]:
    options: dict[str, int | str] = {"max_text_tokens": max_text_tokens} if max_text_tokens else {}
    return options if computation.precision == "float32" else options | {"precision": computation.precision}

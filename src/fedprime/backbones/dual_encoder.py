"""Dual encoders: a tower for images and one for texts, such as CLIP's, SigLIP's and SigLIP 2's.

Sources: Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021. Zhai et al.
Sigmoid Loss for Language Image Pre-Training. ICCV 2023. Tschannen et al. SigLIP 2. arXiv 2502.14786.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoImageProcessor, AutoModel
from transformers.modeling_layers import GradientCheckpointingLayer

from fedprime.backbones import backbone
from fedprime.backbones.backbone import BackboneError, Embedded, Tokens, check_modalities
from fedprime.backbones.checkpoint_reading import fingerprint_of, load_tokenizer, load_whole, reading_checkpoint
from fedprime.backbones.computation import PLAIN, Computation
from fedprime.backbones.pixels import pixel_reader
from fedprime.backbones.raw_values import as_images, as_texts, embed_in_chunks
from fedprime.data.sources import ValueKind

#: Kinds of checkpoints that are dual encoders.
MODEL_TYPES = ("clip", "metaclip_2", "siglip", "siglip2")
_LIKE_CLIP = ("clip", "metaclip_2")  # a causal text tower, class tokens, and projections into a space of both towers
_KINDS: Mapping[str, ValueKind] = {"image": "image", "text": "text"}
_MODALITIES = tuple(_KINDS)
#: By modality, to be raised when the same value gives other embeddings.
_VERSIONS = {"image": 1, "text": 1}

# Of the configuration of a tower: what the shapes of the weights do not tell.
_SHAPE_SETTINGS = ("num_attention_heads", "hidden_act", "layer_norm_eps", "patch_size", "image_size", "eos_token_id")
_EXPECTED = "a folder with config.json, model.safetensors, tokenizer and preprocessor_config.json"


class DualEncoderBackbone:
    """A frozen dual encoder; prompts enter the token sequence of each tower, in front.

    A row of assembled tokens is as wide as both towers together, and a token fills the columns of its own tower; so a
    prompt is one row, of which each tower sees its own part, before the layer of the same number. The feature of a
    sample is the features of the towers side by side: each of length 1, as the model compares them, times the square
    root of its width, so that its numbers are about 1. A tower whose modality a sample lacks is not run for it; its
    feature is zero.

    Attributes:
        embeds_in_threads: True: several threads may call `embed` at a time.
        model: The `transformers` model, in evaluation mode, its parameters frozen.
        blocks: By modality, the width of its tower's feature.
    """

    embeds_in_threads = True

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        reference: str,
        modalities: Sequence[str] = _MODALITIES,
        computation: Computation = PLAIN,
    ) -> None:
        """Wraps a loaded model; see `from_pretrained`.

        Args:
            model: A `transformers` model with ``text_model`` and ``vision_model``.

        Raises:
            BackboneError: If it cannot read one of the modalities.
        """
        check_modalities("a dual encoder", modalities, _MODALITIES)
        self.modalities = tuple(modalities)
        self.kinds: Mapping[str, ValueKind] = {name: _KINDS[name] for name in modalities}
        self.versions: Mapping[str, int] = {name: _VERSIONS[name] for name in modalities}
        self.model = model.eval().requires_grad_(False)
        self.reference = reference
        self.options: Mapping[str, int | str] = {}
        self._tokenizer = tokenizer
        self._image_processor = image_processor
        self._read_pixels = pixel_reader(image_processor)
        self._like_clip: bool = model.config.model_type in _LIKE_CLIP
        towers: dict[str, Any] = {"image": model.vision_model, "text": model.text_model}
        widths: list[int] = [towers[modality].config.hidden_size for modality in self.modalities]
        self.dim: int = sum(widths)
        self._columns = tuple((sum(widths[:number]), sum(widths[: number + 1])) for number in range(len(widths)))
        feature_widths: dict[str, Any]
        if self._like_clip:
            feature_widths = dict.fromkeys(_MODALITIES, model.config.projection_dim)
        else:
            head: nn.Linear = model.text_model.head
            feature_widths = {"image": towers["image"].config.hidden_size, "text": head.out_features}
        self._feature_widths: list[int] = [feature_widths[modality] for modality in self.modalities]
        self.feature_dim: int = sum(self._feature_widths)
        self.num_layers: int = min(len(towers[modality].encoder.layers) for modality in self.modalities)
        self.blocks: Mapping[str, Mapping[str, int]] = {
            modality: {modality: width} for modality, width in zip(self.modalities, self._feature_widths, strict=True)
        }
        shape: list[object] = [model.config.model_type]
        for tower in towers.values():
            config = tower.config.to_dict()
            shape.append({name: config[name] for name in _SHAPE_SETTINGS if name in config})
        self.fingerprint = fingerprint_of(shape, model.state_dict(), tokenizer, image_processor)
        self.model.to(computation.device)
        self.device = computation.device
        if computation.activation_checkpointing:
            _checkpoint_layers(self.model)

    @classmethod
    def from_pretrained(
        cls,
        reference: str | Path,
        modalities: Sequence[str] = _MODALITIES,
        computation: Computation = PLAIN,
    ) -> "DualEncoderBackbone":
        """Loads a checkpoint: a folder as `save_pretrained` writes it, or the name of one on the hub.

        Args:
            modalities: What to read, in order: ``image``, ``text`` or both.

        Raises:
            BackboneError: If there is no such checkpoint, it cannot be reached, or it is broken.
        """
        with reading_checkpoint(reference, _EXPECTED):
            model = load_whole(AutoModel, reference, attn_implementation="sdpa")
            if not getattr(model.vision_model, "use_head", True):
                raise ValueError("its image tower has no pooling head, so images have no feature")
            tokenizer = load_tokenizer(reference)
            image_processor = AutoImageProcessor.from_pretrained(reference, backend="pil")
        return cls(model, tokenizer, image_processor, str(reference), modalities, computation)

    def embed(self, modality: str, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the frozen token embeddings of images, (height, width, 3) uint8, or texts, as wide as their tower."""
        if modality not in self.modalities:
            raise BackboneError(f"this backbone reads {', '.join(self.modalities)}; it cannot embed {modality!r}")
        return embed_in_chunks(self._embed_images if modality == "image" else self._embed_texts, values)

    def block(self, modality: str, embedded: Sequence[Float[Tensor, "_ width"]]) -> Float[Tensor, "sample feature"]:
        """Returns the feature of a modality's tower, which runs for it, without prompts."""
        others = dict.fromkeys(self.modalities, [None] * len(embedded))
        features = self.encode(self.assemble({**others, modality: embedded}))
        return features.split(self._feature_widths, dim=1)[self.modalities.index(modality)]

    def assemble(self, embedded: Embedded) -> Tokens:
        """Joins the tokens of a batch, each in the columns of its tower, behind a row of zeros that nothing reads."""
        known = dict(zip(self.modalities, self._columns, strict=True))
        widened = {
            modality: [part if part is None else self._widen(part, *known.get(modality, (0, 0))) for part in parts]
            for modality, parts in embedded.items()
        }
        nothing = torch.zeros(self.dim, device=self.device)
        return backbone.assemble(widened, nothing, self.modalities, self._columns)

    def encode(self, tokens: Tokens) -> Float[Tensor, "sample feature"]:
        """Runs each tower on the samples that have its modality, and joins the towers' features."""
        features = []
        for index, modality in enumerate(self.modalities):
            feature = tokens.values.new_zeros(len(tokens.values), self._feature_widths[index])
            rows, read = self._part(tokens, index)
            if len(rows):
                states, mask = self._run(modality, tokens, rows, read, slice(tokens.layer, None))
                if modality == "image":
                    num_prompts = int((tokens.modality < 0).sum()) - 1  # all but the row of zeros
                    found = self._pool_images(states, mask, num_prompts)
                else:
                    found = self._pool_texts(states, mask)
                scaled = nn.functional.normalize(found, dim=1) * found.shape[1] ** 0.5
                feature = feature.index_copy(0, rows, scaled)
            features.append(feature)
        return torch.cat(features, dim=1)

    def advance(self, tokens: Tokens, layer: int) -> Tokens:
        """Runs the layers of each tower below one, and returns the tokens that go into it."""
        values = tokens.values.clone()
        for index, modality in enumerate(self.modalities):
            rows, read = self._part(tokens, index)
            if len(rows):
                states, _ = self._run(modality, tokens, rows, read, slice(tokens.layer, layer))
                values[rows[:, None], read.nonzero()[:, 0], slice(*self._columns[index])] = states
        return replace(tokens, values=values, layer=layer)

    def _part(self, tokens: Tokens, index: int) -> tuple[Int[Tensor, " row"], Bool[Tensor, " token"]]:
        """Returns which samples have a modality, and which tokens its tower reads."""
        own = tokens.modality == index
        # Prompts belong to no modality, and neither does the row of zeros.
        read = own | (tokens.modality < 0)
        read[tokens.summary] = False
        return tokens.mask[:, own].any(dim=1).nonzero()[:, 0], read

    def _run(
        self, modality: str, tokens: Tokens, rows: Int[Tensor, " row"], read: Bool[Tensor, " _"], layers: slice
    ) -> tuple[Float[Tensor, "row token width"], Bool[Tensor, "row token"]]:
        """Calls layers of a tower for samples as the library does; returns their output, and which tokens are there."""
        columns = slice(*self._columns[self.modalities.index(modality)])
        states, mask = tokens.values[rows][:, read, columns], tokens.mask[rows][:, read]
        tower = self.model.vision_model if modality == "image" else self.model.text_model
        padded = modality == "image" and not mask.all()
        # Padding follows the words, so a causal tower reads none of it at the last word.
        causal = {"is_causal": True} if modality == "text" and self._like_clip else {}
        asked = {"attention_mask": mask[:, None, None, :] if padded else None, **causal}
        own: Iterable[Any] = tower.encoder.layers[layers]
        for number, layer in enumerate(own):
            if 0 < number <= len(tokens.deep):
                prompts = tokens.deep[number - 1][rows][:, :, columns]
                states = torch.cat([prompts, states[:, prompts.shape[1] :]], dim=1)
            states = layer(states, **asked)
        return states, mask

    def _widen(self, part: Float[Tensor, "token width"], start: int, stop: int) -> Tensor:
        return nn.functional.pad(part, (start, self.dim - stop))

    def _embed_images(self, values: Sequence[object]) -> list[Tensor]:
        images = as_images(values)
        try:
            processed = self._processed(images)
        except (ValueError, ZeroDivisionError) as error:
            shapes = ", ".join(f"{image.shape[0]} x {image.shape[1]}" for image in images)
            raise BackboneError(f"cannot resize an image of these: {shapes} pixels ({error}); crop it") from error
        tower, pixels = self.model.vision_model, processed["pixel_values"].to(self.device)
        if "spatial_shapes" in processed:
            patches = tower.embeddings(pixels, processed["spatial_shapes"].to(self.device))
            there = processed["pixel_attention_mask"].bool()
            return [row[mask].clone() for row, mask in zip(patches, there.to(patches.device), strict=True)]
        patches = tower.embeddings(pixels)
        # CLIP alone has this layer norm; the library spells it so.
        patches = tower.pre_layrnorm(patches) if self._like_clip else patches
        return [row.clone() for row in patches]

    def _processed(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Mapping[str, Tensor]:
        if self._read_pixels is not None:
            return {"pixel_values": torch.from_numpy(np.stack([self._read_pixels(image) for image in images]))}
        return self._image_processor(images, input_data_format="channels_last", return_tensors="pt")

    def _embed_texts(self, values: Sequence[object]) -> list[Tensor]:
        texts, tower = as_texts(values), self.model.text_model
        length = tower.config.max_position_embeddings
        # SigLIP was trained to read padding like words: its feature is the output at the last of them.
        padding = False if self._like_clip else "max_length"
        rows = self._tokenizer(texts, truncation=True, max_length=length, padding=padding)["input_ids"]
        ids = [torch.tensor(row) for row in rows]
        words = tower.embeddings(input_ids=nn.utils.rnn.pad_sequence(ids, batch_first=True).to(self.device))
        return [row[: len(row_ids)].clone() for row, row_ids in zip(words, ids, strict=True)]

    def _pool_images(
        self, states: Float[Tensor, "sample token width"], mask: Bool[Tensor, "sample token"], num_prompts: int
    ) -> Float[Tensor, "sample feature"]:
        tower = self.model.vision_model
        if self._like_clip:
            return self.model.visual_projection(tower.post_layernorm(states[:, num_prompts]))
        # Of several sizes of images, only a head that can be told so pools.
        return tower.head(tower.post_layernorm(states), *([] if mask.all() else [mask]))

    def _pool_texts(
        self, states: Float[Tensor, "sample token width"], mask: Bool[Tensor, "sample token"]
    ) -> Float[Tensor, "sample feature"]:
        tower = self.model.text_model
        if not self._like_clip:
            return tower.head(tower.final_layer_norm(states[:, -1]))
        last = mask.sum(dim=1) - 1
        return self.model.text_projection(
            tower.final_layer_norm(states[torch.arange(len(states), device=last.device), last])
        )


def _checkpoint_layers(model: Any) -> None:
    """Lets the layers of both towers be computed again for gradients, by the library's own means.

    Not by its own switch: that has another name from version to version, and works in training mode alone. What is in a
    layer stays in evaluation mode.
    """
    layers: list[Any] = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
        layer.gradient_checkpointing = layer.training = True

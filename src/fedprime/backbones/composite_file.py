"""``composite.json``: which encoder reads which modality, and the shape of the joint layers."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, MinLen
from torch import nn

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.computation import PLAIN
from fedprime.backbones.efficientnet_lite import EfficientNetLite
from fedprime.backbones.encoder import Encoder
from fedprime.backbones.hashed_table import NARROW, WIDE, HashedTable
from fedprime.backbones.log_mel import LogMel
from fedprime.backbones.pixel_patches import PixelPatches
from fedprime.backbones.table_tokens import TableTokens
from fedprime.backbones.vectors import Vectors

if TYPE_CHECKING:  # slow to import
    from fedprime.backbones.pretrained_encoders import AudioModel, ImageModel, TextModel

#: The file that makes a folder a composite.
FILE = "composite.json"

_Count = Annotated[int, Ge(1)]


class _ByEncoder:
    """Tells pydantic, which is imported when a file is read, to choose a part by its encoder."""

    def __get_pydantic_core_schema__(self, part: Any, handler: Any) -> Any:
        from pydantic import Field

        return handler.generate_schema(Annotated[part, Field(discriminator="encoder")])


class _Checked:
    """What pydantic checks when a file is read; what fedprime makes itself needs no check."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True)
class PretrainedPart(_Checked):
    """A pretrained model reads the modality."""

    encoder: Literal["image_model", "text_model", "audio_model", "efficientnet_lite0"]
    """What the model reads."""
    reference: str
    """A folder, relative to that of the file, or a name on the hub; of EfficientNet-Lite0 a folder or .pth file."""
    max_tokens: _Count = 128
    """As many word pieces of a text are read."""


@dataclass(frozen=True)
class PixelPatchesPart(_Checked):
    """The modality is images, read as patches of pixels."""

    encoder: Literal["pixel_patches"]
    """Says so."""
    side: _Count = 32
    """Pixels of a side that every image is resized to."""
    patch_size: _Count = 8
    """Pixels of a side of a patch."""


@dataclass(frozen=True)
class LogMelPart(_Checked):
    """The modality is sound, read as patches of a log-mel spectrogram."""

    encoder: Literal["log_mel"]
    """Says so."""
    sampling_rate: Annotated[int, Ge(1000)] = 16_000
    """Samples of a second; sounds of another rate are resampled."""
    num_bands: _Count = 40
    """Mel bands."""
    frames_per_token: _Count = 4
    """Frames of 10 ms in a patch."""
    max_seconds: Annotated[float, Gt(0)] = 10.0
    """Of a longer sound, what follows is not heard."""


@dataclass(frozen=True)
class TablePart(_Checked):
    """The modality is a row of a table."""

    encoder: Literal["table"]
    """Says so."""
    numbers: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """By column of numbers, the mean and standard deviation that its values are standardised by."""
    categories: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """By column of categories, their names."""


@dataclass(frozen=True)
class HashedTablePart(_Checked):
    """The modality is a row of a table of which nothing is known."""

    encoder: Literal["hashed_table"]
    """Says so."""
    is_wide: bool = False
    """Whether it has places for more than about a hundred columns."""
    reads: Literal["table", "numbers"] = "table"
    """What a row is: cells by column, or an array of numbers."""


@dataclass(frozen=True)
class VectorsPart(_Checked):
    """The modality is arrays of numbers, all of one length."""

    encoder: Literal["vectors"]
    """Says so."""
    size: _Count
    """How many numbers each has."""


#: How one modality is read.
Part = PretrainedPart | PixelPatchesPart | LogMelPart | TablePart | HashedTablePart | VectorsPart


@dataclass(frozen=True)
class Composition(_Checked):
    """What ``composite.json`` says."""

    modalities: Annotated[Mapping[str, Annotated[Part, _ByEncoder()]], MinLen(1)]
    """By modality, in order, how it is read."""
    dim: _Count = 128
    """Width of tokens in the joint layers."""
    num_layers: _Count = 2
    """Joint layers."""
    num_heads: _Count = 4
    """Attention heads of each."""
    pooled: bool = False
    """Whether each modality is one token: what its encoder pools its tokens to."""
    shapes: bool = False
    """Whether images and log-mel spectrograms have a block of their shapes beside, texts one of their words; takes
    `pooled`."""
    seed: int = 0
    """Seed of the projections and joint layers where the folder has no ``model.safetensors``."""
    format: Literal[1] = 1
    """Of this file."""


def read_composition(folder: Path) -> Composition:
    """Reads the file of a folder.

    Raises:
        BackboneError: If the file is broken, or says something that cannot be; the message names all of it.
    """
    from pydantic import TypeAdapter, ValidationError  # slow to import

    path = folder / FILE
    try:
        composition = TypeAdapter(Composition).validate_json(path.read_bytes(), strict=False)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(place) for place in problem['loc'])}: {problem['msg']}".removeprefix(": ")
            for problem in error.errors()
        ]
        raise BackboneError(f"{path} is no composite: {'; '.join(problems)}") from error
    except OSError as error:
        raise BackboneError(f"cannot read {path}: {error}") from error
    # They become names of submodules.
    unfit = [name for name in composition.modalities if not name.isidentifier() or hasattr(nn.ParameterDict, name)]
    if unfit:
        raise BackboneError(f"{path} is no composite: no modality can be called {unfit[0]!r}; take another word")
    if composition.dim % composition.num_heads:
        raise BackboneError(
            f"{path} is no composite: dim {composition.dim} is no multiple of {composition.num_heads} heads"
        )
    if composition.shapes and not composition.pooled:
        raise BackboneError(f"{path} is no composite: shapes stand beside pooled tokens; say pooled as well")
    return composition


def write_composition(composition: Composition, folder: Path) -> None:
    """Writes the file into a folder."""
    content = dataclasses.asdict(composition)
    (folder / FILE).write_text(json.dumps(content, indent=2) + "\n")


def load_encoder(part: Part, folder: Path, device: torch.device = PLAIN.device) -> Encoder:
    """Loads the encoder of one modality.

    Args:
        folder: Where the file lies; references are relative to it.
        device: Where a model is to run; all else runs on the processor.

    Raises:
        BackboneError: If its checkpoint cannot be loaded.
    """
    if isinstance(part, PixelPatchesPart):
        return PixelPatches(part.side, part.patch_size)
    if isinstance(part, LogMelPart):
        return LogMel(part.sampling_rate, part.num_bands, part.frames_per_token, part.max_seconds)
    if isinstance(part, TablePart):
        return TableTokens(part.numbers, part.categories)
    if isinstance(part, HashedTablePart):
        return HashedTable(WIDE if part.is_wide else NARROW, part.reads)
    if isinstance(part, VectorsPart):
        return Vectors(part.size)
    encoder = _load_pretrained(part, place_of(part, folder))
    encoder.to(device)
    return encoder


def place_of(part: PretrainedPart, folder: Path) -> str | Path:
    """Returns where the model of a modality lies: in the folder of the file, or anywhere else, as on the hub."""
    inside = folder / part.reference
    return inside if inside.exists() else part.reference


def _load_pretrained(
    part: PretrainedPart, reference: str | Path
) -> "EfficientNetLite | ImageModel | TextModel | AudioModel":
    if part.encoder == "efficientnet_lite0":
        return EfficientNetLite.from_pretrained(reference)
    from fedprime.backbones.pretrained_encoders import AudioModel, ImageModel, TextModel

    if part.encoder == "text_model":
        return TextModel.from_pretrained(reference, part.max_tokens)
    return (ImageModel if part.encoder == "image_model" else AudioModel).from_pretrained(reference)

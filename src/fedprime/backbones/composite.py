"""A composite: one frozen encoder per modality, projected to a common width, under joint layers that prompts enter."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fedprime.backbones import backbone
from fedprime.backbones.backbone import BackboneError, Embedded, Tokens, check_modalities
from fedprime.backbones.checkpoint_reading import fingerprint_of, reading_checkpoint
from fedprime.backbones.composite_file import (
    FILE,
    Composition,
    PretrainedPart,
    load_encoder,
    place_of,
    read_composition,
    write_composition,
)
from fedprime.backbones.computation import PLAIN, Computation
from fedprime.backbones.encoder import Encoder, PooledEncoder
from fedprime.backbones.raw_values import embed_in_chunks
from fedprime.backbones.transformer_layer import TransformerLayer
from fedprime.backbones.vilt_layers import advance_layers, run_layers
from fedprime.data.sources import ValueKind
from fedprime.reproducibility.atomic_files import replaced_folder
from fedprime.reproducibility.seeding import torch_stream

_WEIGHTS = "model.safetensors"
_EPSILON = 1e-6  # of vision transformers' layer norm
_TYPE_SPREAD = 0.5  # of what tells modalities apart, beside token values of about 1


class JointLayers(nn.Module):
    """Everything of a composite but its encoders: projections, types, the summary token and transformer layers.

    The layers are those of ViLT, pre-norm as in vision transformers.
    """

    def __init__(self, composition: Composition, encoders: Mapping[str, Encoder]) -> None:
        """Draws the weights from the seed of the composition; what a modality draws does not depend on the others."""
        super().__init__()
        dim = composition.dim
        # On the device without memory, no layer draws its first weights from the global generator.
        with torch.device("meta"):
            self.projections = nn.ModuleDict({name: nn.Linear(part.width, dim) for name, part in encoders.items()})
            self.types = nn.ParameterDict({name: nn.Parameter(torch.empty(dim)) for name in encoders})
            self.summary = nn.Parameter(torch.empty(dim))
            layers = [TransformerLayer(dim, composition.num_heads, _EPSILON) for _ in range(composition.num_layers)]
            self.layers = nn.ModuleList(layers)
            self.layernorm = nn.LayerNorm(dim, eps=_EPSILON)
        self._normalised = {name for name, part in encoders.items() if part.is_normalised}
        first = {
            name: _first_values(name, parameter, encoders, torch_stream(composition.seed, "composite", name))
            for name, parameter in self.named_parameters()
        }
        self.load_state_dict(first, assign=True)

    def embed(self, modality: str, tokens: Float[Tensor, "token width"]) -> Float[Tensor, "token dim"]:
        """Returns an encoder's tokens of a value in the common width."""
        tokens = tokens[:, : self.projections[modality].in_features]  # what is behind them is for blocks alone
        if modality in self._normalised:
            tokens = nn.functional.layer_norm(tokens, tokens.shape[-1:])
        return self.projections[modality](tokens) + self.types[modality]


class CompositeBackbone:
    """Any number of modalities, each with a frozen encoder of its own, joined by transformer layers.

    `embed` runs a modality's encoder, once per sample; `assemble` projects its tokens to the common width, where
    prompts enter the joint layers. Those have the weights of ``model.safetensors`` in the folder of ``composite.json``,
    for example of a composite that was trained elsewhere; without that file they are drawn from the seed that the
    composition names.

    Attributes:
        embeds_in_threads: True: several threads may call `embed` at a time.
        blocks: By modality, how many numbers its encoder pools its tokens to, and how many stand behind these.
        joint: Projections and joint layers, in evaluation mode, their parameters frozen.
    """

    embeds_in_threads = True

    def __init__(
        self,
        composition: Composition,
        encoders: Mapping[str, Encoder],
        joint: JointLayers,
        reference: str,
        modalities: Sequence[str] = (),
        computation: Computation = PLAIN,
    ) -> None:
        """Puts loaded parts together; see `from_pretrained`.

        Args:
            encoders: By modality, its encoder; at least those to read. They stay where they are.
            modalities: What to read, in order; none named means all, in the order of the composition.

        Raises:
            BackboneError: If it cannot read one of the modalities.
        """
        chosen = tuple(modalities) or tuple(composition.modalities)
        check_modalities("this composite", chosen, tuple(encoders))
        self.modalities = chosen
        self.encoders = dict(encoders)
        self.blocks: Mapping[str, Mapping[str, int]] = {name: _block_widths(name, encoders[name]) for name in chosen}
        self.kinds: Mapping[str, ValueKind] = {name: encoders[name].kind for name in chosen}
        self.versions: Mapping[str, int] = {name: encoders[name].version for name in chosen}
        self.joint = joint.eval().requires_grad_(False)
        self.dim = self.feature_dim = composition.dim
        self.num_layers = composition.num_layers
        self.reference = reference
        self.options: Mapping[str, int | str] = {}
        self.composition = composition
        read = {name: encoders[name].fingerprint for name in sorted(chosen)}
        weights = {
            name: value
            for name, value in joint.state_dict().items()
            if name.split(".")[0] not in ("projections", "types") or name.split(".")[1] in chosen
        }
        self.fingerprint = fingerprint_of([composition.num_heads, _EPSILON, read], weights)
        self.joint.to(computation.device)
        self.device = computation.device
        self._checkpointing = computation.activation_checkpointing

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        modalities: Sequence[str] = (),
        computation: Computation = PLAIN,
    ) -> "CompositeBackbone":
        """Loads a composite, of which only the encoders of the modalities that it shall read.

        Args:
            modalities: What to read, in order; none named means all.

        Raises:
            BackboneError: If the composite or one of its encoders cannot be loaded.
        """
        composition = read_composition(Path(folder))
        chosen = tuple(modalities) or tuple(composition.modalities)
        check_modalities("this composite", chosen, tuple(composition.modalities))
        parts = {name: part for name, part in composition.modalities.items() if name in chosen}
        encoders: dict[str, Encoder] = {}
        for name, part in parts.items():
            encoder = load_encoder(part, Path(folder), computation.device)
            encoders[name] = PooledEncoder(encoder, shapes=composition.shapes) if composition.pooled else encoder
        joint = JointLayers(composition, encoders)
        if (Path(folder) / _WEIGHTS).exists():
            with reading_checkpoint(folder, f"{_WEIGHTS} as `CompositeBackbone.save_pretrained` writes it"):
                _load_weights(joint, load_file(Path(folder) / _WEIGHTS))
        return cls(composition, encoders, joint, str(folder), chosen, computation)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes the composite whole: its file, its weights, and each pretrained encoder in a folder of its own.

        A composite of some modalities of another is written as one of those.

        Args:
            folder: Where to; an older composite there is replaced.

        Raises:
            BackboneError: If there is anything but a composite, which would be lost.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / FILE).is_file() and (folder.is_file() or any(folder.iterdir())):
            raise BackboneError(
                f"{folder} is no composite: replacing it would delete what is there; name another folder"
            )
        parts = {name: self.composition.modalities[name] for name in self.modalities}
        with replaced_folder(folder) as beside:
            for name, part in parts.items():
                if isinstance(part, PretrainedPart):
                    (beside / name).mkdir()
                    self.encoders[name].save(beside / name)
                    parts[name] = dataclasses.replace(part, reference=name)
            write_composition(dataclasses.replace(self.composition, modalities=parts), beside)
            save_file(self.joint.state_dict(), beside / _WEIGHTS)

    def places(self) -> dict[str, Path]:
        """Returns the folders it was read from, by where `save_pretrained` writes what lies in them."""
        found = {"": Path(self.reference)}
        for name in self.modalities:
            part = self.composition.modalities[name]
            if isinstance(part, PretrainedPart):
                found[name] = Path(place_of(part, found[""]))
        return {name: place for name, place in found.items() if place.is_dir()}

    def embed(self, modality: str, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the tokens of a modality's encoder, in its own width."""
        if modality not in self.modalities:
            raise BackboneError(f"this backbone reads {', '.join(self.modalities)}; it cannot embed {modality!r}")
        return embed_in_chunks(self.encoders[modality].encode, values)

    def block(self, modality: str, embedded: Sequence[Float[Tensor, "_ width"]]) -> Float[Tensor, "sample block"]:
        """Returns what a modality's encoder pools its tokens to."""
        return torch.stack([self.encoders[modality].pool(tokens) for tokens in embedded])

    def assemble(self, embedded: Embedded) -> Tokens:
        """Joins the summary token and the tokens, in the common width, of what is there of each sample."""
        projected = {
            name: self._projected(name, parts) if name in self.modalities else parts for name, parts in embedded.items()
        }
        return backbone.assemble(projected, self.joint.summary, self.modalities)

    def _projected(self, modality: str, parts: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Returns the tokens of samples in the common width, all computed at once, where the joint layers are."""
        there = [part for part in parts if part is not None]
        if not there:
            return [None] * len(parts)
        together = self.joint.embed(modality, torch.cat(there).to(self.device))
        projected = iter(together.split([len(part) for part in there]))
        return [None if part is None else next(projected) for part in parts]

    def encode(self, tokens: Tokens) -> Float[Tensor, "sample dim"]:
        """Runs the joint layers and returns the normalised output of the summary token."""
        return self.encode_together([tokens])[0]

    def encode_together(self, batches: Sequence[Tokens]) -> list[Float[Tensor, "sample dim"]]:
        """Runs the joint layers once for several batches and returns what `encode` returns for each."""
        return run_layers(self.joint.layers, self.joint.layernorm, batches, checkpointing=self._checkpointing)

    def advance(self, tokens: Tokens, layer: int) -> Tokens:
        """Runs the joint layers below one, and returns the tokens that go into it."""
        return advance_layers(self.joint.layers, tokens, layer)


def _block_widths(modality: str, encoder: Encoder) -> dict[str, int]:
    beside = encoder.beside if isinstance(encoder, PooledEncoder) else {}
    return {modality: encoder.block_width} | {f"{modality} {what}": width for what, width in beside.items()}


def _first_values(name: str, parameter: Tensor, encoders: Mapping[str, Encoder], rng: torch.Generator) -> Tensor:
    kind, _, rest = name.partition(".")
    if kind == "types":
        return _TYPE_SPREAD * torch.randn(parameter.shape, generator=rng)
    if kind == "summary":
        return 0.02 * torch.randn(parameter.shape, generator=rng)
    if parameter.ndim == 1:  # biases are zero; layer norms begin without an effect
        return torch.full(parameter.shape, float("norm" in name and name.endswith("weight")))
    squared_length = encoders[rest.split(".")[0]].squared_length if kind == "projections" else parameter.shape[1]
    return torch.randn(parameter.shape, generator=rng) * squared_length**-0.5


def _load_weights(joint: JointLayers, weights: Mapping[str, Tensor]) -> None:
    for name, parameter in joint.named_parameters():
        if name not in weights:
            raise ValueError(f"the weight {name} is missing")
        if weights[name].shape != parameter.shape:
            found, expected = tuple(weights[name].shape), tuple(parameter.shape)
            raise ValueError(f"the weight {name} has shape {found}, expected {expected}")
        # A copy: where a number lies in memory can change the last bit of a sum.
        parameter.data = weights[name].to(torch.float32, copy=True)

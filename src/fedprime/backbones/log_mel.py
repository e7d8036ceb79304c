"""Sounds as patches of a log-mel spectrogram: an encoder without weights, for where no pretrained one is at hand.

What is said or rings does not depend on when it does, nor on how loud: which frames a sound has is the kernel mean of
the loud ones, each by how its bands differ.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedprime.backbones.checkpoint_reading import fingerprint_of
from fedprime.backbones.kernel_mean import KernelMean
from fedprime.backbones.raw_values import as_sounds
from fedprime.data.sources import ValueKind

_WINDOW_SECONDS, _HOP_SECONDS = 0.025, 0.010  # as in speech recognition for decades
#: Numbers that tell where a token is.
NUM_PLACES = 16
#: Numbers of `LogMel.which_frames`.
NUM_FRAMES = 256

_PIECES = 8  # of a sound, each with the mean of its bands, in what a sound is pooled to
_FLOOR = 1e-10  # of a mel band's power; silence has a logarithm
_DECADES = 8.0  # of power below the loudest band that are kept, as Whisper does
_LOUD = 1.0  # below the loudest frame: four decades of power
_SPREAD, _SHARPNESS = 0.25, 1.0  # of bands around their mean; of the kernel that compares frames


class LogMel:
    """Patches of a log-mel spectrogram, each over all bands and a few frames, with numbers that tell its place.

    Attributes:
        sampling_rate: Samples of a second; sounds of another rate are resampled.
    """

    is_normalised = False
    kind: ValueKind = "audio"
    version = 1  # to be raised when the same value gives other tokens

    def __init__(self, sampling_rate: int, num_bands: int, frames_per_token: int, max_seconds: float) -> None:
        """Sets the spectrogram up.

        Args:
            sampling_rate: Samples of a second.
            frames_per_token: Frames of 10 ms that a patch covers.
            max_seconds: Of a longer sound, what follows is not heard.
        """
        from transformers.audio_utils import mel_filter_bank  # slow to import, and only sounds need it

        self.sampling_rate = sampling_rate
        self._num_bands, self._frames_per_token = num_bands, frames_per_token
        self._max_samples = int(max_seconds * sampling_rate)
        self._frame_length = round(_WINDOW_SECONDS * sampling_rate)
        self._fft_length = 2 ** int(np.ceil(np.log2(self._frame_length)))
        self._filters = mel_filter_bank(
            num_frequency_bins=self._fft_length // 2 + 1,
            num_mel_filters=num_bands,
            min_frequency=0.0,
            max_frequency=sampling_rate / 2,
            sampling_rate=sampling_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        self.width = num_bands * frames_per_token + NUM_PLACES
        self.squared_length = float(self.width)
        self.block_width = num_bands * (_PIECES + 1)
        self._kernel_mean = KernelMean(
            torch.zeros(num_bands), torch.full((num_bands,), _SPREAD), NUM_FRAMES, _SHARPNESS
        )
        self.fingerprint = fingerprint_of(
            ["log_mel", sampling_rate, num_bands, frames_per_token, max_seconds, _HOP_SECONDS], {}
        )

    def encode(self, values: Sequence[object]) -> list[Float[Tensor, "_ width"]]:
        """Returns the tokens of sounds; the last patch of a sound is filled up with silence."""
        return [self._encode(sound[: self._max_samples]) for sound in as_sounds(values, self.sampling_rate)]

    def pool(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " block"]:
        """Returns the mean of each band in each eighth of the sound, and its standard deviation over all of it."""
        bands = self.bands(tokens)
        pieces = nn.functional.adaptive_avg_pool1d(bands.T, _PIECES)
        return torch.cat([pieces.T.flatten(), bands.std(dim=0, correction=0)])

    def which_frames(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " frames"]:
        """Returns which frames the sound has, whenever they come: the kernel mean of the loud ones."""
        bands = self.bands(tokens)
        loudest = bands.amax(dim=1)
        loud = bands[loudest >= loudest.max() - _LOUD]
        return self._kernel_mean.of(loud - loud.mean(dim=1, keepdim=True))

    def bands(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, "frame band"]:
        """Returns the spectrogram that tokens are patches of."""
        return tokens[:, :-NUM_PLACES].reshape(-1, self._num_bands)

    def save(self, folder: Path) -> None:
        """Writes nothing: its settings say it all."""

    def _encode(self, sound: Float[np.ndarray, " time"]) -> Float[Tensor, "token width"]:
        hop = round(_HOP_SECONDS * self.sampling_rate)
        padded = np.pad(sound.astype(np.float64), (0, max(0, self._frame_length - len(sound))))
        from transformers.audio_utils import spectrogram, window_function

        power = spectrogram(
            padded,
            window_function(self._frame_length, "hann"),
            frame_length=self._frame_length,
            hop_length=hop,
            fft_length=self._fft_length,
            power=2.0,
            center=False,
            mel_filters=self._filters,
            mel_floor=_FLOOR,
        )
        bands = np.log10(power).T  # (frame, band)
        # The scale of Whisper: about -1 to 1 for speech.
        bands = (np.maximum(bands, bands.max() - _DECADES) + _DECADES / 2) / (_DECADES / 2)
        lacking = -len(bands) % self._frames_per_token
        bands = np.pad(bands, ((0, lacking), (0, 0)), constant_values=float(bands.min()))
        patches = bands.reshape(-1, self._frames_per_token * self._num_bands)
        return torch.from_numpy(np.concatenate([patches, place_numbers(len(patches))], axis=1).astype(np.float32))


def place_numbers(num_tokens: int) -> Float[np.ndarray, "token place"]:
    """Returns sines and cosines of the position at wavelengths from 2 tokens to a thousand, of mean square 1."""
    waves = np.pi * 512.0 ** -np.linspace(0, 1, NUM_PLACES // 2)
    angles = np.arange(num_tokens)[:, None] * waves
    return np.sqrt(2) * np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

"""Sound files as samples between -1 and 1."""

import io
from pathlib import Path

import numpy as np
import soundfile

from fedprime.data.images import InputError

__all__ = ["VERSION", "read_sound"]

#: Raise it when the same file gives other samples: embeddings that were cached before are then computed anew.
VERSION = 1

_MAX_SECONDS = 3600  # an hour; what is longer is no sample


def read_sound(file: Path | bytes, name: str = "") -> dict[str, object]:
    """Reads a sound file: WAV, FLAC, OGG, MP3 and whatever else libsndfile knows.

    Args:
        file: The file, or what is in it.
        name: What to call it in messages; the path, if not given.

    Returns:
        As the library `datasets` decodes sounds: ``array``, samples of (time,) or (channel, time) as 32-bit floats, and
        ``sampling_rate``.

    Raises:
        InputError: If it is missing, no sound, empty, implausibly long, or has samples that are not finite.
    """
    name = name or (str(file) if isinstance(file, Path) else "a sound")
    if isinstance(file, Path) and not file.is_file():
        raise InputError(f"there is no sound {name}")
    try:
        with soundfile.SoundFile(io.BytesIO(file) if isinstance(file, bytes) else file) as sound:
            seconds = sound.frames / sound.samplerate
            if not 0 < seconds <= _MAX_SECONDS:
                raise InputError(f"cannot use {name}: it lasts {seconds:.0f} s; expected up to an hour of sound")
            samples = sound.read(dtype="float32")
            if not np.isfinite(samples).all():
                raise InputError(f"cannot use {name}: some of its samples are no finite numbers; save it anew")
            return {"array": samples.T, "sampling_rate": int(sound.samplerate)}
    except (soundfile.SoundFileError, TypeError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {name} as a sound: {error}; save it as WAV or FLAC") from error

"""Sound files as samples between -1 and 1."""

import io
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fedprime.data.images import InputError
from fedprime.data.sources import DataError

#: Raise it when the same file gives other samples: embeddings that were cached before are then computed anew.
VERSION = 1

#: Samples of a second: more is a broken header, and to resample them would take all memory.
_MOST_HERTZ = 1_000_000
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
        DataError: If what reads sounds is not installed.
    """
    name = name or (str(file) if isinstance(file, Path) else "a sound")
    if isinstance(file, Path) and not file.is_file():
        raise InputError(f"there is no sound {name}")
    soundfile = _library()
    try:
        with soundfile.SoundFile(io.BytesIO(file) if isinstance(file, bytes) else file) as sound:
            if sound.samplerate > _MOST_HERTZ:
                raise InputError(f"cannot use {name}: {sound.samplerate:,} Hz; expected at most {_MOST_HERTZ:,}")
            seconds = sound.frames / sound.samplerate
            if not 0 < seconds <= _MAX_SECONDS:
                raise InputError(f"cannot use {name}: it lasts {seconds:.0f} s; expected up to an hour of sound")
            samples = sound.read(sound.frames, dtype="float32")  # of GSM, it would not know how many
            if not np.isfinite(samples).all():
                raise InputError(f"cannot use {name}: some of its samples are no finite numbers; save it anew")
            return {"array": samples.T, "sampling_rate": int(sound.samplerate)}
    except (soundfile.SoundFileError, TypeError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        said = getattr(error, "error_string", error)  # all that libsndfile says, without a buffer in memory
        raise InputError(f"cannot read {name} as a sound: {said}; save it as WAV or FLAC") from error


def write_sound(samples: object, sampling_rate: Any) -> bytes:
    """Returns samples of (time,) or (channel, time) as a WAV file of 32-bit floats, which `read_sound` can read.

    Raises:
        InputError: If they are no sound.
        DataError: If what writes sounds is not installed.
    """
    soundfile, file = _library(), io.BytesIO()
    try:
        soundfile.write(file, np.asarray(samples, np.float32).T, int(sampling_rate), format="WAV", subtype="FLOAT")
        read_sound(file.getvalue(), "it")
    except (InputError, soundfile.SoundFileError, TypeError, ValueError) as error:
        raise InputError(f"no sound: {error}") from error
    return file.getvalue()


def _library() -> ModuleType:
    """Imports soundfile, which only those need who have sounds.

    Raises:
        DataError: If it is not installed.
    """
    try:
        return import_module("soundfile")
    except (ImportError, OSError) as error:  # OSError: it is there, libsndfile is not
        raise DataError(f'sounds need soundfile ({error}); install it: pip install "fedprime[audio]"') from error

"""Sound files: what is in them, and what is no sound."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fedprime.data.images import InputError
from fedprime.data.sounds import VERSION, read_sound, write_sound
from fedprime.data.sources import DataError

SAMPLES = np.array([0.0, 0.5, -0.5, 0.25], dtype=np.float32)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_a_sound_has_its_samples_and_their_rate(ending: str, tmp_path: Path):
    file = tmp_path / f"sound.{ending}"
    soundfile.write(file, SAMPLES, 8000)
    sound = read_sound(file)
    assert sound["sampling_rate"] == 8000
    assert np.allclose(np.asarray(sound["array"]), SAMPLES, atol=1e-4)
    assert np.array_equal(np.asarray(read_sound(file.read_bytes())["array"]), np.asarray(sound["array"]))


def test_what_a_file_gives_is_that_of_its_version(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.array([[0.5, -0.5], [0.25, 1.0]]), 8000, subtype="FLOAT")
    pinned = {1: {"array": [[0.5, 0.25], [-0.5, 1.0]], "sampling_rate": 8000}}
    found = read_sound(tmp_path / "a.wav")
    found["array"] = np.asarray(found["array"]).tolist()
    assert found == pinned[VERSION], "caches hold embeddings of other samples: raise VERSION, and pin these to it"


@pytest.mark.parametrize("subtype", ["GSM610", "ULAW", "IMA_ADPCM", "PCM_U8"])
def test_sounds_of_telephones_and_old_programs_are_read(subtype: str, tmp_path: Path):
    samples = 0.5 * np.sin(np.arange(4000) / 4).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype=subtype)
    found = np.asarray(read_sound(tmp_path / "a.wav")["array"])
    assert 4000 <= len(found) < 4500  # whole blocks
    assert np.abs(found[:4000] - samples).mean() < 0.1


def test_channels_come_first(tmp_path: Path):
    soundfile.write(tmp_path / "stereo.wav", np.stack([SAMPLES, -SAMPLES], axis=1), 8000)
    assert np.asarray(read_sound(tmp_path / "stereo.wav")["array"]).shape == (2, 4)


@pytest.mark.parametrize("content", [b"", b"no sound at all", b"RIFF\x24\x00\x00\x00WAVE"])
def test_what_is_no_sound_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*a\.wav as a sound"):
        read_sound(tmp_path / "a.wav")


def test_a_sound_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"there is no sound .*a\.wav"):
        read_sound(tmp_path / "a.wav")


def test_a_sound_without_samples_is_refused(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", SAMPLES[:0], 8000)
    with pytest.raises(InputError, match="lasts 0 s"):
        read_sound(tmp_path / "a.wav")


def test_a_rate_that_no_sound_has_is_refused(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", SAMPLES, 8000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[24:28] = (2**31 - 1).to_bytes(4, "little")
    with pytest.raises(InputError, match="it: 2,147,483,647 Hz; expected at most 1,000,000"):
        read_sound(bytes(content), "it")


def test_samples_are_written_as_they_are_read():
    stereo = np.stack([SAMPLES, -SAMPLES])
    sound = read_sound(write_sound(stereo, 8000))
    assert np.array_equal(np.asarray(sound["array"]), stereo)
    assert sound["sampling_rate"] == 8000


def test_without_soundfile_sounds_are_an_error_of_the_data_and_no_missing_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a.wav").touch()
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(DataError, match=r'need soundfile .*pip install "fedprime\[audio\]"'):
        read_sound(tmp_path / "a.wav")

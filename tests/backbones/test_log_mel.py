"""Log-mel patches: what they say about tones, silence, length and place."""

import numpy as np
import pytest
import torch

from fedprime.backbones.log_mel import LogMel

RATE, BANDS, FRAMES = 8000, 20, 4


def tone(hertz: float, seconds: float = 0.4, rate: int = RATE, loudness: float = 0.5) -> dict[str, object]:
    times = np.arange(int(seconds * rate)) / rate
    return {"array": (loudness * np.sin(2 * np.pi * hertz * times)).astype(np.float32), "sampling_rate": rate}


@pytest.fixture
def encoder() -> LogMel:
    return LogMel(RATE, BANDS, FRAMES, max_seconds=1.0)


def loudest_band(encoder: LogMel, value: object) -> int:
    [tokens] = encoder.encode([value])
    return int(tokens[:, : BANDS * FRAMES].reshape(-1, BANDS)[2:-6].mean(dim=0).argmax())


def test_higher_tones_are_loudest_in_higher_bands(encoder: LogMel) -> None:
    bands = [loudest_band(encoder, tone(hertz)) for hertz in (200, 500, 1000, 2000, 3500)]
    assert bands == sorted(set(bands))


def test_a_tone_is_where_the_mel_scale_says(encoder: LogMel) -> None:
    # Slaney's scale: 200/3 Hz a mel up to 1000 Hz (mel 15), then 27 mel a factor of 6.4; 22 edges from 0 to 4000 Hz.
    highest = 15 + 27 * np.log(4000 / 1000) / np.log(6.4)
    centres = np.linspace(0, highest, BANDS + 2)[1:-1]
    for hertz in (400, 900):
        assert abs(loudest_band(encoder, tone(hertz)) - int(np.abs(centres - hertz / (200 / 3)).argmin())) <= 1


def test_a_sound_of_another_rate_is_heard_the_same(encoder: LogMel) -> None:
    assert loudest_band(encoder, tone(1000, rate=16000)) == loudest_band(encoder, tone(1000))


@pytest.mark.parametrize(("seconds", "num_tokens"), [(0.001, 1), (0.025, 1), (0.4, 10), (1.0, 25), (5.0, 25)])
def test_there_is_a_token_for_every_few_frames_up_to_the_longest_sound(
    encoder: LogMel, seconds: float, num_tokens: int
) -> None:
    # Frames of 25 ms every 10 ms: 0.4 s has 38, 1 s has 98.
    [tokens] = encoder.encode([tone(300, seconds)])
    assert tokens.shape == (num_tokens, encoder.width)
    assert tokens.isfinite().all()


def test_a_louder_sound_has_higher_numbers(encoder: LogMel) -> None:
    soft, loud = encoder.encode([tone(500, loudness=0.05), tone(500, loudness=0.5)])
    # Ten times the amplitude is two decades of power, and four decades are 1.
    difference = (loud - soft)[1:5, : BANDS * FRAMES]
    assert torch.allclose(difference, torch.full_like(difference, 0.5), atol=0.02)


def test_silence_is_a_sound(encoder: LogMel) -> None:
    [tokens] = encoder.encode([{"array": np.zeros(800, dtype=np.int16), "sampling_rate": RATE}])
    assert tokens.isfinite().all()


def test_tokens_tell_where_they_are(encoder: LogMel) -> None:
    [tokens] = encoder.encode([{"array": np.zeros(8000, dtype=np.float32), "sampling_rate": RATE}])
    places = tokens[:, BANDS * FRAMES :]
    distances = torch.cdist(places, places) + 9 * torch.eye(len(places))
    assert distances.min() > 0.1


def test_other_settings_have_another_fingerprint() -> None:
    settings = [(8000, 20, 4, 1.0), (16000, 20, 4, 1.0), (8000, 21, 4, 1.0), (8000, 20, 5, 1.0), (8000, 20, 4, 2.0)]
    assert len({LogMel(*values).fingerprint for values in settings}) == 5


def joined(*sounds: dict[str, object]) -> dict[str, object]:
    return {"array": np.concatenate([np.asarray(sound["array"]) for sound in sounds]), "sampling_rate": RATE}


def test_which_frames_there_are_does_not_depend_on_when_they_come_how_loud_or_on_silence_around(
    encoder: LogMel,
) -> None:
    low, high, silence = tone(300), tone(2000), {"array": np.zeros(RATE // 10, dtype=np.float32)}
    sounds = [joined(low, high), joined(high, low), joined(silence, low, high, silence), joined(low, low)]
    quiet = {"array": 0.1 * np.asarray(sounds[0]["array"]), "sampling_rate": RATE}
    first, turned, late, other, same = map(encoder.which_frames, encoder.encode([*sounds, quiet]))
    apart = float((first - other).norm())
    assert max(float((first - own).norm()) for own in (turned, late, same)) < 0.2 * apart

"""What a client keeps on its disk from round to round, and what it goes back to when a round is repeated."""

from pathlib import Path

import pytest
import torch

from fedprime.runtime.client_state import KeptWeights, KeptWeightsError


def after(kept: KeptWeights, *rounds: int) -> None:
    for number in rounds:
        kept.save(number, {"head": torch.full((2,), float(number))})


def test_there_is_nothing_before_the_first_round(tmp_path: Path):
    assert KeptWeights(tmp_path / "none").before(0) == {}


def test_a_round_begins_with_what_the_latest_earlier_one_left(tmp_path: Path):
    kept = KeptWeights(tmp_path)
    after(kept, 0, 3)
    assert KeptWeights(tmp_path).before(7)["head"].tolist() == [3.0, 3.0]


def test_a_repeated_round_begins_like_the_first_time(tmp_path: Path):
    kept = KeptWeights(tmp_path)
    after(kept, 0, 1, 2)
    assert kept.before(2)["head"].tolist() == [1.0, 1.0]


def test_old_rounds_are_removed(tmp_path: Path):
    after(KeptWeights(tmp_path), *range(30))
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == list(range(20, 30))


def test_a_broken_file_is_named(tmp_path: Path):
    (tmp_path / "4.safetensors").write_bytes(b"broken")
    with pytest.raises(KeptWeightsError, match=r"4\.safetensors is broken"):
        KeptWeights(tmp_path).before(5)

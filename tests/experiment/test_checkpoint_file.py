"""The file of a checkpoint: the same state is the same bytes, and what is no checkpoint is refused."""

from pathlib import Path

import pytest
import torch

from fedprime.experiment.checkpoint_file import (
    BrokenCheckpointError,
    Checkpoint,
    load_checkpoint,
    round_of,
    save_checkpoint,
)
from fedprime.methods.method import ServerState

STATE = ServerState({"head": torch.ones(2)}, {3: {"query": torch.zeros(1)}}, {"momentum": torch.ones(1)})
CHECKPOINT = Checkpoint(5, STATE, kept={1: {"pool": torch.ones(2)}}, residuals={2: {"head": torch.ones(2)}})


def test_the_same_state_is_the_same_bytes(tmp_path: Path):
    for name in ("here", "there"):
        save_checkpoint(tmp_path / name, CHECKPOINT)
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_it_comes_back_with_what_else_it_says(tmp_path: Path):
    save_checkpoint(tmp_path / "file", CHECKPOINT, {"line": "{}"})
    found, facts = load_checkpoint(tmp_path / "file")
    assert facts == {"line": "{}"}
    assert found.next_round == round_of(tmp_path / "file") == 5
    assert found.personal_clients == (1, 3)
    assert torch.equal(found.weights(1)["pool"], torch.ones(2))


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100, (1 << 40).to_bytes(8, "little")])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "file").write_bytes(content)
    for read in (load_checkpoint, round_of):
        with pytest.raises(BrokenCheckpointError):
            read(tmp_path / "file")

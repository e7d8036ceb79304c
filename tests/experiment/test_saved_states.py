"""Checkpoints beside each other: a process may die at any moment, and what lies there is known."""

from pathlib import Path

import pytest
import torch

from fedprime.experiment.checkpoint_file import Checkpoint, save_checkpoint
from fedprime.experiment.saved_states import RunError, SavedStates
from fedprime.methods.method import ServerState
from run_files import die_before_replacing


def checkpoint(number: int) -> Checkpoint:
    return Checkpoint(number, ServerState({"head": torch.full((2,), float(number))}))


@pytest.fixture
def states(tmp_path: Path) -> SavedStates:
    save_checkpoint(tmp_path / "checkpoint.safetensors", checkpoint(0))
    return SavedStates(tmp_path)


@pytest.mark.parametrize("rounds", [0, 1, 4])
def test_a_process_that_dies_before_the_newest_takes_its_place_leaves_the_one_before(
    rounds: int, states: SavedStates, monkeypatch: pytest.MonkeyPatch
):
    for number in range(1, rounds + 1):
        states.save(checkpoint(number), {"settings.toml": "abc"}, keep=2)
    die_before_replacing("checkpoint.safetensors", monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        states.save(checkpoint(rounds + 1), {"settings.toml": "abc"}, keep=2)
    monkeypatch.undo()
    assert states.newest().next_round == rounds
    assert states.newest_sound(lambda _: "").next_round == rounds
    assert states.facts() == {} if rounds == 0 else states.facts()["settings.toml"] == "abc"


def test_a_checkpoint_that_nobody_here_wrote_is_refused(states: SavedStates, tmp_path: Path):
    states.save(checkpoint(1), {})
    save_checkpoint(tmp_path / "checkpoint.safetensors", checkpoint(7))
    with pytest.raises(RunError, match="it was changed since it was written"):
        states.newest()


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, '{"abc": 5}', '{"abc": ' + "9" * 5000 + "}"])
def test_a_broken_file_of_digests_is_one_line(content: str, states: SavedStates, tmp_path: Path):
    states.save(checkpoint(1), {})
    (tmp_path / "checkpoints" / "digests.json").write_text(content)
    with pytest.raises(RunError, match=r"digests\.json is broken") as caught:
        states.newest()
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_may_not_be_read_is_not_called_broken(states: SavedStates, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # the system lets its administrator read everything
    with pytest.raises(PermissionError, match="Permission denied"):
        states.newest()


def test_checkpoints_of_earlier_versions_are_known_by_nothing_and_read(states: SavedStates):
    assert states.newest().next_round == 0
    assert states.facts() == {}


def test_the_best_is_the_one_that_was_written(states: SavedStates, tmp_path: Path):
    states.save_best(checkpoint(3))
    assert states.best(3).state.shared["head"].tolist() == [3.0, 3.0]
    with pytest.raises(RunError, match=r"best\.safetensors is broken \(it is the state of another round"):
        states.best(4)
    with pytest.raises(RunError, match="it is the state of another round"):
        states.best(1, made_again=3)
    assert states.best(1, made_again=2).next_round == 3
    flip_last_bit(tmp_path / "best.safetensors")
    with pytest.raises(RunError, match="it was changed since it was written"):
        states.best(3)
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(RunError, match="it is not there"):
        states.best(3)


def test_a_best_of_an_earlier_version_says_nothing_of_itself_and_is_read(states: SavedStates, tmp_path: Path):
    save_checkpoint(tmp_path / "best.safetensors", checkpoint(3))
    assert states.best(3).next_round == 3


def test_a_round_that_nobody_has_seen_is_the_one_that_was_made(states: SavedStates, tmp_path: Path):
    states.save_pending({"round": 3}, checkpoint(4))
    flip_last_bit(tmp_path / "pending.safetensors")
    with pytest.raises(RunError, match=r"pending\.safetensors is broken \(it was changed since it was written"):
        states.pending(3)


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))

"""Run folders: complete, never overwritten, locked, and either healed or clear about what is broken."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fedprime.experiment.run_folder import Checkpoint, RunError, RunFolder
from fedprime.methods.method import ServerState
from fedprime.models.prompted_model import Weights
from fedprime.settings.reading import read_settings
from fedprime.settings.settings import Settings
from run_files import flip_bit

SETTINGS = "seed = 3\n"
MASKS = {"client.0.samples": torch.tensor([4, 7])}
MISSINGNESS: list[dict[str, object]] = [{"client": 0, "samples": 2}]


def weights(value: float) -> Weights:
    return {"head.weight": torch.full((2, 3), value), "prompter.pools.inter": torch.full((4, 3), -value)}


@pytest.fixture
def start() -> Checkpoint:
    return Checkpoint(0, ServerState(weights(0.1)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
@pytest.mark.parametrize("name", ["settings.toml", "environment.json", "results.json", "checkpoints/digests.json"])
def test_a_pipe_in_a_run_folder_is_one_line_instead_of_waiting_for_ever(name: str, run: RunFolder):
    path = run.path / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(RunError, match=f"{name} is a device or a pipe, expected a file; restore it"):
        RunFolder(run.path)


@pytest.fixture
def run(tmp_path: Path, start: Checkpoint) -> RunFolder:
    """The folder of a run of which no round is finished."""
    return RunFolder.create(tmp_path / "run", SETTINGS, "fingerprint", MASKS, MISSINGNESS, start)


@pytest.fixture
def advanced(run: RunFolder) -> RunFolder:
    """The folder of a run of which three rounds are finished."""
    for number in range(3):
        run.save_round(
            {"round": number, "loss": 1 / (number + 1)}, Checkpoint(number + 1, ServerState(weights(float(number))))
        )
    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def same(here: Weights, there: Weights) -> bool:
    return here.keys() == there.keys() and all(
        torch.equal(here[name], there[name]) and here[name].dtype == there[name].dtype for name in here
    )


def test_a_new_run_is_complete_from_the_first_moment(run: RunFolder):
    assert names(run.path) == {
        "settings.toml",
        "environment.json",
        "missingness.json",
        "masks.safetensors",
        "checkpoint.safetensors",
        "metrics.jsonl",
    }
    assert (run.path / "settings.toml").read_text() == SETTINGS
    assert json.loads((run.path / "missingness.json").read_text()) == MISSINGNESS
    assert same(run.masks(), MASKS)
    assert run.metrics() == []
    assert not run.is_finished


def test_nothing_is_left_beside_a_new_run(run: RunFolder):
    assert names(run.path.parent) == {"run"}


def test_a_run_knows_the_backbone_that_it_began_with(run: RunFolder):
    assert run.backbone_fingerprint() == "fingerprint"


def test_a_checkpoint_comes_back_to_the_bit(tmp_path: Path):
    tricky = {
        "tiny": torch.tensor([1e-45, -0.0, 0.1, 3.4e38]),
        "double": torch.tensor([[0.1]], dtype=torch.float64),
        "half": torch.ones(2, dtype=torch.float16),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "empty": torch.zeros(0, 4),
    }
    server = {"momentum.head/weight": torch.tensor([[0.1]], dtype=torch.float64), "number": torch.tensor(20)}
    state = ServerState(tricky, {3: weights(3.0), 11: weights(11.0)}, server)
    checkpoint = Checkpoint(7, state, {0: weights(0.5)})
    loaded = RunFolder.create(
        tmp_path / "run", SETTINGS, "fingerprint", MASKS, MISSINGNESS, checkpoint
    ).load_checkpoint()
    assert loaded.next_round == 7
    assert same(loaded.state.shared, tricky)
    assert loaded.state.personal.keys() == {3, 11}
    assert all(same(loaded.state.personal[client], weights(float(client))) for client in (3, 11))
    assert same(dict(loaded.state.server), server)
    assert loaded.kept.keys() == {0}
    assert same(loaded.kept[0], weights(0.5))


def test_a_checkpoint_of_a_version_whose_methods_kept_nothing_at_the_server_is_read(run: RunFolder):
    tensors = {"shared//head.weight": torch.ones(2), "kept/1/head.bias": torch.zeros(2)}
    save_file(tensors, run.path / "checkpoint.safetensors", metadata={"next_round": "2"})
    loaded = run.load_checkpoint()
    assert (loaded.next_round, loaded.state.server) == (2, {})
    assert same(loaded.state.shared, {"head.weight": torch.ones(2)})


def test_a_loaded_checkpoint_does_not_change_with_the_file(advanced: RunFolder):
    loaded = advanced.load_checkpoint()
    advanced.save_round({"round": 3}, Checkpoint(4, ServerState(weights(99.0))))
    assert same(loaded.state.shared, weights(2.0))


def test_a_saved_round_is_the_state_to_go_on_from(advanced: RunFolder):
    checkpoint = advanced.load_checkpoint()
    assert checkpoint.next_round == 3
    assert same(checkpoint.state.shared, weights(2.0))
    assert advanced.metrics() == [{"round": number, "loss": 1 / (number + 1)} for number in range(3)]


@pytest.mark.parametrize("content", ["run", "other folder", "empty folder", "file"])
def test_what_exists_already_is_never_overwritten(content: str, tmp_path: Path, start: Checkpoint):
    path = tmp_path / "run"
    if content == "run":
        RunFolder.create(path, SETTINGS, "fingerprint", MASKS, MISSINGNESS, start)
    elif content == "file":
        path.write_text("precious")
    else:
        path.mkdir()
        if content == "other folder":
            (path / "notes.txt").write_text("precious")
    before = {entry: entry.read_bytes() for entry in [path, *path.rglob("*")] if entry.is_file()}
    with pytest.raises(RunError, match="exists already and is not overwritten"):
        RunFolder.create(path, "seed = 4\n", "fingerprint", MASKS, MISSINGNESS, start)
    assert {entry: entry.read_bytes() for entry in [path, *path.rglob("*")] if entry.is_file()} == before


def test_a_run_that_appears_while_another_prepares_the_same_folder_is_not_overwritten(
    tmp_path: Path, start: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    other = RunFolder.create(tmp_path / "other", "seed = 1\n", "fingerprint", MASKS, MISSINGNESS, start)

    def save_while_another_process_makes_the_folder(*arguments: Any, **options: Any) -> None:
        save_file(*arguments, **options)
        shutil.copytree(other.path, tmp_path / "run", dirs_exist_ok=True)

    monkeypatch.setattr("fedprime.experiment.run_folder.save_file", save_while_another_process_makes_the_folder)
    with pytest.raises(RunError, match="exists already and is not overwritten"):
        RunFolder.create(tmp_path / "run", "seed = 2\n", "fingerprint", MASKS, MISSINGNESS, start)
    assert (tmp_path / "run" / "settings.toml").read_text() == "seed = 1\n"
    assert names(tmp_path) == {"run", "other"}


def test_a_run_folder_is_made_with_its_parents(tmp_path: Path, start: Checkpoint):
    run = RunFolder.create(tmp_path / "a" / "b" / "run", SETTINGS, "fingerprint", MASKS, MISSINGNESS, start)
    assert run.load_checkpoint().next_round == 0


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(RunError, match="there is no run folder"):
        RunFolder(tmp_path / "none")


def test_another_folder_is_no_run_folder(tmp_path: Path):
    with pytest.raises(RunError, match="is not a run folder"):
        RunFolder(tmp_path)


READERS: dict[str, Callable[[RunFolder], object]] = {
    "checkpoint.safetensors": RunFolder.load_checkpoint,
    "masks.safetensors": RunFolder.masks,
    "metrics.jsonl": RunFolder.metrics,
    "results.json": RunFolder.results,
}


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "masks.safetensors", "metrics.jsonl"])
def test_a_missing_file_is_named(name: str, advanced: RunFolder):
    (advanced.path / name).unlink()
    with pytest.raises(RunError, match=f"{name} is not there"):
        READERS[name](advanced)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", ["empty", "cut", "noise"])
def test_a_broken_file_gives_one_error_that_names_it(damage: str, name: str, advanced: RunFolder):
    advanced.save_results({"scenarios": {}})
    path = advanced.path / name
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "noise": b"\x93\xff\x00" * 40 + b"\n"}[damage])
    if name == "metrics.jsonl" and damage in ("empty", "cut"):
        # Only the end of a file can be torn by a crash; too few lines are found out when the run goes on.
        with pytest.raises(RunError, match=name):
            advanced.drop_unfinished(advanced.load_checkpoint())
        return
    with pytest.raises(RunError, match=name) as caught:
        READERS[name](advanced)
    assert str(path) in str(caught.value)
    assert "restore it from a copy" in str(caught.value)


def test_a_checkpoint_cut_off_anywhere_is_never_taken_for_a_whole_one(advanced: RunFolder):
    path = advanced.path / "checkpoint.safetensors"
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(RunError, match="is broken"):
            advanced.load_checkpoint()


@pytest.mark.parametrize("metadata", [None, {"next_round": "many"}, {"round": "3"}])
def test_a_safetensors_file_that_is_no_checkpoint_is_refused(metadata: dict[str, str] | None, advanced: RunFolder):
    save_file(weights(1.0), advanced.path / "checkpoint.safetensors", metadata=metadata)
    with pytest.raises(RunError, match="is broken"):
        advanced.load_checkpoint()


def test_values_of_another_name_are_no_checkpoint(advanced: RunFolder):
    save_file(weights(1.0), advanced.path / "checkpoint.safetensors", metadata={"next_round": "3"})
    with pytest.raises(RunError, match="is broken"):
        advanced.load_checkpoint()


def test_a_torn_last_line_of_metrics_is_left_out(advanced: RunFolder):
    with (advanced.path / "metrics.jsonl").open("a") as file:
        file.write('{"round": 3, "lo')
    assert [line["round"] for line in advanced.metrics()] == [0, 1, 2]


def test_going_on_drops_the_metrics_of_rounds_that_the_checkpoint_does_not_know(advanced: RunFolder):
    with (advanced.path / "metrics.jsonl").open("a") as file:
        file.write('{"round": 3, "loss": 0.1}\n{"round": 4, "lo')
    advanced.drop_unfinished(advanced.load_checkpoint())
    text = (advanced.path / "metrics.jsonl").read_text()
    assert [json.loads(line)["round"] for line in text.splitlines()] == [0, 1, 2]
    assert text.endswith("\n")


def test_going_on_keeps_metrics_to_the_byte(advanced: RunFolder):
    before = (advanced.path / "metrics.jsonl").read_bytes()
    advanced.drop_unfinished(advanced.load_checkpoint())
    assert (advanced.path / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_line_of_metrics_is_an_error_and_not_a_gap(lost: int, advanced: RunFolder):
    path = advanced.path / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:lost] + lines[lost + 1 :]))
    with pytest.raises(RunError, match=r"metrics\.jsonl"):
        advanced.drop_unfinished(advanced.load_checkpoint())


def test_going_on_clears_away_what_a_killed_process_left(advanced: RunFolder):
    (advanced.path / ".checkpoint.safetensors.4711.tmp").write_bytes(b"half a checkpo")
    for name in (".model.4711.tmp", ".model.4711.old"):
        (advanced.path / name).mkdir()
        (advanced.path / name / "config.json").write_text("{}")
    before = names(advanced.path) - {".checkpoint.safetensors.4711.tmp", ".model.4711.tmp", ".model.4711.old"}
    advanced.drop_unfinished(advanced.load_checkpoint())
    assert names(advanced.path) == before


def test_a_run_in_use_is_refused_and_free_again_afterwards(run: RunFolder):
    with run.locked(), pytest.raises(RunError, match="another process is running"), RunFolder(run.path).locked():
        pass
    with RunFolder(run.path).locked():
        pass


def test_an_error_inside_frees_the_run(run: RunFolder):
    with pytest.raises(ZeroDivisionError), run.locked():
        raise ZeroDivisionError
    with run.locked():
        pass


def test_a_finished_run_was_measured_with_the_state_that_it_kept(advanced: RunFolder):
    advanced.states.save_best(Checkpoint(2, ServerState(weights(1.0))))
    advanced.save_results({"scenarios": {}})
    assert advanced.final_checkpoint().next_round == 3
    advanced.save_results({"scenarios": {}, "kept_round": 1})
    assert same(advanced.final_checkpoint().state.shared, weights(1.0))


def test_a_bit_that_flipped_in_what_the_start_summed_up_is_noticed(run: RunFolder):
    assert run.start() is None
    run.save_start(weights(2.0))
    found = run.start()
    assert found is not None
    assert same(found, weights(2.0))
    run.save_round({"round": 0}, Checkpoint(1, ServerState(weights(0.0))))
    opened = RunFolder(run.path)
    assert opened.start() is not None
    opened.save_round({"round": 1}, Checkpoint(2, ServerState(weights(0.0))))
    flip_bit(run.path / "start.safetensors", 1.0)
    with pytest.raises(RunError, match=r"start\.safetensors was changed since the run wrote it; restore it"):
        RunFolder(run.path).start()
    (run.path / "start.safetensors").unlink()
    with pytest.raises(RunError, match=r"start\.safetensors is not there"):
        RunFolder(run.path).start()


def test_a_whole_run_folder_can_be_moved(advanced: RunFolder, tmp_path: Path):
    moved = RunFolder(Path(shutil.move(advanced.path, tmp_path / "elsewhere")))
    assert moved.load_checkpoint().next_round == 3


def test_the_settings_of_a_finished_run_can_be_read_again(finished_run: Path, small_settings: Settings):
    # What was chosen by itself is named.
    assert read_settings(finished_run / "settings.toml") == replace(small_settings, backbone="tiny")


def test_what_rounding_held_back_is_saved_and_makes_nobodys_model_differ(tmp_path: Path):
    residuals = {3: weights(0.25), 7: weights(0.5)}
    checkpoint = Checkpoint(1, ServerState(weights(1.0)), residuals=residuals)
    run = RunFolder.create(tmp_path / "run", "", "abc", {}, [], checkpoint)
    found = run.load_checkpoint()
    assert found.personal_clients == ()
    assert found.residuals.keys() == residuals.keys()
    assert all(torch.equal(found.residuals[7][name], value) for name, value in residuals[7].items())


@pytest.mark.parametrize("place", [place / 20 for place in range(21)])
def test_a_bit_that_flipped_in_the_newest_checkpoint_costs_the_last_round(place: float, run: RunFolder):
    for number in range(3):
        state = ServerState(weights(float(number)))
        run.save_round({"round": number}, Checkpoint(number + 1, state), keep=3)
    flip_bit(run.path / "checkpoint.safetensors", place)
    sound = run.newest_sound()
    assert sound.next_round == 2
    assert same(sound.state.shared, weights(1.0))
    run.drop_unfinished(sound)
    assert [line["round"] for line in run.metrics()] == [0, 1]


def test_a_round_that_was_set_back_is_noticed(run: RunFolder):
    for number in range(3):
        run.save_round({"round": number}, Checkpoint(number + 1, ServerState(weights(float(number)))), keep=1)
    with safe_open(run.path / "checkpoint.safetensors", framework="pt") as file:
        metadata, values = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(values, run.path / "checkpoint.safetensors", metadata=metadata | {"next_round": "1"})
    with pytest.raises(RunError, match="it was changed since it was written"):
        run.newest_sound()


def test_lines_of_metrics_that_are_others_cost_the_rounds_since(run: RunFolder):
    for number in range(3):
        run.save_round({"round": number, "loss": 0.5}, Checkpoint(number + 1, ServerState(weights(0.0))), keep=3)
    text = (run.path / "metrics.jsonl").read_text()
    (run.path / "metrics.jsonl").write_text(text[:-5] + "9" + text[-4:])
    assert run.newest_sound().next_round == 2
    (run.path / "metrics.jsonl").write_text("{" + text[:5] + " " + text[6:])
    with pytest.raises(RunError, match=r"metrics\.jsonl is broken"):
        run.newest_sound()


@pytest.mark.parametrize(("keep", "expected"), [(1, []), (2, [4]), (3, [3, 4]), (9, [1, 2, 3, 4])])
def test_as_many_checkpoints_are_kept_as_asked_for(keep: int, expected: list[int], run: RunFolder):
    for number in range(5):
        run.save_round({"round": number}, Checkpoint(number + 1, ServerState(weights(float(number)))), keep)
    kept = sorted(int(path.stem) for path in (run.path / "checkpoints").glob("*.safetensors"))
    assert kept == expected
    for number in expected:
        state = run.states.before(number)
        assert state is not None
        assert same(state.state.shared, weights(number - 1.0))


def test_the_last_state_that_was_found_sound_is_kept_however_long_ago(run: RunFolder):
    for number in range(6):
        run.save_round({"round": number}, Checkpoint(number + 1, ServerState(weights(float(number)))), 2, sound_round=2)
    assert {path.stem for path in (run.path / "checkpoints").glob("*.safetensors")} == {"2", "5"}


def test_a_round_that_nobody_has_seen_is_taken_up_once(advanced: RunFolder):
    after = Checkpoint(4, ServerState(weights(7.0)))
    advanced.states.save_pending({"round": 3, "loss": None}, after)
    assert advanced.states.pending(2) is None
    found = advanced.states.pending(3)
    assert found is not None
    assert found[0] == {"round": 3, "loss": None}
    assert same(found[1].state.shared, weights(7.0))
    advanced.save_round(found[0], found[1])
    assert advanced.states.pending(3) is None


def test_what_was_made_under_noise_is_counted_for_good(advanced: RunFolder):
    for number in (0, 1, 1):
        advanced.note_release("state", number)
    advanced.note_release("scores", 1)
    assert (advanced.releases("state"), advanced.releases("scores"), advanced.releases("other")) == (3, 1, 0)

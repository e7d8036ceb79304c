"""The files of a run: nothing that was changed since the run wrote it is read."""

from pathlib import Path

import pytest

from fedprime.experiment.run_folder import Checkpoint, RunError
from fedprime.experiment.written_files import WrittenFiles
from fedprime.methods.method import ServerState
from run_files import die_before_replacing, flip_bit

SETTINGS = "seed = 3\n"


@pytest.fixture
def files(tmp_path: Path) -> WrittenFiles:
    """The files of a run of which a round is finished."""
    (tmp_path / "settings.toml").write_text(SETTINGS)
    for name in ("environment.json", "missingness.json", "masks.safetensors", "metrics.jsonl"):
        (tmp_path / name).write_text(f'{{"of": "{name}"}}\n')
    files = WrittenFiles(tmp_path)
    files.states.save(Checkpoint(1, ServerState({})), files.facts())
    return files


def test_a_run_is_finished_when_its_results_are_there(files: WrittenFiles):
    with pytest.raises(RunError, match="is not finished; continue it with `fedprime run --resume"):
        files.results()
    results = {"accuracy": 0.1 + 0.2, "scenarios": {"full": {"loss": 1e-300}}}
    files.save_results(results)
    assert files.is_finished
    assert files.results() == results


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("name", ["settings.toml", "environment.json", "missingness.json", "masks.safetensors"])
def test_a_bit_that_flipped_in_what_a_run_began_with_is_noticed(name: str, place: float, files: WrittenFiles):
    flip_bit(files.path / name, place)
    with pytest.raises(RunError, match=rf"{name} was changed since the run wrote it; "):
        files.refuse_changed()


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("name", ["metrics.jsonl", "results.json", "masks.safetensors"])
def test_a_bit_that_flipped_in_a_finished_run_is_noticed(name: str, place: float, files: WrittenFiles):
    files.save_results({"scenarios": {"full": {"accuracy": 0.5}}})
    files.refuse_changed()
    flip_bit(files.path / name, place)
    with pytest.raises(RunError, match=f"{name} was changed since the run wrote it; restore it"):
        files.verified(name)


def test_settings_change_on_purpose_and_not_by_hand(files: WrittenFiles):
    files.save_results({"scenarios": {}})
    files.change_settings("seed = 3\nthreads = 2\n")
    assert not files.is_finished
    assert files.verified("settings.toml").read_text() == "seed = 3\nthreads = 2\n"
    files.states.save(Checkpoint(2, ServerState({})), files.facts())
    files.refuse_changed()
    (files.path / "settings.toml").write_text(SETTINGS)
    with pytest.raises(RunError, match=r"what may change on purpose is said by flags, as in `fedprime run --resume"):
        files.refuse_changed()


def test_a_process_that_dies_while_settings_change_leaves_what_can_go_on(
    files: WrittenFiles, monkeypatch: pytest.MonkeyPatch
):
    die_before_replacing("settings.toml", monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        files.change_settings("seed = 3\nthreads = 2\n")
    files.refuse_changed()
    assert (files.path / "settings.toml").read_text() == SETTINGS

"""A run folder is read whole, or refused in one line that names it and says what to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedprime.experiment.run_folder import RunError
from fedprime.report.run_reading import read_run
from made_runs import make_run, write_json


def test_a_finished_run_is_read(finished_run: Path):
    run = read_run(finished_run)
    results = json.loads((finished_run / "results.json").read_text())
    assert run.results.method == results["method"]
    assert run.results.scenarios["full"].accuracy == pytest.approx(results["scenarios"]["full"]["accuracy"], abs=1e-5)
    assert run.results.clients.keys() == results["clients"].keys()
    assert run.settings["training.rounds"] == 3
    assert len(run.history.bytes) == 3
    assert run.history.accuracy[0] is None  # it measures in every second round
    assert sum(run.history.bytes) == results["bytes_down"] + results["bytes_up"]
    assert sum(sum(counts) for counts in run.patterns.values()) == 40
    assert run.labels is None
    assert run.place == str(finished_run)


def test_labels_are_those_that_are_given(tmp_path: Path):
    assert read_run(make_run(tmp_path / "run"), {"method": "mine"}).labels == {"method": "mine"}


def test_an_unfinished_run_is_told_how_to_go_on(stopped_run: Path):
    with pytest.raises(RunError, match=f"{stopped_run} is not finished; continue it with `fedprime run --resume"):
        read_run(stopped_run)


@pytest.mark.parametrize("name", ["settings.toml", "environment.json", "missingness.json", "metrics.jsonl"])
def test_a_run_that_lacks_a_file_is_refused(name: str, tmp_path: Path):
    folder = make_run(tmp_path / "run")
    (folder / name).unlink()
    with pytest.raises(RunError) as caught:
        read_run(folder)
    assert str(folder) in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["settings.toml", "environment.json", "missingness.json", "metrics.jsonl", "results.json"]
)
@pytest.mark.parametrize("content", ["", "{", "[]", "3", "\x00", '{"a": 1}\n'])
def test_a_run_with_a_damaged_file_is_refused(name: str, content: str, tmp_path: Path):
    folder = make_run(tmp_path / "run")
    (folder / name).write_text(content)
    if (name, content) == ("settings.toml", ""):
        return  # all defaults
    with pytest.raises(RunError) as caught:
        read_run(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("scenarios", {}), ("rounds", 0), ("seed", "x"), ("bytes_up", -1), ("scenarios", {"full": {"accuracy": 3}})],
)
def test_results_of_another_format_are_refused(field: str, value: Any, tmp_path: Path):
    folder = make_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text()) | {field: value}
    write_json(folder / "results.json", results)
    with pytest.raises(RunError, match=rf"results.json has another format .*\({field}"):
        read_run(folder)


def test_a_run_whose_metrics_lack_rounds_is_refused(tmp_path: Path):
    folder = make_run(tmp_path / "run", rounds=3)
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join([lines[0], lines[2]]))
    with pytest.raises(RunError, match="lacks some of 3 rounds"):
        read_run(folder)


def test_a_limit_that_is_not_known_is_none(tmp_path: Path):
    run = read_run(make_run(tmp_path / "run", accuracies={"full": 0.8}, limits={}))
    assert run.results.scenarios["full"].bayes_accuracy is None


def test_a_client_without_test_samples_has_no_scores(tmp_path: Path):
    run = read_run(make_run(tmp_path / "run", clients={"0": None}))
    assert run.results.clients == {"0": None}


def test_of_prompts_the_last_round_and_the_share_that_moved_are_kept(tmp_path: Path):
    # Three clients with two prompts: in round 0 all stay; in round 2 one of six prompts goes elsewhere.
    matches = [[[0, 1], [0, 1], [0, 1]], [[0, 1], [0, 1], [0, 2]]]
    usage = {"inter": {"image": [3, 0], "image+text": [1, 2]}}
    rows = [{"matches": {"inter": matches[0]}}, {"usage": usage}, {"matches": {"inter": matches[1]}}]
    prompts = read_run(make_run(tmp_path / "run", rows=rows)).prompts
    assert prompts is not None
    assert prompts.matches == {"inter": ((0, 1), (0, 1), (0, 2))}
    assert prompts.moved == {"inter": (0.0, None, pytest.approx(1 / 6, abs=1e-5))}
    assert prompts.usage == {"inter": {"image": (3, 0), "image+text": (1, 2)}}


def test_centres_that_are_numbered_anew_do_not_move_a_prompt(tmp_path: Path):
    rows = [{"matches": {"inter": [[4, 0], [4, 0]]}}] * 3
    prompts = read_run(make_run(tmp_path / "run", rows=rows)).prompts
    assert prompts is not None
    assert prompts.moved == {"inter": (0.0, 0.0, 0.0)}


def test_clients_may_have_pools_of_different_sizes(tmp_path: Path):
    rows = [{"matches": {"inter": [[0, 1, 2], [0]]}}] * 3
    prompts = read_run(make_run(tmp_path / "run", rows=rows)).prompts
    assert prompts is not None
    assert prompts.moved["inter"][0] == 0.0


def test_a_run_that_recorded_nothing_about_prompts_has_no_record(tmp_path: Path):
    assert read_run(make_run(tmp_path / "run")).prompts is None


def test_rows_of_classes_after_those_of_clients_are_no_clients(tmp_path: Path):
    folder = make_run(tmp_path / "run")
    rows = json.loads((folder / "missingness.json").read_text())
    write_json(folder / "missingness.json", [*rows, {"label": "dish-00", "samples": 5, "present": rows[0]["present"]}])
    assert read_run(folder).patterns == read_run(make_run(tmp_path / "other")).patterns

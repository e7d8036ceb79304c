"""Runs are found wherever they are, and read whole with the labels of their place, or left out with one line on why."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fedprime.experiment.run_folder import RunError
from fedprime.report.finished_runs import PromptRecord
from fedprime.report.load import find_runs, has_runs, is_run_folder, read_run
from fedprime.report.runs_file import RunSet, write_runs_file
from made_runs import make_grid, make_run, write_json

PLAN = """
seeds = [0, 1]

[axes."trained on"]
"miss text".missing.lacking = "text"
"miss image".missing.lacking = "image"

[axes.method]
fedprime.method.name = "fedprime"
fedavg-p.method.name = "fedavg-p"
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """The folder of a grid, all of whose runs are finished."""
    return make_grid(tmp_path / "grid", PLAN)


def problem(*paths: Path) -> str:
    """The one line on what has to be left out."""
    (line,) = find_runs(paths)[1]
    assert "\n" not in line
    return line


def prompts_of(folder: Path, *rows: Mapping[str, Any]) -> PromptRecord:
    """What is kept of the prompts of a run, from what it recorded round by round."""
    prompts = read_run(make_run(folder, rows=rows)).prompts
    assert prompts is not None
    return prompts


def places(paths: Sequence[Path]) -> list[str]:
    sets, problems = find_runs(paths)
    assert problems == []
    return [run.place for runs in sets for run in runs.runs]


def test_run_folders_are_found_at_any_depth_in_order(tmp_path: Path):
    deep, near = make_run(tmp_path / "b" / "c" / "run"), make_run(tmp_path / "a")
    assert places([tmp_path]) == [str(near), str(deep)]


def test_a_run_that_is_named_twice_is_read_once(tmp_path: Path):
    folder = make_run(tmp_path / "run")
    assert places([folder, tmp_path, folder / ".." / "run"]) == [str(folder)]


def test_neither_hidden_folders_nor_those_inside_a_run_are_looked_at(tmp_path: Path):
    run = make_run(tmp_path / "run")
    make_run(tmp_path / ".run.123.tmp")
    make_run(run / "model" / "inner")
    assert places([tmp_path]) == [str(run)]


def test_runs_of_a_grid_have_the_labels_of_their_place(grid: Path):
    ((runs,), problems) = find_runs([grid])
    assert problems == []
    assert runs.axes == {"trained on": ("miss text", "miss image"), "method": ("fedprime", "fedavg-p")}
    assert runs.varied == {"missing.lacking", "method.name"}
    assert len(runs.runs) == 8
    for run in runs.runs:
        assert run.labels["trained on"] == f"miss {run.settings['missing.lacking']}"
        assert run.labels["method"] == run.results.method


def test_a_single_run_of_a_grid_knows_its_labels_and_misses_no_other(grid: Path):
    ((runs,), problems) = find_runs([grid / "runs" / "miss-text" / "fedavg-p" / "seed-1"])
    assert problems == []
    assert [run.labels for run in runs.runs] == [{"trained on": "miss text", "method": "fedavg-p"}]


def test_a_grid_that_is_not_complete_says_how_much_is_missing(grid: Path):
    shutil.rmtree(grid / "runs" / "miss-text")
    assert problem(grid).startswith(f"4 of 8 runs of the grid {grid} are not there yet")
    assert problem(grid.parent).startswith(f"4 of 8 runs of the grid {grid} are not there yet")


def test_a_grid_without_any_run_is_missing_all(grid: Path):
    shutil.rmtree(grid / "runs")
    assert problem(grid).startswith("8 of 8 runs")


def test_a_grid_whose_plan_is_broken_is_left_out_as_a_whole(grid: Path):
    (grid / "plan.toml").write_text("seeds = [")
    line = problem(grid)
    assert line.startswith(f"the plan of the grid {grid} cannot be used")
    assert "its 8 runs are left out" in line


def test_a_run_with_other_settings_than_its_place_says_is_left_out(grid: Path):
    folder = grid / "runs" / "miss-text" / "fedprime" / "seed-0"
    shutil.rmtree(folder)
    make_run(folder, ["--method.name=fedprime", "--missing.lacking=text", "--training.lr=0.5"])
    line = problem(grid)
    assert line.startswith(f"{folder} has other settings than the plan")
    assert "(training.lr is 0.5, there 0.01)" in line


def test_a_run_with_another_seed_than_its_place_says_is_left_out(grid: Path):
    folder = grid / "runs" / "miss-text" / "fedprime" / "seed-0"
    shutil.rmtree(folder)
    make_run(folder, ["--method.name=fedprime", "--missing.lacking=text", "--seed=5"])
    assert "(seed is 5, there 0)" in problem(grid)


def test_threads_and_folders_may_differ_from_the_plan(grid: Path):
    folder = grid / "runs" / "miss-text" / "fedprime" / "seed-0"
    shutil.rmtree(folder)
    flags = ["--method.name=fedprime", "--missing.lacking=text", "--threads=2", "--backbone=/data/vilt"]
    make_run(folder, flags)
    assert len(places([grid])) == 8


def test_a_run_that_is_not_in_the_plan_is_left_out(grid: Path):
    stray = make_run(grid / "runs" / "miss-text" / "fedprime" / "seed-99")
    assert problem(grid).startswith(f"{stray} is no run of the plan")


def test_a_plan_that_a_person_keeps_beside_runs_is_no_grid(tmp_path: Path):
    (tmp_path / "plan.toml").write_text('recipe = "builtin/quickstart"\nseeds = [0, 1]\n')
    run = make_run(tmp_path / "runs" / "first")
    assert places([run]) == places([tmp_path]) == [str(run)]


def test_a_broken_run_is_left_out_and_the_others_are_read(tmp_path: Path):
    good, broken = make_run(tmp_path / "good"), make_run(tmp_path / "broken")
    (broken / "results.json").write_text("{")
    assert problem(tmp_path).startswith(f"{broken / 'results.json'} is broken")
    assert [run.place for run in find_runs([tmp_path])[0][0].runs] == [str(good)]


def test_a_half_finished_run_is_left_out(stopped_run: Path):
    assert f"fedprime run --resume {stopped_run}" in problem(stopped_run.parent)


def test_a_run_folder_that_lost_its_settings_is_found_and_left_out(tmp_path: Path):
    (make_run(tmp_path / "run") / "settings.toml").unlink()
    assert problem(tmp_path).startswith(f"{tmp_path / 'run'} is not a run folder: settings.toml is not there")


def test_a_path_that_does_not_exist_is_named(tmp_path: Path):
    assert problem(tmp_path / "nowhere").startswith(f"{tmp_path / 'nowhere'} is not there")


def test_a_folder_without_runs_is_named(tmp_path: Path):
    assert problem(tmp_path).startswith(f"there is no run in {tmp_path}")


def test_a_report_is_read_by_its_file_or_its_folder(grid: Path, tmp_path: Path):
    ((runs,), _) = find_runs([grid])
    write_runs_file(tmp_path / "report" / "runs.json", runs)
    for path in (tmp_path / "report", tmp_path / "report" / "runs.json"):
        ((read,), problems) = find_runs([path])
        assert problems == []
        assert (len(read.runs), read.axes) == (8, runs.axes)


def test_a_report_beside_runs_is_not_read_with_them(tmp_path: Path):
    run = make_run(tmp_path / "run")
    ((runs,), _) = find_runs([run])
    write_runs_file(tmp_path / "runs.json", RunSet(runs.runs, None))
    write_runs_file(tmp_path / "report" / "runs.json", RunSet(runs.runs, None))
    assert places([tmp_path]) == [str(run)]


def test_a_file_that_is_no_report_is_left_out(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("hello")
    assert problem(tmp_path / "notes.txt").startswith(f"{tmp_path / 'notes.txt'} cannot be read")


def test_has_runs_tells_folders_of_runs_from_others(grid: Path, tmp_path: Path):
    assert has_runs(grid)
    assert not has_runs(tmp_path / "nowhere")
    assert is_run_folder(grid / "runs" / "miss-text" / "fedprime" / "seed-0")
    assert not is_run_folder(grid)


def test_what_is_said_by_method_may_differ_between_runs_of_a_plan(tmp_path: Path):
    folder = make_grid(tmp_path / "tuned", f"{PLAN}\n[by_method]\nfedprime.training.lr = 0.25\n")
    (runs,), problems = find_runs([folder])
    assert problems == []
    assert runs.varied == {"missing.lacking", "method.name", "training.lr"}


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
    assert run.labels == {}
    assert run.place == str(finished_run)


def test_labels_are_those_that_are_given(tmp_path: Path):
    assert read_run(make_run(tmp_path / "run"), {"method": "mine"}).labels == {"method": "mine"}


def test_an_unfinished_run_is_told_how_to_go_on(stopped_run: Path):
    with pytest.raises(RunError, match=f"{stopped_run} is not finished; continue it with `fedprime run --resume"):
        read_run(stopped_run)


@pytest.mark.parametrize(
    "name", ["settings.toml", "environment.json", "missingness.json", "metrics.jsonl", "results.json"]
)
@pytest.mark.parametrize("content", [None, "", "{", "[]", "3", "\x00", '{"a": 1}\n'])
def test_a_run_that_lacks_a_file_or_has_a_damaged_one_is_refused(name: str, content: str | None, tmp_path: Path):
    folder = make_run(tmp_path / "run")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    if (name, content) == ("settings.toml", ""):
        return  # all defaults
    with pytest.raises(RunError) as caught:
        read_run(folder)
    assert str(folder) in str(caught.value)
    assert content is not None or name == "results.json" or name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("scenarios", {}), ("rounds", -1), ("seed", "x"), ("bytes_up", -1), ("scenarios", {"full": {"accuracy": 3}})],
)
def test_results_of_another_format_are_refused(field: str, value: Any, tmp_path: Path):
    folder = make_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text()) | {field: value}
    write_json(folder / "results.json", results)
    with pytest.raises(RunError, match=rf"results.json has another format .*\({field}"):
        read_run(folder)


@pytest.mark.parametrize("value", [None, []])
def test_results_that_are_no_object_are_refused(value: Any, tmp_path: Path):
    folder = make_run(tmp_path / "run")
    write_json(folder / "results.json", value)
    with pytest.raises(RunError, match=r"results.json has another format .* \(it is no object\); restore it"):
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
    prompts = prompts_of(tmp_path / "run", *rows)
    assert prompts.matches == {"inter": ((0, 1), (0, 1), (0, 2))}
    assert prompts.moved == {"inter": (0.0, None, pytest.approx(1 / 6, abs=1e-5))}
    assert prompts.usage == {"inter": {"image": (3, 0), "image+text": (1, 2)}}


def test_centres_that_are_numbered_anew_do_not_move_a_prompt(tmp_path: Path):
    rows = [{"matches": {"inter": [[4, 0], [4, 0]]}}] * 3
    assert prompts_of(tmp_path / "run", *rows).moved == {"inter": (0.0, 0.0, 0.0)}


def test_clients_may_have_pools_of_different_sizes(tmp_path: Path):
    rows = [{"matches": {"inter": [[0, 1, 2], [0]]}}] * 3
    assert prompts_of(tmp_path / "run", *rows).moved["inter"][0] == 0.0


def test_a_run_that_recorded_nothing_about_prompts_has_no_record(tmp_path: Path):
    assert read_run(make_run(tmp_path / "run")).prompts is None


def test_rows_of_classes_after_those_of_clients_are_no_clients(tmp_path: Path):
    folder = make_run(tmp_path / "run")
    rows = json.loads((folder / "missingness.json").read_text())
    write_json(folder / "missingness.json", [*rows, {"label": "dish-00", "samples": 5, "present": rows[0]["present"]}])
    assert read_run(folder).patterns == read_run(make_run(tmp_path / "other")).patterns


def test_rounds_of_the_start_are_told_from_those_of_training(tmp_path: Path):
    folder = make_run(tmp_path / "run", rounds=2)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    start = [{**rows[0], "round": number} for number in (-2, -1)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in [*start, *rows]))
    ((run,),) = (found.runs for found in find_runs([folder])[0])
    assert (run.history.start, len(run.history.loss)) == (2, 4)

"""What is written to runs.json comes back as it was, small, and the same each time."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedprime.experiment.run_folder import RunError
from fedprime.report.finished_runs import FinishedRun, History, PrivacySpent, PromptRecord, Scores
from fedprime.report.runs_file import RunSet, is_runs_file, read_runs_file, write_runs_file
from made_runs import made_run


def scores(accuracy: float) -> Scores:
    return Scores(accuracy=accuracy, macro_f1=0.5, num_samples=20, bayes_accuracy=0.9, loss=None)


@pytest.fixture
def runs() -> RunSet:
    """Two runs of a plan, one with everything that a run may have."""
    detailed = made_run(
        {"trained on": "miss text", "method": "fedprime"},
        0,
        {"full": 0.8, "text only": 0.6},
        settings={"missing.lacking": "text", "data.modalities": ["image", "text"]},
        clients={"0": scores(0.5), "1": None},
        patterns={"image": (3, 4), "image+text": (5, 6)},
        prompts=PromptRecord(
            matches={"inter": ((0, 1), (1, None))},
            moved={"inter": (0.0, None, 0.5)},
            usage={"inter": {"image": (1, 2)}},
        ),
        history=History(
            accuracy=(None, 0.5, 0.6),
            bayes_accuracy=(None, 0.9, 0.9),
            loss=(2.0, None, 0.5),
            bytes=(5, 5, 5),
            pool_sizes={"inter": (20, 21, 22)},
        ),
    )
    plain = made_run({"trained on": "miss image", "method": "fedprime"}, 1, commit="def456")
    axes = {"trained on": ("miss text", "miss image"), "method": ("fedprime",)}
    return RunSet((detailed, plain), axes, frozenset({"missing.lacking", "method.name"}))


def without_places(runs: RunSet) -> list[dict[str, Any]]:
    return [{name: value for name, value in vars(run).items() if name != "place"} for run in runs.runs]


def test_what_was_written_is_read(runs: RunSet, tmp_path: Path):
    write_runs_file(tmp_path / "runs.json", runs)
    read = read_runs_file(tmp_path / "runs.json")
    assert without_places(read) == without_places(runs)
    assert (read.axes, read.varied) == (runs.axes, runs.varied)
    assert read.runs[1].place == f"{tmp_path / 'runs.json'}, run 2"


def test_what_a_run_tells_about_a_client_is_kept(tmp_path: Path):
    run = made_run()
    private = replace(run, results=replace(run.results, privacy=PrivacySpent(9.5, 0.001)))
    write_runs_file(tmp_path / "runs.json", RunSet((private, run), None))
    assert [entry.results.privacy for entry in read_runs_file(tmp_path / "runs.json").runs] == [
        PrivacySpent(9.5, 0.001),
        None,
    ]


def test_runs_of_no_plan_have_no_labels(tmp_path: Path):
    write_runs_file(tmp_path / "runs.json", RunSet((made_run(), made_run(seed=1)), None))
    read = read_runs_file(tmp_path / "runs.json")
    assert read.axes is None
    assert [run.labels for run in read.runs] == [{}, {}]
    assert [run.settings["seed"] for run in read.runs] == [0, 1]


def test_a_plan_without_axes_gives_labels_of_none(tmp_path: Path):
    write_runs_file(tmp_path / "runs.json", RunSet((made_run({}),), {}))
    read = read_runs_file(tmp_path / "runs.json")
    assert (read.axes, read.runs[0].labels) == ({}, {})


def test_the_file_is_the_same_each_time_with_a_run_on_each_line(runs: RunSet, tmp_path: Path):
    write_runs_file(tmp_path / "one.json", runs)
    write_runs_file(tmp_path / "two.json", read_runs_file(tmp_path / "one.json"))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    lines = (tmp_path / "one.json").read_text().splitlines()
    assert sum('"seed"' in line for line in lines) == 2


def test_a_run_takes_less_than_a_kilobyte_beside_its_clients(tmp_path: Path):
    rounds = 30
    history = History(
        accuracy=tuple(0.5 + 0.01234 * number for number in range(rounds)),
        bayes_accuracy=(0.9,) * rounds,
        loss=tuple(2 / (number + 3) for number in range(rounds)),
        bytes=(1_048_576,) * rounds,
        pool_sizes={"pools.inter": (20,) * rounds},
    )
    names = ("like train", "miss both", "full", "image only", "text only")
    runs = [
        made_run({"method": method}, seed, dict.fromkeys(names, 0.81234), history=history)
        for method in ("fedprime", "pfpt", "fedavg-p", "head-only")
        for seed in range(5)
    ]
    axes = {"method": ("fedprime", "pfpt", "fedavg-p", "head-only")}
    write_runs_file(tmp_path / "runs.json", RunSet(tuple(runs), axes, frozenset({"method.name"})))
    assert (tmp_path / "runs.json").stat().st_size < 1300 * len(runs)


@pytest.fixture
def changed(runs: RunSet, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Writes the file, changes its content, and returns its path."""

    def change(how: Callable[[dict[str, Any]], None]) -> Path:
        path = tmp_path / "runs.json"
        write_runs_file(path, runs)
        content = json.loads(path.read_text())
        how(content)
        path.write_text(json.dumps(content))
        return path

    return change


def test_another_file_is_refused(tmp_path: Path):
    path = tmp_path / "other.json"
    for content in ('{"runs": []}', "[]", "3"):
        path.write_text(content)
        assert not is_runs_file(path)
        with pytest.raises(RunError, match=r"other.json was not written by `fedprime report`"):
            read_runs_file(path)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path):
    (tmp_path / "runs.json").write_text("{")
    assert not is_runs_file(tmp_path / "runs.json")
    with pytest.raises(RunError, match=r"runs.json cannot be read"):
        read_runs_file(tmp_path / "runs.json")


def test_a_file_of_another_format_is_refused(changed: Callable[..., Path]):
    path = changed(lambda content: content.update(format=99))
    assert is_runs_file(path)
    with pytest.raises(RunError, match="has format 99, expected 1"):
        read_runs_file(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("environments"),
        lambda content: content.update(environments=[]),
        lambda content: content.update(runs=3),
        lambda content: content["runs"][0].pop("results"),
        lambda content: content["runs"][0]["results"].pop("rounds"),
        lambda content: content["runs"][0]["scenarios"].update(full=[2.0, 0.5, 3, 0.9, 0.1]),
        lambda content: content["runs"][0]["scenarios"].update(full=[0.5]),
        lambda content: content["runs"][0]["history"].update(accuracy=[0.5]),
        lambda content: content["runs"][0].pop("labels"),
        lambda content: content.update(axes=["method"]),
        lambda content: content["settings"].update({"training.lr": [None]}),
        lambda content: content["settings"].update({"training.lr": {"a": [{"b": None}]}}),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(damage: Callable[[dict[str, Any]], None], changed: Callable[..., Path]):
    with pytest.raises(RunError, match=r"runs\.json is broken") as caught:
        read_runs_file(changed(damage))
    assert "\n" not in str(caught.value)


def test_a_run_is_what_it_was_in_every_field(runs: RunSet, tmp_path: Path):
    write_runs_file(tmp_path / "runs.json", runs)
    (run, _) = read_runs_file(tmp_path / "runs.json").runs
    assert isinstance(run, FinishedRun)
    assert run.results.clients["1"] is None
    assert run.prompts is not None
    assert run.prompts.moved == {"inter": (0.0, None, 0.5)}


def test_rounds_of_the_start_come_back_as_such(runs: RunSet, tmp_path: Path):
    whole = runs.runs[0]
    started = replace(whole, history=replace(whole.history, start=1), results=replace(whole.results, rounds=2))
    write_runs_file(tmp_path / "runs.json", replace(runs, runs=(started,)))
    assert read_runs_file(tmp_path / "runs.json").runs[0].history == started.history

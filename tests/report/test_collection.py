"""Runs that belong together get labels; runs that do not are refused, naming them and what differs."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fedprime.report.collection import Collection, ReportError, collect_runs, in_words
from fedprime.report.runs_file import RunSet, write_runs_file
from made_runs import make_grid, make_run, write_json

METHODS = '[axes.method]\nfedprime.method.name = "fedprime"\nfedavg-p.method.name = "fedavg-p"\n'


def grid(folder: Path, axes: str = METHODS, shared: str = "", seeds: Sequence[int] = (0,)) -> Path:
    return make_grid(folder, f"seeds = {list(seeds)}\n{shared}\n{axes}")


def labels_of(collection: Collection) -> list[dict[str, str]]:
    return [run.labels for run in collection.runs]


def refusal(*paths: Path) -> str:
    with pytest.raises(ReportError) as caught:
        collect_runs(paths)
    return str(caught.value)


def test_the_settings_in_which_loose_runs_differ_are_their_axes(tmp_path: Path):
    make_run(tmp_path / "a", ["--training.lr=0.1", "--method.name=pfpt"])
    make_run(tmp_path / "b", ["--training.lr=0.02", "--method.name=fedprime"])
    make_run(tmp_path / "c", ["--training.lr=0.1", "--method.name=fedprime"])
    found = collect_runs([tmp_path])
    assert found.axes == {"training.lr": ("0.02", "0.1"), "method": ("fedprime", "pfpt")}
    assert labels_of(found) == [
        {"training.lr": "0.02", "method": "fedprime"},
        {"training.lr": "0.1", "method": "fedprime"},
        {"training.lr": "0.1", "method": "pfpt"},
    ]


def test_seeds_and_what_does_not_matter_are_no_axes(tmp_path: Path):
    make_run(tmp_path / "a", ["--seed=1", "--threads=2", "--evaluation.every=2", "--evaluation.batch_size=7"])
    make_run(tmp_path / "b", ["--seed=0"])
    found = collect_runs([tmp_path])
    assert found.axes == {"method": ("fedprime",)}
    assert [run.results.seed for run in found.runs] == [0, 1]


def test_what_the_method_decides_is_a_note_and_no_axis(tmp_path: Path):
    make_run(tmp_path / "a", ["--method.name=fedprime", "--training.lr=0.1"])
    make_run(tmp_path / "b", ["--method.name=fedavg-p", "--training.lr=0.2"])
    found = collect_runs([tmp_path])
    assert list(found.axes) == ["method"]
    assert found.notes == ("training.lr differs with the method: fedprime: 0.1, fedavg-p: 0.2",)


def test_numbers_are_ordered_as_numbers_and_methods_as_they_are_listed(tmp_path: Path):
    for clients in (5, 20, 100):
        for method in ("head-only", "fedprime"):
            make_run(
                tmp_path / f"{clients}-{method}", [f"--partition.num_clients={clients}", f"--method.name={method}"]
            )
    found = collect_runs([tmp_path])
    assert found.axes == {"partition.num_clients": ("5", "20", "100"), "method": ("fedprime", "head-only")}


@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("data.num_test", "2000 in {a}, 100 in {b}"),
        ("data.world_seed", "0 in {a}, 100 in {b}"),
        ("data.num_classes", "8 in {a}, 100 in {b}"),
        ("data.num_validation", "500 in {a}, 100 in {b}"),
    ],
)
def test_loose_runs_of_different_worlds_are_refused(flag: str, values: str, tmp_path: Path):
    one, other = make_run(tmp_path / "a"), make_run(tmp_path / "b", [f"--{flag}=100"])
    said = refusal(one, other)
    assert said.startswith("these runs do not belong together")
    assert f"{flag} is {values.format(a=one, b=other)}" in said


def test_many_runs_of_another_world_are_counted_not_listed(tmp_path: Path):
    for seed in range(3):
        make_run(tmp_path / f"a{seed}", [f"--seed={seed}"])
    make_run(tmp_path / "b", ["--data.num_test=100"])
    assert f"2000 in {tmp_path / 'a0'} and 2 more, 100 in {tmp_path / 'b'}" in refusal(tmp_path)


def test_a_plan_may_vary_its_worlds(tmp_path: Path):
    axes = "[axes.classes]\n8.data.num_classes = 8\n16.data.num_classes = 16\n"
    found = collect_runs([grid(tmp_path / "grid", axes)])
    assert found.axes == {"classes": ("8", "16")}


def test_grids_with_the_same_axes_are_reported_together(tmp_path: Path):
    one = grid(tmp_path / "one", seeds=[0])
    other = grid(tmp_path / "other", METHODS + 'pfpt.method.name = "pfpt"\n', seeds=[1])
    found = collect_runs([one, other])
    assert found.axes == {"method": ("fedprime", "fedavg-p", "pfpt")}
    assert [run.labels["method"] for run in found.runs] == [
        "fedprime",
        "fedprime",
        "fedavg-p",
        "fedavg-p",
        "pfpt",
    ]


def test_grids_that_differ_in_what_no_axis_stands_for_are_refused(tmp_path: Path):
    one = grid(tmp_path / "one", seeds=[0])
    other = grid(tmp_path / "other", shared="[settings.training]\nlr = 0.5\n", seeds=[1])
    said = refusal(one, other)
    assert "training.lr is 0.01 in" in said
    assert f"0.5 in {other / 'runs' / 'fedprime' / 'seed-1'}" in said


def test_grids_that_mean_different_things_by_a_label_are_refused(tmp_path: Path):
    one = grid(tmp_path / "one", '[axes.method]\nmine.method.name = "fedprime"\n', seeds=[0])
    other = grid(tmp_path / "other", '[axes.method]\nmine.method.name = "pfpt"\n', seeds=[1])
    assert "method.name is 'fedprime' in" in refusal(one, other)


def test_the_same_labels_and_seed_with_other_settings_are_refused(tmp_path: Path):
    one = grid(tmp_path / "one")
    other = grid(tmp_path / "other", shared="[settings.training]\nlr = 0.5\n")
    said = refusal(one, other)
    assert "have the same labels and seed but do not belong together: training.lr is 0.01 in" in said


def test_grids_with_other_axes_are_refused(tmp_path: Path):
    one = grid(tmp_path / "one")
    other = grid(tmp_path / "other", "[axes.rate]\nhalf.missing.rate = 0.5\n")
    assert "the former has the axes method, the latter the axes rate" in refusal(one, other)


def test_a_grid_and_loose_runs_are_refused(tmp_path: Path):
    said = refusal(grid(tmp_path / "grid"), make_run(tmp_path / "loose"))
    assert "no plan" in said
    assert str(tmp_path / "loose") in said


def test_another_backbone_under_the_same_name_is_refused(tmp_path: Path):
    folder = grid(tmp_path / "grid", seeds=[0, 1])
    path = folder / "runs" / "fedprime" / "seed-1" / "environment.json"
    path.write_text(path.read_text().replace("c4e9", "ffff"))
    assert "backbone is 'c4e9' in" in refusal(folder)


def test_a_run_that_is_there_twice_counts_once_with_a_note(tmp_path: Path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b")
    found = collect_runs([tmp_path])
    assert len(found.runs) == 1
    assert found.problems == ()
    (note,) = found.notes
    assert note.startswith("1 run is there twice with the same results, each to count once")
    assert str(tmp_path / "a") in note


def test_the_same_settings_with_other_results_are_left_out_with_a_reason(tmp_path: Path):
    make_run(tmp_path / "a", accuracies={"full": 0.8}, commit="aaa")
    make_run(tmp_path / "b", accuracies={"full": 0.7}, commit="bbb")
    found = collect_runs([tmp_path])
    assert [run.place for run in found.runs] == [str(tmp_path / "a")]
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path / 'b'} has the settings and seed of {tmp_path / 'a'} but other results")
    assert "(commits aaa and bbb)" in problem


def test_the_runs_of_a_report_may_be_given_beside_their_folders(tmp_path: Path):
    folder = grid(tmp_path / "grid")
    write_runs_file(tmp_path / "runs.json", collect_runs([folder]).kept)
    found = collect_runs([folder, tmp_path / "runs.json"])
    assert len(found.runs) == 2
    assert found.notes[0].startswith("2 runs are there twice")


def test_runs_of_a_report_and_new_loose_runs_get_their_labels_together(tmp_path: Path):
    make_run(tmp_path / "old" / "a", ["--method.name=pfpt"])
    kept = collect_runs([tmp_path / "old"]).kept
    assert kept == RunSet(kept.runs, None)
    write_runs_file(tmp_path / "runs.json", kept)
    make_run(tmp_path / "new" / "b", ["--method.name=fedprime"])
    assert collect_runs([tmp_path / "runs.json", tmp_path / "new"]).axes == {"method": ("fedprime", "pfpt")}


def test_a_plan_without_axes_is_labelled_by_its_method(tmp_path: Path):
    found = collect_runs([grid(tmp_path / "grid", axes="", seeds=[0, 1])])
    assert found.axes == {"method": ("fedprime",)}
    assert found.kept.axes == {}


def test_labels_without_runs_are_no_labels(tmp_path: Path):
    folder = grid(tmp_path / "grid")
    assert collect_runs([folder / "runs" / "fedprime"]).axes == {"method": ("fedprime",)}


def test_clients_are_kept_of_the_first_seed(tmp_path: Path):
    found = collect_runs([grid(tmp_path / "grid", seeds=[3, 1])])
    assert [(run.results.seed, bool(run.results.clients), bool(run.patterns)) for run in found.runs[:2]] == [
        (1, True, True),
        (3, False, False),
    ]


def test_nothing_to_report_is_an_error_with_every_reason(tmp_path: Path, stopped_run: Path):
    said = refusal(stopped_run, tmp_path / "nowhere")
    assert f"fedprime run --resume {stopped_run}" in said
    assert f"{tmp_path / 'nowhere'} is not there" in said
    assert said.endswith("nothing is left to report")


def test_no_labels_are_no_words():
    assert in_words({}) == ""


def own_objects(run: Path, **objects: str) -> None:
    path = run / "environment.json"
    write_json(path, json.loads(path.read_text()) | {"own_objects": objects})


def test_runs_with_methods_of_ones_own_are_told_apart_and_are_kept_so(tmp_path: Path):
    for width in (3, 4):
        own_objects(make_run(tmp_path / "runs" / str(width), method="mine"), method=f"mine.Method(width={width})")
    found = collect_runs([tmp_path / "runs"])
    assert found.axes == {"own_objects.method": ("mine.Method(width=3)", "mine.Method(width=4)")}
    write_runs_file(tmp_path / "runs.json", found.kept)
    assert collect_runs([tmp_path / "runs.json"]).axes == found.axes


def test_runs_on_a_data_set_of_ones_own_and_on_another_are_refused(tmp_path: Path):
    make_run(tmp_path / "named")
    own_objects(make_run(tmp_path / "own"), source="mine.Source 3f")
    assert "own_objects.source is None in" in refusal(tmp_path)


def test_what_a_method_decides_about_itself_may_differ_with_its_label(tmp_path: Path):
    axes = """
[axes.method]
closed-form.method = { name = "closed-form", paper = false }
"fedprime as in its paper".method = { name = "fedprime", paper = true }
fedadam-p.method = { name = "fedadam-p", paper = false }
"""
    found = collect_runs([grid(tmp_path / "grid", axes)])
    assert found.axes == {"method": ("closed-form", "fedprime as in its paper", "fedadam-p")}

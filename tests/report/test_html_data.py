"""What a page shows: small, in numbers that can be sorted, with recipes that give the same settings again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fedprime.report.collection import collect_runs
from fedprime.report.compare import group_runs
from fedprime.report.finished_runs import FinishedRun, History, Results, Scores
from fedprime.report.html import html_page
from fedprime.report.html_data import curves_of, page_data
from fedprime.settings.reading import flat_settings, read_settings
from made_runs import collected, made_run, make_run

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def data_of(runs: list[FinishedRun]) -> dict[str, object]:
    collection = collected(runs)
    return json.loads(json.dumps(page_data("x", collection, group_runs(collection), "caption", ["again"])))


def run_with_own(method: str, seed: int, accuracy: float, own: float) -> FinishedRun:
    run = made_run({"method": method}, seed, {"full": accuracy})
    scores = replace(run.results.scenarios["full"], own_accuracy=own, own_bayes_accuracy=0.99, majority_accuracy=0.2)
    results: Results = replace(run.results, scenarios={"full": scores})
    return replace(run, results=results)


def test_a_page_of_165_runs_is_small():
    collection = collect_runs([RESULTS / "papers" / "runs.json"])
    assert len(collection.runs) == 165
    page = html_page(page_data("main", collection, group_runs(collection), "", []))
    assert len(page.encode()) < 2_000_000


def test_scores_are_numbers_in_per_cent_with_their_deviation():
    data = data_of([made_run({"method": "a"}, seed, {"full": value}) for seed, value in enumerate((0.5, 0.6, 0.7))])
    scores = data["cells"][0]["scores"]["full"]
    assert scores["accuracy"] == pytest.approx([60, 10])
    assert scores["bayes_accuracy"] == [98, 0]
    assert [run["scores"]["full"]["accuracy"] for run in data["runs"]] == [50, 60, 70]


def test_accuracy_at_its_client_has_columns_and_tests_of_its_own():
    runs = [run_with_own("a", seed, 0.5 + seed / 100, 0.9 - seed / 50) for seed in range(3)]
    runs += [run_with_own("b", seed, 0.4, 0.4) for seed in range(3)]
    data = data_of(runs)
    assert list(data["scores"])[:2] == ["accuracy", "own_accuracy"]
    assert data["cells"][0]["scores"]["full"]["own_accuracy"] == pytest.approx([88, 2])
    assert data["cells"][0]["scores"]["full"]["majority_accuracy"] == [20, 0]
    pairs = {pair["score"]: pair for pair in data["comparisons"]}
    assert pairs["accuracy"]["difference"] == pytest.approx(11)
    assert pairs["own_accuracy"]["difference"] == pytest.approx(48)
    assert pairs["own_accuracy"]["better"] == pairs["own_accuracy"]["best"] == "a"


def test_scores_that_no_run_has_are_no_columns():
    data = data_of([made_run({"method": "a"})])
    assert list(data["scores"]) == ["accuracy", "bayes_accuracy", "macro_f1"]
    assert data["comparisons"] == []


def test_long_curves_keep_their_ends_and_few_points():
    rounds = 1000
    history = History(
        accuracy=(None,) * rounds, bayes_accuracy=(None,) * rounds, loss=(1.0,) * rounds, bytes=(5,) * rounds
    )
    curves = curves_of([history])
    assert list(curves) == ["training loss", "sent, MB"]
    numbers = curves["training loss"][0]
    assert (len(numbers), numbers[0], numbers[-1]) == (100, 1, 1000)


def test_of_many_clients_some_are_shown_with_all_that_is_known_of_them():
    scores = Scores(accuracy=0.5, macro_f1=0.4, num_samples=10)
    clients = {str(client): None if client == 999 else scores for client in range(1000)}
    run = made_run({"method": "a"}, clients=clients, patterns={"image": tuple(range(1000))})
    shown = data_of([run])["cells"][0]["clients"]
    assert (shown["all"], len(shown["names"]), shown["names"][-1]) == (1000, 200, 999)
    assert shown["patterns"]["image"] == shown["names"]
    assert shown["scores"]["accuracy"][-2:] == [50, None]


def test_the_recipe_of_a_page_gives_the_settings_of_its_run_again(tmp_path: Path):
    paths = [
        make_run(tmp_path / name, [f"--method.name={name}", "--missing.rate=0.25"]) for name in ("fedprime", "pfpt")
    ]
    collection = collect_runs(paths)
    data = page_data("x", collection, group_runs(collection), "", [])
    for cell, run in zip(data["cells"], collection.runs, strict=True):
        lines = {**data["settings"]["shared"], **cell["settings"]}
        # The script puts names without a dot first as well: in TOML they belong to no table either way.
        recipe = tmp_path / "recipe.toml"
        recipe.write_text("".join(f"{name} = {value}\n" for name, value in lines.items()))
        again = flat_settings(read_settings(recipe, ["--seed", str(cell["seeds"][0])]))
        assert {
            name: list(value) if isinstance(value, tuple) else value for name, value in again.items()
        } == run.settings


def test_settings_that_differ_are_told_from_those_that_do_not(tmp_path: Path):
    paths = [make_run(tmp_path / rate, [f"--missing.rate={rate}"]) for rate in ("0.25", "0.5")]
    collection = collect_runs(paths)
    settings = page_data("x", collection, group_runs(collection), "", [])["settings"]
    assert settings["differing"] == ["missing.rate"]
    assert settings["shared"]["data.name"] == '"builtin"'

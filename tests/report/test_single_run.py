"""Tables and plots show the numbers of a run."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console
from rich.table import Table

from fedprime.report.single_run import plot_scenarios, scenario_table, traffic_table


@pytest.fixture
def results() -> dict[str, Any]:
    return {
        "method": "fedprime",
        "rounds": 12,
        "seed": 7,
        "scenarios": {
            "full": {"accuracy": 0.91234, "bayes_accuracy": 0.98, "macro_f1": 0.5049, "loss": 0.25, "num_samples": 9},
            "text only": {"accuracy": 1.0, "bayes_accuracy": 1.0, "macro_f1": 0.0, "loss": 12.3456, "num_samples": 9},
        },
    }


def shown(table: Table, width: int = 120) -> str:
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_table_has_a_row_for_every_scenario_with_numbers_as_people_read_them(results: dict[str, Any]):
    lines = shown(scenario_table(results)).splitlines()
    (full,) = [line for line in lines if "full" in line]
    (text,) = [line for line in lines if "text only" in line]
    assert [word for word in full.split() if word[0].isdigit()] == ["91.2", "98.0", "50.5", "0.250"]
    assert [word for word in text.split() if word[0].isdigit()] == ["100.0", "100.0", "0.0", "12.346"]


def test_the_table_says_which_run_it_is_of(results: dict[str, Any]):
    text = shown(scenario_table(results))
    for part in ("fedprime", "12 round", "seed 7", "accuracy", "Bayes", "macro-F1"):
        assert part in text
    assert text.count("%") == 3


def test_no_head_is_cut_in_a_terminal_of_eighty_columns(results: dict[str, Any]):
    scores = dict.fromkeys(("own_accuracy", "own_bayes_accuracy", "majority_accuracy"), 1.0)
    results["scenarios"]["readings only"] = {**results["scenarios"]["full"], **scores}
    text = shown(scenario_table(results), 80)
    heads = ("accuracy", "Bayes", "limit", "client", "there", "majority", "macro-F1", "loss", "readings only")
    assert [head for head in heads if head not in text] == []


def test_a_score_that_is_not_known_has_no_column(results: dict[str, Any], tmp_path: Path):
    for scores in results["scenarios"].values():
        del scores["bayes_accuracy"]
    results["scenarios"]["full"] |= {"micro_f1": 0.625, "auroc": 0.75}
    text = shown(scenario_table(results))
    assert "Bayes" not in text
    assert "micro-F1" in text
    (full,) = [line for line in text.splitlines() if "full" in line]
    assert [word for word in full.split() if word[0].isdigit()] == ["91.2", "50.5", "62.5", "75.0", "0.250"]
    plot_scenarios(results, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_ending_of_a_plot_gives_its_format(ending: str, results: dict[str, Any], tmp_path: Path):
    path = tmp_path / f"plot.{ending}"
    plot_scenarios(results, path)
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert path.read_bytes().startswith(starts[ending])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_plot_is_large_enough_to_read_and_not_empty(results: dict[str, Any], tmp_path: Path):
    plot_scenarios(results, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width >= 1000
        assert len(image.convert("RGB").getcolors(image.width * image.height)) > 50


def test_a_plot_shows_the_numbers_and_names(results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("matplotlib").rcParams, "svg.fonttype", "none")
    plot_scenarios(results, tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    for part in ("full", "text only", "91.2", "98.0", "fedprime", "accuracy, %", "best possible (Bayes)"):
        assert f">{part}<" in text


def test_the_same_results_give_the_same_picture(results: dict[str, Any], tmp_path: Path):
    plot_scenarios(results, tmp_path / "first.png")
    plot_scenarios(results, tmp_path / "second.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_a_plot_takes_the_place_of_an_older_one(results: dict[str, Any], tmp_path: Path):
    path = tmp_path / "plot.png"
    path.write_text("old")
    plot_scenarios(results, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_plots_need_no_display_and_leave_no_figure_open(results: dict[str, Any], tmp_path: Path):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    plot_scenarios(results, tmp_path / "plot.png")
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("spent", "words"),
    [
        ({"epsilon": 3.456, "delta": 0.001, "secret": True}, "epsilon 3.46 at delta 0.001"),
        ({"epsilon": 3.456, "delta": 0.001, "secret": False}, "for whoever does not know the seed"),
        ({"epsilon": None, "delta": 0.001, "secret": False}, "no privacy"),
    ],
)
def test_the_table_of_a_private_run_says_what_it_tells_about_a_client(
    spent: dict[str, Any], words: str, results: dict[str, Any]
):
    assert words in " ".join(shown(scenario_table({**results, "privacy": spent})).split())
    assert "epsilon" not in shown(scenario_table(results))


def test_traffic_is_told_by_part_the_largest_first(results: dict[str, Any]):
    sent = {"down": {"head": 1_500, "pooler": 6_000}, "up": {"head": 1_500, "pooler": 1_000}}
    table = traffic_table(results | {"bytes_by_part": sent})
    assert table is not None
    rows = [line.replace("│", " ").split() for line in shown(table).splitlines() if "│" in line]
    assert rows == [["pooler", "6.0", "1.0", "70.0"], ["head", "1.5", "1.5", "30.0"]]


@pytest.mark.parametrize("known", [{}, {"bytes_by_part": {"down": {}, "up": {}}}])
def test_where_nothing_is_sent_or_known_there_is_no_table_of_traffic(results: dict[str, Any], known: dict[str, Any]):
    assert traffic_table(results | known) is None

"""Tables read well, say what a reader must know, and bold nothing that is not significant."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fedprime.report.compare import compare_cells, group_runs
from fedprime.report.finished_runs import FinishedRun, PrivacySpent
from fedprime.report.runs_file import RunSet, read_runs_file, write_runs_file
from fedprime.report.tables import Table, accuracy_tables, caption, client_tables, percent, traffic_tables
from made_runs import collected, made_run, methods_over_seeds

SENT = {"down": {"head": 6_000, "pools.inter": 3_000}, "up": {"head": 1_500, "pools.inter": 3_000}}


def tables_of(runs: Sequence[FinishedRun]) -> list[Table]:
    blocks = group_runs(collected(runs))
    return accuracy_tables(blocks, [compare_cells(block) for block in blocks])


def caption_of(runs: Sequence[FinishedRun]) -> str:
    collection = collected(runs)
    return caption(collection, group_runs(collection))


def texts(table: Table) -> list[list[str]]:
    return [[entry.text for entry in row] for row in table.rows]


def test_shares_are_shown_in_per_cent():
    assert percent(0.87654) == "87.7"
    assert percent(0.5, 0.0123) == "50.0 ± 1.2"


def test_a_row_has_accuracies_then_what_it_took():
    (table,) = tables_of(methods_over_seeds({"fedprime": [0.80, 0.82, 0.84]}))
    assert table.labels == ("method",)
    assert table.scenarios == ("full",)
    assert table.costs == ("n", "validation", "rounds", "s/run", "MB/round", "MB", "trained", "sent")
    # 3 MB over 3 rounds; the deviation of 80, 82, 84 is 2.
    assert texts(table)[0] == [
        "fedprime",
        "82.0 ± 2.0",
        "3",
        "80.0 ± 0.0",
        "3",
        "12",
        "1.00",
        "3.0",
        "15,432",
        "15,000",
    ]


def test_the_limit_is_the_last_row():
    (table,) = tables_of(methods_over_seeds({"a": [0.5], "b": [0.6]}))
    assert texts(table)[-1] == ["Bayes limit", "98.0", *[""] * 8]


def test_a_limit_of_few_is_named_after_them():
    runs = methods_over_seeds({"a": [0.5], "b": [0.6]})
    runs.append(made_run({"method": "local-p"}, 0, {"full": 0.7}, limits={"full": 0.99}))
    (table,) = tables_of(runs)
    assert [row[:2] for row in texts(table)[-2:]] == [["Bayes limit", "98.0"], ["Bayes limit of local-p", "99.0"]]


def test_one_seed_has_no_deviation():
    (table,) = tables_of([made_run({"method": "a"}, 0, {"full": 0.5})])
    assert texts(table)[0][1] == "50.0"


def test_seconds_are_the_median_so_that_one_slow_run_does_not_count():
    runs = [made_run({"method": "a"}, seed, seconds=seconds) for seed, seconds in enumerate((50.0, 61.0, 9000.0))]
    assert texts(tables_of(runs)[0])[0][5] == "61"


def test_short_times_keep_a_digit():
    assert texts(tables_of([made_run({"method": "a"}, seconds=1.26)])[0])[0][5] == "1.3"


def test_numbers_that_differ_between_seeds_are_shown_as_a_range():
    runs = [made_run({"method": "a"}, seed, num_bytes=3_000_000 * (seed + 1)) for seed in (0, 1)]
    assert texts(tables_of(runs)[0])[0][6:8] == ["1.50", "4.5"]


def test_what_was_not_measured_is_a_dash():
    runs = [made_run({"method": "a"}, 0, {"full": 0.5}), made_run({"method": "b"}, 0, {"text only": 0.5})]
    (table,) = tables_of(runs)
    assert [row[1:3] for row in texts(table)[:2]] == [["50.0", "-"], ["-", "50.0"]]


def test_only_what_is_significantly_better_than_all_others_is_bold():
    a, b, near = [0.91, 0.92, 0.93], [0.80, 0.82, 0.81], [0.91, 0.93, 0.92]
    (clear,) = tables_of(methods_over_seeds({"a": a, "b": b, "centralized-p": [0.99, 0.98, 0.99]}))
    assert [[entry.is_bold for entry in row[:2]] for row in clear.rows[:3]] == [[False, True], [False] * 2, [False] * 2]
    (unclear,) = tables_of(methods_over_seeds({"a": a, "b": b, "c": near}))
    assert not any(entry.is_bold for row in unclear.rows for entry in row)


def test_few_combinations_stand_in_one_table_with_their_labels():
    runs = [made_run({"rate": rate, "method": method}) for rate in ("0", "0.5") for method in ("a", "b")]
    (table,) = tables_of(runs)
    assert (table.title, table.labels) == ("", ("rate", "method"))
    assert [row[:2] for row in texts(table)] == [
        ["0", "a"],
        ["0", "b"],
        ["0", "Bayes limit"],
        ["0.5", "a"],
        ["0.5", "b"],
        ["0.5", "Bayes limit"],
    ]


def test_many_combinations_are_divided_by_the_first_axis():
    methods = [f"m{number}" for number in range(12)]
    runs = [made_run({"trained on": label, "method": method}) for label in ("x", "y", "z") for method in methods]
    tables = tables_of(runs)
    assert [table.title for table in tables] == ["trained on x", "trained on y", "trained on z"]
    assert [len(table.rows) for table in tables] == [13, 13, 13]
    assert tables[0].labels == ("method",)


def test_what_makes_the_built_in_world_is_not_told_of_other_data():
    table = {"data.name": "table"}
    assert "Data: table. " in caption_of([made_run({"method": "a"}, settings=table)])
    own = {**table, "own_objects.source": "a.b.Table 0fe1"}
    assert "Data: Table 0fe1. " in caption_of([made_run({"method": "a"}, settings=own)])


def test_the_caption_says_what_a_reader_must_know():
    runs = methods_over_seeds({"a": [0.5, 0.6, 0.7], "b": [0.5, 0.6, 0.7]})
    said = caption_of(runs)
    for part in (
        "over seeds 0, 1, 2",
        "paired t-test",
        "Holm-corrected p < 0.05",
        "Data: builtin (classes: 8, train: 4000, test: 2000, world seed: 0).",
        "Machine: AMD EPYC (2 cores).",
        "Commit: abc123.",
        "Finished: 2026-11-23.",
        "Bayes limit",
    ):
        assert part in said


def test_the_caption_names_only_so_many_commits():
    runs = [made_run({"method": "a"}, seed, commit=f"c{seed}") for seed in range(6)]
    assert "Commit: c0, c1, c2, c3 and others." in caption_of(runs)


@pytest.mark.parametrize(
    ("accuracies", "why"),
    [
        ({"a": [0.5, 0.6], "b": [0.1, 0.1]}, "Nothing is bold: with fewer than 3 seeds nothing can be tested."),
        ({"a": [0.5, 0.6, 0.7]}, "Nothing is bold: there is nothing to compare."),
        ({"a": [0.5] * 3, "centralized-p": [0.9] * 3}, "Nothing is bold: there is nothing to compare."),
    ],
)
def test_the_caption_says_why_nothing_is_bold(accuracies: dict[str, list[float]], why: str):
    assert why in caption_of(methods_over_seeds(accuracies))


def test_without_limits_there_is_no_word_of_them():
    runs = [made_run({"method": "a"}, limits={})]
    assert "Bayes" not in caption_of(runs)
    assert "Bayes" not in str(texts(tables_of(runs)[0]))


@pytest.mark.parametrize(
    ("spent", "shown"),
    [(PrivacySpent(9.728, 0.001), "9.7, 0.001"), (PrivacySpent(None, 0.001), "∞"), (None, "-")],
)
def test_private_runs_have_a_column_with_their_epsilon(spent: PrivacySpent | None, shown: str):
    private, other = made_run({"method": "a"}), made_run({"method": "b"})
    runs = [replace(private, results=replace(private.results, privacy=PrivacySpent(1.0, 0.1))), other]
    runs[1] = replace(other, results=replace(other.results, privacy=spent))
    (table,) = tables_of(runs)
    assert table.costs[-1] == "ε, δ"
    assert [row[-1] for row in texts(table)[:2]] == ["1.0, 0.1", shown]
    assert "docs/privacy.md" in caption_of(runs)


def with_traffic(run: FinishedRun, sent: dict[str, dict[str, int]]) -> FinishedRun:
    return replace(run, results=replace(run.results, bytes_by_part=sent))


def test_a_row_for_each_direction_tells_kilobytes_per_round_by_part():
    runs = [with_traffic(made_run({"method": "fedprime"}, seed), SENT) for seed in (0, 1)]
    runs.append(with_traffic(made_run({"method": "head-only"}), {"down": {"head": 3_000}, "up": {"head": 3_000}}))
    (table,) = traffic_tables(group_runs(collected(runs)))
    assert (table.labels, table.scenarios) == (("method", "direction"), ("head", "pools.inter", "all"))
    # The made runs have three rounds.
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["fedprime", "down", "2.0", "1.0", "3.0"],
        ["fedprime", "up", "0.5", "1.0", "1.5"],
        ["head-only", "down", "1.0", "-", "1.0"],
        ["head-only", "up", "1.0", "-", "1.0"],
    ]


def test_runs_that_do_not_know_their_traffic_have_no_table():
    assert traffic_tables(group_runs(collected([made_run({"method": "fedprime"})]))) == []


def test_traffic_comes_back_from_the_file_of_runs(tmp_path: Path):
    run = with_traffic(made_run({"method": "fedprime"}), SENT)
    write_runs_file(tmp_path / "runs.json", RunSet((run,), {"method": ("fedprime",)}))
    (found,) = read_runs_file(tmp_path / "runs.json").runs
    assert found.results.bytes_by_part == SENT


def test_accuracy_at_its_client_stands_beside_its_limit():
    runs = []
    for seed, own in ((0, 0.6), (1, 0.8)):
        run = made_run({"method": "fedprime"}, seed)
        scores = {"full": replace(run.results.scenarios["full"], own_accuracy=own, own_bayes_accuracy=0.9)}
        runs.append(replace(run, results=replace(run.results, scenarios=scores)))
    runs.append(made_run({"method": "local-p"}))
    (table,) = client_tables(group_runs(collected(runs)))
    assert table.scenarios == ("full",)
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["fedprime", "70.0 ± 14.1"],
        ["Bayes limit there", "90.0"],
    ]


def test_runs_that_do_not_know_accuracy_at_a_client_have_no_table_of_it():
    assert client_tables(group_runs(collected([made_run({"method": "fedprime"})]))) == []

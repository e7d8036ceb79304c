"""The table of what is sent, by direction and part."""

from dataclasses import replace
from pathlib import Path

from fedprime.report.cells import group_runs
from fedprime.report.finished_runs import FinishedRun
from fedprime.report.runs_file import RunSet, read_runs_file, write_runs_file
from fedprime.report.traffic import traffic_tables
from made_runs import collected, made_run

SENT = {"down": {"head": 6_000, "pools.inter": 3_000}, "up": {"head": 1_500, "pools.inter": 3_000}}


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

"""The CSV files hold the numbers, one fact per row; LaTeX shows labels as they are, whatever characters they have."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fedprime.report.compare import compare_cells, group_runs
from fedprime.report.exports import cells_csv, comparisons_csv, latex_document, latex_escaped, runs_csv
from fedprime.report.finished_runs import PrivacySpent
from made_runs import ODD_TABLE, collected, made_run, methods_over_seeds


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_there_is_a_row_per_run_and_scenario():
    runs = [made_run({"method": "a"}, seed, {"full": 0.5, "text only": 0.25}) for seed in (0, 1)]
    rows = rows_of(runs_csv(collected(runs)))
    assert [(row["method (label)"], row["seed"], row["scenario"], row["accuracy"]) for row in rows] == [
        ("a", "0", "full", "0.5"),
        ("a", "0", "text only", "0.25"),
        ("a", "1", "full", "0.5"),
        ("a", "1", "text only", "0.25"),
    ]
    assert rows[0]["bytes_down"] == "1000000"
    assert rows[0]["commit"] == "abc123"


def test_there_is_a_row_per_cell_and_scenario_over_its_seeds():
    (row,) = rows_of(cells_csv(*grouped(methods_over_seeds({"a": [0.80, 0.82, 0.84]}))))
    assert float(row["mean"]) == pytest.approx(0.82)
    assert float(row["sd"]) == pytest.approx(0.02)
    assert (row["n"], row["seeds"]) == ("3", "0 1 2")
    assert float(row["gap_to_bayes"]) == pytest.approx(0.98 - 0.82)
    assert float(row["macro_f1"]) == pytest.approx(0.41)
    assert (row["bytes"], row["bytes_per_round"]) == ("3000000", "1000000")
    assert row["seconds_median"] == "12"


def grouped(runs: list) -> tuple:
    collection = collected(runs)
    return collection, group_runs(collection)


def test_what_is_not_known_is_empty():
    (row,) = rows_of(cells_csv(*grouped([made_run({"method": "a"}, limits={})])))
    assert (row["bayes"], row["gap_to_bayes"], row["sd"]) == ("", "", "")


def test_large_numbers_are_not_cut():
    (row,) = rows_of(cells_csv(*grouped([made_run({"method": "a"}, num_bytes=123_456_789)])))
    assert row["bytes"] == "123456789"


def test_there_is_a_row_per_pair():
    runs = [
        made_run({"rate": "0", "method": method}, seed, {"full": value})
        for method, values in {"a": [0.52, 0.64, 0.76], "b": [0.51, 0.62, 0.73]}.items()
        for seed, value in enumerate(values)
    ]
    _, blocks = grouped(runs)
    (row,) = rows_of(comparisons_csv(blocks, [compare_cells(block) for block in blocks]))
    assert (row["rate"], row["scenario"], row["first"], row["second"], row["n"]) == ("0", "full", "a", "b", "3")
    # Differences 1, 2, 3 points: p = 1 - sqrt(12 / 14).
    assert float(row["difference"]) == pytest.approx(0.02)
    assert float(row["p"]) == pytest.approx(1 - (12 / 14) ** 0.5, rel=1e-4)
    assert row["p_holm"] == row["p"]
    assert row["verdict"] == "not significant"


def test_an_axis_does_not_take_the_head_of_another_column():
    runs = [made_run({"scenario": "x", "method": "a"})]
    assert cells_csv(*grouped(runs)).splitlines()[0].startswith("scenario (label),method,scenario,mean")


def test_labels_with_commas_stay_in_their_column():
    (row,) = rows_of(cells_csv(*grouped([made_run({"mix, of": "a, b", "method": "c"})])))
    assert row["mix, of"] == "a, b"


def test_what_a_private_run_tells_about_a_client_stands_in_its_row():
    run = made_run({"method": "a"})
    rows = [
        rows_of(cells_csv(*grouped([replace(run, results=replace(run.results, privacy=spent))])))[0]
        for spent in (PrivacySpent(9.5, 0.001), PrivacySpent(None, 0.001), None)
    ]
    assert [(row["epsilon"], row["delta"]) for row in rows] == [("9.5", "0.001"), ("inf", "0.001"), ("", "")]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("100 % of $5", r"100 \% of \$5"),
        ("a_b^c~d", r"a\_b\textasciicircum{}c\textasciitilde{}d"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("#1 & #2", r"\#1 \& \#2"),
        ("p < 0.05 > 0 | x", r"p \textless{} 0.05 \textgreater{} 0 \textbar{} x"),
        ("1.0 ± 0.2", r"1.0 $\pm$ 0.2"),
        ("two\nlines", "two lines"),
        ("fedprime", "fedprime"),
    ],
)
def test_latex_sets_text_as_it_is(text: str, escaped: str):
    assert latex_escaped(text) == escaped


def test_latex_has_accuracies_and_costs_in_tables_of_their_own():
    text = latex_document([ODD_TABLE], "Accuracy in %.")
    accuracies, costs = re.findall(r"\\midrule\n(.*?)\\bottomrule", text, flags=re.DOTALL)
    assert accuracies.splitlines() == [
        r"x\textbar{}y \& z & \textbf{83.1 $\pm$ 0.5} & 90.0 \\",
        r"Bayes limit & 98.0 & 99.0 \\",
    ]
    assert costs.splitlines() == [r"x\textbar{}y \& z & 5 \\"]
    assert r"\caption{Rate 50 \%. Accuracy in \%.}" in text
    assert r"\begin{tabular}{lrr}" in text
    assert r"\begin{tabular}{lr}" in text


def test_every_latex_table_has_a_label_of_its_own():
    labels = re.findall(r"\\label\{(.*?)\}", latex_document([ODD_TABLE, ODD_TABLE], ""))
    assert len(labels) == len(set(labels)) == 4


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")
def test_latex_can_set_it(tmp_path: Path):
    body = latex_document([ODD_TABLE], "Accuracy in %, 10⁶ bytes.")
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + body + "\\end{document}"
    (tmp_path / "page.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0

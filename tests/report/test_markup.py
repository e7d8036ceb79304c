"""Markdown and LaTeX show labels as they are, whatever characters they have."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fedprime.report.markup import latex_document, latex_escaped, markdown_escaped, markdown_rows, markdown_table
from fedprime.report.tables import Entry, Table

TABLE = Table(
    title="rate 50 %",
    labels=("method",),
    scenarios=("a_b", "full"),
    costs=("n",),
    rows=(
        (Entry("x|y & z"), Entry("83.1 ± 0.5", is_bold=True), Entry("90.0"), Entry("5")),
        (Entry("Bayes limit"), Entry("98.0"), Entry("99.0"), Entry("")),
    ),
)


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


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("*a* _b_ `c`", r"\*a\* \_b\_ \`c\`"),
        ("<b>", r"\<b\>"),
        ("[a](b)", r"\[a\](b)"),
        ("two\nlines", "two lines"),
        ("83.1 ± 0.5", "83.1 ± 0.5"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, escaped: str):
    assert markdown_escaped(text) == escaped


def test_a_markdown_table_has_heads_a_rule_and_as_many_places_in_every_row():
    lines = markdown_table(TABLE).splitlines()
    assert lines == [
        r"| method | a\_b | full | n |",
        "| :-- | --: | --: | --: |",
        r"| x\|y & z | **83.1 ± 0.5** | 90.0 | 5 |",
        "| Bayes limit | 98.0 | 99.0 |  |",
    ]


def test_columns_of_words_are_set_flush_left():
    assert markdown_rows(["a", "b", "c"], [["x", "y", "1"]], num_left=2).splitlines()[1] == "| :-- | :-- | --: |"


def test_latex_has_accuracies_and_costs_in_tables_of_their_own():
    text = latex_document([TABLE], "Accuracy in %.")
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
    labels = re.findall(r"\\label\{(.*?)\}", latex_document([TABLE, TABLE], ""))
    assert len(labels) == len(set(labels)) == 4


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")
def test_latex_can_set_it(tmp_path: Path):
    body = latex_document([TABLE], "Accuracy in %, 10⁶ bytes.")
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + body + "\\end{document}"
    (tmp_path / "page.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0

"""The page of a report in a real browser: its script runs without an error, and draws every part."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedprime.report.compare import group_runs
from fedprime.report.html import html_page, live_data
from fedprime.report.html_data import page_data
from made_runs import collected, history, made_run, methods_over_seeds

pytestmark = pytest.mark.slow
NASTY = "<img src=x onerror=\"document.title='broken into'\">"
# Sorts by the first number, leaves out one method, moves over a curve, and tells what is there.
DRIVEN = """
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("load", () => {
  const column = () => [...document.querySelectorAll("main table")][0].querySelectorAll("tbody tr");
  const methods = () => [...column()].map((row) => row.cells[0].textContent);
  const before = methods();
  document.querySelectorAll("main th button")[1].click();
  const descending = methods();
  document.querySelectorAll("main th button")[1].click();
  const ascending = methods();
  document.querySelectorAll("#filters details")[0].querySelectorAll("input")[0].click();
  const filtered = methods();
  const isCurve = (part) => part.textContent.startsWith("Round by round");
  const curve = [...document.querySelectorAll("main section")].find(isCurve).querySelector("rect.hit");
  const box = curve.getBoundingClientRect();
  curve.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: box.right, clientY: box.top + 5 }));
  const told = document.createElement("output");
  told.textContent = JSON.stringify({ before, descending, ascending, filtered, errors,
    tip: document.getElementById("tip").textContent,
    heads: [...document.querySelectorAll("h2")].map((head) => head.textContent), title: document.title,
    width: document.documentElement.scrollWidth, window: innerWidth });
  document.body.append(told);
});
"""


@pytest.mark.parametrize("width", [1280, 500])
def test_a_page_is_sorted_filtered_and_hovered(
    told_by_page: Callable[[str, int, int], dict[str, Any]], width: int, tmp_path: Path
):
    accuracies = {"pfpt": (0.5, 0.52, 0.51), NASTY: (0.7, 0.72, 0.75), "fedprime": (0.6, 0.61, 0.63)}
    collection = collected(methods_over_seeds(accuracies))
    page = html_page(page_data("a study", collection, group_runs(collection), "caption", ["fedprime report runs"]))
    path = tmp_path / "page.html"
    path.write_text(page.replace('<script type="application', f'<script>{DRIVEN}</script>\n<script type="application'))
    told = told_by_page(path.as_uri(), width, 3000)
    assert told["errors"] == []
    assert told["title"] == "a study"
    assert told["before"] == ["pfpt", NASTY, "fedprime"]
    assert told["descending"] == [NASTY, "fedprime", "pfpt"]
    assert told["ascending"] == ["pfpt", "fedprime", NASTY]
    assert told["filtered"] == ["fedprime", NASTY]
    assert told["tip"] == f"round 3\nBayes limit: 90\n{NASTY}: 80\nfedprime: 80"
    assert {"Results", "Round by round", "Pair by pair", "Settings that differ", "How to reproduce"} <= {*told["heads"]}
    assert told["width"] <= told["window"]  # nothing but tables is wider than the window


TOLD = """
addEventListener("load", () => {
  const told = document.createElement("output"), all = (selector) => [...document.querySelectorAll(selector)];
  told.textContent = JSON.stringify({ ticks: all("svg .tick").map((own) => own.matches(".curve")),
    legend: all(".legend span").map((own) => own.textContent).filter((own) => own.startsWith("Bayes")),
    dashes: all("svg[role=img] polyline.limit").map((own) => own.getAttribute("style")) });
  document.body.append(told);
});
"""


ACROSS = """
addEventListener("load", () => {
  const told = document.createElement("output"), line = document.querySelector("svg[role=img] polyline.limit");
  told.textContent = JSON.stringify({ wide: line.getBBox().width / line.ownerSVGElement.viewBox.baseVal.width });
  document.body.append(told);
});
"""


def test_the_limit_of_a_single_round_is_drawn_across_the_plot(
    told_by_page: Callable[[str, int, int], dict[str, Any]], tmp_path: Path
):
    collection = collected([made_run({"method": "closed-form"}, history=history([0.4], limit=0.95))])
    page = html_page(page_data("a study", collection, group_runs(collection), "caption", ["fedprime report runs"]))
    path = tmp_path / "page.html"
    path.write_text(page.replace('<script type="application', f'<script>{ACROSS}</script>\n<script type="application'))
    assert told_by_page(path.as_uri(), 1280, 2000)["wide"] > 0.8


def test_limits_that_are_not_those_of_most_are_told_apart(
    told_by_page: Callable[[str, int, int], dict[str, Any]], tmp_path: Path
):
    rounds = {"a": [0.4, 0.5, 0.6], "b": [0.4, 0.5, 0.6], "closed-form": [0.4], "local-p": [None, 0.5, 0.6]}
    limits = {"local-p": 0.99}
    runs = [
        made_run(
            {"method": name},
            0,
            {"full": 0.5},
            {"full": limits.get(name, 0.9)},
            history=history(own, limit=limits.get(name, 0.9)),
        )
        for name, own in rounds.items()
    ]
    runs += [made_run({"method": name}, 0, {"full": 0.5}, {}) for name in ("c", "d")]  # of which no limit is known
    collection = collected(runs)
    page = html_page(page_data("a study", collection, group_runs(collection), "caption", ["fedprime report runs"]))
    path = tmp_path / "page.html"
    path.write_text(page.replace('<script type="application', f'<script>{TOLD}</script>\n<script type="application'))
    told = told_by_page(path.as_uri(), 1280, 3000)
    assert told["ticks"] == [False, False, False, True]
    assert told["legend"] == ["Bayes limit", "Bayes limit of local-p"]
    assert len(set(told["dashes"])) == 2


# Chooses the second curve and another theme, reads the page again as a live page does, and tells what is there then.
READ_AGAIN = """
addEventListener("load", () => {
  const select = document.querySelector("main select");
  if (!sessionStorage.getItem("read again")) {
    sessionStorage.setItem("read again", "yes");
    select.selectedIndex = 1;
    select.dispatchEvent(new Event("change"));
    document.getElementById("theme").click();
    return location.reload();
  }
  const told = document.createElement("output");
  const words = (selector) => document.querySelector(selector).textContent;
  told.textContent = JSON.stringify({ chosen: select.selectedIndex, theme: words("#theme"), live: words("p.live"),
    curve: document.querySelector("main svg[role=img]").clientWidth });
  document.body.append(told);
});
"""


def test_a_live_page_keeps_what_was_chosen_and_says_when_no_round_comes(
    told_by_page: Callable[[str, int, int], dict[str, Any]], tmp_path: Path
):
    row = {"pool_sizes": {}, "accuracy": 0.5, "loss": 1.0, "bytes_down": 1, "bytes_up": 1}
    page = html_page(live_data("run", "fedprime", [row | {"round": number} for number in (0, 1)], 30))
    path = tmp_path / "live.html"
    path.write_text(
        page.replace('<script type="application', f'<script>{READ_AGAIN}</script>\n<script type="application')
    )
    ten_minutes_ago = time.time() - 605
    os.utime(path, (ten_minutes_ago, ten_minutes_ago))
    told = told_by_page(path.as_uri(), 1280, 5000)
    assert (told["chosen"], told["theme"]) == (1, "theme: light")
    assert told["live"].startswith("2 of 30 rounds made")
    assert "The last round ended 10 minutes ago; if the run was stopped" in told["live"]
    assert told["curve"] <= 760

"""The page of a report: one HTML file that needs nothing else, to look at in a browser, on paper, or in a mail."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from fedprime.report.finished_runs import History, history_of
from fedprime.report.html_data import curves_of
from fedprime.reproducibility.errors import counted

#: How the file of a page is called.
PAGE = "report.html"
# A browser that reads "<" in a script may see its end, or a comment's beginning.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def html_page(data: Mapping[str, Any], refresh: int = 0) -> str:
    """Returns the page.

    Args:
        data: What it shows, as from `fedprime.report.html_data.page_data` or `live_data`.
        refresh: After how many seconds the browser reads it again; 0 for never.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    parts = {
        "<!--title-->": html.escape(str(data["name"])),
        "<!--refresh-->": f'<meta http-equiv="refresh" content="{refresh}">' if refresh else "",
        "/*style*/": _part("style.css"),
        "/*script*/": _part("script.js"),
        "/*data*/": "".join(_UNSAFE.get(character, character) for character in text),
    }
    # In one go: what comes from runs is not looked through for further places.
    places = re.compile("|".join(map(re.escape, parts)))
    return places.sub(lambda found: parts[found[0]], _part("page.html"))


def live_data(name: str, method: str, rows: Sequence[Mapping[str, Any]], num_rounds: int) -> dict[str, Any]:
    """Returns what is known of a run that is not finished: its curves.

    Args:
        rows: The lines of ``metrics.jsonl``.
    """
    trained = [row for row in rows if row["round"] >= 0]
    return {
        "name": name,
        "live": f"{len(trained)} of {counted(num_rounds, 'round')} made; the page is read again every few seconds.",
        "caption": "",
        "compared": "method",
        "axes": {"method": [method]},
        "scenarios": [],
        "scores": {},
        "colors": {method: "#0072b2"},
        "cells": [{"labels": {"method": method}, "scores": {}, "curves": curves_of([History(**history_of(trained))])}],
        "comparisons": [],
        "runs": [],
    }


def _part(name: str) -> str:
    return (files("fedprime.report") / "web" / name).read_text(encoding="utf-8")

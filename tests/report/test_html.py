"""A page is one file that needs no other, and shows what runs are called without ever taking it for markup."""

import re

import pytest

from fedprime.report.compare import group_runs
from fedprime.report.html import html_page, live_data
from fedprime.report.html_data import page_data
from made_runs import collected, made_run, methods_over_seeds
from page_content import Parts, content_of

NASTY = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> & \u2028 \"' /*script*/"


def page_of(labels: list[str], name: str = "main") -> str:
    collection = collected(methods_over_seeds(dict.fromkeys(labels, (0.5, 0.6, 0.7))))
    return html_page(page_data(name, collection, group_runs(collection), f"about {name}", ["fedprime report"]))


@pytest.fixture(scope="module")
def plain() -> str:
    return page_of(["fedprime", "pfpt"])


def test_no_address_outside_the_page_is_in_it(plain: str):
    assert re.search(r"(?i)https?:|//[a-z]|@import|url\(", re.sub(r"(?m)^\s*//.*$", "", plain)) is None
    for tag, attributes in Parts(plain).tags:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base")
        assert not {"src", "href", "action", "srcset"} & attributes.keys()


def test_the_browser_is_told_to_load_nothing(plain: str):
    policy = next(a["content"] or "" for _, a in Parts(plain).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")


def test_labels_and_names_cannot_become_markup(plain: str):
    page = page_of([NASTY, "pfpt"], NASTY)
    assert [tag for tag, _ in Parts(page).tags] == [tag for tag, _ in Parts(plain).tags]
    assert Parts(page).texts["script"][1:] == Parts(plain).texts["script"][1:]
    assert Parts(page).texts["title"] == [NASTY]
    data = content_of(page)
    assert data["name"] == NASTY
    assert data["axes"]["method"][0] == NASTY
    assert page.count("alert(1)</script>") == 0


def test_the_script_makes_no_markup_of_text(plain: str):
    script = Parts(plain).texts["script"][1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(", script)


def test_a_page_is_read_again_only_when_it_shall_be(plain: str):
    data = content_of(plain)
    assert 'http-equiv="refresh"' not in plain
    assert '<meta http-equiv="refresh" content="3">' in html_page(data, refresh=3)


def test_a_run_that_has_made_no_round_yet_has_a_page():
    start = {"round": -1, "loss": None, "pool_sizes": {}, "bytes_down": 5, "bytes_up": 5}
    data = content_of(html_page(live_data("run", "fedprime", [start], 30)))
    assert data["live"].startswith("0 of 30 rounds made")
    assert data["cells"][0]["curves"] == {}


def test_a_loss_that_is_not_finite_leaves_the_page_readable():
    run = made_run({"method": "a"}, accuracies={"full": 0.5})
    collection = collected([run])
    assert content_of(html_page(page_data("x", collection, group_runs(collection), "", [])))["name"] == "x"

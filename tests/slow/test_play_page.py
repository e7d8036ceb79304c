"""The page to try a model in a real browser: a photo and a text are given, modalities and priors switched."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from fedprime.backbones.backbone import Backbone
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import PromptPools
from fedprime.reproducibility.seeding import torch_stream
from fedprime.runs import play

pytestmark = pytest.mark.slow
NASTY = "<img src=x onerror=\"document.title='broken into'\">"
# Gives a photo and a text, switches the photo off and on, and sets a prior of its own; notes what is shown each time.
DRIVEN = """
const errors = [], seen = [];
addEventListener("error", (event) => errors.push(event.message));
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const cells = (row) => [...row.cells].map((cell) => cell.textContent);
const rows = (id) => [...document.querySelectorAll(`#${id} tr`)].map(cells);
const note = () => seen.push({ answer: document.getElementById("answer").textContent, subsets: rows("subsets"),
  evidence: rows("evidence"), blocks: rows("blocks"), error: document.getElementById("error").textContent,
  usage: document.getElementById("usage").textContent,
  prompts: [...document.querySelectorAll(".prompt small")].map((own) => own.textContent) });
addEventListener("load", async () => {
  await wait(400);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 40;
  canvas.getContext("2d").fillRect(0, 0, 40, 30);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const given = new DataTransfer();
  given.items.add(new File([blob], "dinner.png", { type: "image/png" }));
  const drop = document.querySelector(".drop");
  drop.dispatchEvent(new DragEvent("drop", { dataTransfer: given, bubbles: true }));
  const area = document.querySelector("textarea");
  area.value = "warm apple tart";
  area.dispatchEvent(new Event("input"));
  await wait(1500);
  note();
  const photo = document.querySelector("[role=switch]");
  photo.click();
  await wait(1000);
  note();
  photo.click();
  const prior = document.getElementById("prior");
  prior.value = "own";
  prior.dispatchEvent(new Event("change"));
  const [first, second] = document.querySelectorAll("#own input");
  first.value = "1";
  second.value = "100000";
  second.dispatchEvent(new Event("input"));
  await wait(1000);
  note();
  first.value = "-1";
  first.dispatchEvent(new Event("input"));
  await wait(1000);
  note();
  const told = document.createElement("output");
  told.textContent = JSON.stringify({ seen, errors, title: document.title,
    width: document.documentElement.scrollWidth, window: innerWidth });
  document.body.append(told);
});
"""


@pytest.fixture
def address(tiny: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pools = PromptPools(tiny.dim, {"inter": 5}, 2, torch_stream(0, "prompts"))
    model = PromptedModel(tiny, pools, ("soup", NASTY), rng=torch_stream(0, "head"), head="evidence", readout="blocks")
    model.about = {"training": {"chosen": {"inter": {"image+text": [7, 8, 9, 10, 6]}}}}
    page = play._PAGE.read_text(encoding="utf-8").replace("</body>", f"<script>{DRIVEN}</script></body>")
    (tmp_path / "driven.html").write_text(page, encoding="utf-8")
    monkeypatch.setattr(play, "_PAGE", tmp_path / "driven.html")
    server = uvicorn.Server(uvicorn.Config(play.play_app(model, "soups"), log_level="warning", ws="none"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        serving.join(timeout=20)


@pytest.mark.parametrize("width", [1280, 500])
def test_a_sample_is_given_and_modalities_are_switched(
    told_by_page: Callable[[str, int, int], dict[str, Any]], width: int, address: str
):
    told = told_by_page(address, width, 12000)
    assert told["errors"] == []
    assert told["title"] == "soups: fedprime play"
    assert told["width"] <= told["window"]
    both, text, own, wrong = told["seen"]
    assert [row[0] for row in both["subsets"]] == ["from", "imagetext", "image", "text"]
    assert both["evidence"][0] == ["answer", "image", "text", "summary", "prior", "sum"]
    assert both["blocks"][0] == ["answer", "image", "image patches", "text", "summary", "prior", "sum"]
    assert len(both["prompts"]) == 2
    assert all(count in {f"{number} of 20" for number in (6, 7, 8, 9, 10)} for count in both["prompts"])
    assert [row[0] for row in text["subsets"]] == ["from", "text"]
    assert text["prompts"] == []  # of samples with a text alone nothing is known
    assert text["usage"].startswith("No validation sample in training had text and nothing else")
    assert own["answer"] == NASTY
    assert "expected a number above 0" in wrong["error"]

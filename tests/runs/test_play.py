"""The page to try a model, and the interface beside it, spoken to as a browser or a script does."""

import base64
import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
import soundfile
from PIL import Image
from starlette.testclient import TestClient

from fedprime.backbones.backbone import Backbone
from fedprime.data.images import InputError
from fedprime.models.prediction import predict_samples
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import PromptPools
from fedprime.reproducibility.seeding import torch_stream
from fedprime.runs.play import description, play_app, read_values

LABELS = ("soup", "cake")


def encoded(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


PIXELS = np.full((24, 32, 3), (200, 60, 40), dtype=np.uint8)
PHOTO = encoded(PIXELS)


@pytest.fixture(scope="module")
def model(tiny: Backbone) -> PromptedModel:
    pools = PromptPools(tiny.dim, {"inter": 5}, 2, torch_stream(0, "prompts"))
    return PromptedModel(tiny, pools, LABELS, rng=torch_stream(0, "head"), head="evidence", readout="blocks")


@pytest.fixture(scope="module")
def client(model: PromptedModel) -> TestClient:
    return TestClient(play_app(model, "soups", most_bytes=50_000), base_url="http://127.0.0.1:8000")


def asked(client: TestClient, **request: Any) -> dict[str, Any]:
    answer = client.post("/predict", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_page_loads_nothing_from_elsewhere(client: TestClient):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("httpequiv", "")


def test_a_sample_is_answered_as_the_library_answers_it(client: TestClient, model: PromptedModel):
    (answer,) = asked(client, sample={"image": PHOTO, "text": " warm  apple "})["answers"]
    (expected,) = predict_samples(model, [{"image": PIXELS, "text": "warm apple"}])
    assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
    assert answer["present"] == ["image", "text"]


def test_every_subset_is_answered_if_asked_for(client: TestClient):
    sample = {"image": f"data:image/png;base64,{PHOTO}", "text": "warm"}
    answers = asked(client, sample=sample, subsets=True, prior="uniform")["answers"]
    assert [answer["present"] for answer in answers] == [["image", "text"], ["image"], ["text"]]
    (answer,) = asked(client, sample=sample, without=["image"], prior={"soup": 3, "cake": 1})["answers"]
    assert answer["present"] == ["text"]
    assert list(answer["prompts"]) == ["inter"]


def test_holes_are_missing(client: TestClient):
    (answer,) = asked(client, sample={"image": None, "text": "warm"})["answers"]
    assert answer["present"] == ["text"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "the request cannot be read: it is no JSON"),
        ("[" * 40_000, "the request cannot be read: "),
        ("[]", "has to be an object with sample, without, prior, subsets, of which sample is needed"),
        ('{"sample": {"text": "a"}, "subset": true}', "has to be an object with sample"),
        ('{"sample": "a"}', "sample is of str"),
        ('{"sample": {}}', "nothing is there; give at least one of image, text"),
        ('{"sample": {"text": "  "}}', "nothing is there"),
        ('{"sample": {"text": 3}}', "text: expected a text"),
        ('{"sample": {"image": "/etc/passwd"}}', "image: it is no base64"),
        ('{"sample": {"image": "AAAA"}}', "cannot read image as an image"),
        ('{"sample": {"image": ["a"]}}', "image: found list; expected the bytes of a file as base64"),
        ('{"sample": {"sound": "a"}}', "the model reads image, text; it cannot use sound"),
        ('{"sample": {"text": "a"}, "prior": {"soup": 1}}', "prior: it says nothing of cake"),
        ('{"sample": {"text": "a"}, "prior": {"soup": "x"}}', "prior: expected a number for each label"),
        ('{"sample": {"text": "a"}, "prior": "estimate"}', "prior: found 'estimate'"),
        ('{"sample": {"text": "a"}, "without": ["text"]}', "nothing is there"),
        ('{"sample": {"text": "a"}, "without": ["smell"]}', "without: the model reads image, text; not smell"),
        ('{"sample": {"text": "a"}, "without": [["text"]]}', "without: expected the names of modalities"),
        ('{"sample": {"text": "a"}, "prior": {"soup": 1e308, "cake": 1e308}}', "prior: found 1e+15 for"),
        ('{"sample": {"text": "a"}, "prior": {"soup": 1' + "0" * 400 + ', "cake": 1}}', "prior: found 1e+15 for"),
        ('{"sample": {"text": "\\u200b\\u0001"}}', "nothing is there"),
        ('{"sample": {"text": "\\ud800"}}', "text: found half of a character in a text"),
        ('{"sample": {"\\ud800": "a"}}', "the model reads image, text; it cannot use"),
        ('{"sample": {"text": "a"}, "without": ["\\ud800\\u001b[2J"]}', "the model reads image, text; not [2J"),
    ],
)
def test_a_bad_request_costs_that_request_and_is_told_in_a_line(client: TestClient, content: str, message: str):
    answer = client.post("/predict", content=content)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert client.post("/predict", json={"sample": {"text": "warm"}}).status_code == 200


def test_a_request_that_is_too_large_is_not_read(client: TestClient):
    answer = client.post("/predict", content=b"x" * 60_000)
    assert (answer.status_code, answer.json()["error"][:43]) == (413, "the request has more than 50,000 bytes; sen")


def test_a_request_that_does_not_end_gives_its_place_to_others(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fedprime.runs.play._MOST_SECONDS", 0.05)

    async def never_ends(_: object, __: int) -> bytes:
        await anyio.sleep(60)
        return b""

    monkeypatch.setattr("fedprime.runs.play._body", never_ends)
    answer = client.post("/predict", content="{")
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")
    assert answer.json() == {"error": "the request has not come in 0.05 seconds; send it again"}


def test_one_photo_after_the_other_is_decoded(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    """All at once, sixteen of the largest would take gigabytes."""
    at_once, most = 0, 0

    def slow(_: bytes, __: str) -> np.ndarray:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.05)
        at_once -= 1
        return PIXELS

    monkeypatch.setattr("fedprime.runs.play.read_image", slow)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: client.post("/predict", json={"sample": {"image": PHOTO}}), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert most == 1


def test_a_name_that_was_made_to_point_here_is_not_answered(client: TestClient, model: PromptedModel):
    assert client.get("/model", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/model", headers={"host": "[::1]:8000"}).status_code == 200
    open_to_all = TestClient(play_app(model, "soups", host="0.0.0.0"))  # noqa: S104
    assert open_to_all.get("/model", headers={"host": "lab.example"}).status_code == 200


def test_the_page_is_told_columns_prior_and_how_often_prompts_were_chosen(client: TestClient, model: PromptedModel):
    assert client.get("/model").json()["prior"] == {"soup": 0.5, "cake": 0.5}
    model.about = {"training": {"method": "fedprime", "rounds": 3, "chosen": {"inter": {"text": [1, 0, 0, 2, 0]}}}}
    told = description(model, "soups")
    assert told["chosen"] == {"inter": {"text": [1, 0, 0, 2, 0]}}
    assert told["training"] == {"method": "fedprime", "rounds": 3}
    assert [own["name"] for own in told["modalities"]] == ["image", "text"]


def test_values_of_every_kind_are_read_and_no_file_of_this_machine():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(80, np.float32), 8000, format="WAV")
    sample = {
        "voice": base64.b64encode(file.getvalue()).decode(),
        "facts": {"price": 3.5, "colour": "red", "size": None, "shape": ""},
        "readings": [1, 2.5],
    }
    kinds = {"voice": "audio", "facts": "table", "readings": "numbers"}
    found = read_values(sample, kinds)
    assert found["facts"] == {"price": 3.5, "colour": "red"}
    assert found["readings"] == [1, 2.5]
    assert np.shape(found["voice"]["array"]) == (80,)
    for wrong in ({"facts": {"price": [1]}}, {"readings": ["1"]}, {"readings": "1 2"}, {"voice": str(Path(__file__))}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            read_values(wrong, kinds)

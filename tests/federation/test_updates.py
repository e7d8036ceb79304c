"""Updates are checked before they are used: what is wrong with each is said, and the others go on."""

import math
from dataclasses import replace

import pytest
import torch

from fedprime.federation.clipping import Clipping
from fedprime.federation.compression import Compression
from fedprime.federation.processors import ServerRound, UpdateProcessor
from fedprime.federation.updates import form_problems, judged, update_problems
from fedprime.methods.method import ServerState, Update
from fedprime.models.prompted_model import Weights
from plain_method import Mean

SHARED = {"head": torch.zeros(3), "pool": torch.zeros(2, 5)}
ASKED = ServerRound(
    0, 0, (0, 1), Mean(), ServerState({**SHARED, "own": torch.zeros(1)}, {1: {"pool": torch.ones(7, 5)}})
)


def update_of(client: int, **instead: torch.Tensor) -> Update:
    return Update(client, 10, {**ASKED.answer(client), **instead}, {"loss": 0.5})


def problem_of(update: Update, *processors: UpdateProcessor) -> str:
    _, left_out = judged([update], [update.client], ASKED, processors)
    return left_out.get(update.client, "")


def test_everything_wrong_with_an_update_is_said_at_once():
    weights = {"head": torch.ones(2), "pool": torch.full((2, 5), math.nan), "extra": torch.ones(1)}
    assert update_problems(Update(0, 0, weights), SHARED) == [
        "trained on 0 samples, expected a whole number from 1",
        "extra is unknown",
        "head is (2,) torch.float32, expected (3,) torch.float32",
        "pool is not finite",
    ]


def test_only_names_shapes_and_types_of_what_is_expected_matter():
    empty = {name: torch.empty_like(value, device="meta") for name, value in SHARED.items()}
    assert form_problems(SHARED, empty) == []
    assert form_problems({"head": SHARED["head"]}, empty) == ["pool is missing"]


def test_what_does_not_travel_must_not_be_sent():
    assert problem_of(update_of(0)) == ""
    assert problem_of(update_of(0, own=torch.ones(1))) == "own is unknown"


def test_an_update_is_measured_against_what_its_client_was_sent():
    assert problem_of(update_of(1)) == ""
    assert "pool is (7, 5)" in problem_of(replace(update_of(1), client=0))


def test_who_was_not_asked_or_answers_twice_or_not_at_all_is_left_out():
    valid, left_out = judged([update_of(0), update_of(1), update_of(1)], [1, 2], ASKED, ())
    assert valid == []
    assert left_out == {0: "was not asked", 1: "answered more than once", 2: "no answer"}


def packed(**instead: torch.Tensor) -> Weights:
    return {**Compression(8).sent({"head": torch.full((3,), 1e3), "pool": torch.zeros(2, 5)}), **instead}


def test_a_valid_update_is_handed_on_as_the_server_reads_it():
    (valid,), left_out = judged([Update(0, 10, packed())], [0], ASKED, [Compression(8)])
    assert left_out == {}
    torch.testing.assert_close(valid.weights["head"], torch.full((3,), 1e3))


def test_the_processor_nearest_to_the_method_is_the_last_at_the_server():
    # What is clipped is what was unpacked.
    (valid,), _ = judged([Update(0, 10, packed())], [0], ASKED, [Clipping(3.0), Compression(8)])
    torch.testing.assert_close(valid.weights["head"], torch.full((3,), 3**0.5))


@pytest.mark.parametrize(
    ("instead", "problem"),
    [
        ({"head": torch.ones(3)}, "head is (3,) torch.float32, expected (3,) torch.int8"),
        ({"head.scale": torch.tensor([math.nan])}, "head.scale is not finite"),
        ({"head.scale": torch.tensor([1e38])}, "head is not finite"),
        ({"other": torch.ones(3)}, "other is unknown"),
    ],
)
def test_packed_values_are_checked_before_and_after_they_are_unpacked(instead: Weights, problem: str):
    assert problem_of(Update(0, 10, packed(**instead)), Compression(8)) == problem

"""Clients behind a grid: the same as in process, to the bit, whatever nodes are called, whoever answers first."""

import math
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flwr.app import ConfigRecord, Error, Message

from bad_site import buffer, saying, sending, value
from fake_grid import FakeGrid, Fault, adding_one
from fedprime.experiment.build import Experiment, build_experiment
from fedprime.federation.clients import Clients
from fedprime.federation.compression import Compression
from fedprime.federation.rounds import Round, Schedule, TooFewAnswersError, federate
from fedprime.methods.method import ServerState
from fedprime.models.prompted_model import Weights
from fedprime.runtime.flower.client_app import STATE_KEY
from fedprime.runtime.flower.grid_clients import GridClients
from fedprime.runtime.flower.messages import Content, pack
from fedprime.runtime.local_clients import LocalClients, local_clients
from fedprime.runtime.processors import processors_of
from fedprime.settings.reading import read_settings
from plain_method import Mean

RUN = "0123456789abcdef"


def in_process(experiment: Experiment) -> LocalClients:
    model = experiment.method.build(experiment.model.backbone, experiment.model.label_names)
    shards = dict(enumerate(experiment.holders))
    return local_clients(replace(experiment, model=model), shards, experiment.settings)


def on_grid(experiment: Experiment, grid: FakeGrid) -> GridClients:
    return GridClients(grid, experiment.method, experiment.settings, len(experiment.holders), run_id=RUN)


def rounds(experiment: Experiment, clients: Clients) -> list[Round]:
    training = experiment.settings.training
    state = experiment.method.initial_state(experiment.model, len(clients))
    return list(
        federate(
            experiment.method,
            clients,
            state,
            Schedule(training.rounds, training.fraction),
            seed=experiment.settings.seed,
            processors=processors_of(experiment.method, experiment.settings),
        )
    )


def same_values(ours: Mapping[int, Weights], theirs: Mapping[int, Weights]) -> bool:
    return ours.keys() == theirs.keys() and all(
        ours[client].keys() == theirs[client].keys()
        and all(torch.equal(ours[client][name], theirs[client][name]) for name in ours[client])
        for client in ours
    )


def same_state(here: ServerState, there: ServerState) -> bool:
    return same_values(
        {0: here.shared, 1: dict(here.server)}, {0: there.shared, 1: dict(there.server)}
    ) and same_values(here.personal, there.personal)


#: Two rounds, of which the second knows what was kept in the first.
TWO_ROUNDS = ("--training.rounds=2", "--data.num_train=24", "--data.num_validation=4", "--data.num_test=4")
#: Where the method does not matter: aligning prompts takes longer than the rest of a round.
QUICKER = ("--method.name=fedavg-p",)

LIKE_IN_PROCESS: dict[str, tuple[str, ...]] = {
    "fedprime": (),
    "fedavgm-p": ("--method.name=fedavgm-p",),
    "fedadam-p": ("--method.name=fedadam-p",),
    "scaffold-p": ("--method.name=scaffold-p", "--training.fraction=0.5"),
    "scaffold-p in 8 bits": ("--method.name=scaffold-p", "--transport.bits=8"),
    "fedprox-p": ("--method.name=fedprox-p",),
    "fedmsplit-p": ("--method.name=fedmsplit-p",),
    "local-p": ("--method.name=local-p",),
    "centralized-p": ("--method.name=centralized-p",),
    "16 bits": (*QUICKER, "--transport.bits=16"),
    "8 bits": ("--transport.bits=8",),
    "8 bits of what each client is answered, and more that it keeps": (
        "--method.name=fedmsplit-p",
        "--transport.bits=8",
    ),
    "8 bits of nothing": ("--method.name=centralized-p", "--transport.bits=8"),
    "sign flip": (*QUICKER, "--attack.kind=sign-flip", "--attack.share=0.5"),
    "scaling in 16 bits": (*QUICKER, "--attack.kind=scaling", "--attack.share=0.5", "--transport.bits=16"),
    "noise": (*QUICKER, "--attack.kind=noise", "--attack.share=0.5"),
    "flipped labels": (*QUICKER, "--attack.kind=label-flip", "--attack.share=0.5"),
}


@pytest.mark.parametrize("flags", LIKE_IN_PROCESS.values(), ids=LIKE_IN_PROCESS.keys())
def test_the_weights_are_those_of_clients_in_process_to_the_bit(flags: tuple[str, ...], small_flags: tuple[str, ...]):
    settings = read_settings(None, [*small_flags, *TWO_ROUNDS, *flags, "--runtime.kind=simulation"])
    experiment = build_experiment(settings)
    here = in_process(experiment)
    expected = rounds(experiment, here)
    grid = on_grid(experiment, FakeGrid(len(experiment.holders)))
    found = rounds(experiment, grid)
    assert [entry.left_out for entry in found] == [{}] * 2
    assert all(same_state(ours.state, theirs.state) for ours, theirs in zip(found, expected, strict=True))
    assert [(ours.loss, ours.bytes_up, ours.bytes_down) for ours in found] == [
        (theirs.loss, theirs.bytes_up, theirs.bytes_down) for theirs in expected
    ]
    assert same_values(grid.kept, here.kept)
    assert same_values(grid.residuals, here.residuals)
    processors = processors_of(experiment.method, settings)
    assert bool(here.residuals) == any(isinstance(processor, Compression) for processor in processors)


@pytest.mark.parametrize("flags", [(), ("--transport.bits=8",)], ids=["32 bits", "8 bits"])
def test_sites_that_keep_values_of_their_own_come_to_the_weights_of_one_process_to_the_bit(
    flags: tuple[str, ...], small_flags: tuple[str, ...], tmp_path: Path
):
    method = ("--method.name=scaffold-p", "--training.fraction=0.5", "--runtime.kind=deployment")
    experiment = build_experiment(read_settings(None, [*small_flags, *TWO_ROUNDS, *flags, *method]))
    expected = rounds(experiment, in_process(experiment))
    grid = on_grid(experiment, FakeGrid(4, **{STATE_KEY: str(tmp_path)}))
    found = rounds(experiment, grid)
    assert all(same_state(ours.state, theirs.state) for ours, theirs in zip(found, expected, strict=True))
    assert grid.kept == grid.residuals == {}


STATE = ServerState({"head": torch.zeros(3), "pool": torch.zeros(2, 5)})
FAST = ("--runtime.kind=deployment", "--runtime.deadline_seconds=5", "--runtime.wait_seconds=0.01")


def federated(grid: FakeGrid, num_clients: int = 4, *, num_rounds: int = 1, flags: tuple[str, ...] = ()) -> list[Round]:
    settings = read_settings(None, [*FAST, *flags])
    clients = GridClients(grid, Mean(), settings, num_clients, run_id=RUN)
    runtime = settings.runtime
    return list(
        federate(
            Mean(),
            clients,
            STATE,
            Schedule(num_rounds, quorum=runtime.quorum, repeats=runtime.repeats),
            seed=0,
        )
    )


def crash(message: Message, _: Message) -> Message:
    return Message(Error(2, "Traceback ...\nZeroDivisionError: division by zero"), reply_to=message)


def hang(_: Message, __: Message) -> None:
    return None


def node_is_gone(message: Message, _: Message) -> Message:
    # The engine answers in its own name.
    reply = Message(Error(5, "Node unavailable"), reply_to=message)
    reply.metadata.__dict__["_src_node_id"] = 1
    return reply


def not_json(_: Message, reply: Message) -> Message:
    reply.content["facts"] = ConfigRecord({"json": "{"})
    return reply


def without_weights(_: Message, reply: Message) -> Message:
    del reply.content["weights"]
    return reply


FAULTS: dict[str, Fault] = {
    "crashes": crash,
    "hangs past the deadline": hang,
    "is gone": node_is_gone,
    "sends nan": sending(lambda weights: {**weights, "head": torch.full((3,), math.nan)}),
    "sends infinity": sending(lambda weights: {**weights, "head": torch.full((3,), math.inf)}),
    "sends a wrong shape": sending(lambda weights: {**weights, "head": torch.ones(4)}),
    "sends a wrong type": sending(lambda weights: {**weights, "head": torch.ones(3, dtype=torch.float64)}),
    "leaves something out": sending(lambda weights: {"pool": weights["pool"]}),
    "sends something more": sending(lambda weights: {**weights, "own": torch.ones(1)}),
    "claims 100 GB": value([25_000_000_000], [0, 100_000_000_000]),
    "claims a header of a terabyte": buffer(struct.pack("<Q", 1 << 40)),
    "sends too much": sending(lambda weights: {**weights, "head": torch.ones(2_000_000)}),
    "sends a pickle": buffer(b"\x80\x04N.", "pickle"),
    "sends no weights": without_weights,
    "sends no JSON": not_json,
    "answers for another round": saying(round=7),
    "answers for another run": saying(run="ffff"),
    "answers for another client": saying(client=2),
    "claims 1,000 times the samples": saying(num_samples=5000),
    "claims no samples": saying(num_samples=0),
    "has a loss that is no number": saying(metrics={"loss": math.nan}),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_client_with_a_fault_is_left_out_and_the_others_go_on(fault: Fault):
    grid = FakeGrid(4, adding_one)
    grid.faults["train", 1] = fault
    (finished,) = federated(grid)
    assert finished.left_out.keys() == {1}
    assert [update.client for update in finished.updates] == [0, 2, 3]
    assert torch.equal(finished.state.shared["head"], torch.ones(3))


def test_a_reply_whose_clock_is_years_off_counts_like_any_other():
    def years_off(_: Message, reply: Message) -> Message:
        reply.metadata.__dict__["_created_at"] = 1.0
        return reply

    grid = FakeGrid(2, adding_one)
    grid.faults["train", 1] = years_off
    (finished,) = federated(grid, 2)
    assert finished.left_out == {}


def test_a_client_that_comes_back_on_another_node_takes_part_again():
    grid = FakeGrid(2, adding_one)
    settings = read_settings(None, FAST)
    clients = GridClients(grid, Mean(), settings, 2, run_id=RUN)
    assert [update.client for update in clients.train(0, (0, 1), STATE)] == [0, 1]
    gone = next(node for node, facts in grid.nodes.items() if facts["partition-id"] == 1)
    del grid.nodes[gone]
    assert [update.client for update in clients.train(1, (0, 1), STATE)] == [0]
    grid.connect(1)
    assert [update.client for update in clients.train(2, (0, 1), STATE)] == [0, 1]


def test_of_two_nodes_that_say_they_are_one_client_neither_is_believed():
    grid = FakeGrid(3, adding_one)
    grid.connect(1)
    (finished,) = federated(grid, 3)
    assert finished.left_out.keys() == {1}


def test_a_node_cannot_take_the_place_of_a_client_that_is_there():
    grid = FakeGrid(2, adding_one)
    clients = GridClients(grid, Mean(), read_settings(None, FAST), 2, run_id=RUN)
    clients.train(0, (0, 1), STATE)
    impostor = grid.connect(1)
    grid.faults["train", 1] = _silent_on(impostor)
    assert [update.client for update in clients.train(1, (0, 1), STATE)] == [0, 1]


def _silent_on(node: int) -> Fault:
    return lambda asked, reply: None if asked.metadata.dst_node_id == node else reply


@pytest.mark.parametrize("number", [-1, 2, 99])
def test_a_node_with_an_impossible_number_is_left_out(number: int):
    grid = FakeGrid(2, adding_one)
    grid.connect(number)
    (finished,) = federated(grid, 2)
    assert finished.left_out == {}


def test_those_who_did_not_answer_are_asked_again_when_too_few_did():
    grid = FakeGrid(4, adding_one)
    attempts: list[int] = []

    def first_time_only(_: Message, reply: Message) -> Message | None:
        attempts.append(1)
        return reply if len(attempts) > 1 else None

    grid.faults["train", 2] = first_time_only
    (finished,) = federated(grid, flags=("--runtime.quorum=1",))
    assert finished.left_out == {}
    assert [asked for asked in grid.asked if asked[0] == "train"].count(("train", 2)) == 2
    assert len([asked for asked in grid.asked if asked[0] == "train"]) == 5


def test_a_run_stops_with_the_reasons_when_too_few_answer_for_good():
    grid = FakeGrid(4, adding_one)
    grid.faults["train", 0] = grid.faults["train", 3] = hang
    with pytest.raises(
        TooFewAnswersError, match=r"2 of 4 clients .* 3 must .* client 0: no answer in 5 s; client 3: no answer in 5 s"
    ):
        federated(grid, flags=("--runtime.quorum=0.75", "--runtime.repeats=1"))


def test_scores_of_sites_are_checked_too():
    grid = FakeGrid(3, adding_one)
    grid.faults["evaluate", 1] = lambda message, _: Message(
        pack(
            Content({"run": RUN, "round": 1, "client": 1, "scores": {"full": {"accuracy": "high", "num_samples": 4}}})
        ),
        reply_to=message,
    )
    clients = GridClients(grid, Mean(), read_settings(None, FAST), 3, run_id=RUN)
    clients.find(range(3), 3)
    assert clients.evaluate(0, STATE, None) == {
        client: {"full": {"accuracy": 0.5, "loss": 1.0, "num_samples": 4}} for client in (0, 2)
    }

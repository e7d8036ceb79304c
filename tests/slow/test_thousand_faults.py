"""A thousand faults, one after the other, in one run: no round is lost, no state corrupted, nothing hangs or ends."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Context, Message

from bad_site import FAULTS
from fake_grid import DESCRIPTION, FakeGrid
from fedprime.experiment.run_folder import RunFolder
from fedprime.experiment.site import deployable_method
from fedprime.runs.site_run import complete_site_run
from fedprime.runtime.flower.client_app import NUMBER_KEY, STATE_KEY, app
from fedprime.runtime.flower.grid_clients import GridClients
from fedprime.runtime.flower.messages import PARTS, Content, pack, unpack
from fedprime.settings.reading import read_settings

RUN = "0123456789abcdef"
ROUNDS = 125  # in each, four of ten sites answer two questions wrongly: eight faults
BAD = (1, 4, 6, 9)
SCORES = {"accuracy": 0.5, "loss": 1.0, "num_samples": 5}


def honest(message: Message, context: Context) -> Message:
    """Answers as a site does, without its backbone: each step is small and its own."""
    kind, client = message.metadata.message_type, int(context.node_config[NUMBER_KEY])
    asked = unpack(message.content, () if kind == "query" else PARTS).facts
    facts: dict[str, Any] = {"run": RUN, "round": asked["round"], "client": client}
    if kind == "query":
        return Message(pack(Content({**DESCRIPTION, **TOLD, **facts, "num_samples": 20})), reply_to=message)
    if kind == "evaluate":
        names = asked["names"] or ["like train", "miss both", "full", "image only", "text only"]
        return Message(pack(Content({**facts, "scores": dict.fromkeys(names, SCORES)})), reply_to=message)
    rng = torch.Generator().manual_seed(client + 10 * asked["round"])
    received = unpack(message.content, PARTS).weights["sent"]
    sent = {name: value + 0.01 * torch.randn(value.shape, generator=rng) for name, value in received.items()}
    facts |= {"num_samples": 20, "metrics": {"loss": 1.0}}
    return Message(pack(Content(facts, {"sent": sent, "kept": {}, "residual": {}})), reply_to=message)


#: What the sites say alike, as a real one says it.
TOLD: dict[str, Any] = {}


def told(tmp_path: Path, settings_flags: list[str]) -> dict[str, Any]:
    grid = FakeGrid(1, app, **{STATE_KEY: str(tmp_path / "state")})
    settings = read_settings("builtin/study_tiny", settings_flags)
    clients = GridClients(grid, deployable_method(settings), settings, 10, run_id=RUN)
    clients.find([0], 1)
    return {name: clients.descriptions[0][name] for name in DESCRIPTION}


@pytest.mark.slow
def test_a_thousand_faults_cost_no_round(tmp_path: Path):
    flags = [
        *("--data.num-train", "80", "--data.num-validation", "24", "--data.num-test", "24"),
        *("--partition.num-clients", "10", "--partition.min_samples", "4", "--training.rounds", str(ROUNDS)),
        *("--runtime.kind", "deployment", "--runtime.wait_seconds", "0.001", "--runtime.deadline_seconds", "5"),
        *("--runtime.quorum", "0.6", "--evaluation.every", "1"),
    ]
    TOLD.update(told(tmp_path, flags))
    settings = read_settings("builtin/study_tiny", flags)
    grid = FakeGrid(10, honest)
    injected: list[tuple[str, str]] = []
    of_kind = {
        kind: [entry for entry in FAULTS.items() if entry[0][0] == kind] for kind in ("train", "query", "evaluate")
    }
    drawn = {kind: random.Random(0).sample(found, len(found)) for kind, found in of_kind.items()}
    turns = {kind: itertools.cycle(found) for kind, found in drawn.items()}

    def next_fault(kind: str) -> Any:
        def fault(message: Message, reply: Message) -> Message | None:
            (_, name), chosen = next(turns[kind])
            injected.append((kind, name))
            return chosen(message, reply)

        return fault

    for kind in ("train", "evaluate"):
        for site in BAD:
            grid.faults[kind, site] = next_fault(kind)
    clients = GridClients(grid, deployable_method(settings), settings, 10, run_id=RUN)
    complete_site_run(settings, tmp_path / "run", clients)
    # Sites that come and go say something wrong about themselves, too.
    grid.faults["query", 1] = next_fault("query")
    clients.find(range(10), 9)
    for _ in range(len(of_kind["query"])):
        node = next(node for node, facts in grid.nodes.items() if facts[NUMBER_KEY] == 1)
        del grid.nodes[node]
        grid.connect(1)
        clients.find(range(10), 9)
    assert len(injected) >= 1000
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == list(range(ROUNDS))
    assert all(line["answered"] >= 6 and "rejected" not in line for line in lines)
    state = RunFolder(tmp_path / "run").load_checkpoint().state.shared
    assert all(value.isfinite().all() and value.abs().max() < 100 for value in state.values())

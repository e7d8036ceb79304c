"""Each number that leaves a site, with privacy and without: all messages of a deployment are recorded and looked at."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message

from fake_grid import FakeGrid
from fedprime.experiment.run_folder import RunFolder
from fedprime.experiment.site import deployable_method
from fedprime.runs.site_run import complete_site_run
from fedprime.runtime.flower.client_app import STATE_KEY, app
from fedprime.runtime.flower.grid_clients import GridClients
from fedprime.runtime.flower.messages import PARTS, unpack
from fedprime.settings.reading import read_settings

RUN = "0123456789abcdef"
DEPLOYED = ("--runtime.kind=deployment", "--runtime.wait_seconds=0.01", "--training.rounds=2", "--evaluation.every=1")
PRIVATE = ("--privacy.clip_norm=1", "--privacy.noise_multiplier=4", "--privacy.delta=0.01")


class RecordingGrid(FakeGrid):
    """Remembers what sites were told and what they answered, by kind of message."""

    def __init__(self, num_clients: int, folder: Path) -> None:
        super().__init__(num_clients, app, **{STATE_KEY: str(folder)})
        self.told: list[Mapping[str, Any]] = []
        self.said: dict[str, list[Mapping[str, Any]]] = {"query": [], "train": [], "evaluate": []}
        self.stops_at = ""

    def _reply(self, message: Message) -> Message | None:
        kind = message.metadata.message_type
        self.told.append(unpack(message.content, () if kind == "query" else PARTS).facts)
        reply = super()._reply(message)
        assert reply is not None
        self.said[kind].append(unpack(reply.content, PARTS if kind == "train" else ()).facts)
        if kind == self.stops_at:
            self.stops_at = ""
            raise KeyboardInterrupt
        return reply


def run(flags: tuple[str, ...], folder: Path, grid: RecordingGrid) -> dict[str, Any]:
    settings = read_settings(None, [*flags, *DEPLOYED])
    clients = GridClients(grid, deployable_method(settings), settings, 4, run_id=RUN)
    return complete_site_run(settings, folder / "run", clients)


@pytest.fixture(scope="module")
def private(small_flags: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[RecordingGrid, Path]:
    """What was said in a private run, and its folder."""  # shared by the tests, since it takes seconds
    folder = tmp_path_factory.mktemp("private")
    grid = RecordingGrid(4, folder / "state")
    run((*small_flags, *PRIVATE), folder, grid)
    return grid, folder / "run"


COMMON = {"run", "round", "client"}
DESCRIPTION = {"task", "label_names", "modalities", "kinds", "backbone", "version", "num_samples"}


def test_no_fact_leaves_a_site_that_the_table_does_not_have(private: tuple[RecordingGrid, Path]):
    said = private[0].said
    assert {name for facts in said["query"] for name in facts} == COMMON | DESCRIPTION
    assert {name for facts in said["train"] for name in facts} == COMMON | {"num_samples", "metrics"}
    assert {name for facts in said["evaluate"] for name in facts} == COMMON | {"scores"}
    page = (Path(__file__).parents[1] / "docs" / "privacy.md").read_text()
    table = page[page.index("## Each number that leaves a site") :]
    assert all(f"`{name}`" in table for name in COMMON | DESCRIPTION | {"metrics", "scores", "sent", "error"})


def test_a_private_site_tells_nothing_of_its_own_without_noise(private: tuple[RecordingGrid, Path]):
    said = private[0].said
    assert {facts["num_samples"] for kind in ("query", "train") for facts in said[kind]} == {1}
    assert all(facts["metrics"] == {} for facts in said["train"])
    for facts in said["evaluate"]:
        for entry in facts["scores"].values():
            assert entry.keys() == {"accuracy", "loss"}
            # Of few samples, an accuracy without noise would be a small fraction.
            assert all(abs(entry["accuracy"] * count % 1) > 1e-9 for count in range(1, 50))


def test_a_private_run_keeps_nothing_of_single_sites(private: tuple[RecordingGrid, Path]):
    _, folder = private
    results = RunFolder(folder).results()
    assert set(results["clients"].values()) == {None}
    assert json.loads((folder / "missingness.json").read_text()) == [{"client": client} for client in range(4)]
    assert all(line["loss"] is None for line in RunFolder(folder).metrics())


def test_scores_count_for_epsilon_as_states_do(private: tuple[RecordingGrid, Path]):
    spent = RunFolder(private[1]).results()["privacy"]
    # Two rounds, each measured once, and the measurement at the end.
    assert (spent["releases"], spent["measurements"], spent["secret"]) == (2, 3, True)


def test_no_seed_of_noise_travels(private: tuple[RecordingGrid, Path]):
    assert all(re.search(r"^secret = true$", facts["settings"], re.MULTILINE) for facts in private[0].told)


def test_a_state_that_a_site_has_seen_is_never_made_again(small_flags: tuple[str, ...], tmp_path: Path):
    grid = RecordingGrid(4, tmp_path / "state")
    grid.stops_at = "evaluate"
    with pytest.raises(KeyboardInterrupt):
        run((*small_flags, *PRIVATE), tmp_path, grid)
    seen = RunFolder(tmp_path / "run").states.pending(0)
    assert seen is not None
    results = run((*small_flags, *PRIVATE), tmp_path, grid)
    assert (results["privacy"]["releases"], results["privacy"]["measurements"]) == (2, 4)
    trained = [facts["round"] for facts in grid.said["train"]]
    assert trained == [0] * 4 + [1] * 4

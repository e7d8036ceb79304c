"""A round whose state cannot be used costs that round: the run goes on from the last state that was found sound."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fedprime.experiment.run_folder import RunFolder
from fedprime.methods import METHODS
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.method import ServerState, Update
from fedprime.runs.callbacks import AfterRound
from fedprime.runs.round_maker import sound_round
from fedprime.runs.run import resume_run, start_run
from fedprime.settings.settings import Settings
from run_files import metrics_of

#: What becomes of the head in rounds, by their number.
FACTORS: dict[int, float] = {}


@dataclass(frozen=True)
class Exploding(FedAvgP):
    """FEDAVG-P whose server makes of some rounds what it should not."""

    name = "exploding"

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
        state = super().aggregate(current, updates, rng)
        number = int(current.server.get("number", torch.tensor(0)))
        shared = {name: value * FACTORS.get(number, 1.0) for name, value in state.shared.items()}
        return ServerState(shared, server={"number": torch.tensor(number + 1)})


@pytest.fixture
def settings(small_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setitem(METHODS, Exploding.name, Exploding)
    FACTORS.clear()
    return replace(
        small_settings,
        method=Exploding(num_prompts=4),
        training=replace(small_settings.training, rounds=4),
        evaluation=replace(small_settings.evaluation, every=1),
    )


def largest(folder: Path) -> float:
    return max(value.abs().max().item() for value in RunFolder(folder).load_checkpoint().state.shared.values())


@pytest.mark.parametrize(("factor", "reason"), [(1e6, "its validation loss is"), (1e39, "would not be finite")])
def test_a_state_that_cannot_be_used_is_not_gone_on_from(
    factor: float, reason: str, settings: Settings, tmp_path: Path
):
    FACTORS[1] = factor
    start_run(settings, tmp_path / "run")
    lines = metrics_of(tmp_path / "run")
    assert [line["round"] for line in lines] == [0, 1, 2, 3]
    # The round that is made next begins from the state before, so that it is the same round once more.
    assert [("rejected" in line) for line in lines] == [False, True, True, True]
    assert reason in lines[1]["rejected"]["reason"]
    assert largest(tmp_path / "run") < 10


def test_between_measurements_the_last_sound_state_is_what_a_run_falls_back_to(settings: Settings, tmp_path: Path):
    settings = replace(
        settings,
        training=replace(settings.training, rounds=6),
        evaluation=replace(settings.evaluation, every=3),
        runtime=replace(settings.runtime, keep=1),
    )
    FACTORS[3] = 1e6
    seen: list[Any] = []

    def stop(progress: Any) -> None:
        seen.append(progress)
        if progress.round_number == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(settings, tmp_path / "run", callbacks=[AfterRound(stop)])
    sound = RunFolder(tmp_path / "run").states.before(3)
    assert sound is not None
    resume_run(tmp_path / "run")
    lines = metrics_of(tmp_path / "run")
    assert [("rejected" in line) for line in lines] == [False] * 5 + [True]
    end = RunFolder(tmp_path / "run").load_checkpoint()
    assert end.next_round == 6
    assert all(torch.equal(value, sound.state.shared[name]) for name, value in end.state.shared.items())


def test_a_run_that_was_never_measured_has_no_sound_round():
    assert sound_round([{"round": 0}]) == 0
    assert sound_round([{"round": 0, "validation_loss": 1.0}, {"round": 1}]) == 1

"""The life of a run: stopped anywhere and continued, it ends as if it had never stopped."""

import errno
import functools
import itertools
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

import fedprime.backbones
from changed_settings import changed
from fedprime.backbones.backbone import Backbone, Tokens
from fedprime.data.batches import Batch
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.experiment import run_folder as checkpoints
from fedprime.experiment.loading import load_experiment
from fedprime.experiment.run_folder import RunError, RunFolder, RunInUseError
from fedprime.federation.differential_privacy import ClientPrivacy, spent_epsilon
from fedprime.methods import METHODS
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.method import ServerState, Update
from fedprime.models import saved_model as model
from fedprime.models.evaluation import Predictions, predict
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.runs.callbacks import AfterRound, Callback
from fedprime.runs.evaluators import OwnSamples
from fedprime.runs.metrics import Progress
from fedprime.runs.run import complete_run, resume_run, start_run
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import read_settings
from fedprime.settings.settings import Settings
from pretended_gpu import DEVICE, pretended_gpu
from private_head import PrivateHead
from run_files import metrics_of, results_of, weights_of


@dataclass(frozen=True)
class Poisoned(FedAvgP):
    """FEDAVG-P whose loss is not a number for every batch with a sample of class 2 in it, in every round."""

    name = "poisoned"

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:
        return super().loss(model, batch, received) * (math.nan if (batch.labels == 2).any() else 1.0)


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def assert_same_run(here: Path, there: Path) -> None:
    """Two runs ended with the same weights to the bit, the same metrics and the same files."""
    assert files_of(here) == files_of(there)
    assert metrics_of(here) == metrics_of(there)
    assert results_of(here) == results_of(there)
    models = [name for name in files_of(here) if name.endswith("model.safetensors")]
    assert models
    for name in models:
        ours, theirs = load_file(here / name), load_file(there / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[parameter]) for parameter, value in ours.items())


def stop_after(rounds: int) -> list[Callback]:
    def watch(progress: Progress) -> None:
        if progress.round_number == rounds:
            raise KeyboardInterrupt

    return [AfterRound(watch)]


def whole_and_killed(settings: Settings, folder: Path, rounds: int) -> tuple[Path, Path]:
    """Makes a run in one go; returns its folder, and beside it what a kill after some rounds would have left of it."""
    whole, killed = folder / "whole", folder / "killed"

    def watch(progress: Progress) -> None:
        if progress.round_number == rounds:
            shutil.copytree(whole, killed)

    start_run(settings, whole, callbacks=[AfterRound(watch)])
    return whole, killed


def test_a_finished_run_holds_everything_there_is_to_know_about_it(finished_run: Path):
    names = {path.relative_to(finished_run).as_posix() for path in finished_run.rglob("*") if path.is_file()}
    assert names - {".lock"} == {
        "settings.toml",
        "environment.json",
        "masks.safetensors",
        "missingness.json",
        "checkpoint.safetensors",
        "checkpoints/1.safetensors",
        "checkpoints/2.safetensors",
        "checkpoints/digests.json",
        "checksums.json",
        "metrics.jsonl",
        "results.json",
        "scenarios.png",
        "model/README.md",
        "model/config.json",
        "model/statistics.safetensors",
        "model/model.safetensors",
    }
    assert {path.name for path in finished_run.parent.iterdir()} == {"finished"}


@pytest.fixture(scope="module")
def second_run(small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> "Second":
    """A run like `finished_run` after something was drawn: its folder, what it returned, and its progress."""
    folder, seen = tmp_path_factory.mktemp("second") / "run", list[Progress]()
    torch.manual_seed(12345)
    torch.rand(7)
    results = start_run(small_settings, folder, callbacks=[AfterRound(seen.append)])
    return folder, results, seen


Second = tuple[Path, dict[str, Any], list[Progress]]


def test_a_run_returns_its_results(second_run: Second):
    folder, results, _ = second_run
    assert results == json.loads((folder / "results.json").read_text())


def test_the_same_settings_give_the_same_run_to_the_bit_whatever_was_drawn_before(
    second_run: Second, finished_run: Path
):
    assert_same_run(second_run[0], finished_run)


def test_a_run_on_a_device_gives_the_same_results(
    small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = changed(
        small_settings,
        # The fused AdamW knows what devices there are.
        training={"optimizer": "sgd", "rounds": 1},
        method={"standardised_queries": True, "pool_size": 6},
        data={"num_train": 16, "num_validation": 4, "num_test": 8},
        partition={"num_clients": 2},
    )
    expected = start_run(settings, tmp_path / "processor")
    monkeypatch.setattr(fedprime.backbones, "choose_device", lambda _: DEVICE)
    with pretended_gpu():
        found = start_run(replace(settings, device="cuda"), tmp_path / "device")
    for name, scores in expected["scenarios"].items():
        assert found["scenarios"][name]["loss"] == pytest.approx(scores["loss"], rel=1e-4)


def test_another_seed_gives_another_run(small_settings: Settings, stopped_run: Path, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        start_run(replace(small_settings, seed=1), tmp_path / "run", callbacks=stop_after(1))
    ours, theirs = (RunFolder(folder).load_checkpoint().state.shared for folder in (tmp_path / "run", stopped_run))
    assert not torch.equal(ours["head.weight"], theirs["head.weight"])


@pytest.fixture
def two_threads() -> Iterator[None]:
    """A process that computes with two threads."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("two_threads")
def test_a_run_leaves_the_global_random_state_and_settings_of_torch_alone(small_settings: Settings, tmp_path: Path):
    random_state = torch.get_rng_state()
    inside: list[tuple[int, bool]] = []

    def watch(_: Progress) -> None:
        inside.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(small_settings, tmp_path / "run", callbacks=[AfterRound(watch)])
    assert inside == [(1, True)]
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.usefixtures("two_threads")
def test_evaluation_computes_with_as_many_threads_as_the_run_did(finished_run: Path, monkeypatch: pytest.MonkeyPatch):
    run = RunFolder(finished_run)
    num_threads: list[int] = []

    def watched(*arguments: Any) -> Predictions:
        num_threads.append(torch.get_num_threads())
        return predict(*arguments)

    monkeypatch.setattr("fedprime.runs.evaluators.predict", watched)
    OwnSamples(load_experiment(run)).on_test(run.load_checkpoint())
    assert set(num_threads) == {1}
    assert torch.get_num_threads() == 2


def test_progress_tells_where_the_run_is(second_run: Second):
    folder, _, seen = second_run
    assert [progress.round_number for progress in seen] == [1, 2, 3]
    assert {progress.num_rounds for progress in seen} == {3}
    assert [progress.accuracy is None for progress in seen] == [True, False, False]
    assert seen[-1].seconds_left == 0
    assert seen[-1].bytes_sent == sum(line["bytes_down"] + line["bytes_up"] for line in metrics_of(folder))
    assert seen[0].best_accuracy is None
    assert all(1 / 3 < progress.best_accuracy <= 1 for progress in seen[1:])


@pytest.mark.parametrize("rounds", [2, 3])  # `stopped_run` was stopped after the first, and is gone on with below
def test_a_run_stopped_after_any_round_ends_as_if_it_had_not_stopped(
    rounds: int, small_settings: Settings, finished_run: Path, tmp_path: Path
):
    with pytest.raises(KeyboardInterrupt):
        start_run(small_settings, tmp_path / "run", callbacks=stop_after(rounds))
    assert len(metrics_of(tmp_path / "run")) == rounds
    resume_run(tmp_path / "run")
    assert_same_run(tmp_path / "run", finished_run)


def test_what_nobody_set_starts_in_closed_form_and_may_be_stopped_in_every_round_of_it(
    small_flags: tuple[str, ...], tmp_path: Path
):
    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    flags = [*small_flags, "--method.paper=false", "--method.name=fedavg-p", "--training.rounds=1"]
    settings = read_settings(None, flags)
    start_run(settings, tmp_path / "whole")
    lines = metrics_of(tmp_path / "whole")
    assert [line["round"] for line in lines] == [-5, -4, -3, -2, -1, 0]
    assert "accuracy" in lines[4]
    assert json.loads((tmp_path / "whole" / "results.json").read_text())["kept_round"] in (-1, 0)
    stopped = tmp_path / "stopped"
    for rounds in (1, 2, 3, 4, 5):
        with pytest.raises(KeyboardInterrupt):
            complete_run(settings, stopped, callbacks=[AfterRound(stop)])
        assert len(metrics_of(stopped)) == rounds
    resume_run(stopped)
    assert_same_run(stopped, tmp_path / "whole")


def test_with_privacy_the_start_is_one_more_release(small_flags: tuple[str, ...], tmp_path: Path):
    flags = [*small_flags, "--method.paper=false", "--training.rounds=1", "--privacy.delta=0.001"]
    epsilons = {}
    for paper in ("true", "false"):
        settings = read_settings(None, [*flags, f"--method.paper={paper}", "--privacy.clip_norm=1"])
        start_run(settings, tmp_path / paper)
        epsilons[paper] = json.loads((tmp_path / paper / "results.json").read_text())["privacy"]["epsilon"]
    assert [line["round"] for line in metrics_of(tmp_path / "false")] == [-1, 0]
    privacy = ClientPrivacy(1.0, 1.0, 0.001, secret=False)
    both, one = (spent_epsilon(privacy, num_clients=4, num_asked=4, rounds=rounds) for rounds in (2, 1))
    assert epsilons == {"true": pytest.approx(one), "false": pytest.approx(both)}


@pytest.mark.parametrize("kind", ["by-label", "by-observed", "by-site", "drift"])
def test_whatever_missingness_depends_on_a_stopped_run_ends_as_if_it_had_not_stopped(
    kind: str, small_settings: Settings, tmp_path: Path
):
    quick = FedAvgP(num_prompts=4)
    settings = changed(small_settings, missing={"kind": kind}, method=quick, training={"rounds": 2})
    whole, killed = whole_and_killed(settings, tmp_path, 1)
    resume_run(killed)
    assert_same_run(killed, whole)


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].trains])
def test_every_method_with_part_of_the_clients_ends_as_if_it_had_not_stopped(
    name: str, small_settings: Settings, tmp_path: Path
):
    settings = changed(
        small_settings,
        method=METHODS[name](num_prompts=4),
        training={"fraction": 0.5, "rounds": 2},
        data={"num_train": 24, "num_validation": 4, "num_test": 4},
    )
    whole, killed = whole_and_killed(settings, tmp_path, 1)
    resume_run(killed)
    assert_same_run(killed, whole)
    num_asked = 1 if METHODS[name].is_centralized else 2
    assert {line["asked"] for line in metrics_of(whole)} == {num_asked}


def test_what_stays_at_the_clients_is_there_after_a_stop(
    small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(METHODS, PrivateHead.name, PrivateHead)
    settings = changed(small_settings, method=METHODS[PrivateHead.name](num_prompts=4))
    whole, killed = whole_and_killed(settings, tmp_path, 2)
    assert RunFolder(killed).load_checkpoint().kept.keys() == {0, 1, 2, 3}
    resume_run(killed)
    assert_same_run(killed, whole)


# Everything by which a run changes a file. A process that is killed dies before or after one of these.
FILE_OPERATIONS: dict[str, tuple[Any, ...]] = {
    "fsync": (os,),
    "mkdir": (Path,),
    "write_text": (Path,),
    "touch": (Path,),
    "rename": (Path,),
    "replace": (Path,),
    "unlink": (Path,),
    "rmtree": (shutil,),
    "save_file": (checkpoints, model),
}


class Deaths:
    """What a process leaves of its run folder if it is killed before any of its file operations.

    Attributes:
        left: Copies of the folder, one for each state that it was in.
    """

    process_numbers = itertools.count(100_000)

    def __init__(self, folder: Path, copies: Path) -> None:
        self.left: list[Path] = []
        self._folder = folder
        self._copies = copies
        self._last: dict[Path, bytes] | None = None

    def before(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(operation)
        def watched(*arguments: Any, **options: Any) -> Any:
            state = {path: path.read_bytes() if path.is_file() else b"" for path in self._folder.rglob("*")}
            if state and state != self._last:
                self._last = state
                self.left.append(Path(shutil.copytree(self._folder, self._copies / str(len(self.left)) / "run")))
            return operation(*arguments, **options)

        return watched

    @contextmanager
    def watching(self) -> Iterator[None]:
        process_number = next(self.process_numbers)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "getpid", lambda: process_number)
            for name, holders in FILE_OPERATIONS.items():
                for holder in holders:
                    patch.setattr(holder, name, self.before(getattr(holder, name)))
            yield


@pytest.fixture(scope="module")
def brief_settings(small_settings: Settings) -> Iterator[Settings]:
    """The settings of a run of two rounds with a model for each client, quick enough to be killed many times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, PrivateHead.name, PrivateHead)
        yield changed(
            small_settings,
            data={"num_train": 12, "num_validation": 4, "num_test": 4, "modalities": ("text",)},
            missing={"rate": 0.0},
            partition={"num_clients": 2},
            method=METHODS[PrivateHead.name](num_prompts=4),
            training={"rounds": 2},
            evaluation={"every": 2},
        )


@pytest.fixture(scope="module")
def brief_run(brief_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two rounds."""
    folder = tmp_path_factory.mktemp("brief") / "run"
    start_run(brief_settings, folder)
    return folder


@pytest.mark.slow  # some thirty lives
def test_a_run_killed_at_any_file_operation_ends_as_if_it_had_not_been(
    brief_settings: Settings, brief_run: Path, tmp_path: Path
):
    deaths = Deaths(tmp_path / "run", tmp_path / "left")
    with deaths.watching():
        start_run(brief_settings, tmp_path / "run")
    assert len(deaths.left) > 20
    for folder in deaths.left:
        resume_run(folder)
        assert_same_run(folder, brief_run)


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    brief_settings: Settings, brief_run: Path, tmp_path: Path
):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        start_run(brief_settings, folder, callbacks=stop_after(1))
    kills = 0
    while not (folder / "results.json").exists():
        deaths = Deaths(folder, tmp_path / f"life-{kills}")
        with deaths.watching():
            resume_run(folder)
        # Not long after the start of each life: most of the kills fall into the healing after another.
        folder = deaths.left[min(2, len(deaths.left) - 1)] if kills < 8 else folder
        kills += 1
    assert kills > 8
    assert_same_run(folder, brief_run)


def test_a_run_killed_while_its_folder_is_made_leaves_nothing_in_its_place(
    brief_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    present: list[bool] = []

    def watched(path: Path, *arguments: Any) -> Path:
        present.append((tmp_path / "run").exists())
        return rename(path, *arguments)

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", watched)
    with pytest.raises(KeyboardInterrupt):
        start_run(brief_settings, tmp_path / "run", callbacks=stop_after(1))
    # It appears whole, by a single renaming.
    assert present == [False]


def test_a_finished_run_is_not_trained_again(finished_copy: Path):
    before = {path: path.read_bytes() for path in finished_copy.rglob("*") if path.is_file()}
    seen: list[Progress] = []
    assert resume_run(finished_copy, callbacks=[AfterRound(seen.append)]) == json.loads(
        (finished_copy / "results.json").read_text()
    )
    assert seen == []
    assert {path: path.read_bytes() for path in finished_copy.rglob("*") if path.is_file()} == before


def test_a_run_whose_results_were_lost_makes_them_again(finished_copy: Path, finished_run: Path):
    shutil.rmtree(finished_copy / "model")
    (finished_copy / "results.json").unlink()
    resume_run(finished_copy)
    assert_same_run(finished_copy, finished_run)


def test_a_torn_line_of_metrics_heals(stopped_run: Path, finished_run: Path):
    with (stopped_run / "metrics.jsonl").open("a") as file:
        file.write('{"round": 1, "loss": 0.')
    resume_run(stopped_run)
    assert_same_run(stopped_run, finished_run)


@pytest.mark.parametrize("kind", ["run", "folder", "file"])
def test_an_existing_folder_is_never_overwritten(kind: str, small_settings: Settings, finished_copy: Path):
    path = finished_copy
    if kind != "run":
        path = finished_copy.parent / "existing"
        path.mkdir() if kind == "folder" else path.write_text("precious")
    before = {entry: entry.read_bytes() for entry in finished_copy.parent.rglob("*") if entry.is_file()}
    with pytest.raises(RunError, match="exists already and is not overwritten"):
        start_run(small_settings, path)
    assert {entry: entry.read_bytes() for entry in finished_copy.parent.rglob("*") if entry.is_file()} == before


def test_a_run_in_use_is_refused_and_not_touched(stopped_run: Path):
    before = {path: path.read_bytes() for path in stopped_run.rglob("*") if path.is_file()}
    with RunFolder(stopped_run).locked(), pytest.raises(RunError, match="another process is running"):
        resume_run(stopped_run)
    after = {path: path.read_bytes() for path in stopped_run.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == {path: content for path, content in before.items() if path.name != ".lock"}


def test_settings_that_do_not_fit_leave_no_folder_behind(small_settings: Settings, tmp_path: Path):
    settings = changed(small_settings, partition={"num_clients": 41})
    with pytest.raises(SettingsError):
        start_run(settings, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("begin", ["nothing", "half a run", "a finished run"])
def test_a_run_is_completed_from_wherever_it_is(
    begin: str, small_settings: Settings, finished_run: Path, stopped_run: Path, tmp_path: Path
):
    folder = {"nothing": tmp_path / "deep" / "new", "half a run": stopped_run, "a finished run": finished_run}[begin]
    rounds: list[int] = []
    results = complete_run(
        small_settings, folder, callbacks=[AfterRound(lambda progress: rounds.append(progress.round_number))]
    )
    assert rounds == {"nothing": [1, 2, 3], "half a run": [2, 3], "a finished run": []}[begin]
    assert_same_run(folder, finished_run)
    assert results["scenarios"] == results_of(finished_run)["scenarios"]


def test_a_run_with_other_settings_is_not_completed_but_told_what_differs(small_settings: Settings, stopped_run: Path):
    before = {path: path.read_bytes() for path in stopped_run.rglob("*") if path.is_file()}
    other = replace(changed(small_settings, missing={"rate": 0.25}), seed=5)
    with pytest.raises(
        RunError, match=r"stopped has other settings: seed is 0 there, 5 here; missing\.rate is 0\.7 th"
    ):
        complete_run(other, stopped_run)
    assert {path: path.read_bytes() for path in stopped_run.rglob("*") if path.is_file()} == before


def test_a_run_in_use_is_not_even_prepared(
    small_settings: Settings, stopped_run: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fedprime.experiment.loading.build_experiment", None)
    with RunFolder(stopped_run).locked(), pytest.raises(RunInUseError, match="another process is running"):
        complete_run(small_settings, stopped_run)


@pytest.mark.parametrize("verb", ["run", "resume"])
def test_what_cannot_be_written_is_said_before_anything_is_prepared(
    verb: str, small_settings: Settings, stopped_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Values of real data may take hours to embed."""

    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    prepared: list[str] = []
    monkeypatch.setattr("fedprime.experiment.run_folder.TemporaryDirectory", refuse)
    for name in ("build_experiment", "load_experiment"):
        monkeypatch.setattr(f"fedprime.runs.run.{name}", lambda *_, **__: prepared.append("this"))
    with pytest.raises(OSError, match="Read-only file system") as caught:
        start_run(small_settings, tmp_path / "new") if verb == "run" else resume_run(stopped_run)
    assert prepared == []
    assert caught.value.filename == str(tmp_path / "new" if verb == "run" else stopped_run / "checkpoint.safetensors")


def test_a_run_that_another_process_makes_first_is_left_to_it(
    small_settings: Settings, stopped_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    create = RunFolder.create
    with ExitStack() as elsewhere:

        def come_second(path: Path, *rest: Any) -> RunFolder:
            shutil.copytree(stopped_run, path)
            elsewhere.enter_context(RunFolder(path).locked())
            return create(path, *rest)

        monkeypatch.setattr(RunFolder, "create", come_second)
        with pytest.raises(RunInUseError, match="another process is running"):
            complete_run(small_settings, tmp_path / "run")


def test_a_run_whose_settings_file_is_broken_is_refused(stopped_run: Path):
    (stopped_run / "settings.toml").write_text("[training\n")
    with pytest.raises(SettingsError, match=r"settings\.toml is not a readable TOML file"):
        resume_run(stopped_run)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "masks.safetensors", "metrics.jsonl"])
def test_a_run_with_a_missing_file_is_refused(name: str, stopped_run: Path):
    (stopped_run / name).unlink()
    with pytest.raises(RunError, match=f"{name} is not there"):
        resume_run(stopped_run)


def test_a_run_with_a_broken_checkpoint_is_refused_and_not_touched(stopped_run: Path):
    (stopped_run / "checkpoint.safetensors").write_bytes(b"broken")
    before = {path: path.read_bytes() for path in stopped_run.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"checkpoint\.safetensors is broken"):
        resume_run(stopped_run)
    assert {path: path.read_bytes() for path in stopped_run.rglob("*") if path.is_file()} == before


def test_a_checkpoint_of_another_method_is_refused(stopped_run: Path):
    text = (stopped_run / "settings.toml").read_text()
    RunFolder(stopped_run).change_settings(text.replace('name = "fedprime"', 'name = "fedavg-p"'))
    with pytest.raises(ModelError, match="these weights are not of this model"):
        resume_run(stopped_run)


def test_settings_that_were_changed_by_hand_are_refused_with_the_way_out(stopped_run: Path):
    text = (stopped_run / "settings.toml").read_text()
    (stopped_run / "settings.toml").write_text(text.replace("rounds = 3", "rounds = 4"))
    with pytest.raises(
        RunError, match=r"settings\.toml was changed .* `fedprime run --resume .* --training\.rounds 50`"
    ):
        resume_run(stopped_run)


def test_a_run_goes_on_with_more_rounds_when_asked_to(stopped_run: Path, finished_copy: Path):
    before = weights_of(finished_copy)
    for folder in (stopped_run, finished_copy):
        results = resume_run(folder, changes=["--training.rounds", "4", "--runtime.keep", "2"])
        assert results["rounds"] == 4
        assert [line["round"] for line in metrics_of(folder)] == [0, 1, 2, 3]
        assert {path.stem for path in (folder / "checkpoints").glob("*.safetensors")} == {"3"}
    assert any(not torch.equal(before[name], value) for name, value in weights_of(finished_copy).items())


def test_a_finished_run_that_cannot_go_on_keeps_its_results(finished_copy: Path, tiny: Backbone):
    with pytest.raises(RunError):
        resume_run(finished_copy, changes=["--training.rounds", "4"], backbone=tiny)  # it began with none of one's own
    assert RunFolder(finished_copy).results()["rounds"] == 3


def test_a_setting_that_says_what_is_trained_cannot_change_any_more(stopped_run: Path):
    before = (stopped_run / "settings.toml").read_bytes()
    with pytest.raises(
        RunError, match=r"training\.lr is 0\.01 there, 0\.5 here; these cannot change after a run has begun"
    ):
        resume_run(stopped_run, changes=["--training.lr", "0.5"])
    assert (stopped_run / "settings.toml").read_bytes() == before


def test_a_run_whose_newest_checkpoint_is_broken_goes_on_from_the_one_before(
    small_settings: Settings, finished_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with pytest.raises(KeyboardInterrupt):
        start_run(small_settings, tmp_path / "run", callbacks=stop_after(2))
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(b"broken")
    resume_run(tmp_path / "run")
    assert_same_run(tmp_path / "run", finished_run)
    assert "going on from" in caplog.text


@pytest.mark.parametrize(
    "change", [("seed = 0", "seed = 1"), ("rate = 0.7", "rate = 0.5"), ("num_train = 40", "num_train = 41")]
)
def test_a_run_whose_samples_or_masks_would_be_others_is_refused(change: tuple[str, str], stopped_run: Path):
    text = (stopped_run / "settings.toml").read_text()
    assert change[0] in text
    RunFolder(stopped_run).change_settings(text.replace(*change))
    with pytest.raises(RunError, match="began with other samples or masks"):
        resume_run(stopped_run)


def test_a_client_that_diverges_is_reported_and_the_run_goes_on(
    small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(METHODS, Poisoned.name, Poisoned)
    settings = changed(
        small_settings, method=METHODS[Poisoned.name](num_prompts=4), partition={"alpha": 0.05, "min_samples": 1}
    )
    start_run(settings, tmp_path / "run")
    for line in metrics_of(tmp_path / "run"):
        assert line["left_out"]
        assert all("is not finite" in reason for reason in line["left_out"].values())
        assert line["answered"] + len(line["left_out"]) == line["asked"] == 4
    assert all(value.isfinite().all() for value in weights_of(tmp_path / "run").values())


def test_a_run_in_which_everybody_diverges_ends_with_the_weights_it_began_with(
    small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(METHODS, Poisoned.name, Poisoned)
    settings = changed(small_settings, method=METHODS[Poisoned.name](num_prompts=4), training={"batch_size": 1000})
    with pytest.raises(KeyboardInterrupt):
        start_run(settings, tmp_path / "run", callbacks=stop_after(1))
    assert {line["answered"] for line in metrics_of(tmp_path / "run")} == {0}
    results = resume_run(tmp_path / "run")
    assert math.isfinite(results["scenarios"]["full"]["loss"])


def test_a_run_that_started_from_a_saved_model_does_not_need_it_any_more(
    small_settings: Settings, finished_copy: Path, tmp_path: Path
):
    settings = changed(small_settings, initial_model=str(finished_copy / "model"), training={"rounds": 2})
    whole, killed = whole_and_killed(settings, tmp_path, 1)
    shutil.rmtree(finished_copy)
    resume_run(killed)
    assert_same_run(killed, whole)


def test_a_run_is_not_continued_with_another_backbone(stopped_run: Path):
    path = stopped_run / "environment.json"
    path.write_text(path.read_text().replace(RunFolder(stopped_run).backbone_fingerprint(), "another"))
    with pytest.raises(RunError, match=r"environment\.json was changed since the run wrote it"):
        resume_run(stopped_run)


def with_privacy(settings: Settings, **privacy: Any) -> Settings:
    return replace(
        settings,
        training=replace(settings.training, rounds=2),
        privacy=replace(settings.privacy, **{"clip_norm": 1.0, "delta": 0.01, **privacy}),
    )


def test_a_private_run_tells_its_epsilon_and_no_losses(small_settings: Settings, tmp_path: Path):
    results = start_run(with_privacy(small_settings, noise_multiplier=8.0), tmp_path / "run")
    spent = results["privacy"]
    assert {"clip_norm": 1.0, "noise_multiplier": 8.0, "delta": 0.01, "secret": False}.items() <= spent.items()
    # Exactly that of one Gaussian mechanism of noise 8 / 2 / sqrt(2) at delta 0.01 is 0.64; composing costs a little.
    assert 0.6 < spent["epsilon"] < 1.0
    lines = metrics_of(tmp_path / "run")
    assert [line["loss"] for line in lines] == [None, None]
    assert all("matches" not in line for line in lines)


def test_clipping_without_noise_has_no_bound(small_settings: Settings, tmp_path: Path):
    results = start_run(with_privacy(small_settings, noise_multiplier=0.0), tmp_path / "run")
    assert results["privacy"]["epsilon"] is None


def test_a_run_under_attack_ends_otherwise_than_one_in_peace(small_settings: Settings, tmp_path: Path):
    for kind in ("none", "sign-flip", "label-flip"):
        settings = changed(
            small_settings,
            method=FedAvgP(num_prompts=4),
            training={"rounds": 1},
            attack={"kind": kind, "share": 0.5},
        )
        start_run(settings, tmp_path / kind)
    peace, *attacked = (weights_of(tmp_path / kind) for kind in ("none", "sign-flip", "label-flip"))
    for ours in attacked:
        assert any(not torch.equal(value, ours[name]) for name, value in peace.items())


# Objects in the place of what settings name


@dataclass(frozen=True)
class HalfWay(FedAvgP):
    """FEDAVG-P whose server goes a part of the way to the average."""

    name = "half-way"
    way: float = 0.5

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
        average = super().aggregate(current, updates, rng).shared
        return ServerState({name: value.lerp(average[name], self.way) for name, value in current.shared.items()})


class Mirrored:
    """A data set of somebody's own: the built-in world, in which every photo is mirrored."""

    def __init__(self, seed: int = 0) -> None:
        world = BuiltinWorld(72, 3, 4, seed, num_validation=8, num_test=24)
        self.modalities, self.task, self.label_names = ("image", "text"), world.task, world.label_names
        self.labels, self.sites, self.there, self.splits = world.labels, world.sites, world.there[:, :2], world.splits
        self._world = world

    def __len__(self) -> int:
        return len(self._world)

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        values = self._world.read(index, modalities)
        return {name: value[:, ::-1].copy() if name == "image" else value for name, value in values.items()}


class Doubled:
    """A backbone of somebody's own: one whose features are twice as long."""

    def __init__(self, backbone: Backbone) -> None:
        self.modalities, self.dim, self.feature_dim = backbone.modalities, backbone.dim, backbone.feature_dim
        self.reference, self.options, self.device = backbone.reference, backbone.options, backbone.device
        self.kinds, self.versions = backbone.kinds, backbone.versions
        self.embed, self.assemble, self._backbone = backbone.embed, backbone.assemble, backbone
        self.fingerprint = f"doubled {backbone.fingerprint}"

    def encode(self, tokens: Tokens) -> Float[Tensor, "sample feature"]:
        return 2 * self._backbone.encode(tokens)


@pytest.fixture
def own(tiny: Backbone) -> dict[str, Any]:
    return {"source": Mirrored(), "backbone": Doubled(tiny), "method": HalfWay(num_prompts=4, way=0.75)}


def test_a_run_with_objects_of_ones_own_ends_the_same_stopped_or_not(
    own: dict[str, Any], small_settings: Settings, finished_run: Path, tmp_path: Path
):
    results = start_run(small_settings, tmp_path / "whole", **own)
    assert results["method"] == "half-way"
    assert results["scenarios"] != results_of(finished_run)["scenarios"]
    with pytest.raises(KeyboardInterrupt):
        start_run(small_settings, tmp_path / "stopped", **own, callbacks=stop_after(1))
    complete_run(small_settings, tmp_path / "stopped", **own)
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
    run = RunFolder(tmp_path / "whole")
    assert run.own_objects().keys() == {"source", "backbone", "method"}
    measured = OwnSamples(load_experiment(run, **own)).on_test(run.load_checkpoint())
    assert measured["scenarios"] == results["scenarios"]


def test_a_run_with_objects_is_not_continued_without_them_or_with_others(
    own: dict[str, Any], small_settings: Settings, tiny: Backbone, tmp_path: Path, complaint: Callable[..., str]
):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        start_run(small_settings, folder, **own, callbacks=stop_after(1))
    assert "began with a source of somebody's own" in complaint("run", "--resume", folder)
    others = {
        "source": (Mirrored(seed=1), r"began with a source .*Mirrored [0-9a-f]{16}; found .*Mirrored [0-9a-f]{16}$"),
        "backbone": (tiny, "began with a backbone of somebody's own, .*Doubled doubled .*; found "),
        "method": (HalfWay(num_prompts=4, way=0.5), r"way=0\.75\); found .*way=0\.5\)$"),
    }
    for part, (other, message) in others.items():
        for go_on in (resume_run, functools.partial(complete_run, small_settings)):
            with pytest.raises(RunError, match=message):
                go_on(folder, **{**own, part: other})
            with pytest.raises(RunError, match=f"began with a {part} of somebody's own, .* from Python"):
                go_on(folder, **{**own, part: None})


def test_a_run_is_not_continued_with_an_object_that_it_did_not_begin_with(stopped_run: Path):
    with pytest.raises(RunError, match="began with the method of its settings; leave method out"):
        resume_run(stopped_run, method=HalfWay())


def test_objects_that_do_not_fit_the_settings_are_refused(
    small_settings: Settings, own: dict[str, Any], tmp_path: Path
):
    private = with_privacy(small_settings)
    with pytest.raises(SettingsError, match="privacy: centralized-p cannot have it: one holder has all samples"):
        start_run(private, tmp_path / "run", method=METHODS["centralized-p"]())
    text = changed(small_settings, data={"modalities": ("text",)}, missing={"rate": 0.0})
    with pytest.raises(SettingsError, match=r"data\.modalities is text, and the backbone reads image, text; leave"):
        start_run(text, tmp_path / "run", backbone=own["backbone"])
    elsewhere = changed(small_settings, runtime={"kind": "simulation"})
    with pytest.raises(SettingsError, match=r"runtime\.kind is simulation: clients in other processes know method"):
        start_run(elsewhere, tmp_path / "run", method=own["method"])
    assert list(tmp_path.iterdir()) == []

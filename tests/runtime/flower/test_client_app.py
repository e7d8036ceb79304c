"""A client behind Flower: what it answers, and what it refuses to do for a server."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from safetensors.torch import load_file

from fedprime.backbones.backbone import Tokens
from fedprime.backbones.vilt import ViltBackbone
from fedprime.experiment import embedded_data as samples
from fedprime.experiment.build import build_experiment
from fedprime.experiment.site import build_site_experiment
from fedprime.federation.compression import Compression
from fedprime.models.prompted_model import Weights
from fedprime.runtime.flower import client_app
from fedprime.runtime.flower.client_app import BACKBONE_KEY, DATA_KEY, FORMAT_KEY, NUMBER_KEY, STATE_KEY, app
from fedprime.runtime.flower.messages import ANY_CLIENT, PARTS, Content, pack, unpack
from fedprime.settings.reading import dump_toml, read_settings
from miniatures import table_rows, write_table

RUN = "0123456789abcdef"


@pytest.fixture
def task(small_flags: tuple[str, ...]) -> dict[str, Any]:
    settings = read_settings(None, [*small_flags, "--method.name=local-p"])
    return {"settings": dump_toml(settings), "run": RUN, "round": 0, "client": 1}


def asked(kind: str, facts: dict[str, Any], node: dict[str, Any], sent: Weights | None = None) -> Content:
    """What comes back."""
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    content = Content(facts) if kind == "query" else Content(facts, {"sent": sent or {}, "kept": {}, "residual": {}})
    message = Message(pack(content), 7, kind)
    message.metadata.__dict__["_message_id"] = "1"
    reply = app(message, Context(0, 7, {NUMBER_KEY: 1, **node}, RecordDict(), {}))
    return unpack(reply.content, PARTS if set(reply.content) == {"facts", "weights"} else ())


def test_it_says_which_client_it_is(task: dict[str, Any]):
    said = asked("query", {**task, "client": ANY_CLIENT}, {}).facts
    assert (said["client"], said["run"], said["round"]) == (1, RUN, 0)
    assert said["num_samples"] > 0


def test_what_does_not_travel_stays_on_the_disk_of_a_site_and_is_used_in_the_next_round(
    task: dict[str, Any], tmp_path: Path
):
    node = {STATE_KEY: str(tmp_path)}
    first = asked("train", task, node)
    assert first.weights == {"sent": {}, "kept": {}, "residual": {}}
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.safetensors")] == [f"{RUN}/1/0.safetensors"]
    again = asked("train", {**task, "round": 1}, node)
    assert again.facts["metrics"]["loss"] < first.facts["metrics"]["loss"]


def test_a_simulated_client_has_no_disk_and_gives_everything_back(task: dict[str, Any]):
    assert "head.bias" in asked("train", task, {}).weights["kept"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"client": 2}, "for client 2, this is client 1"),
        ({"run": "../../etc"}, "expected hexadecimal digits"),
        ({"round": "0"}, "round of the task is not what it should be"),
        ({"settings": "["}, "not TOML"),
        ({"settings": "rounds = 3"}, "rounds is not a setting"),
    ],
)
def test_a_task_that_is_not_what_it_should_be_is_refused(changed: dict[str, Any], reason: str, task: dict[str, Any]):
    assert reason in asked("train", {**task, **changed}, {}).facts["error"]


@pytest.fixture
def sent(small_flags: tuple[str, ...]) -> Weights:
    """What a server sends with 8 bits."""
    return Compression(8).sent(build_experiment(read_settings(None, small_flags)).model.weights())


Change = Callable[[Weights], Weights]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda sent: {name: value for name, value in sent.items() if name != "head.bias"}, "head.bias is missing"),
        (lambda sent: {name: value for name, value in sent.items() if "bias.sc" not in name}, "bias.scale is missing"),
        (lambda sent: {**sent, "tail": torch.ones(1)}, "tail is unknown"),
        (
            lambda sent: {**sent, "head.bias": torch.ones(3)},
            "head.bias is (3,) torch.float32, expected",
        ),
        (lambda sent: {**sent, "head.bias": sent["head.bias"][:1]}, "head.bias is (1,) torch.int8, expected (3,)"),
        (lambda sent: {**sent, "head.bias.scale": torch.tensor([math.nan])}, "head.bias.scale is not finite"),
        (lambda sent: {**sent, "head.bias.scale": torch.tensor([3e38])}, "head.bias is not finite"),
        (
            lambda sent: {**sent, "prompter.pools.inter": torch.zeros(0, dtype=torch.int8)},
            "prompter.pools.inter is (0,) torch.int8, expected (0, ",
        ),
    ],
)
def test_packed_weights_that_are_not_what_they_should_be_are_not_trained_from(
    change: Change, problem: str, sent: Weights, small_flags: tuple[str, ...], task: dict[str, Any]
):
    settings = dump_toml(read_settings(None, [*small_flags, "--transport.bits=8"]))
    said = asked("train", {**task, "settings": settings}, {}, change({**sent, "head.bias": sent["head.bias"] + 127}))
    assert problem in said.facts["error"]


def test_what_rounding_held_back_stays_on_the_disk_of_a_site_and_is_sent_in_the_next_round(
    sent: Weights, small_flags: tuple[str, ...], task: dict[str, Any], tmp_path: Path
):
    task = {**task, "settings": dump_toml(read_settings(None, [*small_flags, "--transport.bits=8"]))}
    node = {STATE_KEY: str(tmp_path)}
    assert asked("train", task, node, sent).weights["residual"] == {}
    held_back = load_file(tmp_path / RUN / "1" / "0.safetensors")
    assert {name.partition("/")[0] for name in held_back} == {"residual"}
    with_it = asked("train", {**task, "round": 1}, node, sent).weights["sent"]
    without = asked("train", {**task, "round": 1}, {}, sent).weights["sent"]
    change = {
        name: value - Compression(8).arrived(without)[name] for name, value in Compression(8).arrived(with_it).items()
    }
    step = without["head.weight.scale"] + with_it["head.weight.scale"]
    assert not torch.equal(with_it["head.weight"], without["head.weight"])
    assert ((change["head.weight"] - held_back["residual/head.weight"]).abs() <= step).all()


def test_a_site_embeds_a_sample_once_however_many_processes_train_on_it(
    task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    embedded: list[int] = []
    real = ViltBackbone.embed

    def embed(self: ViltBackbone, modality: str, values: Sequence[object]) -> list[torch.Tensor]:
        embedded.append(len(values))
        return real(self, modality, values)

    monkeypatch.setattr(ViltBackbone, "embed", embed)
    for number in range(2):
        _forget_what_this_process_knows()
        asked("train", {**task, "round": number}, {STATE_KEY: str(tmp_path / "state")})
        assert bool(embedded) == (number == 0)
        embedded.clear()


def test_a_site_runs_what_is_below_its_prompts_once_however_many_processes_train_on_it(
    small_flags: tuple[str, ...], task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    settings = read_settings(None, [*small_flags, "--method.name=local-p", "--method.prompt_layer=2"])
    run: list[int] = []
    real = ViltBackbone.advance

    def advance(self: ViltBackbone, tokens: Tokens, layer: int) -> Tokens:
        run.append(layer)
        return real(self, tokens, layer)

    monkeypatch.setattr(ViltBackbone, "advance", advance)
    for number in range(2):
        _forget_what_this_process_knows()
        facts = {**task, "settings": dump_toml(settings), "round": number}
        asked("train", facts, {STATE_KEY: str(tmp_path / "state")})
        assert set(run) == ({2} if number == 0 else set())
        run.clear()


def _forget_what_this_process_knows() -> None:
    client_app._experiment.cache_clear()
    samples._latest.clear()


def test_a_site_with_a_table_of_its_own_trains_and_measures_on_all_of_it(
    small_flags: tuple[str, ...], task: dict[str, Any], tmp_path: Path
):
    table = ("--data.name=table", "--data.columns", "image=file_name", "text=title", "--partition.num_clients=2")
    table = (*table, "--backbone=tiny")
    flags = [flag for flag in small_flags if not flag.startswith(("--data.", "--partition."))]
    settings = read_settings(None, [*flags, *table, "--method.name=head-only"])
    facts = {**task, "settings": dump_toml(settings)}
    node = {DATA_KEY: str(write_table(tmp_path / "data")), FORMAT_KEY: "table", STATE_KEY: str(tmp_path / "state")}
    said = asked("query", facts, node).facts
    assert said["label_names"] == sorted({str(row["label"]) for row in table_rows(tmp_path / "data")})
    assert said["modalities"] == ["image", "text"]
    experiment = build_site_experiment(settings, 1, node[DATA_KEY])
    trained = asked("train", facts, node, experiment.method.travelling(experiment.model.weights()))
    assert trained.facts["num_samples"] == said["num_samples"] > 12
    scores = asked("evaluate", {**facts, "names": ["full"]}, node, trained.weights["sent"]).facts["scores"]
    assert scores["full"]["num_samples"] == 12


@pytest.mark.parametrize(
    ("flags", "node", "reason"),
    [
        (["--data.name=food101", "--data.path=/etc"], {}, "start this client with --data FOLDER --format food101"),
        (
            ["--data.name=mmimdb"],
            {DATA_KEY: "/data", FORMAT_KEY: "food101"},
            "the run is on mmimdb, this site's data is food101; start this client with --format mmimdb",
        ),
        (["--backbone=/etc/passwd"], {}, "start this client with --backbone FOLDER"),
    ],
)
def test_a_server_cannot_make_a_site_read_other_files(
    flags: list[str], node: dict[str, Any], reason: str, task: dict[str, Any], tmp_path: Path
):
    settings = dump_toml(read_settings(None, flags))
    said = asked("query", {**task, "settings": settings}, {STATE_KEY: str(tmp_path), **node})
    assert reason in said.facts["error"]
    assert BACKBONE_KEY not in node


def test_a_client_that_the_run_does_not_have_is_told_so(task: dict[str, Any]):
    said = asked("query", {**task, "client": ANY_CLIENT}, {NUMBER_KEY: 9})
    assert said.facts["error"] == "this is client 9, the run has clients 0 to 3"

"""Each tracker has what it was sent: read back from its own files, by its own reader where it has one.

Importing one of these libraries takes seconds; where one is not installed, `make test-trackers` installs it.
"""

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedprime.runs.run import resume_run
from fedprime.runs.trackers import MissingTrackerError, refuse_missing_trackers
from fedprime.runs.tracking import Tracking
from run_files import metrics_of, results_of

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries about each other


@dataclass
class Kept:
    """What a tracker has: losses and the accuracies of the final table by step, settings, table, files of the model."""

    losses: list[tuple[int, float]]
    accuracies: list[tuple[int, float]]
    settings: dict[str, Any]
    table: str
    model: list[str]


FULL = "results/scenarios/full/accuracy"


def in_tensorboard(run: Path) -> Kept:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()

    def scalars(name: str) -> list[tuple[int, float]]:
        return [(event.step, event.value) for event in events.Scalars(name)]

    def text(name: str) -> str:
        return events.Tensors(f"{name}/text_summary")[-1].tensor_proto.string_val[0].decode()

    rows = [line.strip("| ").split(" | ") for line in text("settings").splitlines()[2:]]
    model = Path(text("model"))
    return Kept(
        scalars("loss"),
        scalars(FULL),
        {row[0]: row[1] if len(row) > 1 else "" for row in rows},
        text("final table"),
        [file.name for file in model.iterdir()],
    )


def in_mlflow(run: Path) -> Kept:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{run}/mlflow.db")
    experiment = client.get_experiment_by_name("fedprime")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", run.name)

    def history(name: str) -> list[tuple[int, float]]:
        return [(metric.step, metric.value) for metric in client.get_metric_history(found.info.run_id, name)]

    artifacts = run / "mlflow" / found.info.run_id / "artifacts"
    return Kept(
        history("loss"),
        history(FULL),
        found.data.params,
        (artifacts / "final_table.md").read_text(),
        [Path(artifact.path).name for artifact in client.list_artifacts(found.info.run_id, "model")],
    )


def in_wandb(run: Path) -> Kept:
    from wandb.proto.wandb_internal_pb2 import Record

    rows: dict[int, dict[str, Any]] = {}
    settings: dict[str, Any] = {}
    ids, model = set[str](), list[str]()
    for file in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for record in whole_wandb_file(file, Record):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                ids.add(record.run.run_id)
                settings |= {entry.key: json.loads(entry.value_json) for entry in record.run.config.update}
            elif kind == "history":
                row = {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
                rows.setdefault(record.history.step.num, {}).update(row)
            elif kind == "request" and record.request.HasField("log_artifact"):
                model += [entry.path for entry in record.request.log_artifact.artifact.manifest.contents]
            elif kind == "artifact":
                model += [entry.path for entry in record.artifact.manifest.contents]
    assert len(ids) == 1

    def history(name: str) -> list[tuple[int, float]]:
        return [(json.loads(row["round"]), json.loads(row[name])) for row in rows.values() if name in row]

    (table,) = run.glob("wandb/offline-run-*/files/media/table/final*table*.json")
    content = json.loads(table.read_text())
    lines = [content["columns"], [], *content["data"]]
    return Kept(
        history("loss"), history(FULL), settings, "\n".join(" | ".join(map(str, line)) for line in lines), model
    )


def whole_wandb_file(file: Path, record_class: Any) -> list[Any]:
    """Reads a file of an offline run when its last record is there: another process writes it after `finish`."""
    for _ in range(300):
        records = [record_class.FromString(data) for data in wandb_records(file.read_bytes())]
        if records and records[-1].WhichOneof("record_type") == "exit":
            return records
        time.sleep(0.1)
    raise AssertionError(f"{file} was never finished")


def wandb_records(data: bytes) -> Iterator[bytes]:
    """Reads a file of offline runs: after 7 bytes, records in blocks of 32 kB as in a LevelDB log."""
    place, begun = 7, b""
    while place < len(data):
        if 32768 - place % 32768 < 7:  # no head fits into the rest of the block
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        begun += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield begun
            begun = b""


def in_trackio(run: Path) -> Kept:
    folder = run.parent / "trackio"
    with sqlite3.connect(folder / "fedprime.db") as database:
        rows = database.execute("SELECT step, metrics FROM metrics ORDER BY id").fetchall()
        ((config,),) = database.execute("SELECT config FROM configs").fetchall()
    lines = [(step, json.loads(text)) for step, text in rows]
    (table,) = [line["final table"] for _, line in lines if "final table" in line]
    (manifest,) = [
        path for path in folder.rglob("*") if path.is_file() and "config.json" in path.read_bytes().decode("latin")
    ]
    return Kept(
        [(step, line["loss"]) for step, line in lines if "loss" in line],
        [(step, line[FULL]) for step, line in lines if FULL in line],
        json.loads(config),
        table["_value"],
        ["config.json", "model.safetensors"] if manifest else [],
    )


READERS: dict[str, Callable[[Path], Kept]] = {
    "tensorboard": in_tensorboard,
    "mlflow": in_mlflow,
    "wandb": in_wandb,
    "trackio": in_trackio,
}


@pytest.mark.parametrize("name", READERS)
def test_a_tracker_has_a_run_that_was_stopped_whole_and_without_anything_twice(
    name: str, stopped_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    try:
        refuse_missing_trackers([name])
    except MissingTrackerError as error:
        pytest.skip(str(error))
    for variable in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    run = Path(shutil.move(stopped_run, tmp_path / "méthode a, seed 0"))  # not every library takes every name
    tracking = Tracking(run, [name])
    tracking.send()  # the first round, before the process was stopped
    for tracker in tracking._open.values():
        tracker.close(is_finished=False)
    with Tracking(run, [name]) as going_on:
        resume_run(run, callbacks=[going_on])
    assert (tracking.failures, going_on.failures) == ({}, {})
    kept, results = READERS[name](run), results_of(run)
    expected = [(line["round"] + 1, pytest.approx(line["loss"])) for line in metrics_of(run)]
    assert kept.losses == expected
    assert kept.accuracies == [(3, pytest.approx(results["scenarios"]["full"]["accuracy"]))]
    assert str(kept.settings["training.rounds"]) == "3"
    assert str(kept.settings["method.name"]) == "fedprime"
    assert {"config.json", "model.safetensors"} <= set(kept.model)
    assert f"like train | {results['scenarios']['like train']['accuracy']} | " in kept.table

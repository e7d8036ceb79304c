"""Trackers of experiments: one short adapter for each library, which is imported when it is used.

Nothing leaves the machine unless the user's own environment says so (MLFLOW_TRACKING_URI, WANDB_MODE, TRACKIO_SPACE_ID,
TRACKIO_SERVER_URL), and what the libraries would tell their makers about their use is switched off.
"""

import contextlib
import io
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from fedprime.reproducibility.errors import FedprimeError, nearest_name
from fedprime.runs.tracker import Line, TrackedRun, TrackedTable, Tracker

#: How the project or experiment is called where the environment says nothing.
_PROJECT = "fedprime"


class MissingTrackerError(FedprimeError):
    """A tracker that there is not, or whose library is not installed."""


class _TensorBoard:
    """Event files in the run folder."""

    @staticmethod
    def place(run: TrackedRun) -> str:
        del run
        return "tensorboard"

    def __init__(self, run: TrackedRun, key: str, going_on: Line | None) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        self.key, self._run = key, run
        # Whatever was written of later rounds by a process that died is not shown.
        purged = None if going_on is None else going_on.step + 1
        self._writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=purged)
        settings = TrackedTable(("setting", "value"), list(run.settings.items()))
        self._writer.add_text("settings", settings.markdown(), -1000)
        file_writer = self._writer._get_file_writer()
        for summary in hparams(dict(run.settings), {"accuracy": 0.0, "loss": 0.0}):
            file_writer.add_summary(summary)

    def log_line(self, line: Line) -> None:
        for name, value in line.values.items():
            self._writer.add_scalar(name, value, line.step, walltime=line.seconds)
        self._writer.flush()

    def log_end(self, last: Line, table: TrackedTable, model: Path | None) -> None:
        self.log_line(last)
        self._writer.add_text("final table", table.markdown(), last.step)
        if model is not None:  # event files hold no files
            self._writer.add_text("model", str(model.absolute()), last.step)
        self._writer.flush()

    def close(self, *, is_finished: bool) -> None:
        del is_finished
        self._writer.close()


class _MLflow:
    """A run of MLflow, in a database beside the run unless MLFLOW_TRACKING_URI names another one, or a server."""

    @staticmethod
    def place(run: TrackedRun) -> str:
        return os.environ.get("MLFLOW_TRACKING_URI") or os.path.relpath(run.home / "mlflow.db", run.folder)

    def __init__(self, run: TrackedRun, key: str, going_on: Line | None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # A server that is gone must not hold up the run for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        self._entities = import_module("mlflow.entities")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        home, uri = run.home.absolute(), os.environ.get("MLFLOW_TRACKING_URI")
        self._client = import_module("mlflow.tracking").MlflowClient(tracking_uri=uri or f"sqlite:///{home}/mlflow.db")
        self.key = key
        if going_on is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
            artifacts = None if uri else (home / "mlflow").as_uri()
            found = self._client.get_experiment_by_name(name)
            experiment = found.experiment_id if found else self._client.create_experiment(name, artifacts)
            began = int(1000 * (run.folder / "environment.json").stat().st_mtime)
            tags = {"group": run.group} if run.group else {}
            self.key = self._client.create_run(experiment, began, tags, run.name).info.run_id
        self._client.update_run(self.key, status="RUNNING")
        self._log_settings({name: str(value)[:6000] for name, value in run.settings.items()})

    def _log_settings(self, settings: Mapping[str, str]) -> None:
        there = self._client.get_run(self.key).data.params
        new = [self._entities.Param(name, value) for name, value in settings.items() if name not in there]
        for first in range(0, len(new), 100):
            self._client.log_batch(self.key, params=new[first : first + 100])
        for name, value in settings.items():  # a parameter never changes there; a few settings of a run may
            if there.get(name, value) != value:
                self._client.set_tag(self.key, name, value)

    def log_line(self, line: Line) -> None:
        # The same name, step, time and value again is no new measurement there: nothing is doubled.
        time = int(1000 * line.seconds)
        metrics = [
            self._entities.Metric(re.sub(r"[^\w\-./ :]", "_", name), value, time, line.step)
            for name, value in line.values.items()
        ]
        for first in range(0, len(metrics), 1000):
            self._client.log_batch(self.key, metrics=metrics[first : first + 1000])
        self._last = time

    def log_end(self, last: Line, table: TrackedTable, model: Path | None) -> None:
        self.log_line(last)
        self._client.log_text(self.key, table.markdown(), "final_table.md")
        if model is not None:
            self._client.log_artifacts(self.key, str(model), "model")
        self._client.set_terminated(self.key, "FINISHED", end_time=int(1000 * last.seconds))

    def close(self, *, is_finished: bool) -> None:
        if not is_finished:
            self._client.set_terminated(self.key, "KILLED")


class _Wandb:
    """A run of Weights & Biases, in a folder beside the run unless WANDB_MODE says online."""

    @staticmethod
    def place(run: TrackedRun) -> str:
        project = os.environ.get("WANDB_PROJECT", _PROJECT)
        mode = os.environ.get("WANDB_MODE", "offline")
        return f"{project} {mode if mode != 'offline' else os.path.relpath(run.home / 'wandb', run.folder)}"

    def __init__(self, run: TrackedRun, key: str, going_on: Line | None) -> None:
        del going_on  # a run of the same id is gone on with, here or when it is sent with `wandb sync`
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._library = import_module("wandb")
        self.key = key
        self._run = self._library.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            id=key,
            name=run.name,
            group=run.group or None,
            dir=str(run.home),
            mode=os.environ.get("WANDB_MODE", "offline"),
            resume="allow",
            config=dict(run.settings),
            allow_val_change=True,
            settings=self._library.Settings(
                silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True
            ),
        )
        self._run.define_metric("*", step_metric="round")

    def log_line(self, line: Line) -> None:
        self._run.log({"round": line.step, **line.values}, step=line.place)

    def log_end(self, last: Line, table: TrackedTable, model: Path | None) -> None:
        rows = self._library.Table(columns=list(table.columns), data=[list(row) for row in table.rows])
        self._run.log({"round": last.step, "final table": rows, **last.values}, step=last.place)
        if model is not None:
            artifact = self._library.Artifact(f"model-{self.key}", type="model")
            for file in filter(Path.is_file, sorted(model.iterdir())):  # `add_dir` would tell of it in the terminal
                artifact.add_file(str(file))
            self._run.log_artifact(artifact)

    def close(self, *, is_finished: bool) -> None:
        self._run.finish(exit_code=0 if is_finished else 1)


class _Trackio:
    """A run of Trackio, in the database that Trackio keeps for its user (TRACKIO_DIR)."""

    @staticmethod
    def place(run: TrackedRun) -> str:
        del run
        names = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_DIR")
        # Part of what follows `?` is a password.
        return next((os.environ[name].partition("?")[0] for name in names if os.environ.get(name)), "local")

    def __init__(self, run: TrackedRun, key: str, going_on: Line | None) -> None:
        for name, off in (("HF_HUB_DISABLE_TELEMETRY", "1"), ("GRADIO_ANALYTICS_ENABLED", "False")):
            os.environ.setdefault(name, off)
        self._library = import_module("trackio")
        self.key = key if going_on is not None else f"{run.name}-{key}"
        with _unheard():
            self._run = self._library.init(
                project=_PROJECT,
                name=self.key,
                group=run.group or None,
                config=dict(run.settings),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def log_line(self, line: Line) -> None:
        self._run.log({"round": line.step, **line.values}, step=line.step)

    def log_end(self, last: Line, table: TrackedTable, model: Path | None) -> None:
        text = self._library.Markdown(table.markdown())
        self._run.log({"final table": text, **last.values}, step=last.step)
        if model is not None:
            name = re.sub(r"[^\w.-]+", "-", f"model-{self.key}", flags=re.ASCII)  # of a grid's run: labels and spaces
            with _unheard():
                self._run.log_artifact(str(model), name=name, type="model")

    def close(self, *, is_finished: bool) -> None:
        del is_finished
        with _unheard():
            self._library.finish()  # not that of the run, which would be called once more when Python ends


#: By name, which is also that of the extra that installs it.
TRACKERS: Mapping[str, type[Tracker]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _Wandb,
    "trackio": _Trackio,
}
#: What has to be installed beside the library of that name: MLflow's small package comes without its database.
_NEEDED_TOO = {"mlflow": ("sqlalchemy", "alembic")}


def refuse_missing_trackers(names: Sequence[str]) -> None:
    """Raises a `MissingTrackerError` if there is no such tracker, or its library is not installed; imports nothing."""
    for name in names:
        if name not in TRACKERS:
            raise MissingTrackerError(f"{name!r} is not a tracker: {', '.join(TRACKERS)}{nearest_name(name, TRACKERS)}")
    missing = [name for name in names if not all(map(find_spec, (name, *_NEEDED_TOO.get(name, ()))))]
    if missing:
        raise MissingTrackerError(
            f"{', '.join(missing)} cannot be tracked to: not installed; install with: "
            f'pip install "fedprime[{",".join(missing)}]"'
        )


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keeps what a library prints, which it cannot be told not to, out of our output."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield

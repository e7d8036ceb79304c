"""From the folder of a run back to what it works with; refused where that is not what it began with."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from fedprime.backbones import NAMES
from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Encoded
from fedprime.data.sources import SampleSource
from fedprime.experiment.backbone_choice import chosen_backbone
from fedprime.experiment.build import Experiment, build_experiment
from fedprime.experiment.own_objects import OwnObjects
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.methods.method import Method
from fedprime.settings.reading import differing_settings, dump_toml, read_saved_settings
from fedprime.settings.settings import Settings

#: Settings that may change after a run has begun: how long it goes on, and how it is waited for.
CHANGEABLE = (
    "training.rounds",
    "training.patience",
    *(f"runtime.{name}" for name in ("processes", "deadline_seconds", "wait_seconds", "quorum", "repeats", "keep")),
)


def refuse_other_settings(run: RunFolder, settings: Settings) -> None:
    """Raises a `RunError` that says what differs if a run has other settings than expected.

    Raises:
        SettingsError: If its settings cannot be read.
    """
    saved = read_saved_settings(run.path / "settings.toml")
    differences = differing_settings(saved, with_absolute_folders(settings)).values()
    if differences:
        raise RunError(
            f"{run.path} has other settings: {'; '.join(differences)}; move it away, or name another folder with "
            "--output"
        )


def saved_settings(run: RunFolder) -> Settings:
    """Returns the settings of a run, as it wrote them down.

    Raises:
        SettingsError: If they cannot be read.
        RunError: If they are not what the run wrote.
    """
    settings = read_saved_settings(run.path / "settings.toml")
    run.verified("settings.toml")
    return settings


def change_settings(run: RunFolder, settings: Settings, check: Callable[[], object] = lambda: None) -> None:
    """Lets a run go on with other settings, if those that differ may change after it has begun.

    Args:
        run: The run, locked.
        check: Raises an error if a run that is finished could not go on: its results would be lost in vain.

    Raises:
        RunError: If others differ, or the file of the settings is not what the run wrote.
    """
    saved = saved_settings(run)
    differing = differing_settings(saved, with_absolute_folders(settings))
    fixed = {name: words for name, words in differing.items() if name not in CHANGEABLE}
    if fixed:
        raise RunError(
            f"{run.path} has other settings: {'; '.join(fixed.values())}; these cannot change after a run has begun "
            f"({', '.join(CHANGEABLE)} can): move it away, or name another folder with --output"
        )
    # Of a finished run, nothing but how long it goes on changes anything.
    if differing and (not run.is_finished or any(name.startswith("training.") for name in differing)):
        if run.is_finished:
            check()
        run.change_settings(dump_toml(with_absolute_folders(settings)))


def load_experiment(
    run: RunFolder,
    *,
    source: SampleSource | None = None,
    backbone: Backbone | None = None,
    method: Method | None = None,
    watch: Callable[[Encoded], object] = lambda _: None,
) -> Experiment:
    """Rebuilds the experiment of a run and makes sure that it is the same.

    Args:
        source: The data set that the run began with, if that was not the one of its settings.
        backbone: The frozen model, likewise.
        method: The federated method, likewise.

    Raises:
        RunError: If objects, backbone, owners or masks are not those that the run began with.
    """
    settings = saved_settings(run)
    if settings.runtime.kind == "deployment":
        raise RunError(
            f"the samples of {run.path} are at its sites; go on with it by `fedprime deploy server`, and find what the "
            "sites measured in its results.json"
        )
    OwnObjects(source, backbone, method).refuse_others(run)
    # The weights come from the run; the model that they began with may be gone.
    settings = replace(settings, initial_model="")
    experiment = build_experiment(settings, source=source, backbone=backbone, method=method, watch=watch)
    refuse_other_backbone(run, experiment.model.backbone)
    then, now = run.masks(), experiment.masks()
    if then.keys() != now.keys() or any(not torch.equal(then[name], now[name]) for name in then):
        path = experiment.settings.data.path
        raise RunError(
            f"the run {run.path} began with other samples or masks than this version of fedprime draws; "
            f"continue it with the version that environment.json names{f' and with {path} as it was' if path else ''}"
        )
    return experiment


def refuse_other_backbone(run: RunFolder, backbone: Backbone) -> None:
    """Raises a `RunError` that says what differs if a run began with another backbone."""
    began, found = run.backbone_fingerprint(), backbone.fingerprint
    if began != found:
        remedy = (
            "continue it with the version of fedprime that environment.json names"
            if backbone.reference in NAMES
            else "put the checkpoint that it began with back in its place"
        )
        raise RunError(
            f"the run {run.path} began with a backbone of fingerprint {began}, found {found} at "
            f"{backbone.reference!r}; {remedy}"
        )


def with_absolute_folders(settings: Settings, source: SampleSource | None = None) -> Settings:
    """Returns the settings with absolute paths and the backbone that was chosen: a run can go on from elsewhere.

    Args:
        source: A data set in the place of the one that the settings name.

    Raises:
        DataError: If the data decides which backbone is chosen, and cannot be found, read or used.
    """
    return replace(
        settings,
        backbone=_absolute(chosen_backbone(settings, source)),
        initial_model=_absolute(settings.initial_model),
        data=replace(settings.data, path=_absolute(settings.data.path)),
    )


def _absolute(reference: str) -> str:
    """Returns the absolute path of what is there, so that the run can go on from elsewhere; other names as they are."""
    is_there = reference not in ("", *NAMES) and Path(reference).exists()
    return str(Path(reference).resolve()) if is_there else reference

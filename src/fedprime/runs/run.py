"""Runs in one process: started, or continued after they were stopped at any moment, and seen through."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Encoded
from fedprime.data.sources import SampleSource
from fedprime.experiment.build import Experiment, build_experiment
from fedprime.experiment.loading import (
    change_settings,
    load_experiment,
    refuse_other_settings,
    saved_settings,
    with_absolute_folders,
)
from fedprime.experiment.own_objects import OwnObjects
from fedprime.experiment.run_folder import RunError, RunFolder, refuse_existing, refuse_unwritable
from fedprime.federation.clients import KeepingClients
from fedprime.methods.method import Method
from fedprime.reproducibility.atomic_files import write_whole
from fedprime.reproducibility.determinism import reproducible
from fedprime.runs.callbacks import Callback
from fedprime.runs.evaluators import OwnSamples
from fedprime.runs.run_loop import before_start, see_through
from fedprime.runs.saved_models import check_blocks
from fedprime.runtime.clients import OpenClients, open_clients, refuse_sites
from fedprime.settings.reading import dump_toml, read_settings
from fedprime.settings.settings import Settings


def start_run(
    settings: Settings,
    folder: str | Path,
    *,
    source: SampleSource | None = None,
    backbone: Backbone | None = None,
    method: Method | None = None,
    callbacks: Sequence[Callback] = (),
    opening: OpenClients = open_clients,
) -> dict[str, Any]:
    """Starts a run and sees it through.

    Objects may take the place of what the settings name. The run folder says which, and the run goes on with the same
    ones only.

    Args:
        source: The data set; of the settings of data, only shares of splits are then used.
        method: The federated method; no setting of method is then used.
        callbacks: What is told about the run while it is made.

    Returns:
        The final table, as in ``results.json``.

    Raises:
        RunError: If there is something at `folder` already, or it cannot be made.
        SettingsError: If settings do not fit together, or objects cannot go where clients are.
        DataError: If the data set cannot be found, read or used.
        BackboneError: If the backbone cannot be loaded.
    """
    folder = Path(folder)
    refuse_existing(folder)  # creation would say the same, but only after preparation
    refuse_unwritable(folder)
    refuse_sites(settings)
    own = OwnObjects(source, backbone, method)
    own.refuse_other_places(settings)
    settings = with_absolute_folders(settings, source)
    with reproducible(settings.threads):
        experiment = build_experiment(
            settings, source=source, backbone=backbone, method=method, watch=partial(_tell_encoded, callbacks)
        )
        run = RunFolder.create(
            folder,
            dump_toml(settings),
            experiment.model.backbone.fingerprint,
            experiment.masks(),
            experiment.realised_missingness(),
            before_start(experiment.method, experiment.model, settings, len(experiment.holders)),
            own.fingerprints(),
        )
        _name_odd_values(run, experiment)
        return _go_on_here(run, experiment, opening, callbacks)


def _tell_encoded(callbacks: Sequence[Callback], encoded: Encoded) -> None:
    for callback in callbacks:
        callback.values_encoded(encoded)


def _name_odd_values(run: RunFolder, experiment: Experiment) -> None:
    """Writes which values of the data could not be used, and why."""
    odd = experiment.odd.by_place()
    if odd:
        write_whole(run.path / "unusable.json", json.dumps(odd, indent=2) + "\n")


def resume_run(
    folder: str | Path,
    *,
    changes: Sequence[str] = (),
    source: SampleSource | None = None,
    backbone: Backbone | None = None,
    method: Method | None = None,
    callbacks: Sequence[Callback] = (),
    opening: OpenClients = open_clients,
) -> dict[str, Any]:
    """Continues a run after its last finished round; the result equals that of a run that never stopped, to the bit.

    Args:
        changes: Flags of settings that may change after a run has begun (`experiment.loading.CHANGEABLE`).
        source: The data set that the run began with, if that was not the one of its settings.
        backbone: The frozen model, likewise.
        method: The federated method, likewise.
        callbacks: What is told about the run while it is made.

    Returns:
        The final table; at once, if the run is finished already.

    Raises:
        RunError: If the folder is no run folder, broken or in use, or its samples cannot be had as they were.
        SettingsError: If a setting cannot change any more.
    """
    run = RunFolder(Path(folder))

    def load() -> Experiment:
        watch = partial(_tell_encoded, callbacks)
        return load_experiment(run, source=source, backbone=backbone, method=method, watch=watch)

    def check() -> None:
        with reproducible(saved_settings(run).threads):
            check_blocks(run, load().model, run.load_checkpoint())

    if changes:
        with run.locked():
            saved_settings(run)  # says what is wrong with them
            change_settings(run, read_settings(run.path / "settings.toml", changes), check)
    if run.is_finished:
        return run.results()
    settings = saved_settings(run)
    with run.locked():  # preparation may take hours; say at once that it is in vain
        refuse_unwritable(run.path / "checkpoint.safetensors")
    with reproducible(settings.threads):
        return _go_on_here(run, load(), opening, callbacks)


def complete_run(
    settings: Settings,
    folder: str | Path,
    *,
    source: SampleSource | None = None,
    backbone: Backbone | None = None,
    method: Method | None = None,
    callbacks: Sequence[Callback] = (),
    opening: OpenClients = open_clients,
) -> dict[str, Any]:
    """Starts a run or continues it, whichever is left to do, and sees it through.

    The arguments are those of `start_run`.

    Returns:
        The final table; at once, if the run is finished already.

    Raises:
        RunInUseError: If another process is busy with it.
        RunError: If the folder is broken, or belongs to a run with other settings or objects; and what `start_run`
            raises.
    """
    folder, own = Path(folder), OwnObjects(source, backbone, method)
    if not folder.exists():
        try:
            return start_run(settings, folder, **vars(own), callbacks=callbacks, opening=opening)
        except RunError:
            if not folder.exists():
                raise
            # Another process has made it in the meantime.
    run = RunFolder(folder)
    refuse_other_settings(run, settings)
    own.refuse_others(run)
    return resume_run(folder, **vars(own), callbacks=callbacks, opening=opening)


def _go_on_here(
    run: RunFolder, experiment: Experiment, opening: OpenClients, callbacks: Sequence[Callback]
) -> dict[str, Any]:
    """Sees a run through whose samples are in this process; what is embedded is kept, also where the run is stopped."""

    @contextmanager
    def opened() -> Iterator[KeepingClients]:
        try:
            with opening(experiment) as clients:
                yield clients
        finally:
            experiment.validation.samples.save()

    settings, method, model = experiment.settings, experiment.method, experiment.model
    return see_through(run, settings, method, model, opened(), OwnSamples(experiment), callbacks)

"""The life of a run: start, round after round, stop and go on at any moment, final table.

The samples are in one place, or stay at sites; all else is the same: the rounds, the folder, how it goes on.
"""

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
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
    refuse_other_backbone,
    refuse_other_settings,
    saved_settings,
    with_absolute_folders,
)
from fedprime.experiment.own_objects import OwnObjects
from fedprime.experiment.run_folder import Checkpoint, RunError, RunFolder, refuse_existing
from fedprime.experiment.site import agreed_facts, agreed_model, deployable_method
from fedprime.federation.clients import KeepingClients
from fedprime.federation.differential_privacy import ClientPrivacy
from fedprime.methods.method import Method
from fedprime.models.prompted_model import PromptedModel
from fedprime.report.single_run import plot_scenarios
from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.reproducibility.determinism import reproducible
from fedprime.runs.callbacks import Callback, EarlyStopping
from fedprime.runs.evaluators import Evaluator, OwnSamples, SiteClients, SiteSamples
from fedprime.runs.metrics import absent_clients, best_round, progress_after, run_totals
from fedprime.runs.round_maker import RoundMaker, sound_round, start_of
from fedprime.runs.saved_models import check_blocks, describe_models, save_models, statistics_of_start
from fedprime.runtime.clients import OpenClients, open_clients, refuse_sites
from fedprime.settings.reading import dump_toml, read_settings
from fedprime.settings.settings import Settings

__all__ = ["complete_run", "complete_site_run", "resume_run", "start_run"]


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
    parent = next(parent for parent in folder.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise RunError(f"{folder} cannot be made: {parent} is not a folder; name another folder with --output")
    refuse_sites(settings)
    own = OwnObjects(source, backbone, method)
    own.refuse_other_places(settings)
    settings = with_absolute_folders(settings)
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
            _before_start(experiment.method, experiment.model, settings, len(experiment.holders)),
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
        with replaced_file(run.path / "unusable.json") as beside:
            beside.write_text(json.dumps(odd, indent=2) + "\n", encoding="utf-8")


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
    if changes:
        with run.locked():
            saved_settings(run)  # says what is wrong with them
            change_settings(run, read_settings(run.path / "settings.toml", changes))
    if run.is_finished:
        return run.results()
    settings = saved_settings(run)
    with reproducible(settings.threads):
        experiment = load_experiment(
            run, source=source, backbone=backbone, method=method, watch=partial(_tell_encoded, callbacks)
        )
        return _go_on_here(run, experiment, opening, callbacks)


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
        RunError: If the folder is broken, or belongs to a run with other settings or objects.
        SettingsError: If settings do not fit together.
        DataError: If the data set cannot be found, read or used.
        BackboneError: If the backbone cannot be loaded.
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
    if not run.is_finished:
        with run.locked():
            pass  # preparation takes seconds; say at once that it is in vain
    return resume_run(folder, **vars(own), callbacks=callbacks, opening=opening)


def complete_site_run(
    settings: Settings, folder: Path, clients: SiteClients, callbacks: Sequence[Callback] = ()
) -> dict[str, Any]:
    """Starts a run whose samples stay at its sites or continues it, whichever is left to do, and sees it through.

    Returns:
        The final table.

    Raises:
        RunError: If too few sites agree about what is to be predicted, or the folder is of another run.
        SettingsError: If settings do not fit together.
        TooFewAnswersError: If too few sites answer; nothing is lost then.
    """
    method, settings = deployable_method(settings), with_absolute_folders(settings)
    if folder.exists():
        run = RunFolder(folder)
        with run.locked():
            change_settings(run, settings)
        if RunFolder(folder).is_finished:
            return RunFolder(folder).results()
    clients.find(range(len(clients)), len(clients))
    with reproducible(settings.threads):
        model = agreed_model(settings, method, _agreed(settings, clients))
        if not folder.exists():
            # Under privacy, sites do not say how many samples they have.
            told = () if settings.privacy.is_on else ("samples",)
            said: list[dict[str, object]] = [
                {"client": client, **{name: facts[f"num_{name}"] for name in told}}
                for client, facts in sorted(clients.descriptions.items())
            ]
            RunFolder.create(
                folder,
                dump_toml(settings),
                model.backbone.fingerprint,
                {},
                said,
                _before_start(method, model, settings, len(clients)),
            )
        run = RunFolder(folder)
        run.refuse_changed()
        refuse_other_backbone(run, model.backbone)
        privacy = ClientPrivacy(**asdict(settings.privacy))
        evaluator = SiteSamples(clients, privacy, reads_blocks=model.log_prior is not None)
        return _go_on(run, settings, method, model, nullcontext(clients), evaluator, callbacks)


def _agreed(settings: Settings, clients: SiteClients) -> dict[str, Any]:
    """Returns what sites say alike; those that say something else are put aside, if enough others are left."""
    agreed = agreed_facts(clients.descriptions)
    clients.agree_on(agreed)
    needed = max(1, math.ceil(settings.runtime.quorum * len(clients) - 1e-9))
    if len(clients.descriptions) < needed:
        reasons = "; ".join(f"client {client}: {reason}" for client, reason in sorted(clients.failures.items()))
        share = settings.runtime.quorum
        raise RunError(
            f"{len(clients.descriptions)} of {len(clients)} sites agree about what is predicted and from what, "
            f"{needed} must (runtime.quorum is {share:g}): {reasons or 'the others are not connected'}"
        )
    return agreed


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
    return _go_on(run, settings, method, model, opened(), OwnSamples(experiment), callbacks)


def _go_on(
    run: RunFolder,
    settings: Settings,
    method: Method,
    model: PromptedModel,
    opened: AbstractContextManager[KeepingClients],
    evaluator: Evaluator,
    callbacks: Sequence[Callback],
) -> dict[str, Any]:
    """Makes the rounds that are left and the final table."""
    start = start_of(method, model, settings)
    last, training = method.num_rounds(settings.training.rounds), settings.training
    told = "none" if settings.privacy.is_on else settings.runtime.statistics
    keeps_best = training.keep == "best" or (training.keep == "auto" and method.start == "closed-form")
    callbacks = [*callbacks, EarlyStopping(training.patience)]
    with run.locked(), opened as clients:
        checkpoint = run.newest_sound()
        check_blocks(run, model, checkpoint)
        run.drop_unfinished(checkpoint, len(start))
        clients.kept.update(checkpoint.kept)
        clients.residuals.update(checkpoint.residuals)
        history = run.metrics()
        first_round, started = checkpoint.next_round, time.perf_counter() - evaluator.encoding_seconds
        maker = RoundMaker(run, settings, method, model, clients, evaluator)
        _keep_if_best(run, checkpoint, history, keeps_best)
        _best(run, checkpoint, history, keeps_best)  # it is there, as the start is, before more is trained in vain
        run.start()
        while checkpoint.next_round < last and not _is_over(callbacks, history):
            metrics, checkpoint = maker.next(checkpoint, history)
            history.append(metrics)
            if checkpoint.next_round == 0 and start and told != "none":
                run.save_start(statistics_of_start(checkpoint.state, history).weights())
            run.save_round(metrics, checkpoint, settings.runtime.keep, sound_round(history))
            _keep_if_best(run, checkpoint, history, keeps_best)
            seconds = time.perf_counter() - evaluator.encoding_seconds - started
            progress = progress_after(history, last, first_round, seconds)
            for callback in callbacks:
                callback.round_finished(progress)
        checkpoint = _best(run, checkpoint, history, keeps_best)
        save_models(run, method, model, checkpoint, evaluator, told)
        if evaluator.is_release:
            run.note_release("scores", checkpoint.next_round)
        results = run_totals(
            method,
            settings,
            model,
            checkpoint.state.shared,
            history,
            releases=run.releases("state"),
            measurements=run.releases("scores"),
        )
        results |= absent_clients(history, len(clients))
        if keeps_best:
            results["kept_round"] = checkpoint.next_round - 1
        results |= evaluator.on_test(checkpoint)
        describe_models(run, settings, method, checkpoint, results, history)
        plot_scenarios(results, run.path / "scenarios.png")
        run.save_results(results)
        for callback in callbacks:
            callback.run_finished(results)
        return results


def _before_start(method: Method, model: PromptedModel, settings: Settings, num_clients: int) -> Checkpoint:
    """Returns the state before the first of all rounds."""
    start = start_of(method, model, settings)
    return Checkpoint(-len(start), method.initial_state(model, num_clients))


def _keep_if_best(run: RunFolder, checkpoint: Checkpoint, history: Sequence[dict[str, Any]], keeps_best: bool) -> None:
    """Keeps the state after the last round if no other has likelier validation labels."""
    if keeps_best and best_round(history) == checkpoint.next_round - 1:
        run.states.save_best(checkpoint)


def _best(run: RunFolder, checkpoint: Checkpoint, history: Sequence[dict[str, Any]], keeps_best: bool) -> Checkpoint:
    """Returns the state with the likeliest validation labels, if it is to be kept; else the last one."""
    best = best_round(history) if keeps_best else None
    return checkpoint if best in (None, checkpoint.next_round - 1) else run.states.best(best + 1)


def _is_over(callbacks: Sequence[Callback], history: Sequence[dict[str, Any]]) -> bool:
    return bool(history) and any(callback.is_over(history) for callback in callbacks)

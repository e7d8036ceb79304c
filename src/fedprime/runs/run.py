"""The life of a run: start, round after round, stop and go on at any moment, final table."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from fedprime.backbones import NAMES
from fedprime.experiment.run_folder import Checkpoint, RunError, RunFolder, refuse_existing
from fedprime.settings.settings import Settings
from fedprime.data.batches import Shard
from fedprime.reproducibility.determinism import reproducible
from fedprime.models.evaluation import Predictions, count_usage, predict, score
from fedprime.experiment.build import LIKE_TRAIN, Experiment, build_experiment, chosen_backbone
from fedprime.federation.rounds import Round, Schedule, federate
from fedprime.methods import Method
from fedprime.models.prompted_model import PromptedModel
from fedprime.report import plot_scenarios
from fedprime.runs.metrics import Progress, progress_after, round_metrics, run_totals, validation_metrics
from fedprime.runtime.clients import OpenClients, open_clients, refuse_sites
from fedprime.runtime.processors import processors_of
from fedprime.settings.reading import dump_toml, flat_settings, read_settings

__all__ = [
    "complete_run",
    "evaluate_scenarios",
    "load_experiment",
    "refuse_other_settings",
    "resume_run",
    "save_models",
    "start_run",
    "with_absolute_folders",
]


def start_run(
    settings: Settings,
    folder: str | Path,
    watch: Callable[[Progress], None] = lambda _: None,
    opening: OpenClients = open_clients,
) -> dict[str, Any]:
    """Starts a run and sees it through.

    Args:
        settings: The settings.
        folder: The run folder to make.
        watch: Called after every round.
        opening: Brings the clients to life.

    Returns:
        The final table, as in ``results.json``.

    Raises:
        RunError: If there is something at `folder` already, or it cannot be made.
        SettingsError: If settings do not fit together.
        DataError: If the data set cannot be found, read or used.
        BackboneError: If the backbone cannot be loaded.
    """
    folder = Path(folder)
    refuse_existing(folder)  # creation would say the same, but only after preparation
    parent = next(parent for parent in folder.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise RunError(f"{folder} cannot be made: {parent} is not a folder; name another folder with --output")
    refuse_sites(settings)
    settings = with_absolute_folders(settings)
    with reproducible(settings.threads):
        experiment = build_experiment(settings)
        run = RunFolder.create(
            folder,
            dump_toml(settings),
            experiment.model.backbone.fingerprint,
            experiment.masks(),
            experiment.realised_missingness(),
            Checkpoint(0, experiment.method.initial_state(experiment.model, len(experiment.holders))),
        )
        return _go_on(run, experiment, watch, opening)


def resume_run(
    folder: str | Path, watch: Callable[[Progress], None] = lambda _: None, opening: OpenClients = open_clients
) -> dict[str, Any]:
    """Continues a run after its last finished round; the result equals that of a run that never stopped, to the bit.

    Args:
        folder: The run folder.
        watch: Called after every round.
        opening: Brings the clients to life.

    Returns:
        The final table; at once, if the run is finished already.

    Raises:
        RunError: If the folder is no run folder, broken or in use, or its samples cannot be had as they were.
    """
    run = RunFolder(Path(folder))
    if run.is_finished:
        return run.results()
    settings = read_settings(run.path / "settings.toml")
    with reproducible(settings.threads):
        return _go_on(run, load_experiment(run), watch, opening)


def complete_run(
    settings: Settings,
    folder: str | Path,
    watch: Callable[[Progress], None] = lambda _: None,
    opening: OpenClients = open_clients,
) -> dict[str, Any]:
    """Starts a run or continues it, whichever is left to do, and sees it through.

    Args:
        settings: The settings.
        folder: The run folder, or where to make it.
        watch: Called after every round.
        opening: Brings the clients to life.

    Returns:
        The final table; at once, if the run is finished already.

    Raises:
        RunInUseError: If another process is busy with it.
        RunError: If the folder is broken, or belongs to a run with other settings.
        SettingsError: If settings do not fit together.
        DataError: If the data set cannot be found, read or used.
        BackboneError: If the backbone cannot be loaded.
    """
    folder = Path(folder)
    if not folder.exists():
        try:
            return start_run(settings, folder, watch, opening)
        except RunError:
            if not folder.exists():
                raise
            # Another process has made it in the meantime.
    run = RunFolder(folder)
    refuse_other_settings(run, settings)
    if not run.is_finished:
        with run.locked():
            pass  # preparation takes seconds; say at once that it is in vain
    return resume_run(folder, watch, opening)


def refuse_other_settings(run: RunFolder, settings: Settings) -> None:
    """Raises a `RunError` that says what differs if a run has other settings than expected.

    Args:
        run: The run.
        settings: The settings that it should have.

    Raises:
        SettingsError: If its settings cannot be read.
    """
    found = flat_settings(read_settings(run.path / "settings.toml"))
    expected = flat_settings(with_absolute_folders(settings))
    differences = [
        f"{name} is {found[name]!r} there, {value!r} here" for name, value in expected.items() if found[name] != value
    ]
    if differences:
        raise RunError(
            f"{run.path} has other settings: {'; '.join(differences)}; move it away, or name another folder with "
            "--output"
        )


def load_experiment(run: RunFolder) -> Experiment:
    """Rebuilds the experiment of a run and makes sure that it is the same.

    Args:
        run: The run.

    Raises:
        RunError: If the backbone, owners or masks are not those that the run began with.
    """
    settings = read_settings(run.path / "settings.toml")
    if settings.runtime.kind == "deployment":
        raise RunError(
            f"the samples of {run.path} are at its sites; go on with it by `fedprime deploy server`, and find what the "
            "sites measured in its results.json"
        )
    # The weights come from the run; the model that they began with may be gone.
    experiment = build_experiment(replace(settings, initial_model=""))
    began, found = run.backbone_fingerprint(), experiment.model.backbone.fingerprint
    if began != found:
        raise RunError(
            f"the run {run.path} began with a backbone of fingerprint {began}, found {found} at "
            f"{experiment.settings.backbone!r}; put the checkpoint that it began with back in its place"
        )
    then, now = run.masks(), experiment.masks()
    if then.keys() != now.keys() or any(not torch.equal(then[name], now[name]) for name in then):
        path = experiment.settings.data.path
        raise RunError(
            f"the run {run.path} began with other samples or masks than this version of fedprime draws; "
            f"continue it with the version that environment.json names{f' and with {path} as it was' if path else ''}"
        )
    return experiment


def evaluate_scenarios(experiment: Experiment, checkpoint: Checkpoint) -> dict[str, Any]:
    """Measures trained weights on every test scenario, and for every client on test samples like its own.

    Where clients have models of their own, a sample is predicted by the model of the client that it belongs to.

    Args:
        experiment: What was trained on; the weights of its model are overwritten.
        checkpoint: The weights.

    Returns:
        ``scenarios``: by name, the scores and, where it is known, the best possible accuracy; ``clients``: by client,
            the scores on its test samples.
    """
    scenarios: dict[str, Any] = {}
    clients: dict[str, Any] = {}
    for name, shard in experiment.scenarios.items():
        owners = experiment.scenario_owners[name]
        with reproducible(experiment.settings.threads):
            predictions = _predict(experiment, checkpoint, shard, owners)
        best = experiment.best_possible(shard, owners, _personal_clients(experiment.method, checkpoint))
        scenarios[name] = _with_limit(predictions, best)
        if name == LIKE_TRAIN:
            everybody = range(experiment.settings.partition.num_clients)
            # Samples of one client alone: their labels are not equally frequent, and the limit must know it.
            best_of_clients = experiment.best_possible(shard, experiment.test_owners, everybody)
            for client in everybody:
                own = np.flatnonzero(experiment.test_owners == client)
                # With few samples, a client may own none of them.
                best = None if best_of_clients is None else best_of_clients[own]
                clients[str(client)] = _with_limit(predictions.rows(own), best) if len(own) else None
    return {"scenarios": scenarios, "clients": clients}


def _predict(
    experiment: Experiment, checkpoint: Checkpoint, shard: Shard, owners: Int[np.ndarray, " sample"]
) -> Predictions:
    """Predicts each sample by the model of the client that it belongs to, or by the shared one."""
    personal = _personal_clients(experiment.method, checkpoint)
    groups = [(checkpoint.state.shared, np.flatnonzero(~np.isin(owners, personal)))]
    groups += [(checkpoint.weights(client), np.flatnonzero(owners == client)) for client in personal]
    parts: list[Predictions] = []
    order: list[np.ndarray] = []
    for weights, rows in groups:
        if len(rows):
            experiment.model.load_weights(weights)
            parts.append(predict(experiment.model, shard.rows(rows), experiment.settings.evaluation.batch_size))
            order.append(rows)
    return Predictions.joined(parts).rows(np.argsort(np.concatenate(order)))


def with_absolute_folders(settings: Settings) -> Settings:
    """Returns the settings with absolute paths and the backbone that was chosen: a run can go on from elsewhere.

    Args:
        settings: The settings.
    """
    return replace(
        settings,
        backbone=_absolute(chosen_backbone(settings)),
        initial_model=_absolute(settings.initial_model),
        data=replace(settings.data, path=_absolute(settings.data.path)),
    )


def _absolute(reference: str) -> str:
    """Returns the absolute path of what is there, so that the run can go on from elsewhere; other names as they are."""
    is_there = reference not in ("", *NAMES) and Path(reference).exists()
    return str(Path(reference).resolve()) if is_there else reference


def save_models(run: RunFolder, method: Method, model: PromptedModel, checkpoint: Checkpoint) -> None:
    """Saves what a run has come to: the shared model, unless nothing of it is shared, and those of single clients.

    Args:
        run: The run.
        method: The method.
        model: A model of the method's shape; its weights are overwritten.
        checkpoint: The weights.
    """
    shared = checkpoint.state.shared
    if method.is_centralized or method.travelling(shared):
        model.load_weights(shared)
        model.save_pretrained(run.model_path)
    for client in _personal_clients(method, checkpoint):
        model.load_weights(checkpoint.weights(client))
        model.save_pretrained(run.client_model_path(client))


def _personal_clients(method: Method, checkpoint: Checkpoint) -> tuple[int, ...]:
    """Returns the clients that are evaluated with models of their own."""
    return () if method.evaluates_shared else checkpoint.personal_clients


def _with_limit(predictions: Predictions, best: Float[np.ndarray, " sample"] | None) -> dict[str, float]:
    """Returns the scores that are defined, and the best possible accuracy where it is known."""
    scores = {name: value for name, value in asdict(score(predictions)).items() if value is not None}
    return scores if best is None else scores | {"bayes_accuracy": float(best.mean())}


def _go_on(
    run: RunFolder, experiment: Experiment, watch: Callable[[Progress], None], opening: OpenClients
) -> dict[str, Any]:
    settings = experiment.settings
    with run.locked(), _embeddings_saved(experiment), opening(experiment) as clients:
        checkpoint = run.load_checkpoint()
        run.drop_unfinished(checkpoint)
        clients.kept.update(checkpoint.kept)
        clients.residuals.update(checkpoint.residuals)
        history = run.metrics()
        first_round, started = checkpoint.next_round, time.perf_counter()
        for finished in federate(
            experiment.method,
            clients,
            checkpoint.state,
            Schedule(
                settings.training.rounds,
                settings.training.fraction,
                settings.runtime.quorum,
                settings.runtime.repeats,
            ),
            seed=settings.seed,
            processors=processors_of(experiment.method, settings),
            first_round=first_round,
        ):
            checkpoint = Checkpoint(finished.number + 1, finished.state, dict(clients.kept), dict(clients.residuals))
            history.append(_measure(finished, experiment, checkpoint))
            run.save_round(history[-1], checkpoint)
            watch(progress_after(history, settings, first_round, time.perf_counter() - started))
        return _finish(run, experiment, checkpoint, history)


@contextmanager
def _embeddings_saved(experiment: Experiment) -> Iterator[None]:
    """Writes to disk at the end what was embedded, also where the run is stopped."""
    try:
        yield
    finally:
        experiment.validation.samples.save()


def _measure(finished: Round, experiment: Experiment, checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the line of metrics of a round."""
    settings, state = experiment.settings, finished.state
    metrics = round_metrics(finished, experiment.model)
    if (finished.number + 1) % settings.evaluation.every == 0 or finished.number + 1 == settings.training.rounds:
        shard, owners = experiment.validation, experiment.validation_owners
        predictions = _predict(experiment, checkpoint, shard, owners)
        scores = _with_limit(
            predictions, experiment.best_possible(shard, owners, _personal_clients(experiment.method, checkpoint))
        )
        metrics |= validation_metrics(scores)
        if predictions.chosen:
            sizes = {pool: len(state.shared[f"prompter.pools.{pool}"]) for pool in predictions.chosen}
            modalities = experiment.model.backbone.modalities
            metrics["usage"] = count_usage(predictions, shard.present, modalities, sizes)
    return metrics


def _finish(
    run: RunFolder, experiment: Experiment, checkpoint: Checkpoint, history: list[dict[str, Any]]
) -> dict[str, Any]:
    save_models(run, experiment.method, experiment.model, checkpoint)
    shared = checkpoint.state.shared
    results = run_totals(experiment.method, experiment.settings, experiment.model, shared, history)
    results |= evaluate_scenarios(experiment, checkpoint)
    plot_scenarios(results, run.path / "scenarios.png")
    run.save_results(results)
    return results

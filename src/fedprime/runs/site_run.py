"""The life of a run whose samples stay at its sites: the server has none, so sites measure and tell their scores.

Otherwise a run like any other: the same rounds, the same folder, stopped and continued at any moment.
"""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fedprime.experiment.run_folder import Checkpoint, RunError, RunFolder
from fedprime.settings.settings import Settings, SettingsError
from fedprime.reproducibility.determinism import reproducible
from fedprime.experiment.build import LIKE_TRAIN, build_method, configured_backbone
from fedprime.federation.clients import Clients
from fedprime.federation.rounds import Schedule, federate
from fedprime.methods import Method
from fedprime.methods.method import ServerState
from fedprime.models.prompted_model import PromptedModel
from fedprime.report import plot_scenarios
from fedprime.runs.run import refuse_other_settings, save_models
from fedprime.runs.metrics import Progress, progress_after, round_metrics, run_totals, validation_metrics
from fedprime.runtime.processors import processors_of
from fedprime.reproducibility.seeding import torch_stream
from fedprime.settings.reading import dump_toml
from fedprime.experiment.site import VALIDATION, weighted_scores

__all__ = ["SiteClients", "complete_site_run", "deployable_method"]


@runtime_checkable
class SiteClients(Clients, Protocol):
    """Clients that measure on samples of their own.

    Attributes:
        descriptions: By client that was found, what it said about itself (`fedprime.experiment.site.Site.description`).
    """

    descriptions: dict[int, dict[str, Any]]

    def find(self, clients: Collection[int], needed: int) -> None:
        """Waits for clients until enough of them are there, or for as long as the settings say."""
        ...

    def evaluate(
        self, round_number: int, state: ServerState, names: Collection[str] | None
    ) -> dict[int, dict[str, dict[str, Any]]]:
        """Returns the scores of the weights after a round, by client that answered and name of the samples."""
        ...


def deployable_method(settings: Settings) -> Method:
    """Returns the method of a run, if its clients can be apart from each other.

    Args:
        settings: The settings.

    Raises:
        SettingsError: If they cannot.
    """
    method = build_method(settings)
    if method.is_centralized or method.shares_parameters:
        what = method.name if method.is_centralized else "the quirk shared_parameters"
        raise SettingsError([f"{what} needs all samples in one place; choose another method for sites"])
    return method


def complete_site_run(
    settings: Settings, folder: Path, clients: SiteClients, watch: Callable[[Progress], None] = lambda _: None
) -> dict[str, Any]:
    """Starts a run or continues it, whichever is left to do, and sees it through.

    Args:
        settings: The settings.
        folder: The run folder, or where to make it.
        clients: The sites.
        watch: Called after every round.

    Returns:
        The final table.

    Raises:
        RunError: If sites do not agree about what is to be predicted, or the folder is of another run.
        SettingsError: If settings do not fit together.
        TooFewAnswersError: If too few sites answer; nothing is lost then.
    """
    method = deployable_method(settings)
    if folder.exists():
        refuse_other_settings(RunFolder(folder), settings)
        if RunFolder(folder).is_finished:
            return RunFolder(folder).results()
    clients.find(range(len(clients)), len(clients))
    with reproducible(settings.threads):
        model = _agreed_model(settings, method, clients.descriptions)
        if not folder.exists():
            RunFolder.create(
                folder,
                dump_toml(settings),
                model.backbone.fingerprint,
                {},
                [
                    {"client": client, "samples": said["num_samples"]}
                    for client, said in sorted(clients.descriptions.items())
                ],
                Checkpoint(0, method.initial_state(model, len(clients))),
            )
        run = RunFolder(folder)
        if run.backbone_fingerprint() != model.backbone.fingerprint:
            raise RunError(f"the run {folder} began with another backbone than {settings.backbone!r} is now")
        return _go_on(run, settings, method, model, clients, watch)


def _agreed_model(settings: Settings, method: Method, descriptions: Mapping[int, Mapping[str, Any]]) -> PromptedModel:
    """Returns the model before training, made of what all sites say alike."""
    if not descriptions:
        raise RunError("no client is connected; start them by `fedprime deploy client`, and look at what they say")
    first = min(descriptions)
    agreed = descriptions[first]
    for client, said in descriptions.items():
        for name in ("task", "label_names", "modalities", "kinds", "backbone"):
            if said[name] != agreed[name]:
                raise RunError(
                    f"client {client} has {name} {said[name]}, client {first} has {agreed[name]}; sites have to agree"
                )
    backbone = configured_backbone(settings, tuple(agreed["modalities"]), agreed["kinds"])
    if backbone.fingerprint != agreed["backbone"]:
        raise RunError(
            f"the backbone {settings.backbone!r} has fingerprint {backbone.fingerprint} here, {agreed['backbone']} at "
            "the sites; give all the same files"
        )
    model = method.build(
        backbone, tuple(agreed["label_names"]), agreed["task"], torch_stream(settings.seed, "initial weights")
    )
    own = [name for name, _ in model.named_parameters() if not method.travels(name)]
    if settings.initial_model and own:
        raise SettingsError(
            [
                f"initial_model: with {method.name}, {', '.join(own)} never travel, so sites cannot begin from those "
                "of a saved model; leave initial_model out, or choose another method"
            ]
        )
    if settings.initial_model:
        model.load_weights(PromptedModel.from_pretrained(settings.initial_model, backbone).weights())
    return model


def _go_on(
    run: RunFolder,
    settings: Settings,
    method: Method,
    model: PromptedModel,
    clients: SiteClients,
    watch: Callable[[Progress], None],
) -> dict[str, Any]:
    with run.locked():
        checkpoint = run.load_checkpoint()
        run.drop_unfinished(checkpoint)
        history = run.metrics()
        first_round, started = checkpoint.next_round, time.perf_counter()
        last = settings.training.rounds
        for finished in federate(
            method,
            clients,
            checkpoint.state,
            Schedule(last, settings.training.fraction, settings.runtime.quorum, settings.runtime.repeats),
            seed=settings.seed,
            processors=processors_of(method, settings),
            first_round=first_round,
        ):
            done = finished.number + 1
            checkpoint = Checkpoint(done, finished.state)
            history.append(round_metrics(finished, model))
            if done % settings.evaluation.every == 0 or done == last:
                found = clients.evaluate(finished.number, finished.state, [VALIDATION])
                history[-1] |= _validation(weighted_scores(found).get(VALIDATION, {}), len(found))
            run.save_round(history[-1], checkpoint)
            watch(progress_after(history, settings, first_round, time.perf_counter() - started))
        save_models(run, method, model, checkpoint)
        found = clients.evaluate(last - 1, checkpoint.state, None)
        if not found:
            raise RunError(
                f"all rounds of {run.path} are done and saved, but no site measured the model; start the same again to "
                "ask them once more"
            )
        results = run_totals(method, settings, model, checkpoint.state.shared, history) | {
            "scenarios": weighted_scores(found),
            "clients": {str(client): found.get(client, {}).get(LIKE_TRAIN) for client in range(len(clients))},
            "measured_by": sorted(found),
        }
        plot_scenarios(results, run.path / "scenarios.png")
        run.save_results(results)
        return results


def _validation(scores: Mapping[str, float], num_sites: int) -> dict[str, float]:
    if not scores:
        return {}
    return validation_metrics(scores) | {"measured_by": num_sites}

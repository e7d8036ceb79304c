"""A run whose samples stay at its sites: they agree about what is predicted, train, and measure."""

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median_low
from typing import Any, Protocol, runtime_checkable

from fedprime.experiment.build import LIKE_TRAIN
from fedprime.experiment.loading import change_settings, refuse_other_backbone, with_absolute_folders
from fedprime.experiment.run_folder import Checkpoint, RunError, RunFolder
from fedprime.experiment.site import (
    EACH_ALONE,
    VALIDATION,
    agreed_facts,
    agreed_model,
    deployable_method,
    weighted_scores,
)
from fedprime.federation.clients import KeepingClients
from fedprime.federation.guard import most_samples
from fedprime.federation.private_scores import mean_scores
from fedprime.federation.training_options import PrivacyOptions
from fedprime.methods.method import ServerState
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.determinism import reproducible
from fedprime.runs.callbacks import Callback
from fedprime.runs.metrics import validation_metrics
from fedprime.runs.run_loop import before_start, see_through
from fedprime.runs.saved_models import check_blocks
from fedprime.settings.reading import dump_toml
from fedprime.settings.settings import Settings


@runtime_checkable
class SiteClients(KeepingClients, Protocol):
    """Clients that measure on samples of their own; what they keep stays with them.

    Attributes:
        descriptions: By client that was found, what it said about itself (`fedprime.experiment.site.Site.description`).
        failures: By client that is not used, why.
    """

    descriptions: dict[int, dict[str, Any]]
    failures: dict[int, str]

    def find(self, clients: Collection[int], needed: int) -> None:
        """Waits for clients until enough of them are there, or for as long as the settings say."""
        ...

    def agree_on(self, facts: Mapping[str, Any]) -> None:
        """Puts aside every client that says something else about itself, now or when it comes."""
        ...

    def evaluate(
        self, round_number: int, state: ServerState, names: Collection[str] | None
    ) -> dict[int, dict[str, dict[str, Any]]]:
        """Returns the scores of the weights after a round, by client that answered and name of the samples."""
        ...


@dataclass(frozen=True)
class SiteSamples:
    """Asks sites to measure: the server has no samples.

    Attributes:
        privacy: If it is on, nothing is told of single sites, and of all of them under noise.
        reads_blocks: Whether the model can be chosen by what each modality says alone.
        max_samples: As how many samples one site counts at most where the model is chosen; 0 for ten times the median.
        max_loss: Up to which loss a site counts there: one that always says more has no say in it.
    """

    clients: SiteClients
    privacy: PrivacyOptions
    reads_blocks: bool = False
    max_samples: int = 0
    max_loss: float = math.inf
    encoding_seconds = 0.0  # sites encode

    @property
    def is_release(self) -> bool:
        """Whether what is measured is under noise."""
        return self.privacy.is_on

    def on_validation(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Returns what the line of metrics of a round says of validation samples: nothing if no site answers."""
        # Under privacy, each table of scores is one more that noise hides.
        names = [VALIDATION, EACH_ALONE] if self.reads_blocks and not self.privacy.is_on else [VALIDATION]
        found = self.clients.evaluate(checkpoint.next_round - 1, checkpoint.state, names)
        joined = self._joined(found if self.privacy.is_on else self._bounded(found))
        if VALIDATION not in joined:
            return {}
        metrics = validation_metrics(joined[VALIDATION], joined.get(EACH_ALONE, {})) | {"measured_by": len(found)}
        if self.privacy.is_on:
            return metrics
        # No site has rounds rejected by its word.
        losses = [own[VALIDATION]["loss"] for own in found.values() if VALIDATION in own]
        return metrics | {"median_loss": median_low(losses)}

    def on_test(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Returns what the final table says of test samples, and which sites measured.

        Raises:
            RunError: If no site answers.
        """
        found = self.clients.evaluate(checkpoint.next_round - 1, checkpoint.state, None)
        if not found:
            raise RunError(
                "all rounds are done and saved, but no site measured the model; start the same again to ask them once "
                "more"
            )
        return {
            "scenarios": self._joined(found),
            "clients": {
                str(client): None if self.privacy.is_on else found.get(client, {}).get(LIKE_TRAIN)
                for client in range(len(self.clients))
            },
            "measured_by": sorted(found),
        }

    def _bounded(self, found: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> dict[int, dict[str, Mapping[str, Any]]]:
        """Returns scores of which no site's count for those of all by its word."""
        bounded: dict[int, dict[str, Mapping[str, Any]]] = {client: {} for client in found}
        for name in dict.fromkeys(name for scores in found.values() for name in scores):
            told = {client: scores[name] for client, scores in found.items() if name in scores}
            most = most_samples([scores["num_samples"] for scores in told.values()], self.max_samples)
            for client, scores in told.items():
                bounded[client][name] = {
                    own: min(value, self.max_loss) if own in ("loss", "own_loss") else value
                    for own, value in scores.items()
                } | {"num_samples": min(most, scores["num_samples"])}
        return bounded

    def _joined(self, found: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
        """Returns scores over all sites; under privacy each site counts alike, whatever it has."""
        if not self.privacy.is_on or not found:
            return weighted_scores(found)
        return mean_scores(found, self.privacy, len(self.clients))

    def statistics(self, model: PromptedModel, client: int | None = None) -> None:
        """Returns nothing."""


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

    @cache
    def model_of_sites() -> PromptedModel:
        clients.find(range(len(clients)), len(clients))
        with reproducible(settings.threads):
            return agreed_model(settings, method, _agreed(settings, clients))

    if folder.exists():
        run = RunFolder(folder)
        with run.locked():
            change_settings(run, settings, lambda: check_blocks(run, model_of_sites(), run.load_checkpoint()))
        if RunFolder(folder).is_finished:
            return RunFolder(folder).results()
    model = model_of_sites()
    with reproducible(settings.threads):
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
                before_start(method, model, settings, len(clients)),
            )
        run = RunFolder(folder)
        run.refuse_changed()
        refuse_other_backbone(run, model.backbone)
        runtime = settings.runtime
        max_loss = runtime.max_loss * model.guessing_loss or math.inf
        evaluator = SiteSamples(clients, settings.privacy, model.log_prior is not None, runtime.max_samples, max_loss)
        return see_through(run, settings, method, model, nullcontext(clients), evaluator, callbacks)


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

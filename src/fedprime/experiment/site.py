"""Sites: one client's part of an experiment, what it tells about itself, and what the server makes of it.

A simulated client is one of those that the settings divide a data set among. A client at a site may have a folder of
its own instead: then all of it is this client's, and nothing of it leaves the site but trained values and scores.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from fedprime.data.batches import Shard
from fedprime.experiment.backbone_choice import configured_backbone
from fedprime.experiment.build import LIKE_TRAIN, Experiment, build_experiment
from fedprime.experiment.missingness import scenario_shares
from fedprime.experiment.run_folder import RunError
from fedprime.federation.start_round import each_alone, own_log_prior
from fedprime.methods.method import Method
from fedprime.models.evaluation import majority_accuracy, predict, score
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.reproducibility.seeding import stream_seed, torch_stream
from fedprime.settings.problems import SettingsError
from fedprime.settings.sections import PartitionSettings
from fedprime.settings.settings import Settings

#: What sites have to say alike.
_AGREED = ("task", "label_names", "modalities", "kinds", "backbone")
#: What the samples are called that accuracy is measured on during a run; the others are called like their scenario.
VALIDATION = "validation"
#: Those of them with several modalities, with each of these alone.
EACH_ALONE = "validation, each modality alone"


@dataclass(frozen=True)
class Site:
    """One client's part of an experiment.

    Attributes:
        experiment: What it is part of; its model's weights are overwritten.
        has_own_data: Whether all samples of the experiment are this client's.
    """

    client: int
    experiment: Experiment
    has_own_data: bool

    @property
    def shard(self) -> Shard:
        """The client's training samples."""
        return self.experiment.holders[0 if self.has_own_data else self.client]

    def description(self) -> dict[str, Any]:
        """Returns what the server has to know: what is predicted, from what, how much there is of it."""
        backbone = self.experiment.model.backbone
        return {
            "client": self.client,
            "task": self.experiment.source.task,
            "label_names": list(self.experiment.source.label_names),
            "modalities": list(backbone.modalities),
            "kinds": str(backbone.options.get("kinds", "")),
            "backbone": backbone.fingerprint,
            "version": version("fedprime"),
            "num_samples": len(self.shard),
        }

    def measure(self, weights: Weights, names: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """Measures weights on the client's own samples; what it has no samples for is left out.

        Args:
            names: `VALIDATION`, `EACH_ALONE` or names of test scenarios; None for all scenarios.
        """
        model, settings = self.experiment.model, self.experiment.settings
        model.load_weights(weights)
        scores: dict[str, dict[str, Any]] = {}
        for name, shard in self._measured().items():
            is_asked = name not in (VALIDATION, EACH_ALONE) if names is None else name in names
            if is_asked and len(shard):
                predictions = predict(model, shard, settings.evaluation.batch_size)
                scores[name] = score(predictions).known()
                if model.log_prior is not None:
                    # The site's own label frequencies, which do not leave it.
                    prior = own_log_prior(model, self.shard).expand(len(shard), -1).numpy()
                    own = score(predictions.with_prior(prior)).known()
                    scores[name] |= {f"own_{key}": value for key, value in own.items() if key != "num_samples"}
                    shared = model.log_prior.numpy()
                    scores[name]["majority_accuracy"] = majority_accuracy(predictions.labels, shared)
        return scores

    def _measured(self) -> Mapping[str, Shard]:
        experiment = self.experiment
        measured = {VALIDATION: (experiment.validation, experiment.validation_owners)}
        measured |= {name: (shard, experiment.scenario_owners[name]) for name, shard in experiment.scenarios.items()}
        own = {
            name: shard if self.has_own_data else shard.rows(np.flatnonzero(owners == self.client))
            for name, (shard, owners) in measured.items()
        }
        return own | {EACH_ALONE: each_alone(own[VALIDATION])[1]}


def weighted_scores(by_client: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Returns scores over all sites: the mean of theirs, each weighted by its number of samples.

    For accuracy and loss, that is what one place with all samples would measure. Other scores are means of what sites
    measured by themselves, and over those alone where they are defined.

    Args:
        by_client: By client and name of the samples, scores with their ``num_samples``.

    >>> ours, theirs = {"accuracy": 0.5, "num_samples": 1}, {"accuracy": 1.0, "num_samples": 3}
    >>> weighted_scores({0: {"full": ours}, 1: {"full": theirs}})
    {'full': {'accuracy': 0.875, 'num_samples': 4}}
    """
    joined: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for scores in by_client.values() for name in scores):
        entries = [by_client[client][name] for client in sorted(by_client) if name in by_client[client]]
        joined[name] = {}
        for key in dict.fromkeys(key for entry in entries for key in entry if key != "num_samples"):
            known = [(entry[key], entry["num_samples"]) for entry in entries if key in entry]
            joined[name][key] = sum(value * count for value, count in known) / sum(count for _, count in known)
        joined[name]["num_samples"] = sum(entry["num_samples"] for entry in entries)
    return joined


def build_site_experiment(settings: Settings, client: int, data_path: str = "", backbone: str = "") -> Experiment:
    """Builds what a client trains in.

    Args:
        data_path: Folder of the client's own data; without one, the settings divide their data set among the clients.
        backbone: Where the frozen model is at the client, if not where the settings say.

    Raises:
        SettingsError: If settings do not fit together.
        DataError: If the data set cannot be found, read or used.
        BackboneError: If the backbone cannot be loaded.
    """
    # The weights come with every message; the model that they began with is the server's.
    settings = replace(settings, initial_model="", backbone=backbone or settings.backbone)
    if data_path:
        settings = replace(
            settings,
            # Or else sites would simulate the same holes at the same places.
            seed=stream_seed(settings.seed, "site", client) >> 1,
            data=replace(settings.data, path=data_path),
            partition=PartitionSettings(kind="even", num_clients=1),
        )
    return build_experiment(settings, at_site=bool(data_path))


def measured_names(modalities: Sequence[str]) -> set[str]:
    """Returns what test samples can be called that a site measures on."""
    return {LIKE_TRAIN, *scenario_shares(tuple(modalities), rate=0.0)}


def deployable_method(settings: Settings) -> Method:
    """Returns the method of a run, if its clients can be apart from each other.

    Raises:
        SettingsError: If they cannot.
    """
    method = settings.method
    if method.is_centralized or method.shares_parameters:
        what = method.name if method.is_centralized else "the quirk shared_parameters"
        raise SettingsError(f"{what} needs all samples in one place; choose another method for sites")
    return method


def agreed_facts(descriptions: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what most sites say alike about what is predicted, from what, and with what.

    Where no group of sites is larger than all others, it is the one with the lowest number among its clients. The
    version is that of this process, whatever others have.

    Raises:
        RunError: If nobody says anything.
    """
    if not descriptions:
        raise RunError("no client is connected; start them by `fedprime deploy client`, and look at what they say")
    here = version("fedprime")
    groups: list[list[Any]] = []  # what is said, and by how many
    for _, said in sorted(descriptions.items()):
        facts = {name: said[name] for name in _AGREED} | {"version": here}
        for group in groups:
            if group[0] == facts:
                group[1] += said["version"] == here
                break
        else:
            groups.append([facts, int(said["version"] == here)])
    return max(groups, key=lambda group: group[1])[0]


def agreed_model(settings: Settings, method: Method, agreed: Mapping[str, Any]) -> PromptedModel:
    """Returns the model before training, made of what sites say alike.

    Raises:
        RunError: If the server has another backbone.
        SettingsError: If values of the model to start from would have to travel and do not.
    """
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
            f"initial_model: with {method.name}, {', '.join(own)} never travel, so sites cannot begin from those "
            "of a saved model; leave initial_model out, or choose another method"
        )
    if settings.initial_model:
        model.load_weights(PromptedModel.from_pretrained(settings.initial_model, backbone).weights())
    return model

"""One client's part of an experiment: what it trains on, what it measures on, and what it tells about itself.

A simulated client is one of those that the settings divide a data set among. A client at a site may have a folder of
its own instead: then all of it is this client's, and nothing of it leaves the site but trained values and scores.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from fedprime.config import PartitionSettings, Settings
from fedprime.data.batches import Shard
from fedprime.evaluation import predict, score
from fedprime.experiment import Experiment, build_experiment
from fedprime.model import Weights
from fedprime.seeding import stream_seed

__all__ = ["VALIDATION", "Site", "build_site_experiment"]

#: What the samples are called that accuracy is measured on during a run; the others are called like their scenario.
VALIDATION = "validation"


@dataclass(frozen=True)
class Site:
    """One client's part of an experiment.

    Attributes:
        client: The client's number in the federation.
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
        """Returns what the server has to know, as plain JSON values: what is to be predicted, from what, on how much."""
        backbone = self.experiment.model.backbone
        return {
            "client": self.client,
            "task": self.experiment.source.task,
            "label_names": list(self.experiment.source.label_names),
            "modalities": list(backbone.modalities),
            "backbone": backbone.fingerprint,
            "num_samples": len(self.shard),
        }

    def measure(self, weights: Weights, names: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """Measures weights on the client's own samples; what it has no samples for is left out.

        Args:
            weights: A value for every parameter.
            names: `VALIDATION` or names of test scenarios; None for all scenarios.
        """
        model, settings = self.experiment.model, self.experiment.settings
        model.load_weights(weights)
        scores: dict[str, dict[str, Any]] = {}
        for name, shard in self._measured().items():
            if name in names if names is not None else name != VALIDATION:
                if len(shard):
                    found = asdict(score(predict(model, shard, settings.evaluation.batch_size)))
                    scores[name] = {key: value for key, value in found.items() if value is not None}
        return scores

    def _measured(self) -> Mapping[str, Shard]:
        experiment = self.experiment
        measured = {VALIDATION: (experiment.validation, experiment.validation_owners)}
        measured |= {name: (shard, experiment.scenario_owners[name]) for name, shard in experiment.scenarios.items()}
        if self.has_own_data:
            return {name: shard for name, (shard, _) in measured.items()}
        return {name: shard.rows(np.flatnonzero(owners == self.client)) for name, (shard, owners) in measured.items()}


def build_site_experiment(settings: Settings, client: int, data_path: str = "", backbone: str = "") -> Experiment:
    """Builds what a client trains in.

    Args:
        settings: The settings of the run.
        client: The client's number.
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
    return build_experiment(settings)

"""From settings to objects: data, backbone, method, shards, scenarios. The one place that knows both sides."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedprime.backbones import SHIPPED
from fedprime.backbones.backbone import Backbone
from fedprime.backbones.small_weights import INSTALL
from fedprime.data.batches import Encoded, Shard
from fedprime.data.missingness.evidence import best_possible, client_given_label
from fedprime.data.missingness.mechanisms import Mechanism
from fedprime.data.missingness.patterns import all_patterns, pattern_counts, pattern_name
from fedprime.data.odd_values import OddValues
from fedprime.data.partition import PartitionError
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import DataError, KnownWorld, SampleSource
from fedprime.experiment.backbone_choice import backbone_for_data
from fedprime.experiment.embedded_data import embedded_samples
from fedprime.experiment.missingness import draw_missingness, draw_scenarios
from fedprime.experiment.partitioning import label_groups, partition, split_of
from fedprime.methods.method import Method
from fedprime.methods.safeguards import reason_against_attack, reason_against_privacy, reason_against_robustness
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.seeding import torch_stream
from fedprime.settings.problems import SettingsError
from fedprime.settings.settings import Settings

_logger = logging.getLogger(__name__)

#: The test scenario in which samples lack what training samples lack.
LIKE_TRAIN = "like train"


@dataclass(frozen=True)
class Experiment:
    """Everything that a run works with.

    Attributes:
        model: A model of the method's shape, with the initial weights.
        odd: What of it cannot be used, and why.
        mechanism: How it comes that something is missing.
        shards: The training samples of every client.
        validation: The samples that accuracy is measured on during the run, lacking what training samples lack.
        scenarios: By test scenario, the test samples and what is present of them. Those that really lack the only
            modality of a scenario are not part of it.
        validation_owners: The client that each validation sample belongs to, divided as the training samples are.
        test_owners: The client that each test sample belongs to, likewise.
        scenario_owners: By test scenario, the client that each of its samples belongs to.
    """

    settings: Settings
    method: Method
    model: PromptedModel
    source: SampleSource
    odd: OddValues
    mechanism: Mechanism
    shards: tuple[Shard, ...]
    validation: Shard
    scenarios: Mapping[str, Shard]
    validation_owners: Int[np.ndarray, " validation_sample"]
    test_owners: Int[np.ndarray, " test_sample"]
    scenario_owners: Mapping[str, Int[np.ndarray, " _"]]

    @property
    def holders(self) -> tuple[Shard, ...]:
        """The training samples of everybody who trains: of the clients, or of the one holder of all their samples."""
        return (type(self.shards[0]).joined(self.shards),) if self.method.is_centralized else self.shards

    def validation_of(self, client: int) -> Shard:
        """Returns the validation samples of a client, or of the one holder of all clients' samples.

        Args:
            client: Which client; any, where there is one holder.
        """
        if len(self.holders) == 1:
            return self.validation
        return self.validation.rows(np.flatnonzero(self.validation_owners == client))

    def best_possible(
        self, shard: Shard, owners: Int[np.ndarray, " sample"], personal: Collection[int] = ()
    ) -> Float[np.ndarray, " sample"] | None:
        """Returns the probability with which the best possible classifier is right on each sample, given what is there.

        The mean over samples is the accuracy that no classifier can beat on them (Bayes limit). None where it is not
        known, which is everywhere but in a world whose samples come about in a known way.

        Args:
            personal: The clients that have models of their own.
        """
        if not isinstance(self.source, KnownWorld):
            return None
        return best_possible(self.source, shard, self._client_given_label(), owners, personal)

    def _client_given_label(self) -> Float[np.ndarray, "label client"]:
        shards = [*self.shards, self.validation, self.scenarios[LIKE_TRAIN]]
        num_classes = len(self.source.label_names)
        labels = self.source.labels[np.concatenate([shard.indices for shard in shards])]
        owners = np.concatenate([self._training_owners(), self.validation_owners, self.test_owners])
        if self.settings.partition.kind != "labels":
            # No look at labels when dividing: that clients hold different ones is chance, which nobody can know.
            labels = np.repeat(np.arange(num_classes), len(owners))
            owners = np.tile(owners, num_classes)
        return client_given_label(labels, owners, num_classes, len(self.shards))

    def _training_owners(self) -> Int[np.ndarray, " training_sample"]:
        return np.repeat(np.arange(len(self.shards)), [len(shard) for shard in self.shards])

    def masks(self) -> dict[str, Tensor]:
        """Returns who owns what and what is present of it, to be saved with the run.

        Where what is present drifts, the first and the last round tell; the rounds between follow from the settings.
        """
        last = self.settings.training.rounds - 1
        masks: dict[str, Tensor] = {
            "validation.present": torch.from_numpy(self.validation.present),
            "validation.owners": torch.from_numpy(self.validation_owners),
            "test.owners": torch.from_numpy(self.test_owners),
        }
        for client, shard in enumerate(self.shards):
            masks[f"client.{client}.samples"] = torch.from_numpy(shard.indices)
            masks[f"client.{client}.present"] = torch.from_numpy(shard.present)
            in_last_round = shard.at(last, last + 1)
            if in_last_round is not shard:
                masks[f"client.{client}.present in the last round"] = torch.from_numpy(in_last_round.present)
        for name, shard in self.scenarios.items():
            masks[f"test.{name}.present"] = torch.from_numpy(shard.present)
            if len(shard) < len(self.test_owners):
                masks[f"test.{name}.samples"] = torch.from_numpy(shard.indices)
        return masks

    def realised_missingness(self) -> list[dict[str, object]]:
        """Returns how many training samples of each missing pattern every client really has.

        Where rates differ by class or group, rows of those follow; where they drift, ``present`` is of the first round.
        """
        rows: list[dict[str, object]] = []
        last = self.settings.training.rounds - 1
        for client, shard in enumerate(self.shards):
            rows.append({"client": client, "samples": len(shard), "present": self._by_pattern(shard.present)})
            in_last_round = shard.at(last, last + 1)
            if in_last_round is not shard:
                rows[-1]["present_in_last_round"] = self._by_pattern(in_last_round.present)
        indices = np.concatenate([shard.indices for shard in self.shards])
        train = split_of("train", indices, self._training_owners(), self.source)
        strata = self.mechanism.strata(train)
        if strata is not None:
            name, numbers = strata
            present = np.concatenate([shard.present for shard in self.shards])
            for number in np.unique(numbers):
                own = numbers == number
                title = label_groups(self.source)[1][number] if name == "label" else int(number)
                rows.append({name: title, "samples": int(own.sum()), "present": self._by_pattern(present[own])})
        return rows

    def _by_pattern(self, present: Bool[np.ndarray, "sample modality"]) -> dict[str, int]:
        modalities = self.model.backbone.modalities
        counts = pattern_counts(present, np.zeros(len(present), dtype=np.int64), 1)[0]
        names = (pattern_name(pattern, modalities) for pattern in all_patterns(len(modalities)))
        return {name: int(count) for name, count in zip(names, counts, strict=True)}


def build_experiment(
    settings: Settings,
    *,
    source: SampleSource | None = None,
    backbone: Backbone | None = None,
    method: Method | None = None,
    at_site: bool = False,
    watch: Callable[[Encoded], object] = lambda _: None,
) -> Experiment:
    """Builds everything that a run works with; the same settings build the same experiment.

    Args:
        source: A data set in the place of the one that the settings name.
        backbone: A frozen model in the place of the one that the settings name.
        method: A federated method in the place of the one that the settings name.
        at_site: Whether all samples are those of one site, which may have none of a modality.
        watch: Is told how far the values are encoded.

    Raises:
        SettingsError: If settings do not fit together.
        DataError: If the data set cannot be found, read or used.
        BackboneError: If the backbone cannot be loaded.
        ModelError: If the model to start from cannot be loaded or is of another shape.
    """
    seed = settings.seed
    is_own = source is not None
    if backbone is None:
        backbone, source = backbone_for_data(settings, source, at_site=at_site)
    if settings.data.modalities and tuple(settings.data.modalities) != backbone.modalities:
        raise SettingsError(
            f"data.modalities is {', '.join(settings.data.modalities)}, and the backbone reads "
            f"{', '.join(backbone.modalities)}; leave data.modalities out"
        )
    method = settings.method if method is None else _suitable(method, settings)
    samples = embedded_samples(settings.data, backbone, source, is_own=is_own, may_be_empty=at_site, watch=watch)
    if backbone.reference in SHIPPED and settings.data.name != "builtin":
        _logger.warning(
            "the backbone %s knows the built-in world alone, and nothing of real files; get one that does by `make "
            "encoders` or %s, then take it: its name is small",
            *(backbone.reference, INSTALL),
        )
    source = samples.source
    try:
        divided = partition(source, **asdict(settings.partition), modalities=backbone.modalities, seed=seed)
    except PartitionError as error:
        raise SettingsError(f"partition: {error}") from error
    try:
        shards = draw_missingness(samples, divided, **asdict(settings.missing), seed=seed)
        scenarios = draw_scenarios(samples, divided.test, divided.num_clients, settings.evaluation.rate, seed)
    except DataError:
        raise
    except ValueError as error:
        raise SettingsError(f"missing: {error}") from error
    model = method.build(backbone, source.label_names, source.task, torch_stream(seed, "initial weights"))
    model.about = source.about() if isinstance(source, Table) else {}
    if settings.privacy.clip_norm:
        model.about.pop("typical", None)  # means that no noise was added to
    if settings.initial_model:
        model.load_weights(PromptedModel.from_pretrained(settings.initial_model, backbone).weights())
    scenarios = {LIKE_TRAIN: (shards.test, divided.test.owners), **scenarios}
    return Experiment(
        settings,
        method,
        model,
        source,
        samples.odd,
        shards.mechanism,
        shards=shards.train,
        validation=shards.validation,
        scenarios={name: shard for name, (shard, _) in scenarios.items()},
        validation_owners=divided.validation.owners,
        test_owners=divided.test.owners,
        scenario_owners={name: owners for name, (_, owners) in scenarios.items()},
    )


def _suitable(method: Method, settings: Settings) -> Method:
    """Returns a method of somebody's own, if it can be what the settings ask of it."""
    reasons = {
        "aggregation": reason_against_robustness(method),
        "privacy": reason_against_privacy(method) if settings.privacy.is_on else "",
        "attack": reason_against_attack(method) if settings.attack.kind != "none" else "",
    }
    problems = [f"{name}: {method.name} cannot have it: {reason}" for name, reason in reasons.items() if reason]
    if problems:
        raise SettingsError(problems)
    return method

"""From settings to objects: data, backbone, method, shards, scenarios. The one place that knows both sides."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.config import DataSettings, PartitionSettings, Settings, SettingsError
from fedprime.data.batches import EmbeddedSamples, Shard
from fedprime.data.builtin import BuiltinWorld
from fedprime.data.missingness import ANY, all_patterns, draw_present, pattern_counts, pattern_name, pattern_shares
from fedprime.data.partition import (
    PartitionError,
    draw_label_shares,
    partition_by_shares,
    partition_by_site,
    partition_evenly,
)
from fedprime.methods import METHODS, Method
from fedprime.methods.reference_quirks import with_quirks
from fedprime.model import PromptedModel
from fedprime.seeding import torch_stream

__all__ = ["LIKE_TRAIN", "Experiment", "build_experiment", "build_method"]

#: The test scenario in which samples lack what training samples lack.
LIKE_TRAIN = "like train"


@dataclass(frozen=True)
class Experiment:
    """Everything that a run works with.

    Attributes:
        settings: What it was built from.
        method: The federated method.
        model: A model of the method's shape, with the initial weights.
        world: The data set.
        shards: The training samples of every client.
        validation: The samples that accuracy is measured on during the run, lacking what training samples lack.
        scenarios: By test scenario, the test samples and what is present of them.
        validation_owners: The client that each validation sample belongs to, divided as the training samples are.
        test_owners: The client that each test sample belongs to, likewise.
    """

    settings: Settings
    method: Method
    model: PromptedModel
    world: BuiltinWorld
    shards: tuple[Shard, ...]
    validation: Shard
    scenarios: Mapping[str, Shard]
    validation_owners: Int[np.ndarray, " validation_sample"]
    test_owners: Int[np.ndarray, " test_sample"]

    @property
    def holders(self) -> tuple[Shard, ...]:
        """The training samples of everybody who trains: of the clients, or of the one holder of all their samples."""
        return (Shard.joined(self.shards),) if self.method.is_centralized else self.shards

    def best_possible(
        self, shard: Shard, owners: Int[np.ndarray, " sample"], personal: Collection[int] = ()
    ) -> Float[np.ndarray, " sample"]:
        """Returns the probability with which the best possible classifier is right on each sample, given what is there.

        The mean over samples is the accuracy that no classifier can beat on them (Bayes limit). A client with a model
        of its own may also know how frequent each class is among its samples, which raises the limit on them.

        Args:
            shard: The samples and what is present of each.
            owners: The client that each sample belongs to.
            personal: The clients that have models of their own.
        """
        columns = [self.world.modalities.index(modality) for modality in shard.samples.modalities]
        present = np.zeros((len(shard), len(self.world.modalities)), dtype=bool)
        present[:, columns] = shard.present
        prior = np.full((len(shard), self.world.num_classes), 1 / self.world.num_classes)
        for client in personal:
            own = owners == client
            counts = np.bincount(self.world.labels[shard.indices[own]], minlength=self.world.num_classes)
            prior[own] = counts / max(1, counts.sum())
        return self.world.posterior(shard.indices, present, prior).max(axis=1)

    def masks(self) -> dict[str, Tensor]:
        """Returns who owns what and what is present of it, to be saved with the run."""
        masks: dict[str, Tensor] = {
            "validation.present": torch.from_numpy(self.validation.present),
            "validation.owners": torch.from_numpy(self.validation_owners),
            "test.owners": torch.from_numpy(self.test_owners),
        }
        for client, shard in enumerate(self.shards):
            masks[f"client.{client}.samples"] = torch.from_numpy(shard.indices)
            masks[f"client.{client}.present"] = torch.from_numpy(shard.present)
        for name, shard in self.scenarios.items():
            masks[f"test.{name}.present"] = torch.from_numpy(shard.present)
        return masks

    def realised_missingness(self) -> list[dict[str, object]]:
        """Returns how many training samples of each missing pattern every client really has."""
        modalities = self.model.backbone.modalities
        names = [pattern_name(pattern, modalities) for pattern in all_patterns(len(modalities))]
        rows: list[dict[str, object]] = []
        for client, shard in enumerate(self.shards):
            counts = pattern_counts(shard.present, np.zeros(len(shard), dtype=np.int64), 1)[0]
            by_pattern = {name: int(count) for name, count in zip(names, counts, strict=True)}
            rows.append({"client": client, "samples": len(shard), "present": by_pattern})
        return rows


def build_experiment(settings: Settings) -> Experiment:
    """Builds everything that a run works with; the same settings build the same experiment.

    Args:
        settings: The settings.

    Raises:
        SettingsError: If settings do not fit together.
        BackboneError: If the backbone cannot be loaded.
        ModelError: If the model to start from cannot be loaded or is of another shape.
    """
    data, missing, seed = settings.data, settings.missing, settings.seed
    backbone = load_backbone(settings.backbone, data.modalities)
    modalities = backbone.modalities
    num_samples = data.num_train + data.num_validation + data.num_test
    world, samples = _embedded_samples(data, num_samples, backbone)
    train, validation, test = np.split(np.arange(num_samples), [data.num_train, data.num_train + data.num_validation])
    try:
        shares = pattern_shares(modalities, missing.rate, missing.lacking)
        scenario_shares = _scenario_shares(modalities, settings.evaluation.rate)
        owners = _owners(world, {"train": train, "validation": validation, "test": test}, settings.partition, seed)
    except PartitionError as error:
        raise SettingsError([f"partition: {error}"]) from error
    except ValueError as error:
        raise SettingsError([f"missing: {error}"]) from error
    num_clients = settings.partition.num_clients
    present = {
        split: draw_present(missing.kind, shares, own, num_clients, alpha=missing.alpha, seed=seed, split=split)
        for split, own in owners.items()
    }
    method = build_method(settings)
    model = method.build(backbone, world.label_names, rng=torch_stream(seed, "initial weights"))
    if settings.initial_model:
        model.load_weights(PromptedModel.from_pretrained(settings.initial_model, backbone).weights())
    scenarios = {LIKE_TRAIN: present["test"]} | {
        name: draw_present(
            "over-all-data", mix, owners["test"], num_clients, alpha=1.0, seed=seed, split=f"test {name}"
        )
        for name, mix in scenario_shares.items()
    }
    return Experiment(
        settings,
        method,
        model,
        world,
        shards=tuple(
            Shard(samples, train[owners["train"] == client], present["train"][owners["train"] == client])
            for client in range(num_clients)
        ),
        validation=Shard(samples, validation, present["validation"]),
        scenarios={name: Shard(samples, test, mask) for name, mask in scenarios.items()},
        validation_owners=owners["validation"],
        test_owners=owners["test"],
    )


def build_method(settings: Settings) -> Method:
    """Builds the method, with its quirks; it takes from the settings what it knows.

    Args:
        settings: The settings.
    """
    method = METHODS[settings.method.name]
    known = {entry.name for entry in dataclasses.fields(method)}
    values = dataclasses.asdict(settings.method)  # pyright: ignore[reportArgumentType]
    built = method(**{name: value for name, value in values.items() if name in known})
    return with_quirks(built, settings.method.reference_quirks)


_latest_samples: dict[object, tuple[BuiltinWorld, EmbeddedSamples]] = {}


def _embedded_samples(data: DataSettings, num_samples: int, backbone: Backbone) -> tuple[BuiltinWorld, EmbeddedSamples]:
    """Returns the samples; runs of one process that follow each other on the same ones embed each once."""
    shape = (num_samples, data.num_classes, data.num_sites, data.world_seed, data.concept_shift)
    key = (shape, backbone.fingerprint, backbone.modalities)
    if key not in _latest_samples:
        _latest_samples.clear()  # of two data sets, only one is kept in memory
        world = BuiltinWorld(*shape)
        _latest_samples[key] = (world, EmbeddedSamples(world, backbone.modalities, backbone.embed))
    return _latest_samples[key]


def _scenario_shares(modalities: tuple[str, ...], rate: float) -> dict[str, np.ndarray]:
    """Returns the test scenarios of the paper, for any modalities: the share of samples with each pattern."""
    patterns = all_patterns(len(modalities))
    scenarios: dict[str, np.ndarray] = {}
    if len(modalities) > 1:
        scenarios["miss both" if len(modalities) == 2 else "miss any"] = pattern_shares(modalities, rate, ANY)
    scenarios["full"] = pattern_shares(modalities, 0.0)
    if len(modalities) > 1:
        for index, modality in enumerate(modalities):
            only: Bool[np.ndarray, " pattern"] = (patterns.sum(axis=1) == 1) & patterns[:, index]
            scenarios[f"{modality} only"] = only.astype(float)
    return scenarios


def _owners(
    world: BuiltinWorld, splits: Mapping[str, Int[np.ndarray, " sample"]], partition: PartitionSettings, seed: int
) -> dict[str, Int[np.ndarray, " sample"]]:
    num_train, num_clients = len(splits["train"]), partition.num_clients
    if num_train < num_clients:
        raise PartitionError(
            f"{num_train} samples cannot be divided among {num_clients} clients; ask for fewer clients"
        )
    if partition.kind == "even":
        return {split: partition_evenly(len(own), num_clients, seed=seed, split=split) for split, own in splits.items()}
    if partition.kind == "site":
        # Over all splits at once, so that a site belongs to the same client in each.
        of_sample = partition_by_site(world.sites, num_clients)
        without = sorted(set(range(num_clients)) - set(of_sample[splits["train"]].tolist()))
        if without:
            raise PartitionError(
                f"clients {', '.join(map(str, without))} own no training sample; ask for fewer clients or more samples"
            )
        return {split: of_sample[own] for split, own in splits.items()}
    labels = world.labels
    shares = draw_label_shares(
        labels[splits["train"]], world.num_classes, num_clients, partition.alpha, partition.min_samples, seed=seed
    )
    return {split: partition_by_shares(labels[own], shares, seed=seed, split=split) for split, own in splits.items()}

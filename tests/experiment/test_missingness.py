"""What is missing of whose samples, by every kind of mechanism; the test scenarios of the paper."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprime.data.batches import EmbeddedSamples
from fedprime.data.missingness.drift import Drift
from fedprime.data.missingness.kinds import MechanismKind
from fedprime.data.missingness.logistic import ByLabel, ByObserved
from fedprime.data.missingness.mechanisms import BySite, OverClients
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.data.sources import DataError
from fedprime.experiment.missingness import ClientSamples, draw_missingness, draw_scenarios, scenario_shares
from fedprime.experiment.partitioning import partition

MODALITIES = ("image", "text")


def embed(modality: str, values: Sequence[object]) -> list[Tensor]:
    return [torch.zeros(1, len(modality)) for _ in values]


@pytest.fixture
def samples() -> EmbeddedSamples:
    world = BuiltinWorld(300, num_classes=3, num_sites=4, num_validation=20, num_test=80)
    return EmbeddedSamples(world, MODALITIES, embed)


def drawn(samples: EmbeddedSamples, **options: Any) -> ClientSamples:
    return draw_missingness(samples, partition(samples.source, 5, kind="even"), **options)


@pytest.mark.parametrize("kind", get_args(MechanismKind))
def test_shards_hold_all_samples_as_the_mechanism_of_the_kind_says(kind: MechanismKind, samples: EmbeddedSamples):
    divided = partition(samples.source, 5, kind="even", modalities=MODALITIES)
    found = draw_missingness(samples, divided, kind=kind)
    expected = {"by-label": ByLabel, "by-observed": ByObserved, "by-site": BySite, "drift": Drift}
    assert type(found.mechanism) is expected.get(kind, OverClients)
    present = found.mechanism.draw(divided.train)
    for client, shard in enumerate(found.train):
        own = divided.train.owners == client
        assert shard.indices.tolist() == divided.train.indices[own].tolist()
        # With drift, it is the last round that the mechanism tells about.
        assert np.array_equal(shard.at(9, 10).present, present[own])
    assert found.validation.indices.tolist() == list(range(200, 220))
    assert np.array_equal(found.test.present, found.mechanism.draw(divided.test))


def test_as_many_training_samples_lack_something_as_the_rate_says(samples: EmbeddedSamples):
    found = drawn(samples, rate=0.25, lacking="image")
    present = np.concatenate([shard.present for shard in found.train])
    assert present.sum(axis=0).tolist() == [150, 200]


def test_a_sample_of_which_the_backbone_reads_nothing_is_refused(samples: EmbeddedSamples):
    samples.source.there[3, :2] = False
    with pytest.raises(DataError, match="train sample 3 has none of image, text; call partition with modalities="):
        drawn(samples)


def test_groups_are_natural_sites_where_samples_are_divided_by_them(samples: EmbeddedSamples):
    names = []
    for kind in ("even", "site"):
        divided = partition(samples.source, 3, kind=kind)
        strata = draw_missingness(samples, divided, kind="by-site", groups=2).mechanism.strata(divided.train)
        names.append(strata[0] if strata else None)
    assert names == ["group", "site"]


def test_what_cannot_be_lacking_is_refused(samples: EmbeddedSamples):
    with pytest.raises(ValueError, match="samples cannot lack 'smell'; choose one of image, text or any"):
        drawn(samples, lacking="smell")


# Test scenarios


def test_scenarios_of_two_modalities_are_those_of_the_paper():
    # image, text, image+text
    assert {name: shares.tolist() for name, shares in scenario_shares(MODALITIES, 0.5).items()} == {
        "miss both": [0.25, 0.25, 0.5],
        "full": [0, 0, 1],
        "image only": [1, 0, 0],
        "text only": [0, 1, 0],
    }


def test_a_single_modality_is_there_in_the_only_scenario():
    assert list(scenario_shares(("text",), 0.5)) == ["full"]


def test_samples_that_lack_the_only_modality_are_not_part_of_a_scenario(samples: EmbeddedSamples):
    samples.source.there[[225, 230], 0] = False
    divided = partition(samples.source, 5, kind="even", modalities=MODALITIES)
    scenarios = draw_scenarios(samples, divided.test, 5, 0.5, seed=0)
    assert {name: len(shard) for name, (shard, _) in scenarios.items()} == {
        "miss both": 80,
        "full": 80,
        "image only": 78,
        "text only": 80,
    }
    shard, owners = scenarios["image only"]
    assert not {225, 230} & set(shard.indices.tolist())
    assert owners.tolist() == divided.test.owners[~np.isin(divided.test.indices, [225, 230])].tolist()

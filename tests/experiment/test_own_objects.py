"""How a run knows objects of somebody's own again."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedprime.backbones.backbone import Backbone
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.experiment.own_objects import OwnObjects, source_fingerprint
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.settings.problems import SettingsError
from fedprime.settings.settings import Settings


@dataclass(frozen=True)
class HalfWay(FedAvgP):
    """FEDAVG-P whose server goes half of the way."""

    name = "half-way"
    way: float = 0.5


def world(**options: Any) -> BuiltinWorld:
    return BuiltinWorld(40, **{"num_classes": 3, "num_validation": 8, "num_test": 8, **options})


def test_a_data_set_is_known_by_what_is_known_of_it_without_reading():
    assert source_fingerprint(world()) == source_fingerprint(world())
    others = [world(seed=1), world(num_test=9), world(num_classes=4), world(num_sites=3)]
    changed = world()
    changed.there = changed.there & (np.arange(3) > 0)
    found = {source_fingerprint(source) for source in (world(), *others, changed)}
    assert len(found) == 6


def test_a_fingerprint_of_its_own_is_taken_as_it_is():
    source = world()
    source.fingerprint = "photos of 2026"  # pyright: ignore[reportAttributeAccessIssue]
    assert source_fingerprint(source) == "photos of 2026"


def test_each_object_is_told_by_class_and_by_what_it_is(tiny: Backbone):
    assert OwnObjects().fingerprints() == {}
    found = OwnObjects(world(), tiny, HalfWay(way=0.25)).fingerprints()
    assert found["source"] == f"fedprime.data.sets.builtin.BuiltinWorld {source_fingerprint(world())}"
    assert found["backbone"].endswith(f" {tiny.fingerprint}")
    assert found["method"].startswith(f"{__name__}.HalfWay(num_prompts=10, ")
    assert found["method"].endswith("way=0.25)")


@pytest.mark.parametrize("kind", ["simulation", "deployment"])
def test_objects_do_not_go_into_other_processes(kind: Any, small_settings: Settings):
    settings = replace(small_settings, runtime=replace(small_settings.runtime, kind=kind))
    OwnObjects().refuse_other_places(settings)
    with pytest.raises(SettingsError, match=f"runtime.kind is {kind}: clients in other processes know method by name"):
        OwnObjects(method=HalfWay()).refuse_other_places(settings)


def test_a_run_that_began_without_an_object_is_not_continued_with_one(finished_run: Path):
    run = RunFolder(finished_run)
    OwnObjects().refuse_others(run)
    with pytest.raises(RunError, match="began with the source of its settings; leave source out"):
        OwnObjects(source=world()).refuse_others(run)

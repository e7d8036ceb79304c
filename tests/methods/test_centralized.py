"""CENTRALIZED-P and CENTRALIZED-POOLS: everybody's samples at one holder, and nothing travels."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedprime.experiment.build import build_experiment
from fedprime.experiment.run_folder import RunFolder
from fedprime.methods import METHODS
from fedprime.runs.run import start_run
from fedprime.settings.settings import Settings
from run_files import metrics_of, results_of

pytestmark = pytest.mark.without_shape_checks

NAMES = ("centralized-p", "centralized-pools")


def settings_of(settings: Settings, name: str, num_clients: int = 4, fraction: float = 1.0) -> Settings:
    return replace(
        settings,
        method=METHODS[name](num_prompts=settings.method.num_prompts),
        partition=replace(settings.partition, num_clients=num_clients),
        training=replace(settings.training, fraction=fraction),
    )


@pytest.fixture(scope="module")
def finished(small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By method, the folder of a finished run with four clients."""
    folders = {name: tmp_path_factory.mktemp("centralized") / "run" for name in NAMES}
    for name, folder in folders.items():
        start_run(settings_of(small_settings, name), folder)
    return folders


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return RunFolder(folder).load_checkpoint().state.shared


@pytest.mark.parametrize("name", NAMES)
def test_the_holder_has_every_sample_as_its_client_has_it(name: str, small_settings: Settings):
    experiment = build_experiment(settings_of(small_settings, name))
    (holder,) = experiment.holders
    assert holder.indices.tolist() == list(range(40))
    for shard in experiment.shards:
        assert np.array_equal(holder.present[shard.indices], shard.present)


def test_clients_of_other_methods_hold_their_own_samples(small_settings: Settings):
    experiment = build_experiment(small_settings)
    assert experiment.holders is experiment.shards


def test_it_is_fedavg_p_with_one_client_to_the_bit(finished: dict[str, Path], small_settings: Settings, tmp_path: Path):
    # Patterns are drawn over all data, so the masks are the same for any number of clients.
    start_run(settings_of(small_settings, "fedavg-p", num_clients=1), tmp_path / "run")
    ours, theirs = weights_of(finished["centralized-p"]), weights_of(tmp_path / "run")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_the_pools_are_those_of_fedprime_without_its_server_step(
    finished: dict[str, Path], small_settings: Settings, tmp_path: Path
):
    lines = metrics_of(finished["centralized-pools"])
    assert all("matches" not in line for line in lines)
    assert {tuple(line["pool_sizes"].values()) for line in lines} == {(20, 20)}
    start_run(settings_of(small_settings, "fedprime", num_clients=1), tmp_path / "run")
    ours, theirs = weights_of(finished["centralized-pools"]), weights_of(tmp_path / "run")
    # With one client, alignment gives its own pool back, in an order that may be another.
    for name in ("head.weight", "prompter.pools.intra"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_no_byte_travels(name: str, finished: dict[str, Path]):
    results = results_of(finished[name])
    assert results["bytes_up"] == results["bytes_down"] == 0
    assert results["sent_values"] == results["sent_bytes_per_client_and_round"] == 0
    assert results["trained_values"] > 0
    assert all(line["bytes_up"] == line["bytes_down"] == 0 for line in metrics_of(finished[name]))


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_shared_and_evaluated_for_every_client(name: str, finished: dict[str, Path]):
    assert (finished[name] / "model" / "model.safetensors").exists()
    assert not (finished[name] / "clients").exists()
    clients = results_of(finished[name])["clients"]
    assert clients.keys() == {"0", "1", "2", "3"}
    assert sum(scores["num_samples"] for scores in clients.values() if scores) == 24


@pytest.mark.parametrize("name", NAMES)
def test_the_missingness_is_that_of_the_clients(name: str, finished: dict[str, Path], finished_run: Path):
    written = (finished[name] / "missingness.json").read_text()
    assert [row["client"] for row in json.loads(written)] == [0, 1, 2, 3]
    assert written == (finished_run / "missingness.json").read_text()


def test_the_share_that_takes_part_means_nothing(finished: dict[str, Path], small_settings: Settings, tmp_path: Path):
    start_run(settings_of(small_settings, "centralized-p", fraction=0.25), tmp_path / "run")
    ours, theirs = weights_of(tmp_path / "run"), weights_of(finished["centralized-p"])
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert all(line["asked"] == line["answered"] == 1 for line in metrics_of(tmp_path / "run"))

"""LOCAL-P: nothing is sent, everything stays."""

from pathlib import Path

import pytest
import torch

from fedprime.cli.main import main
from fedprime.experiment.build import build_experiment
from fedprime.experiment.run_folder import RunFolder
from fedprime.federation.clients import choose_clients
from fedprime.federation.rounds import Schedule, federate
from fedprime.methods.method import ServerState
from fedprime.runs.run import start_run
from fedprime.runtime.in_process import InProcessClients
from fedprime.settings.reading import read_settings

pytestmark = pytest.mark.without_shape_checks


@pytest.fixture(scope="module")
def finished(small_flags: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local") / "run"
    start_run(read_settings(flags=[*small_flags, "--method.name=local-p"]), folder)
    return folder


def test_no_byte_is_sent(finished: Path):
    results = RunFolder(finished).results()
    assert results["bytes_up"] == results["bytes_down"] == results["sent_values"] == 0
    assert results["trained_values"] > 0


def test_clients_end_with_different_models(finished: Path):
    checkpoint = RunFolder(finished).load_checkpoint()
    assert checkpoint.personal_clients == (0, 1, 2, 3)
    assert not torch.equal(checkpoint.weights(0)["head.weight"], checkpoint.weights(1)["head.weight"])


def test_a_client_goes_on_from_where_it_was(small_flags: tuple[str, ...]):
    # Two rounds with everybody, then one client's own two rounds without the others: the same model.
    settings = read_settings(flags=[*small_flags, "--method.name=local-p"])

    def trained(only: int | None) -> torch.Tensor:
        experiment = build_experiment(settings)
        clients = InProcessClients(
            experiment.method, experiment.model, experiment.shards, settings.training, num_rounds=2, seed=0
        )
        state = ServerState(experiment.model.weights())
        if only is None:
            list(federate(experiment.method, clients, state, Schedule(2), seed=0))
        else:
            for round_number in range(2):
                clients.train(round_number, [only], state)
        return clients.kept[2]["head.weight"]

    assert choose_clients(4, 1.0, seed=0, round_number=0) == (0, 1, 2, 3)
    assert torch.equal(trained(None), trained(2))


def test_prediction_names_the_models_of_the_clients(finished: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["predict", str(finished), "--text", "basil"]) == 2
    assert f"{finished}/clients/0" in capsys.readouterr().err
    assert main(["predict", str(finished / "clients" / "0"), "--text", "basil"]) == 0

"""Federation by files: hospitals train alone, hand over one folder each, and one model comes out.

    python examples/merge_by_files.py

No server, no round: the head of the merged model follows in closed form from the sums that each saved model carries.
The three hospitals are simulated by one run in which nobody sends anything; a real one makes a run of its own, with
`partition.num_clients` 1. It prints the accuracy of each hospital's model and of the merged one on the same samples.
"""

import tempfile
from pathlib import Path

import torch

import fedprime

FLAGS = [
    "--method.name=local-p",
    "--method.readout=blocks",
    "--method.start=closed-form",
    "--runtime.statistics=all",  # the models of single clients carry sums too
    "--partition.num_clients=3",
    "--training.rounds=1",
    "--data.num_train=300",
    "--data.num_validation=100",
    "--data.num_test=300",
    "--backbone=tiny-paired",
]


def main() -> None:
    """Trains three models, merges them and measures all four on the same test samples."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        alone = Path(name) / "alone"
        fedprime.start_run(fedprime.read_settings(None, FLAGS), alone)
        hospitals = [alone / "clients" / str(number) for number in range(3)]

        merged = fedprime.merge_models(hospitals, Path(name) / "merged")
        for note in merged.notes:
            print(f"note: {note}")

        backbone = merged.model.backbone
        test = fedprime.load_experiment(fedprime.RunFolder(alone)).scenarios["like train"]
        for folder in [*hospitals, merged.folder]:
            model = fedprime.PromptedModel.from_pretrained(folder, backbone)
            print(f"{folder.name:8}{fedprime.score(fedprime.predict(model, test)).accuracy:.3f}")


if __name__ == "__main__":
    main()

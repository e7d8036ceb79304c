"""The rounds by hand: a data set opened, divided among clients and made incomplete, then federated round by round.

    python examples/loop_by_hand.py

It prints the accuracy on test samples that are as incomplete, after every round; nothing is saved.
"""

import torch

import fedprime


def main() -> None:
    """Federates five clients for three rounds."""
    torch.set_num_threads(1)
    backbone = fedprime.load_backbone("tiny")
    source = fedprime.open_data("builtin", num_train=400, num_validation=20, num_test=200)
    clients = fedprime.partition(source, 5, kind="labels", alpha=0.5, modalities=backbone.modalities, seed=0)
    samples = fedprime.EmbeddedSamples(source, backbone.modalities, backbone.embed)
    shards = fedprime.draw_missingness(samples, clients, rate=0.5, lacking="text", seed=0)

    method = fedprime.METHODS["fedavg-p"](num_prompts=4)
    model = method.build(backbone, source.label_names, source.task, torch.Generator().manual_seed(0))
    training = fedprime.LocalTraining(epochs=2, lr=0.01)
    runtime = fedprime.InProcessClients(method, model, shards.train, training, num_rounds=3, seed=0)
    state = method.initial_state(model, len(runtime))
    for finished in fedprime.federate(method, runtime, state, fedprime.Schedule(num_rounds=3), seed=0):
        model.load_weights(finished.state.shared)
        accuracy = fedprime.score(fedprime.predict(model, shards.test)).accuracy
        print(f"round {finished.number + 1}: loss {finished.loss:.3f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()

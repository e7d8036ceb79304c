"""How frozen models compute: on which device, and what is held for gradients; neither changes the result."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

import fedprime.backbones
from example_values import EXAMPLES
from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.backbones.computation import choose_device
from fedprime.data.batches import Batch
from fedprime.federation.local_training import optimiser_step
from fedprime.methods import METHODS
from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.seeding import torch_stream
from pretended_gpu import DEVICE, pretended_gpu

pytestmark = pytest.mark.without_shape_checks

#: By name, the checkpoint, what it shall read, and how else it is loaded.
LOADED: dict[str, tuple[str, tuple[str, ...], dict[str, object]]] = {
    "ViLT": ("vilt", ("image", "text", "readings"), {}),
    "ViLT in bfloat16": ("vilt", ("image", "text"), {"precision": "bfloat16"}),
    "ViLT, layers computed again": ("vilt", ("image", "text"), {"activation_checkpointing": True}),
    "CLIP": ("clip", ("image", "text"), {}),
    "CLIP, layers computed again": ("clip", ("image", "text"), {"activation_checkpointing": True}),
    "SigLIP": ("siglip", ("image", "text"), {}),
    "SigLIP 2": ("siglip2", ("image", "text"), {}),
    "composite": ("composite", ("image", "text", "audio", "table"), {}),
    "composite, layers computed again": ("composite", ("image", "text"), {"activation_checkpointing": True}),
}
#: Every backbone with one method, and two backbones of which prompts reach the layers differently with the others.
TRAINED = [
    *((name, "fedprime") for name in LOADED),
    *itertools.product(("ViLT", "CLIP"), ("fedprox-p", "pfpt", "head-only")),
]


@pytest.fixture
def _gpu_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        fedprime.backbones, "choose_device", lambda name: DEVICE if name == "cuda" else torch.device(name)
    )


def batch_of(backbone: Backbone) -> Batch:
    """Four samples, of which two lack all but one modality."""
    names = backbone.modalities
    rows = {name: backbone.embed(name, EXAMPLES[name]) for name in names}
    present = torch.ones(4, len(names), dtype=torch.bool)
    present[1, 1:] = False
    present[2, :-1] = False
    embedded = {
        name: [row if there else None for row, there in zip(rows[name], own, strict=True)]
        for name, own in zip(names, present.T.tolist(), strict=True)
    }
    return Batch(embedded, present, torch.tensor([0, 1, 2, 0]))


def weights_after_two_steps(backbone: Backbone, name: str) -> Weights:
    method = METHODS[name]()
    model = method.build(backbone, ["bread", "soup", "cake"], rng=torch_stream(0, "weights"))
    received, batch = model.weights(), batch_of(backbone)
    optimizer = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], 0.1)
    for _ in range(2):
        optimiser_step(model, method, batch, received, optimizer, max_gradient_norm=1.0)
    weights = model.weights()
    model.load_weights(weights)
    return weights


@pytest.mark.usefixtures("_gpu_by_name")
@pytest.mark.parametrize(("name", "method"), TRAINED)
def test_training_on_a_device_moves_what_it_needs_and_gives_the_same_weights(
    name: str, method: str, checkpoints: Mapping[str, Path]
) -> None:
    kind, modalities, options = LOADED[name]
    expected = weights_after_two_steps(load_backbone(checkpoints[kind], modalities, **options), method)  # pyright: ignore[reportArgumentType]
    with pretended_gpu():
        backbone = load_backbone(checkpoints[kind], modalities, device="cuda", **options)  # pyright: ignore[reportArgumentType]
        assert backbone.device == DEVICE
        found = weights_after_two_steps(backbone, method)
    assert found.keys() == expected.keys()
    for parameter, value in found.items():
        assert type(value) is torch.Tensor
        # Sums may run in another order there, and attention is another kernel.
        tolerance = 1e-6 if "precision" not in options else 1e-3
        assert torch.allclose(value, expected[parameter], rtol=1e-4, atol=tolerance), parameter


@pytest.mark.usefixtures("_gpu_by_name")
def test_the_pretended_device_complains_when_something_stays_in_main_memory(checkpoints: Mapping[str, Path]) -> None:
    with pretended_gpu():
        backbone = load_backbone(checkpoints["vilt"], device="cuda")
        tokens = backbone.assemble(batch_of(backbone).embedded)
        with pytest.raises(RuntimeError, match="in main memory meet"):
            tokens.prepend(torch.zeros(4, 1, backbone.dim))


@pytest.mark.parametrize(
    "name", [name for name, (*_, options) in LOADED.items() if "activation_checkpointing" in options]
)
def test_layers_computed_again_keep_fewer_numbers_and_change_no_gradient(
    name: str, checkpoints: Mapping[str, Path]
) -> None:
    kind, modalities, options = LOADED[name]

    def gradient_and_kept(backbone: Backbone) -> tuple[torch.Tensor, int]:
        kept = 0

        def count(value: torch.Tensor) -> torch.Tensor:
            nonlocal kept
            kept += value.numel()
            return value

        tokens = backbone.assemble(batch_of(backbone).embedded)
        prompts = torch.randn(4, 3, backbone.dim, generator=torch_stream(0, "prompts")).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda value: value):
            feature = backbone.encode(tokens.prepend(prompts))
        feature.square().sum().backward()
        assert prompts.grad is not None
        return prompts.grad, kept

    again, fewer = gradient_and_kept(load_backbone(checkpoints[kind], modalities, **options))  # pyright: ignore[reportArgumentType]
    plain, all_of_them = gradient_and_kept(load_backbone(checkpoints[kind], modalities))
    assert torch.equal(again, plain)
    assert fewer < 0.7 * all_of_them


def test_without_a_gpu_the_processor_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")


def test_of_two_gpus_the_first_is_chosen_and_each_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "gpus", "possible"),
    [("cuda", 0, "auto, cpu"), ("cuda:2", 2, "auto, cpu, cuda, cuda:0, cuda:1"), ("gpu", 0, "auto, cpu")],
)
def test_a_device_that_is_not_here_is_refused_with_those_that_are(
    name: str, gpus: int, possible: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(BackboneError, match=f"device is '{name}'; this machine, .* has {possible}$"):
        choose_device(name)

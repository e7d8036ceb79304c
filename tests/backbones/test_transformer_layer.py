"""A layer of our own: the names and the outputs of `ViltLayer`."""

import torch
from transformers import ViltConfig
from transformers.models.vilt.modeling_vilt import ViltLayer

from fedprime.backbones.backbone import Tokens
from fedprime.backbones.packing import pack
from fedprime.backbones.transformer_layer import TransformerLayer
from fedprime.backbones.vilt_layers import _run_layer
from fedprime.reproducibility.seeding import torch_stream


def test_its_weights_are_called_and_run_as_those_of_vilt() -> None:
    config = ViltConfig(hidden_size=16, num_attention_heads=2, intermediate_size=64, attn_implementation="eager")
    expected, found = ViltLayer(config).eval(), TransformerLayer(16, 2, config.layer_norm_eps)
    rng = torch_stream(0, "layer")
    weights = {name: torch.randn(value.shape, generator=rng) for name, value in expected.state_dict().items()}
    expected.load_state_dict(weights)
    found.load_state_dict(weights)
    tokens = Tokens(
        torch.randn(3, 5, 16, generator=rng), torch.ones(3, 5, dtype=torch.bool), torch.zeros(5, dtype=torch.int64), 0
    )
    packed = pack(tokens)
    with torch.no_grad():
        rows = _run_layer(found, tokens.values.flatten(0, 1).index_select(0, packed.rows), packed.groups)
        alike = expected(tokens.values)
    alike = alike[0] if isinstance(alike, tuple) else alike
    torch.testing.assert_close(rows, alike.flatten(0, 1).index_select(0, packed.rows), rtol=1e-4, atol=1e-4)

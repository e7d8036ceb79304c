"""ViLT's layers on packed tokens: the library's own numbers, whatever is padding."""

import pytest
import torch
from transformers import ViltConfig
from transformers.models.vilt.modeling_vilt import ViltEncoder

from fedprime.backbones.backbone import Tokens
from fedprime.backbones.vilt_layers import run_layers
from fedprime.reproducibility.seeding import torch_stream


@pytest.mark.parametrize("num_samples", [1, 3, 40])
def test_the_output_at_the_summary_token_is_that_of_the_librarys_encoder(num_samples: int) -> None:
    rng = torch_stream(0, "layers")
    config = ViltConfig(hidden_size=12, num_hidden_layers=3, num_attention_heads=2, intermediate_size=20)
    with torch.random.fork_rng():
        encoder, norm = ViltEncoder(config).eval(), torch.nn.LayerNorm(12)
    for parameter in [*encoder.parameters(), *norm.parameters()]:
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=rng)
    mask = torch.rand(num_samples, 9, generator=rng) < 0.6
    mask[:, 4] = True
    values = torch.randn(num_samples, 9, 12, generator=rng)
    tokens = Tokens(values, mask, torch.full((9,), -1), summary=4)
    closed = (~mask).float()[:, None, None, :] * -1e9
    with torch.no_grad():
        expected = norm(encoder(values, attention_mask=closed).last_hidden_state)[:, 4]
        (found,) = run_layers(encoder.layer, norm, [tokens])
    assert (found - expected).abs().max() < 1e-5

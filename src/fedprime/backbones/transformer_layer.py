"""A pre-norm transformer layer whose weights are called as ViLT's are, without importing a library of models."""

from typing import TYPE_CHECKING, Any, Protocol

from jaxtyping import Float
from torch import Tensor, nn

if TYPE_CHECKING:

    class LayerParts(Protocol):
        """What `vilt_layers` runs of a layer: this one's, or `ViltLayer` of `transformers`."""

        attention: Any
        intermediate: Any
        output: Any
        layernorm_before: Any
        layernorm_after: Any

else:
    LayerParts = Any  # since Python 3.12, no module of torch would be one at run time: its parts are no attributes


class _Heads(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_attention_heads, self.attention_head_size = num_heads, dim // num_heads
        self.query, self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)


class _Output(nn.Module):
    def __init__(self, inside: int, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inside, dim)


class _Attention(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.attention, self.output = _Heads(dim, num_heads), _Output(dim, dim)


class _Intermediate(nn.Module):
    def __init__(self, dim: int, inside: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, inside)

    def forward(self, states: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row inside"]:
        return nn.functional.gelu(self.dense(states))


class TransformerLayer(nn.Module):
    """The weights of a layer; `vilt_layers` runs it."""

    def __init__(self, dim: int, num_heads: int, epsilon: float) -> None:
        """Makes a layer that is four times as wide inside.

        Args:
            epsilon: Of both layer norms.
        """
        super().__init__()
        self.attention = _Attention(dim, num_heads)
        self.intermediate, self.output = _Intermediate(dim, 4 * dim), _Output(4 * dim, dim)
        self.layernorm_before = nn.LayerNorm(dim, eps=epsilon)
        self.layernorm_after = nn.LayerNorm(dim, eps=epsilon)

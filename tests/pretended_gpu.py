"""A device that is not there: its tensors lie in main memory, but whoever mixes both is told.

What runs on it computes as on the processor. So a test sees on any machine whether everything that a GPU
needs is moved there, and whether everything that is read in main memory has come back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

#: A device type that no tensor of the tests is of otherwise, and that needs no library of its own.
DEVICE = torch.device("lazy", 0)


class _Moved(Tensor):
    """A tensor that says it is on the device."""

    inside: Tensor

    @staticmethod
    def __new__(cls: type, inside: Tensor) -> "_Moved":
        moved = Tensor._make_wrapper_subclass(
            cls,
            inside.size(),
            strides=inside.stride(),
            storage_offset=inside.storage_offset(),
            dtype=inside.dtype,
            layout=inside.layout,
            device=DEVICE,
            requires_grad=False,
        )
        moved.inside = inside
        return moved

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"moved({self.inside!r})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == Tensor.data.__set__:  # pyright: ignore[reportAttributeAccessIssue] (it is a descriptor)
            moved, value = args
            moved.inside = value.inside
        return torch._C._disabled_torch_function_impl(func, types, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    moved = [isinstance(value, _Moved) for value in tensors]
    target = kwargs.get("device")
    moving = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    on_device = any(moved) if target is None or not isinstance(target, torch.device) else target.type == DEVICE.type
    # Numbers in main memory may meet tensors on a GPU.
    strangers = [value for value, is_moved in zip(tensors, moved, strict=True) if not is_moved and value.dim() > 0]
    if any(moved) and strangers and not moving:
        raise RuntimeError(f"{func}: tensors on the device and in main memory meet: {[v.shape for v in strangers]}")
    if target is not None and on_device:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain_args, plain_kwargs = tree_map(_inside, (args, kwargs))
    result = func(*plain_args, **plain_kwargs)
    if func is torch.ops.aten.copy_.default:
        return args[0]
    if not on_device:
        return result
    known = {id(value.inside): value for value in tensors if isinstance(value, _Moved)}
    return tree_map(lambda value: known.get(id(value), _Moved(value)) if isinstance(value, Tensor) else value, result)


def _inside(value: Any) -> Any:
    return value.inside if isinstance(value, _Moved) else value


@contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """Lets the device be there while the block runs."""
    torch.lazy = torch.cpu  # pyright: ignore[reportAttributeAccessIssue] (checkpointing asks for the device's module)
    try:
        with _Mode():
            yield DEVICE
    finally:
        del torch.lazy  # pyright: ignore[reportAttributeAccessIssue]

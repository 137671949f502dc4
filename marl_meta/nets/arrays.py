"""Tensors as the CPU kernels take them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def arrays(*tensors: Tensor) -> tuple[Any, ...]:
    """Return the tensors as numpy arrays in C order, without copies where they are so already.

    Raises TypeError for what kernels cannot take: they are written for float32 (and for bool and integers) on the CPU.
    """
    for tensor in tensors:
        if tensor.device.type != "cpu" or (tensor.dtype != torch.float32 and tensor.dtype.is_floating_point):
            raise TypeError(f"the fused kernel takes float32 on the CPU, not {tensor.dtype} on {tensor.device}")
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)

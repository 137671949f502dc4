"""The matrix products inside a piece of tensor code: recorded as it runs, then replayed alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_FACTORS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}
"""Where the two factors stand among the arguments of each operation (also of those that end in `_`, in place)."""


@dataclass(frozen=True, slots=True)
class Product:
    """One matrix product (or a batch of them) by the layout of its factors in memory."""

    left: tuple[tuple[int, ...], tuple[int, ...]]
    """Shape and strides."""
    right: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def operations(self) -> int:
        """Additions and multiplications."""
        (*batch, rows, inner), columns = self.left[0], self.right[0][-1]
        return 2 * rows * inner * columns * (batch[0] if batch else 1)


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self.products: list[Product] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        first = _FACTORS.get(function.overloadpacket.__name__.rstrip("_"))
        if first is not None:
            left, right = args[first : first + 2]
            self.products.append(Product(_layout(left), _layout(right)))
        return function(*args, **(kwargs or {}))


def _layout(tensor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(tensor.shape), tuple(tensor.stride())


def record_products(run: Callable[[], object]) -> list[Product]:
    """Return the matrix products that `run` makes on this thread, forward and backward, in order."""
    recorder = _Recorder()
    with recorder:
        run()
    return recorder.products


def make_replay(products: Iterable[Product]) -> Callable[[], None]:
    """Return a function that makes the same products and nothing else, every one in memory of its own made before."""
    prepared = []
    for product in products:
        left, right = (torch.empty_strided(*layout).normal_() for layout in (product.left, product.right))
        multiply = torch.mm if left.dim() == 2 else torch.bmm
        prepared.append((multiply, left, right, multiply(left, right)))

    def replay() -> None:
        for multiply, left, right, out in prepared:
            multiply(left, right, out=out)

    return replay

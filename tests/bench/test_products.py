from __future__ import annotations

import torch
from torch import nn

from marl_meta.bench.products import Product, make_replay, record_products


def test_forward_and_backward_products_of_a_linear_map() -> None:
    linear, inputs = nn.Linear(3, 5), torch.randn(7, 3, requires_grad=True)
    products = record_products(lambda: linear(inputs).sum().backward())
    shapes = sorted((product.left[0], product.right[0]) for product in products)
    assert shapes == [((5, 7), (7, 3)), ((7, 3), (3, 5)), ((7, 5), (5, 3))]
    assert sum(product.operations for product in products) == 3 * 2 * 7 * 3 * 5


def test_batched_and_in_place_products_count() -> None:
    left, right, total = torch.randn(4, 2, 3), torch.randn(4, 3, 2), torch.zeros(2, 2)
    products = record_products(lambda: (torch.bmm(left, right), total.addmm_(left[0], right[0])))
    assert [product.operations for product in products] == [2 * 4 * 2 * 3 * 2, 2 * 2 * 3 * 2]


def test_a_replay_makes_the_same_products_and_nothing_else() -> None:
    transposed = Product(left=((4, 6), (1, 4)), right=((6, 2), (2, 1)))
    batched = Product(left=((3, 2, 5), (10, 5, 1)), right=((3, 5, 4), (20, 4, 1)))
    assert record_products(make_replay([transposed, batched])) == [transposed, batched]

"""The context that explains experience best, in closed form: predictions are linear in it, so it is least squares.

    c = c_0 + (J^T J + l I)^-1 J^T e        J: how predictions move with the context, e: their errors at c_0

It is where gradient steps from c_0 lead that never end and are held back by a weight decay l, which is learnt. To learn
through such a solution is what Bertinetto et al. 2019 ("Meta-learning with differentiable closed-form solvers") do.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from marl_meta.meta.lived import Lived
from marl_meta.nets.prediction import Prediction, Slopes


class Normal(NamedTuple):
    """The normal equations of a task."""

    matrix: Tensor
    """[D,D] J^T J, D = kinds * W."""
    vector: Tensor
    """[D] J^T e."""


def normal_equations(found: Prediction, slopes: Slopes, lived: Lived, who: Tensor) -> Normal:
    """Return the normal equations of one task's steps [L,R], each error as the loss of predictions weighs it.

    `found` are the predictions as they are, `who` [L,R,kinds] is 1 at the kind that the agent of a row is.
    """
    assert lived.happened is not None
    kinds, changes = who.shape[-1], max(1, found.change.shape[-1])
    own = who.unsqueeze(-1)
    reward = (slopes.reward[..., :kinds, :] + own * slopes.reward[..., kinds:, :]).unsqueeze(-3)
    change = slopes.change.unsqueeze(-2) * own.unsqueeze(-3) / changes**0.5
    of_kind, of_self = slopes.displaced.unbind(-2)
    each = torch.eye(kinds, dtype=who.dtype, device=who.device)[: of_kind.shape[-2], :, None]
    displaced = each * of_kind.unsqueeze(-2) + own.unsqueeze(-3) * of_self.unsqueeze(-2)
    errors = torch.cat(
        [
            (lived.reward - found.reward).unsqueeze(-1),
            (lived.happened.change - found.change) / changes**0.5,
            lived.happened.displaced[..., : of_kind.shape[-2]] - found.displaced[..., : of_kind.shape[-2]],
        ],
        -1,
    )
    there = lived.there.unsqueeze(-1)
    rows = (torch.cat([reward, change, displaced], -3).flatten(-2) * there.unsqueeze(-1)).flatten(0, 2)
    return Normal(rows.mT @ rows, rows.mT @ (errors * there).flatten())


def solved(equations: Normal, ridge: Tensor) -> Tensor:
    """Return the solutions [M,D] of M tasks' equations, held back by `ridge` [] > 0; in double precision inside."""
    matrix, vector = equations.matrix.double(), equations.vector.double()
    held = matrix + ridge.double() * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    solution: Tensor = torch.cholesky_solve(vector.unsqueeze(-1), torch.linalg.cholesky(held)).squeeze(-1)
    return solution.to(equations.vector.dtype)

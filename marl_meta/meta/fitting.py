"""The context that explains experience best, in closed form: predictions are linear in it, so it is least squares.

    c = c_0 + F z,    z = (F^T J^T J F + l I)^-1 F^T J^T e        J: how predictions move with c, e: their errors at c_0

F says how contexts vary from game to game: as the truth does about hidden rules, of which nodes carry what is known,
and evenly in all else. So z are standard normal before any experience, l the variance of what predictions leave open,
which is learnt, and c the mean of what is then to be believed (Bayesian linear regression on learnt features: Harrison
et al. 2018, "Meta-learning priors for efficient online Bayesian regression"). Its covariance says how unsure that is.
To learn through such a solution is what Bertinetto et al. 2019 do ("Meta-learning with differentiable closed-form
solvers").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from marl_meta.meta.lived import Lived
from marl_meta.nets.knowledge import Knowledge
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


class Prior(nn.Module):
    """How contexts [kinds,W] vary from game to game, and which of their numbers say how unsure others are."""

    spread: Tensor
    """[D,Q] F, D = kinds * W."""
    doubts: Tensor
    """[D,B] 1 where the nodes carry how unsure block b of what is known is."""
    of_block: Tensor
    """[D,B] 1 where they carry what is known of block b."""

    def __init__(self, knowledge: Knowledge | None, kinds: tuple[str, ...], width: int) -> None:
        """Of W features of each kind the first are what is `knowledge`; the others vary by 1 each."""
        super().__init__()
        names = len(knowledge.node_names) if knowledge is not None else 0
        free = np.zeros((len(kinds), width), bool)
        free[:, names:] = True
        columns = [np.eye(free.size, dtype=np.float32)[free.ravel()]]
        doubts, of_block = (np.zeros((0, len(kinds), names), np.float32) for _ in range(2))
        if knowledge is not None:
            known = np.zeros((knowledge.spread().shape[0], *free.shape), np.float32)
            known[..., :names] = knowledge.table(knowledge.spread(), kinds)
            columns.append(known.reshape(len(known), -1))
            marks = np.zeros((2, len(knowledge.blocks), knowledge.width), np.float32)
            for index, block in enumerate(knowledge.blocks):
                marks[0, index, block.start + block.width - 1] = 1.0
                marks[1, index, block.start : block.start + block.width - 1] = 1.0
            doubts, of_block = knowledge.table(marks, kinds)
        self.register_buffer("spread", torch.from_numpy(np.concatenate(columns).T.copy()))
        for name, places in (("doubts", doubts), ("of_block", of_block)):
            whole = np.zeros((len(places), *free.shape), np.float32)
            whole[..., :names] = places
            self.register_buffer(name, torch.from_numpy(whole.reshape(len(places), free.size).T.copy()))

    def solved(self, equations: Normal, carried: Tensor, scale: float, noise: Tensor) -> Tensor:
        """Return by how much M tasks' contexts move, [M,D], where their nodes have `carried` [M,D] so far.

        A context is `scale` times as small as what nodes carry; `noise` [] > 0 is the variance of what predictions
        leave open. Of what is certain already nothing moves. It is computed in double precision.
        """
        matrix, vector, carried = (entry.double() for entry in (*equations, carried))
        doubts, of_block = self.doubts.double(), self.of_block.double()
        doubt = ((carried @ doubts) / doubts.sum(0).clamp(min=1.0)).clamp(0.0, 1.0)
        free = 1.0 - of_block.sum(1)
        spread = self.spread.double() * (free + doubt.sqrt() @ of_block.T).unsqueeze(-1)
        turned = spread.mT / scale
        held = turned @ matrix @ turned.mT
        held = held + noise.double() * torch.eye(held.shape[-1], dtype=held.dtype, device=held.device)
        factor = torch.linalg.cholesky(held)
        found = torch.cholesky_solve((turned @ vector.unsqueeze(-1)), factor)
        # What is left of the variance of each block: of z it is noise * held^-1, of which the context has spread times.
        left = torch.linalg.solve_triangular(factor, spread.mT, upper=False).square().sum(-2) * noise.double()
        before = spread.square().sum(-1)
        share = (left @ of_block) / (before @ of_block).clamp(min=1e-12)
        moved = (spread @ found).squeeze(-1) + (doubt * (share.clamp(max=1.0) - 1.0)) @ doubts.T
        context: Tensor = (moved / scale).to(equations.vector.dtype)
        return context

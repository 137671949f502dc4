"""What a game pays is looked at before anything is counted or learnt from it, for a game may be anybody's."""

from __future__ import annotations

import numpy as np

from marl_meta.types import FloatArray, UserError, VectorGame


def check_rewards(game: VectorGame, reward: FloatArray) -> None:
    """Return nothing where all rewards [B,N] of a step are finite numbers; raises UserError naming game and agent."""
    if np.isfinite(reward).all():
        return
    b, slot = np.argwhere(~np.isfinite(reward))[0].tolist()
    name = game.variant_ids[b].rpartition("-")[0]
    raise UserError(
        f"The game {name!r} paid the agent {game.agent_names[slot]!r} a reward of {reward[b, slot]}, which is not a "
        "number to count or to learn from; allowed are finite numbers."
    )

"""What a joint action pays: the hidden structures of the family `payoff` as one table of payoffs.

`treasure`: the one hidden joint action pays 1 to everybody, every other 0.

All others are symmetric games of two actions, cooperate (0) and defect (1), repeated; `MATRICES` has what a player is
paid by its own action (row) and another's (column). They are those of Melting Pot's "in the matrix" substrates
(Leibo et al., "Scalable Evaluation of Multi-Agent Reinforcement Learning with Melting Pot", ICML 2021), divided by
their largest payoff: stag_hunt [[4, 0], [2, 2]], prisoners_dilemma [[3, 0], [5, 1]], chicken [[3, 2], [5, 0]], and
pure coordination, the identity. `swap_i` exchanges the two actions of player i; actions beyond the first two pay
nothing, neither their player nor whoever meets them. More than two players play against each of the others, and are
paid the mean (a polymatrix game: Yanovskaya, "Equilibrium points in polymatrix games", 1968).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Rules = Mapping[str, Any]

TREASURE = "treasure"
MATRICES: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "stag_hunt": ((1.0, 0.0), (0.5, 0.5)),
    "prisoners_dilemma": ((0.6, 0.0), (1.0, 0.2)),
    "coordination": ((1.0, 0.0), (0.0, 1.0)),
    "chicken": ((0.6, 0.4), (1.0, 0.0)),
}
MAX_PLAYERS, MAX_ACTIONS = 4, 4


def canonical(rules: Rules) -> dict[str, Any]:
    """Return the rules that stand for all complete rules that are the same game.

    Hidden rules that do nothing there are at 0 or false, a treasure is below the number of actions, and of two
    coordination games that differ by exchanging everybody's actions, which is none, it is that with swap_0 false.
    """
    found = dict(rules)
    treasure, actions = rules["structure"] == TREASURE, rules["actions"]
    flipped = rules["structure"] == "coordination" and rules["swap_0"]
    for seat in range(MAX_PLAYERS):
        plays = seat < rules["players"]
        found[f"treasure_{seat}"] = rules[f"treasure_{seat}"] % actions if treasure and plays else 0
        found[f"swap_{seat}"] = bool(rules[f"swap_{seat}"] != flipped) and not treasure and plays
    return found


def payoffs(rules: Rules) -> npt.NDArray[np.float64]:
    """Return what each joint action pays each player: [A,...,A,N], one axis of A actions for each of N players."""
    players, actions = rules["players"], rules["actions"]
    table = np.zeros((*[actions] * players, players))
    if rules["structure"] == TREASURE:
        table[tuple(rules[f"treasure_{seat}"] % actions for seat in range(players))] = 1.0
        return table
    pair = np.zeros((actions, actions))
    pair[:2, :2] = MATRICES[rules["structure"]]
    for joint in np.ndindex(*table.shape[:-1]):
        meant = [_meant(action, swapped=rules[f"swap_{seat}"]) for seat, action in enumerate(joint)]
        for i, own in enumerate(meant):
            table[(*joint, i)] = np.mean([pair[own, other] for j, other in enumerate(meant) if j != i])
    return table


def _meant(action: int, *, swapped: bool) -> int:
    """Return what an action is: cooperate (0), defect (1), or one that pays nothing."""
    return 1 - action if swapped and action < 2 else action

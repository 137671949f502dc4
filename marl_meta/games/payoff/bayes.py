"""What the best possible team earns that does not know the hidden rules: exact values of the family `payoff`.

All values are returns of one episode, the mean over the players (what `marl-meta evaluate` calls a team's return).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.payoff.structures import MATRICES, TREASURE, Rules, canonical, payoffs

Branch = tuple[float, list[tuple[float, int]]]
"""A reward, and pairs of a chance and the belief that it leads to: the set of possible games, a bit for each."""

MAX_GAMES = 16
"""So many games a team may think possible where beliefs are listed: there are up to 2^games of them."""


def treasure_value(joint_actions: int, rounds: int) -> float:
    """Return the value of a treasure hidden anywhere among M joint actions with equal chances, played for T rounds.

    E = sum_{t=1}^{min(M,T)} (T - t + 1) / M: the team tries one joint action after another, in an order on which it
    agrees beforehand, and stays with the one that pays. Nobody needs to know what others did: all see when it pays.
    """
    tried = np.arange(1, min(joint_actions, rounds) + 1)
    return float((rounds - tried + 1).sum() / joint_actions)


def forgetful_value(joint_actions: int, rounds: int) -> float:
    """Return the value of that treasure for players who draw at random and repeat what paid: sum_t 1 - (1 - 1/M)^t."""
    return float((1.0 - (1.0 - 1.0 / joint_actions) ** np.arange(1, rounds + 1)).sum())


def random_value(rules: Rules) -> float:
    """Return what uniformly random players earn under these rules."""
    return float(rules["episode_length"] * payoffs(rules).mean())


def belief_value(games: Sequence[Rules]) -> float:
    """Return the value for a team that knows it plays one of some games, with equal chances, and maximises its sum.

    By dynamic programming over beliefs: V_t(S) = max_a sum_r |S_r| / |S| (r + V_{t-1}(S_r)), where S is the set of the
    games that are still possible and S_r those of them in which the joint action a pays all players the rewards r. The
    team is centralised: one mind sees every action and every reward. Players who see only their own can earn no more,
    so for them it is an upper bound; it is their value too where all are always paid alike, as by a treasure. The games
    must have the same visible rules. Raises ValueError if they have not, or are more than MAX_GAMES.
    """
    visible = {(rules["players"], rules["actions"], rules["episode_length"]) for rules in games}
    if len(visible) != 1 or len(games) > MAX_GAMES:
        raise ValueError(f"needs 1 to {MAX_GAMES} games with the same visible rules, not {len(games)}")
    tables = np.stack([payoffs(rules).reshape(-1, rules["players"]) for rules in games])
    mean = tables.mean(-1)
    outcomes = _outcomes(tables)
    bits = 1 << np.arange(len(games))

    def members(belief: int) -> npt.NDArray[np.bool_]:
        possible: npt.NDArray[np.bool_] = (belief & bits) != 0
        return possible

    def branches(belief: int) -> list[Branch]:
        """Return each joint action's mean reward, and the chances of the beliefs to which its outcomes lead."""
        here = members(belief)
        found: dict[tuple[int, ...], float] = {}
        for joint in range(tables.shape[1]):
            seen = np.unique(outcomes[here, joint])
            parts = tuple(sorted(int(bits[here & (outcomes[:, joint] == one)].sum()) for one in seen))
            found[parts] = max(found.get(parts, -np.inf), float(mean[here, joint].mean()))  # of equally telling ones
        return [
            (reward, [(part.bit_count() / belief.bit_count(), part) for part in parts])
            for parts, reward in found.items()
        ]

    start = (1 << len(games)) - 1
    reached: dict[int, list[Branch]] = {}
    waiting = [start]
    while waiting:
        belief = waiting.pop()
        if belief not in reached:
            reached[belief] = branches(belief)
            waiting += [part for _, parts in reached[belief] for _, part in parts]
    value = dict.fromkeys(reached, 0.0)
    for _ in range(games[0]["episode_length"]):
        value = {
            belief: max(reward + sum(chance * value[part] for chance, part in parts) for reward, parts in options)
            for belief, options in reached.items()
        }
    return value[start]


def team_value(games: Sequence[Rules]) -> float:
    """Return the value of `belief_value`, for different treasures by the closed form: any number of them."""
    if all(rules["structure"] == TREASURE for rules in games):
        return treasure_value(len(games), games[0]["episode_length"])
    return belief_value(games)


def optimal_return(rules: Mapping[str, Any]) -> float | None:
    """Return the value for a team that knows the visible rules, and whether it looks for a treasure.

    Before the first round a treasure may be anywhere with equal chances; and a matrix game may be of any class, with
    any meaning of the players' actions (an upper bound there, see `belief_value`). None where that is not known.
    """
    if rules["structure"] == TREASURE:
        return treasure_value(rules["actions"] ** rules["players"], rules["episode_length"])
    games = matrix_games(rules)
    return belief_value(games) if len(games) <= MAX_GAMES else None


def split_value(variants: Sequence[Rules]) -> float:
    """Return the mean value over a split for a team that knows it: before it starts, any variant is as likely.

    The team sees the visible rules, so that only the variants with the same ones are possible.
    """
    groups: dict[tuple[int, ...], list[Rules]] = {}
    for rules in variants:
        groups.setdefault((rules["players"], rules["actions"], rules["episode_length"]), []).append(rules)
    return sum(len(group) * team_value(group) for group in groups.values()) / len(variants)


def matrix_games(rules: Mapping[str, Any]) -> list[Rules]:
    """Return all matrix games with the visible rules of these."""
    found: list[Rules] = []
    for structure, swaps in product(MATRICES, product((False, True), repeat=rules["players"])):
        chosen = {f"swap_{seat}": swap for seat, swap in enumerate(swaps)}
        game = canonical({**rules, **chosen, "structure": structure})
        if game not in found:
            found.append(game)
    return found


def _outcomes(tables: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return a number [V,J] for each joint action's rewards [V,J,N], the same for the same rewards."""
    flat = tables.reshape(-1, tables.shape[-1]).round(9)  # players are paid means, which differ by rounding
    _, numbers = np.unique(flat, axis=0, return_inverse=True)
    return numbers.reshape(tables.shape[:2])

"""The repeated game as one would write it down: one game, plain Python, straight from the rules."""

from __future__ import annotations

from typing import Any

MATRIX = {  # (own, other) -> pay, as in the literature, before they are divided by the largest
    "stag_hunt": ({"CC": 4, "CD": 0, "DC": 2, "DD": 2}, 4),
    "prisoners_dilemma": ({"CC": 3, "CD": 0, "DC": 5, "DD": 1}, 5),
    "coordination": ({"CC": 1, "CD": 0, "DC": 0, "DD": 1}, 1),
    "chicken": ({"CC": 3, "CD": 2, "DC": 5, "DD": 0}, 5),
}


def pay(rules: dict[str, Any], joint: list[int]) -> list[float]:
    """Return what a joint action pays every player."""
    players = range(rules["players"])
    if rules["structure"] == "treasure":
        found = all(joint[i] == rules[f"treasure_{i}"] % rules["actions"] for i in players)
        return [float(found)] * rules["players"]
    matrix, largest = MATRIX[rules["structure"]]
    words = ["CDxx"[a] if not rules[f"swap_{i}"] else "DCxx"[a] for i, a in enumerate(joint)]
    return [
        sum(matrix.get(words[i] + words[j], 0) / largest for j in players if j != i) / (rules["players"] - 1)
        for i in players
    ]


class Reference:
    """One game under one variant."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self.rules, self.round = rules, 0
        self.private = [[0.0] * 5 for _ in range(rules["players"])]

    def step(self, joint: list[int]) -> tuple[list[float], bool, list[list[float]]]:
        """Return rewards, whether the game was cut off, and what the players knew then."""
        rewards = pay(self.rules, joint)
        self.round += 1
        last = [[float(a == i) for i in range(4)] + [reward] for a, reward in zip(joint, rewards, strict=True)]
        over = self.round == self.rules["episode_length"]
        self.private = [[0.0] * 5 for _ in joint] if over else last
        self.round = 0 if over else self.round
        return rewards, over, last

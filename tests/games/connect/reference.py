"""The game as one would write it down: one board, plain Python, straight from the rules."""

from __future__ import annotations

from typing import Any

EMPTY, BLOCKED = ".", "#"
STONES = "XO"


class Reference:
    """One game under one variant. Its blocked cells are given: where they are is the game's own chance."""

    def __init__(self, rules: dict[str, Any], blocked: set[tuple[int, int]]) -> None:
        self.rules = rules
        self.width, self.height, self.length = rules["width"], rules["height"], rules["in_a_row"]
        self.board = {(x, y): EMPTY for y in range(self.height) for x in range(self.width)}  # y counts from the top
        for cell in blocked:
            self.board[cell] = BLOCKED
        self.turn = 0
        self.last: tuple[int, int] | None = None

    def landing(self, action: int) -> tuple[int, int] | None:
        """Return where the stone of an action comes to lie; None if it is not legal."""
        if not self.rules["gravity"]:
            cell = (action % self.width, action // self.width)
            return cell if self.board.get(cell) == EMPTY else None
        empty = [y for y in range(self.height) if self.board.get((action, y)) == EMPTY]
        return (action, max(empty)) if empty else None

    def playable(self) -> dict[int, tuple[int, int]]:
        """Return the legal actions and their cells."""
        cells = {action: self.landing(action) for action in range(self.width * self.height)}
        return {action: cell for action, cell in cells.items() if cell is not None}

    def step(self, action: int) -> tuple[list[float], bool]:
        """Return rewards, and whether the game is over."""
        cell = self.landing(action)
        assert cell is not None
        self.board[cell], self.last, mover = STONES[self.turn], cell, self.turn
        self.turn = 1 - self.turn
        mine = [all(self.board[one] == STONES[mover] for one in line) for line, kind in self.lines().items()
                if self.counts(kind)]  # fmt: skip
        rewards = [0.0, 0.0]
        if any(mine):
            rewards[mover] = -1.0 if self.rules["misere"] else 1.0
            rewards[1 - mover] = -rewards[mover]
        return rewards, any(mine) or not self.playable()

    def counts(self, kind: str) -> bool:
        """Return whether lines of this kind count."""
        allowed = {"row", "column"}
        if self.rules["diagonals"]:
            allowed.add("diagonal")
        if self.rules["wrap"]:
            allowed.add("wrapped_row")
        if self.rules["wrap"] and self.rules["diagonals"]:
            allowed.add("wrapped_diagonal")
        return kind in allowed

    def lines(self) -> dict[frozenset[tuple[int, int]], str]:
        """Return the cells of every line that might count, each with its kind."""
        found: dict[frozenset[tuple[int, int]], str] = {}
        for x, y in self.board:
            for dx, dy in ((1, 0), (0, 1), (1, 1), (-1, 1)):
                walk = [(x + dx * i, y + dy * i) for i in range(self.length)]
                around = frozenset((one % self.width, other) for one, other in walk)
                if len(around) < self.length or not all(cell in self.board for cell in around):
                    continue
                inside = all(cell in self.board for cell in walk)
                name = "row" if dy == 0 else "column" if dx == 0 else "diagonal"
                if inside:
                    found[around] = name
                else:
                    found.setdefault(around, f"wrapped_{name}")
        return found

    def open_lines(self) -> dict[frozenset[tuple[int, int]], dict[str, Any]]:
        """Return what is to be seen of the lines that somebody can still complete."""
        seen = {}
        playable = set(self.playable().values())
        for line, kind in self.lines().items():
            there = [self.board[cell] for cell in line]
            owners = {stone for stone in there if stone != EMPTY}
            if owners > {BLOCKED} or owners == {BLOCKED} or len(owners) > 1:
                continue
            if self.rules["told"] and not self.counts(kind):
                continue
            stones = len(there) - there.count(EMPTY)
            worth = (-1.0 if self.rules["misere"] else 1.0) if self.rules["told"] else 0.0
            seen[line] = {
                "kind": kind,
                "team": STONES.index(owners.pop()) if owners else -1,
                "stones": stones / self.length,
                "ready": sum(cell in playable for cell in line) / self.length,
                "worth": worth,
                **{f"missing_{i}": float(self.length - stones == i) for i in (1, 2, 3)},
            }
        return seen

"""Writing a team to a file for use elsewhere: what is written follows from the file's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marl_meta.export.onnx_file import write_onnx
from marl_meta.export.script import Last, write_script
from marl_meta.export.sight import Sight
from marl_meta.export.sights import family_sight, visible_rules
from marl_meta.games import Family, load_family, parse_rules
from marl_meta.team.team import Team
from marl_meta.trust import trained_game
from marl_meta.types import TeamLayout, UserError
from marl_meta.wording import listed


def export_team(
    team: Team, path: Path, *, game: str | None = None, side: str | None = None, splits: Sequence[str] = (),
    rules: Sequence[str] = (), last: Last = "native", deterministic: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Write a team's policy for a side to NAME.onnx, or to NAME.py, a script that stands alone.

    A script plays a family of games, `game` or the one that the team was trained on, under the visible rules of some
    `splits` (by default all but those to train on) and under `rules`. Returns its `path`, `bytes`, `side`, how many
    choices of `rules` a script knows, and `notes` to whoever uses it. Raises UserError for bad input, and where the
    file exists.
    """
    if path.suffix not in (".onnx", ".py"):
        raise UserError(f"A team is exported to NAME.onnx or to NAME.py, not to {path.name!r}.")
    if path.exists():
        raise UserError(f"{path} exists, and is not overwritten; name another file.")
    if not path.parent.is_dir():
        raise UserError(f"{path} cannot be written: there is no folder {path.parent}.")
    playing = _side_of(team, side)
    known: list[Sight] = []
    if path.suffix == ".onnx":
        if game or splits or rules:
            raise UserError(
                "An ONNX file plays under any rules; --game, --split and --rules are for scripts (NAME.py)."
            )
        write_onnx(team, playing, path)
    else:
        known = _sights(_family_of(team, game), splits, rules)
        write_script(team, playing, known, path, last=last, deterministic=deterministic)
    return {
        "path": str(path), "bytes": path.stat().st_size, "side": playing.name, "rules": len(known),
        "notes": _notes(team, playing),
    }  # fmt: skip


def _side_of(team: Team, side: str | None) -> TeamLayout:
    """Return the side that is exported: by name, or the first that the team plays."""
    playable = [one for one in team.layout.teams if one.name in team.plays]
    for one in playable:
        if side in (None, one.name):
            return one
    raise UserError(f"The team {team.name!r} does not play {side!r}; it plays {listed(one.name for one in playable)}.")


def _family_of(team: Team, game: str | None) -> Family:
    if game is not None:
        return load_family(game)
    trained = team.trained_on.get("game") or {}
    if trained.get("family") in (None, "pettingzoo"):
        raise UserError(
            f"The team {team.name!r} was trained on {trained.get('entry_point', 'a game that is not written down')}; a "
            "script can be made for families of games (--game). Export it to NAME.onnx."
        )
    return load_family(trained_game(team.trained_on, {"family": "--game {}"})["family"])


def _sights(family: Family, splits: Sequence[str], rules: Sequence[str]) -> list[Sight]:
    """Return how games are seen under the visible rules of splits and under given rules, each choice of them once."""
    chosen = splits or ([] if rules else [name for name in family.splits if "train" not in name])
    variants = [variant for name in chosen for variant in family.split(name)]
    variants += [parse_rules(text, family) for text in rules]
    if not variants:
        variants = [family.variant({})]
    distinct = {repr(visible_rules(family, variant.rules)): variant.rules for variant in variants}
    return [family_sight(family, one).sight for one in distinct.values()]


def _notes(team: Team, side: TeamLayout) -> list[str]:
    """Return what somebody who uses the export has to know."""
    if team.policy_for(side) not in team.adapters:
        return []
    note = (
        "This team adapts by gradients, which only this toolkit takes: the export plays as the team is now. To have it "
        "play a variant, adapt it first (marl-meta adapt)."
    )
    return [note]

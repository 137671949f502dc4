"""Options that several commands take, and what some of them mean together."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marl_meta.types import UserError

if TYPE_CHECKING:
    from marl_meta.evaluate.ground import ThirdPartyGame

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]

TeamFolder = Annotated[Path, typer.Argument(help="Folder of the team, or of the run that trained it.")]

Seed = Annotated[int, typer.Option(help="Seed of the games and of everybody's draws.")]

Game = Annotated[str | None, typer.Option(help="Family to play; by default the one that was trained on.")]

PettingZoo = Annotated[
    str | None,
    typer.Option(
        help="Third-party game to play instead, parallel or turn-based, such as mpe2.simple_spread_v3:parallel_env."
    ),
]

Kwargs = Annotated[str | None, typer.Option(help="Arguments of the third-party game, as JSON.")]

Schema = Annotated[
    str | None,
    typer.Option(
        help="What the third-party game's flat observations mean: simple_spread, simple_tag, ..., or a YAML file."
    ),
]

Sides = Annotated[
    str | None,
    typer.Option(
        help="Who is on which side of the third-party game, as JSON by patterns of agents' names "
        """('{"player_0": "red", "player_1": "blue"}'), or `each` for every agent on its own; by default agents of """
        "one kind are a side, or every agent is, where they move in turns."
    ),
]

EACH = "each"
"""What `--sides` says where every agent is a side."""


class WandbMode(StrEnum):
    """What `tracking.wandb` may be."""

    AUTO = "auto"
    ONLINE = "online"
    OFFLINE = "offline"
    OFF = "off"


def chosen_game(
    game: str | None, pettingzoo: str | None, kwargs: str | None, schema: str | None, sides: str | None = None
) -> ThirdPartyGame | str | None:
    """Return the game that the options name, or None where they name none; raises UserError where they make none."""
    third_party = third_party_game(pettingzoo, kwargs, schema, sides)
    if third_party is not None and game is not None:
        raise UserError(
            "Either --game names a family or --pettingzoo a third-party game; both cannot be played at once."
        )
    return third_party or game


def third_party_game(
    entry_point: str | None, kwargs: str | None, schema: str | None, sides: str | None = None
) -> ThirdPartyGame | None:
    """Return the third-party game that the options name, or None; raises UserError where they do not fit."""
    from marl_meta.evaluate.ground import ThirdPartyGame

    if entry_point is None:
        if kwargs is not None or schema is not None or sides is not None:
            raise UserError("--kwargs, --schema and --sides are of a third-party game, which --pettingzoo names.")
        return None
    arguments = _mapping("--kwargs", kwargs, '{"N": 3}')
    named = {"*": "*"} if sides == EACH else _mapping("--sides", sides, '{"player_0": "red"}')
    if not all(isinstance(side, str) and side for side in named.values()):
        raise UserError(f"--sides gives patterns of agents' names the names of sides, not {sides!r}.")
    return ThirdPartyGame(entry_point, arguments, schema, named)


def _mapping(option: str, text: str | None, example: str) -> dict[str, Any]:
    """Return the JSON object that an option is; raises UserError for anything else."""
    try:
        found: Any = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise UserError(f"{option} {text!r} is not JSON ({error}); allowed is an object such as {example}.") from error
    if not isinstance(found, dict):
        raise UserError(f"{option} must be a JSON object such as {example}, not {text!r}.")
    return found

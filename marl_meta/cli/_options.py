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
    typer.Option(help="Third-party game to play instead, such as mpe2.simple_spread_v3:parallel_env."),
]

Kwargs = Annotated[str | None, typer.Option(help="Arguments of the third-party game, as JSON.")]

Schema = Annotated[
    str | None,
    typer.Option(
        help="What the third-party game's flat observations mean: simple_spread, simple_tag, ..., or a YAML file."
    ),
]


class WandbMode(StrEnum):
    """What `tracking.wandb` may be."""

    AUTO = "auto"
    ONLINE = "online"
    OFFLINE = "offline"
    OFF = "off"


def chosen_game(
    game: str | None, pettingzoo: str | None, kwargs: str | None, schema: str | None
) -> ThirdPartyGame | str | None:
    """Return the game that the options name, or None where they name none; raises UserError where they make none."""
    third_party = _third_party_game(pettingzoo, kwargs, schema)
    if third_party is not None and game is not None:
        raise UserError(
            "Either --game names a family or --pettingzoo a third-party game; both cannot be played at once."
        )
    return third_party or game


def _third_party_game(entry_point: str | None, kwargs: str | None, schema: str | None) -> ThirdPartyGame | None:
    from marl_meta.evaluate.ground import ThirdPartyGame

    if entry_point is None:
        if kwargs is not None or schema is not None:
            raise UserError("--kwargs and --schema are of a third-party game, which --pettingzoo names.")
        return None
    try:
        arguments: Any = json.loads(kwargs or "{}")
    except json.JSONDecodeError as error:
        raise UserError(
            f'--kwargs {kwargs!r} is not JSON ({error}); allowed is an object such as {{"N": 3}}.'
        ) from error
    if not isinstance(arguments, dict):
        raise UserError(f'--kwargs must be a JSON object such as {{"N": 3}}, not {kwargs!r}.')
    return ThirdPartyGame(entry_point, arguments, schema)

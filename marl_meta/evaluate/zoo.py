"""The zoo: trained teams that ship with the toolkit (`load_team("zoo:NAME")`), and what each of them scores.

Each is a folder of `zoo/` with the team itself and `origin.json`: the command that trained it, its seed, its cost, and
the settings and the outcome of the evaluation that made its published score.

    python -m marl_meta.evaluate.zoo runs/NAME --command "marl-meta train ..." --split held_out

puts runs/NAME/team into the checkout's zoo.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marl_meta import resources
from marl_meta.evaluate.run import evaluate
from marl_meta.files import atomic_write_text, read_json
from marl_meta.team import ZOO, load_team
from marl_meta.types import UserError

ORIGIN = "origin.json"
MOST_BYTES = 1_000_000
"""Largest team that belongs into a repository."""


@dataclass(frozen=True, slots=True)
class Published:
    """A team of the zoo."""

    name: str
    folder: Path
    origin: dict[str, Any]
    """`command`, `seed`, `env_steps`, `seconds`, `evaluation` (its settings), `score`."""


def published() -> list[Published]:
    """Return the teams of the zoo, by name."""
    folders = {path.parent.name: path.parent for zoo in resources.data_dirs("zoo") for path in zoo.glob(f"*/{ORIGIN}")}
    return [Published(name, folder, read_json(folder / ORIGIN)) for name, folder in sorted(folders.items())]


def score(team: str | Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what a team scores: `returns` of an agent (per episode), of `random` play, and S where there is an oracle.

    Without one nothing says what a 1 is worth: a team that adapts may be worse at being told. An oracle's returns are
    those when told.
    """
    found = evaluate(team, **settings)
    record = found.record()["teams"][0]
    if record.get("trained", {}).get("meta") == "oracle":
        record["returns"] = record["oracle"]
    kept = ("side", "returns", "random", *(("S_iqm", "S_low", "S_high") if settings.get("oracle") else ()))
    return {key: record[key] for key in kept if record.get(key) is not None}


def publish(run: Path, zoo: Path, command: str, settings: dict[str, Any]) -> Published:
    """Copy a run's team into the folder `zoo`, evaluate it there and write its origin down; returns it.

    Raises UserError for a team that is too large, and where there is one of that name.
    """
    team = load_team(run)
    folder = zoo / team.name
    if folder.exists():
        raise UserError(f"There is a team at {folder} already; remove it first, or train under another name.")
    team.save(folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > MOST_BYTES:
        raise UserError(f"The team {team.name!r} takes {size} bytes; a team of the zoo takes at most {MOST_BYTES}.")
    trained = team.trained_on
    origin = {
        "command": command,
        "seed": trained.get("seed"),
        "env_steps": trained.get("env_steps"),
        "seconds": trained.get("seconds"),
        "evaluation": settings,
        "score": score(folder, settings),
    }
    atomic_write_text(folder / ORIGIN, json.dumps(origin, indent=2) + "\n")
    return Published(team.name, folder, origin)


def _main(arguments: list[str]) -> None:
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m marl_meta.evaluate.zoo", description="Put a run's team into the zoo."
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--command", required=True, help="the command that trained it")
    parser.add_argument("--split", help="split of the published score")
    parser.add_argument("--episodes", type=int)
    parser.add_argument("--oracle", help="told team that scores are measured by, such as zoo:NAME")
    parser.add_argument("--games", type=int, help="games of each variant")
    given = parser.parse_args(arguments)
    settings = {
        "split": given.split, "episodes": given.episodes, "games_per_variant": given.games, "oracle": given.oracle,
        "seed": 0,
    }  # fmt: skip
    zoo = Path(__file__).resolve().parents[2] / "zoo"
    made = publish(given.run, zoo, given.command, {key: value for key, value in settings.items() if value is not None})
    sys.stdout.write(f"{ZOO}{made.name}: {json.dumps(made.origin['score'])}\n")


if __name__ == "__main__":
    _main(sys.argv[1:])

"""The trajectory of a replay as plain numbers, for JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from typing import Any

from marl_meta.replay.decoding import actions_of, cells_of, places_of, presence_of, rewards_of
from marl_meta.replay.record import EpisodeRecord, ReplayRecord

COLUMNS = ("episode", "step", "agent", "team", "action", "reward", "ended", "x", "y")


def trajectory(record: ReplayRecord) -> dict[str, Any]:
    """Return everything in a replay as plain lists: who, and of each episode actions, rewards, ends, and the scene."""
    return {
        "game": record.game.model_dump(mode="json"),
        "agents": [agent.model_dump(mode="json") for agent in record.agents],
        "objects": record.objects,
        "actions": record.actions,
        "teams": [team.model_dump(mode="json") for team in record.teams],
        "returns": record.returns,
        "episodes": [_episode(record, episode) for episode in record.episodes],
    }


def _episode(record: ReplayRecord, episode: EpisodeRecord) -> dict[str, Any]:
    found: dict[str, Any] = {
        "steps": episode.steps,
        "over": episode.over,
        "actions": _actions(record, episode),
        "rewards": _rounded(rewards_of(record, episode).tolist()),
        "ends": [list(end) for end in episode.ends],
    }
    match episode.scene.kind:
        case "particles":
            found["places"] = _rounded(places_of(record, episode).transpose(2, 0, 1).tolist())
            found["radius"] = episode.scene.radius
        case "board":
            found["cells"] = cells_of(episode).tolist()
    return found


def _actions(record: ReplayRecord, episode: EpisodeRecord) -> list[list[Any]]:
    """Return what each agent did at each step [N][T], None where it did not act."""
    found: list[list[Any]] = [[None] * episode.steps for _ in range(record.num_agents)]
    for group in actions_of(record, episode):
        for row, agent in enumerate(group.agents.tolist()):
            numbers = group.chosen if group.chosen is not None else group.numbers
            assert numbers is not None
            found[agent] = [
                _known(value) if acts else None
                for value, acts in zip(numbers[row].tolist(), group.acts[row].tolist(), strict=True)
            ]
    return found


def _known(value: Any) -> Any:
    """Return a number, or lists of them, with None for what JSON has no number for."""
    if isinstance(value, list):
        return [_known(one) for one in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None


def _rounded(value: Any) -> Any:
    return [_rounded(one) for one in value] if isinstance(value, list) else round(value, 6)


def trajectory_csv(record: ReplayRecord) -> str:
    """Return a line for each agent and step: what it did, what it was paid, and where it was after that.

    Step 0 is the start, without an action. Places are empty in games without them.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_lines(record))
    return text.getvalue()


def _lines(record: ReplayRecord) -> Iterator[list[Any]]:
    for number, episode in enumerate(record.episodes, 1):
        actions, rewards = _actions(record, episode), rewards_of(record, episode)
        placed = episode.scene.kind == "particles"
        places, present = (
            (places_of(record, episode), presence_of(record, episode)) if placed else (None, None)
        )  # fmt: skip
        ends = {agent: (step, kind) for agent, step, kind in episode.ends}
        for time in range(episode.steps + 1):
            for index, agent in enumerate(record.agents):
                where: list[Any] = ["", ""]
                if places is not None and present is not None and present[index, time]:
                    where = _rounded(places[index, :, time].tolist())
                done = actions[index][time - 1] if time else None
                step, kind = ends.get(index, (0, ""))
                yield [
                    number, time, agent.name, record.teams[agent.team].name, _named(record, done),
                    round(float(rewards[index, time - 1]), 6) if time else "", kind if time and step == time else "",
                    *where,
                ]  # fmt: skip


def _named(record: ReplayRecord, action: Any) -> Any:
    if action is None:
        return ""
    return record.action_name(action) if isinstance(action, int) else action

"""Let a team find out about one variant, and keep what it found out: `adapt(learner, experience) -> learner`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from marl_meta.evaluate.ground import ThirdPartyGame
from marl_meta.evaluate.lineup import able, side_seed
from marl_meta.evaluate.play import sides_of
from marl_meta.evaluate.run import Report, unreported
from marl_meta.evaluate.threads import single_threaded
from marl_meta.evaluate.watching import moves, recorder_of, seats_for, team_seat, trained_game
from marl_meta.games import Family
from marl_meta.games.family import check_integer
from marl_meta.meta.controller import GradientController
from marl_meta.replay import Replay
from marl_meta.replay.recorder import Recorder
from marl_meta.rollout import Controller
from marl_meta.team import Team, TeamController, load_team
from marl_meta.types import FloatArray, UserError, VectorGame
from marl_meta.wording import listed


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """What `adapt` returns."""

    team: Team
    """The team that remembers; the one that was given is as it was."""
    game: str
    side: str
    rules: dict[str, Any]
    returns: FloatArray
    """[K] the mean over the side's agents of their returns, episode by episode."""
    random: FloatArray
    """[K] what random play earned in episodes from the same starts of the random streams."""
    env_steps: int
    replay: Replay | None = None
    """The episodes, where somebody wanted to watch them."""

    def record(self) -> dict[str, Any]:
        """Return it as plain values: what `marl-meta adapt --json` prints."""
        return {
            "team": self.team.name,
            "game": self.game,
            "side": self.side,
            "rules": self.rules,
            "episodes": len(self.returns),
            "returns": [float(value) for value in self.returns],
            "random": [float(value) for value in self.random],
            "env_steps": self.env_steps,
        }


def adapt(
    team: str | Path | Team,
    *,
    rules: Mapping[str, Any] | str | None = None,
    game: str | Path | Family | ThirdPartyGame | None = None,
    episodes: int = 5,
    side: str | None = None,
    seed: int = 0,
    watch: bool = False,
    report: Report = unreported,
) -> Adapted:
    """Return what a team is after `episodes` episodes of one variant, and what it earned in each of them.

    Teams of the game that the team does not play (or cannot) play at random.

    Args:
        team: the folder of a team (or of the run that trained it), or a loaded team; it is left as it is.
        rules: of the variant: values that differ from the defaults, or text (inline JSON, a file, a variant_id).
        game: a family or a third-party game of the same layout; by default the one that the team was trained on.
        episodes: K.
        side: name of the team of the game that it plays; by default the first that it can play.
        seed: of the game and of everybody's draws.
        watch: whether the episodes are recorded as a replay, with what the team thinks.
        report: is told of the progress.

    Raises UserError on bad input, and for a team that does not adapt.
    """
    loaded = team if isinstance(team, Team) else load_team(team)
    check_integer("episodes", episodes, low=1)
    check_integer("seed", seed, low=0)
    ground = trained_game(loaded, game, rules)
    if ground.num_variants != 1:
        raise UserError("A team adapts to one variant; say which by its rules.")
    # A trial longer than what is played: at its end the team would forget.
    played = ground.open(1, episodes + 1, seed)
    sides = {team.name: team for team in played.layout.teams if team.name in sides_of(played)}
    chosen = side or next((name for name, layout in sides.items() if able(loaded)(layout)), next(iter(sides)))
    if chosen not in sides:
        raise UserError(f"The game has no team {chosen!r}; its teams are {listed(sides)}.")
    seats = seats_for(ground, played, {}, seed)
    others = {name: seat.controller for name, seat in seats.items()}
    seats[chosen] = team_seat(loaded, played, chosen, side_seed(seed, 0))
    player = seats[chosen].controller
    assert isinstance(player, TeamController | GradientController)
    name = loaded.policy_for(sides[chosen])
    design = loaded.designs[name]
    remembers = design.recurrent and design.trial_inputs
    if not remembers and name not in loaded.beliefs and name not in loaded.adapters:
        raise UserError(
            f"The team {loaded.name!r} does not adapt: it has neither a memory of a whole trial (meta=rl2) nor a "
            "belief about the rules (meta=belief), nor does it take gradient steps (such as meta=cavia)."
        )
    try:
        recorder = recorder_of(ground, played, seats, seed) if watch else None
        returns, steps = _play(played, {**others, chosen: player}, chosen, episodes, report, recorder)
        variant_rules = dict(played.rules[0])
    finally:
        played.close()
    other = ground.open(1, episodes + 1, seed)
    try:
        random, _ = _play(other, others, chosen, episodes, unreported)
    finally:
        other.close()
    adapted = replace(
        loaded.after(name, player),
        adapted_to={"game": ground.game, "rules": variant_rules, "episodes": episodes, "seed": seed},
        path=None,
    )
    replay = None if recorder is None else Replay(recorder.record())
    return Adapted(adapted, ground.game, chosen, variant_rules, returns, random, steps, replay)


def _play(
    game: VectorGame, players: Mapping[str, Controller], side: str, episodes: int, report: Report,
    recorder: Recorder | None = None,
) -> tuple[FloatArray, int]:  # fmt: skip
    """Return what a side earns in each episode [K] of the only game, and the number of steps."""
    agents = sides_of(game)[side]
    earned: list[float] = []
    running, steps = 0.0, 0
    with single_threaded():
        for observation, step in moves(game, players, recorder):
            running += float(step.reward[0, agents].sum()) / max(int(observation.acting[0, agents].sum()), 1)
            steps += 1
            if step.game_over[0]:
                earned.append(running)
                running = 0.0
                report(len(earned), episodes, side)
            if len(earned) == episodes:
                break
    return np.array(earned, np.float32), steps

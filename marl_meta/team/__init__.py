"""The portable team: a folder of `team.json` and `weights.safetensors`, no code in either.

team = load_team("runs/first/team")
player = team.controller(game.layout, plays="adversaries")
player.reset(game.num_games, agents)
actions = player.act(step.observation)
"""

from marl_meta.team.card import SCHEMA_VERSION
from marl_meta.team.controllers import TeamController
from marl_meta.team.loading import ZOO, load_team
from marl_meta.team.team import Team

__all__ = ["SCHEMA_VERSION", "ZOO", "Team", "TeamController", "load_team"]

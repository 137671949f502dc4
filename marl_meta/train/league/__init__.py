"""A league: members that the learners play against beside each other, who is drawn when, and what comes of it."""

from marl_meta.train.league.league import League
from marl_meta.train.league.opening import open_league

__all__ = ["League", "open_league"]

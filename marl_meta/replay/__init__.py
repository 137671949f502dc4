"""Replays: record a game, watch it, play it again and see that the same happens.

replay = marl_meta.play("zoo:payoffs-belief", rules={"payoff": [0, 1, -1]}, episodes=3)
replay.save("trial.replay.json.gz")
"""

from marl_meta.replay.replay import Replay, load_replay, watch_page

__all__ = ["Replay", "load_replay", "watch_page"]

from __future__ import annotations

import time
from pathlib import Path

from marl_meta.games import make_vec
from marl_meta.replay import Replay, load_replay
from marl_meta.replay.recorder import Who
from tests.replay.recorded import Dreamer, record_game

COUNT, MOST_SECONDS = 1_000, 30.0


def test_a_thousand_replays_are_read_verified_and_shown(tmp_path: Path) -> None:
    game = make_vec("tag", num_games=1)
    sides = list(zip(game.layout.teams, (3, 1), strict=True))
    paths = []
    for seed in range(COUNT):
        who = {team.name: Who("dreamer", thinker=Dreamer(game, n, seed)) for team, n in sides}
        paths.append(Replay(record_game("tag", seed=seed, luck=seed, who=who)).save(tmp_path / str(seed)))
    seconds = dict.fromkeys(("read", "verify", "page"), 0.0)
    for path in paths:
        times = [time.perf_counter()]
        replay = load_replay(path)
        times.append(time.perf_counter())
        assert replay.verify().same
        times.append(time.perf_counter())
        assert len(replay.page()) > 1_000
        times.append(time.perf_counter())
        for key, begin, end in zip(seconds, times, times[1:], strict=False):
            seconds[key] += end - begin
    size = sum(path.stat().st_size for path in paths) / COUNT
    parts = ", ".join(f"{key} {value:.1f} s" for key, value in seconds.items())
    print(f"\n{COUNT} replays of tag with thoughts, {size:,.0f} bytes each: {sum(seconds.values()):.1f} s ({parts})")
    assert sum(seconds.values()) < MOST_SECONDS

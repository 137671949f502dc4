"""Recording any PettingZoo loop: `with marl_meta.record(env, "match.replay.json.gz"): ...`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gymnasium import spaces

from marl_meta.interop.developing import develop
from marl_meta.interop.origin import api_of, origin
from marl_meta.interop.taping import Tape
from marl_meta.replay import Replay
from marl_meta.replay.reading import target
from marl_meta.replay.record import ReplayRecord
from marl_meta.types import UserError


def record(
    env: Any,
    path: str | Path | None = None,
    *,
    players: Mapping[str, str] | None = None,
    title: str | None = None,
    schema: str | None = None,
    entry_point: str | None = None,
    kwargs: dict[str, Any] | None = None,
    frames: bool | None = None,
) -> Recording:
    """Return a context in which all that is played in a PettingZoo environment is recorded, and written in the end.

    The loop itself stays as it is; both of PettingZoo's interfaces will do. In the end `.replay` is the replay.

        with marl_meta.record(env, "match.replay.json.gz"):
            observations, infos = env.reset(seed=0)
            while env.agents:
                env.step({agent: env.action_space(agent).sample() for agent in env.agents})

    Args:
        env: a ParallelEnv or an AECEnv, ours or anybody's.
        path: the file to write, at the end of the context, whatever ends it; None keeps the replay in memory.
        players: who plays each team, for people: names by team (or by agent).
        title: a line for people.
        schema: what flat observations mean (as `game.schema` of a training), so that the game can be drawn.
        entry_point: what makes the game again (`package.module:callable`), where it cannot be found out.
        kwargs: its arguments.
        frames: whether pictures are kept of a game that cannot be drawn otherwise, which is slow; by default where the
            environment was made with `render_mode="rgb_array"`.

    Raises UserError for what is no such environment, for agents and actions that a replay cannot hold, and for a folder
    that is not there.
    """
    api = api_of(env)
    _check_agents(env)
    wanted = target(Path(path)) if path is not None else None
    tape = Tape(env, origin(env, entry_point, kwargs, schema), frames=frames)
    return Recording(tape, wanted, partial(develop, players=players, title=title), api == "parallel")


def _check_agents(env: Any) -> None:
    agents = getattr(env, "possible_agents", None)
    if not agents or not all(isinstance(agent, str) for agent in agents):
        raise UserError("Only an environment whose possible_agents are known by name can be recorded.")
    for agent in agents:
        space = env.action_space(agent)
        if not isinstance(space, spaces.Discrete | spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
            raise UserError(
                f"The actions of {agent!r} cannot be recorded: its space is a {type(space).__name__}, not a Discrete, "
                "Box, MultiDiscrete or MultiBinary."
            )


class Recording:
    """What `record` returns: a context."""

    def __init__(
        self, tape: Tape, path: Path | None, develop: Callable[..., ReplayRecord | None], parallel: bool
    ) -> None:
        self._env, self._tape, self._path, self._develop, self._parallel = tape.env, tape, path, develop, parallel
        self._before: dict[str, Any] = {}
        self.replay: Replay | None = None
        """The replay, once the context is left; None where nothing was played."""

    def __enter__(self) -> Self:
        """Listen to what the environment is asked to do."""
        if self._before:
            raise UserError("This recording is already under way.")
        tape = self._tape
        if self._parallel:
            self._listen("reset", tape.reset_parallel)
            self._listen("step", tape.step_parallel)
        else:
            self._listen("observe", tape.observe)
            self._listen("reset", tape.reset_aec)
            self._listen("step", tape.step_aec)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the environment as it was, and write the replay."""
        for name, own in self._before.items():
            if own is None:
                delattr(self._env, name)
            else:
                setattr(self._env, name, own)
        self._before = {}
        failed = error is not None and isinstance(error, Exception)
        played = self._develop(self._tape, failed=failed, log=f"{type(error).__name__}: {error}" if failed else "")
        if played is not None:
            self.replay = Replay(played)
            if self._path is not None:
                self.replay.save(self._path)

    def _listen(self, name: str, listener: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._before[name] = vars(self._env).get(name)
        setattr(self._env, name, listener(getattr(self._env, name)))

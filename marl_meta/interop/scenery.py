"""What to draw of a PettingZoo environment, moment by moment: particles, a board, pictures, or nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from PIL import Image

from marl_meta.games.connect.planes import board_of, is_board
from marl_meta.interop.parallel import ParallelGame
from marl_meta.interop.plan import GamePlan, GameSource, plan_game
from marl_meta.interop.reconstruct import reconstruct, remember
from marl_meta.interop.schemas import load_schema
from marl_meta.interop.turn_game import our_game
from marl_meta.replay.encoding import encode_board, encode_particles
from marl_meta.replay.record import GameRecord, Scene
from marl_meta.replay.recorder import PARTICLES
from marl_meta.types import BoolArray, FloatArray, SmallIntArray, UserError

LARGEST_BOARD = 32
"""Cells of a side."""

LARGEST_FRAME = 320
"""Pixels of the longer side."""

_PIECES = 2


class Camera(Protocol):
    """Keeps what there is to draw, and makes scenes of it in the end."""

    kinds: list[str]
    """Of the agents; empty where it knows no better than their names."""
    objects: list[str]
    """Kinds of the entities that do not act."""

    def restart(self) -> None:
        """Begin an episode."""

    def look(self, observations: Mapping[str, Any]) -> None:
        """Keep the moment, at which these were shown what."""

    def finish(self) -> None:
        """End an episode, while the game still is where it ended."""

    def scenes(self) -> list[Scene]:
        """Return what was kept, episode by episode."""


def camera_for(env: Any, game: GameRecord, agents: list[str], *, frames: bool | None) -> Camera:
    """Return what keeps most of this environment."""
    inner, ours = env.unwrapped, our_game(env)
    if ours is not None:
        return OurBoardCamera(ours) if is_board(ours.game.layout) else OurCamera(ours)
    if game.observation_schema is not None and game.entry_point is not None:
        return SchemaCamera(env, game, agents)
    board = BoardCamera.fitting(env, agents)
    if board is not None:
        return board
    if frames or (frames is None and getattr(inner, "render_mode", None) == "rgb_array"):
        return FrameCamera(env)
    return NoCamera()


class NoCamera:
    """Keeps nothing."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.objects: list[str] = []
        self._episodes = 0

    def restart(self) -> None:
        """Begin an episode."""
        self._episodes += 1

    def look(self, observations: Mapping[str, Any]) -> None:
        """Keep nothing."""

    def finish(self) -> None:
        """End an episode: everything has been kept."""

    def scenes(self) -> list[Scene]:
        """Return scenes of nothing."""
        return [Scene(kind="none")] * self._episodes


class OurCamera:
    """Keeps where the entities of one of our families are."""

    def __init__(self, game: ParallelGame) -> None:
        self._game = game
        layout, shown = game.game.layout, game.shown
        kinds = [layout.kinds[kind] for kind in shown.kind[0]]
        count = len(game.possible_agents)
        self.kinds, self.objects = kinds[:count], kinds[count:]
        placed = set(PARTICLES) <= set(layout.entity_features)
        self._columns = [layout.entity_features.index(name) for name in PARTICLES] if placed else []
        self._episodes: list[list[tuple[FloatArray, BoolArray]]] = []

    def restart(self) -> None:
        """Begin an episode."""
        self._episodes.append([])

    def look(self, observations: Mapping[str, Any]) -> None:  # noqa: ARG002 (it knows better)
        """Keep where everything is."""
        shown = self._game.shown
        self._episodes[-1].append((shown.entities[0].copy(), shown.present[0].copy()))

    def finish(self) -> None:
        """End an episode: everything has been kept."""

    def scenes(self) -> list[Scene]:
        """Return the scenes."""
        return [self._scene(moments) for moments in self._episodes]

    def _scene(self, moments: list[tuple[FloatArray, BoolArray]]) -> Scene:
        if not self._columns:
            return Scene(kind="none")
        places = np.stack([entities for entities, _ in moments], -1)[:, self._columns]
        rules = self._game.rules
        return encode_particles(
            places[:, :2], places[:, 2].max(-1), np.stack([present for _, present in moments], -1),
            arena=float(rules.get("arena", 1.0)), walls=bool(rules.get("walls", False)),
        )  # fmt: skip


class OurBoardCamera:
    """Keeps what is on the cells of one of our boards."""

    def __init__(self, game: ParallelGame) -> None:
        self._game = game
        kind = game.game.layout.teams[0].kind
        self.kinds = [kind] * len(game.possible_agents)
        self.objects: list[str] = []
        self._episodes: list[list[SmallIntArray]] = []

    def restart(self) -> None:
        """Begin an episode."""
        self._episodes.append([])

    def look(self, observations: Mapping[str, Any]) -> None:  # noqa: ARG002 (it knows better)
        """Keep the board."""
        self._episodes[-1].append(board_of(self._game.shown, self._game.game.layout, 0))

    def finish(self) -> None:
        """End an episode: everything has been kept."""

    def scenes(self) -> list[Scene]:
        """Return the scenes."""
        return [encode_board(np.stack(moments), "board") for moments in self._episodes]


class SchemaCamera:
    """Keeps flat observations, in which a schema finds where entities are.

    Where agents take turns, what they see in the turns of a round is of one moment: in these games everybody moves at
    its end. So a round's observations are put together as they come, and only who has not been asked in it is.
    """

    def __init__(self, env: Any, game: GameRecord, agents: list[str]) -> None:
        self._plan = _plan(game)
        reading = self._plan.reading
        assert reading is not None
        self._reading, self._agents = reading, agents
        if sorted(self._plan.agents) != sorted(agents):
            raise UserError(f"The schema {game.observation_schema!r} is for other agents than {agents}.")
        kinds = dict(zip(self._plan.agents, self._plan.kinds, strict=False))
        self.kinds = [kinds[agent] for agent in agents]
        self.objects = list(self._plan.kinds[len(agents) :])
        self._moments: list[dict[str, Any]] = []
        self._starts: list[int] = []
        self._game = env.unwrapped if game.api == "aec" else None
        self._round: dict[str, Any] = {}
        """Of a game in turns: what was shown in this round so far; moments of one round share it."""

    def restart(self) -> None:
        """Begin an episode."""
        self._starts.append(len(self._moments))

    def finish(self) -> None:
        """Ask whoever has not been asked in the last round, before the game is reset."""
        if self._game is not None and self._moments:
            for agent in self._agents:
                if agent not in self._round:
                    self._round[agent] = np.array(self._game.observe(agent))

    def look(self, observations: Mapping[str, Any]) -> None:
        """Keep what everybody was shown."""
        if self._game is None:
            self._moments.append({agent: np.array(shown) for agent, shown in observations.items()})
            return
        if (
            not observations
            or self._starts[-1] == len(self._moments)
            or not self._round.keys().isdisjoint(observations)
        ):
            self._round = {}
        for agent, shown in observations.items():
            self._round[agent] = np.array(shown)
        if not observations:  # the game is over
            self._round = {agent: np.array(self._game.observe(agent)) for agent in self._agents}
        self._moments.append(self._round)

    def scenes(self) -> list[Scene]:
        """Return the scenes: what all know together of where everything is. All moments are worked out at once."""
        plan, count, moments = self._plan, len(self._agents), len(self._moments)
        width = max(codec.size for codec in plan.observations)
        vectors, alive = np.zeros((moments, count, width), np.float32), np.zeros((moments, count), bool)
        for i, (agent, codec) in enumerate(zip(plan.agents, plan.observations, strict=True)):
            times = [time for time, shown in enumerate(self._moments) if agent in shown]
            if times:
                vectors[times, i, : codec.size] = codec.encode_all([self._moments[time][agent] for time in times])
                alive[times, i] = True
        entities, present, _, _ = reconstruct(self._reading, vectors, alive, self._remembered(vectors, alive))
        order = [plan.agents.index(agent) for agent in self._agents] + list(range(count, len(plan.kinds)))
        entities, present = entities[:, order], present[:, order]
        ends = [*self._starts[1:], moments]
        return [
            _particles(entities[start:end].transpose(1, 2, 0), present[start:end].T)
            for start, end in zip(self._starts, ends, strict=True)
        ]

    def _remembered(self, vectors: FloatArray, alive: BoolArray) -> FloatArray:
        """Return where objects were seen so far [moments,E,2], in games that show only the nearest."""
        places: FloatArray = np.full((len(vectors), len(self._plan.kinds), 2), np.nan, np.float32)
        if not self._reading.remembers:
            return places
        for time in range(len(vectors)):
            if time not in self._starts:
                places[time] = places[time - 1]
            remember(self._reading, vectors[time], alive[time], places[time])
        return places


def _particles(entities: FloatArray, present: BoolArray) -> Scene:
    return encode_particles(entities[:, :2], entities[:, 4].max(-1), present, arena=1.0, walls=False)


def _plan(game: GameRecord) -> GamePlan:
    assert game.entry_point is not None
    source = GameSource(game.entry_point, load_schema(game.observation_schema or ""), wrappers=game.wrappers)
    # What agents are shown does not depend on how they act, and a plan is of actions that are chosen among few.
    return plan_game(source, {name: value for name, value in game.kwargs.items() if name != "continuous_actions"})


class BoardCamera:
    """Keeps a board that agents are shown as planes: one for each sort of piece, their own first."""

    def __init__(self, env: Any, agents: list[str], shape: tuple[int, ...], style: Literal["board", "grid"]) -> None:
        self.kinds: list[str] = []
        self.objects: list[str] = []
        self._env, self._agents, self._shape, self._style = env, agents, shape, style
        self._episodes: list[list[tuple[str, npt.NDArray[Any]]]] = []

    @classmethod
    def fitting(cls, env: Any, agents: list[str]) -> BoardCamera | None:
        """Return the camera of a game whose agents are shown a small board of zeros and ones; None for others."""
        shape = board_shape([env.observation_space(agent) for agent in agents])
        return None if shape is None else cls(env, agents, shape, board_style(shape, len(agents)))

    def restart(self) -> None:
        """Begin an episode."""
        self._episodes.append([])

    def look(self, observations: Mapping[str, Any]) -> None:
        """Keep what is on the cells, as one of the agents sees it."""
        moments = self._episodes[-1]
        if not observations:  # the game is over, and nobody is shown anything
            moments.append(moments[-1])
            return
        agent, shown = next(iter(observations.items()))
        planes = np.asarray(shown["observation"] if isinstance(shown, Mapping) else shown)
        moments.append((agent, planes.copy()))

    def finish(self) -> None:
        """End an episode: everything has been kept."""

    def scenes(self) -> list[Scene]:
        """Return the scenes."""
        return [encode_board(np.stack(list(map(self._cells, moments))), self._style) for moments in self._episodes]

    def _cells(self, moment: tuple[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
        agent, planes = moment
        if self._style == "board" and self._agents.index(agent) == 1:
            planes = planes[..., ::-1]  # its own pieces come first
        return cells_of(planes)


def board_shape(shown: Sequence[spaces.Space[Any]]) -> tuple[int, ...] | None:
    """Return the shape (height, width, planes) of the small board of zeros and ones that all see; None for others.

    `shown` are the observation spaces of all agents.
    """
    shapes = {_planes(space) for space in shown}
    return shapes.pop() if len(shapes) == 1 else None


def board_style(shape: tuple[int, ...], agents: int) -> Literal["board", "grid"]:
    """Return how a board is drawn: with pieces where there are two players, and a plane for each."""
    return "board" if shape[2] == agents == _PIECES else "grid"


def cells_of(planes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return what is on the cells [height,width]: 0 for nothing, else the number of the first plane that has it."""
    cells: npt.NDArray[np.int64] = np.where(planes.any(-1), planes.argmax(-1) + 1, 0)
    return cells


def _planes(space: spaces.Space[Any]) -> tuple[int, ...] | None:
    """Return the shape (height, width, planes) of a board in an observation space; None where there is none."""
    if isinstance(space, spaces.Dict) and "observation" in space.spaces:
        space = space["observation"]
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        return None
    small = max(space.shape[:2]) <= LARGEST_BOARD and _PIECES <= space.shape[2] <= LARGEST_BOARD
    binary = bool((space.low == 0).all() and (space.high == 1).all())
    return tuple(space.shape) if small and binary else None


class FrameCamera:
    """Keeps pictures."""

    def __init__(self, env: Any) -> None:
        self.kinds: list[str] = []
        self.objects: list[str] = []
        self._env = env
        self._episodes: list[list[str | None]] = []
        self._last: bytes = b""
        self._size = (0, 0)
        if getattr(env.unwrapped, "render_mode", None) != "rgb_array":
            raise UserError("Pictures can only be kept of an environment made with render_mode='rgb_array'.")

    def restart(self) -> None:
        """Begin an episode."""
        self._episodes.append([])
        self._last = b""

    def look(self, observations: Mapping[str, Any]) -> None:  # noqa: ARG002 (it looks for itself)
        """Keep a picture."""
        picture = self._env.render()
        if picture is None:
            self._episodes[-1].append(None)
            return
        image = Image.fromarray(np.asarray(picture, np.uint8))
        image.thumbnail((LARGEST_FRAME, LARGEST_FRAME))
        self._size = image.size
        data = io.BytesIO()
        image.quantize(64).save(data, "PNG", optimize=True)
        found = data.getvalue()
        self._episodes[-1].append(None if found == self._last else base64.b64encode(found).decode())
        self._last = found

    def finish(self) -> None:
        """End an episode: everything has been kept."""

    def scenes(self) -> list[Scene]:
        """Return the scenes."""
        width, height = self._size
        if not width:
            return [Scene(kind="none")] * len(self._episodes)
        return [Scene(kind="frames", width=width, height=height, images=images) for images in self._episodes]

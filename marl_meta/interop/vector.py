"""A batch of any third-party PettingZoo game, as the trainer sees games.

Every episode is reset with a seed of its own, derived from (seed, first_game + row, number of the episode), so a batch
is reproducible, its rows are independent, and a snapshot is no more than seeds and the actions of the episodes that are
running: to restore it is to play them again. This is exact for games whose episodes depend on their seed and actions
only. A game that draws from numpy's or Python's global generator (mpe2's `u_noise`) goes on after a restore, but not
bit for bit; a warning then says so. An agent is `present` while it plays and, a last time, in the step that ends it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Space

from marl_meta.games import Family, load_family, make_vec
from marl_meta.games.deck import deal, new_deck
from marl_meta.games.family import check_integer
from marl_meta.games.reading import Entry
from marl_meta.games.rules import variant_id
from marl_meta.interop.actions import ActionCodec, ContinuousActions
from marl_meta.interop.observing import observe
from marl_meta.interop.plan import Arrangement, GamePlan, GameSource, Slots, arrange, plan_game
from marl_meta.interop.running import RunningGame
from marl_meta.interop.schemas import load_schema
from marl_meta.types import FloatArray, IntArray, Layout, Observation, Snapshot, Step, UserError, Variant
from marl_meta.wording import listed

_EPISODE, _TRIAL = 0, 1
"""The two random streams of a game: the seeds of its episodes, and the variants of its trials."""

_SNAPSHOT = ("seed", "episode", "trial", "trial_episode", "variant", "deck", "length", "log", "digest")

_ENGINE_KEYS = ("pettingzoo", "kwargs", "schema", "kinds", "teams", "wrappers")
"""What a family.yaml may say under `engine`; the first it must."""


class PettingZooVector:
    """Copies of one PettingZoo game, stepped in this process; a `types.VectorGame`.

    Without a schema each agent is one entity without public features, whose own observation is its private features.
    With one (a name in `schemas.SCHEMAS`, the path of a YAML file, or plain data) its observation becomes entities; if
    the schema names a family of ours, the layout and the visible rules are that family's, so that teams of the one
    play the other (numbers beyond the family's ranges are told as the nearest within). `kinds` and `teams` say by
    patterns of names what names alone do not (`{"player_1": "second"}`; `{"*": "*"}` makes every agent a team).
    Without them agents of one kind are a team, or every agent is, where they move in turns.

    Observations that cannot become vectors are refused, or left out where nobody is `strict`: there are `original`s.

    With `variants` (whose rules are arguments of the entry point, beside `kwargs`) game b keeps variant b, or with
    `fixed=False` draws one at the start of every trial.
    """

    def __init__(  # noqa: PLR0913  (all but the first two are options of their own)
        self,
        entry_point: str,
        kwargs: Mapping[str, Any] | None = None,
        *,
        num_games: int = 1,
        seed: int = 0,
        first_game: int = 0,
        episodes_per_trial: int = 1,
        schema: str | dict[str, Any] | None = None,
        kinds: Mapping[str, str] | None = None,
        teams: Mapping[str, str] | None = None,
        wrappers: Sequence[Mapping[str, Any]] = (),
        folder: Path | None = None,
        strict: bool = True,
        family: Family | None = None,
        variants: Sequence[Variant] | None = None,
        fixed: bool = True,
    ) -> None:
        """Plan the game under every variant; raises UserError for a game that cannot be trained on."""
        if schema is not None and (kinds or teams):
            raise UserError(f"{entry_point!r}: with a schema, kinds and teams are the schema's and cannot be given.")
        self._source = GameSource(
            entry_point=entry_point,
            schema=load_schema(schema, folder) if schema is not None else None,
            kinds=kinds or {},
            teams=teams or {},
            wrappers=wrappers,
            folder=folder,
            strict=strict,
        )
        given = dict(kwargs or {})
        self._kwargs = [given] if variants is None else [{**given, **variant.rules} for variant in variants]
        self._plans: list[GamePlan] = [plan_game(self._source, chosen) for chosen in self._kwargs]
        shared: Layout | None = None
        if variants is not None:
            self._variants = list(variants)
        elif self._source.schema is not None and self._source.schema.family is not None:
            family = load_family(self._source.schema.family)
            self._variants = [_variant_of(family, self._source.schema.family_rules(given))]
            shared = make_vec(family, num_games=1, rules=_allowed(family, self._variants[0].rules)).layout
        else:
            name = game_name(entry_point)
            self._variants = [Variant(family=name, rules=given, variant_id=variant_id(name, given))]
        self._arranged: Arrangement = arrange(
            self._source,
            self._plans,
            kinds=(*family.agents, *family.objects) if family is not None else (),
            layout=shared,
            visible_rules=family.columns(hidden=False) if family is not None else (),
            hidden_rules=family.columns(hidden=True) if family is not None else (),
        )
        self._visible = self._encoded(family, hidden=False)
        self._hidden = self._encoded(family, hidden=True)

        self.layout: Layout = self._arranged.layout
        self.num_games = check_integer("num_games", num_games, low=1)
        self.num_agents = len(self._arranged.agent_names)
        self.num_entities = self._arranged.num_entities
        self.agent_names = self._arranged.agent_names
        self.agent_team = self._arranged.agent_team
        self._first_game = check_integer("first_game", first_game, low=0)
        self._episodes_per_trial = check_integer("episodes_per_trial", episodes_per_trial, low=1)
        self.num_variants = len(self._variants)
        self._deck = new_deck(0 if fixed else self.num_variants)
        self._seed = check_integer("seed", seed, low=0)
        self._episode = np.full(num_games, -1, np.int64)
        """Number of the running episode of each game, counted from the last seeding."""
        self._trial = np.full(num_games, -1, np.int64)
        self._trial_episode = np.zeros(num_games, np.int64)
        self._variant = np.zeros(num_games, np.int64)
        self._games: list[RunningGame | None] = [None] * num_games
        for b in range(num_games):
            self._set_variant(b, self._draw_variant(b))

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules of each game: a family's, or else the arguments of the entry point."""
        return [dict(self._variants[v].rules) for v in self._variant]

    @property
    def plan(self) -> GamePlan:
        """What the game of the first variant is made of."""
        return self._plans[0]

    @property
    def slots(self) -> Slots:
        """Where the entities of the first variant are in the batch's arrays."""
        return self._arranged.slots[0]

    @property
    def visible_rules(self) -> FloatArray:
        """[V,R] the visible rules of every variant, scaled."""
        return self._visible

    @property
    def variant_ids(self) -> list[str]:
        """The variant of each game."""
        return [self._variants[v].variant_id for v in self._variant]

    @property
    def variant_numbers(self) -> IntArray:
        """[B] the variant of each game, as a number below `num_variants`."""
        return self._variant.copy()

    @property
    def action_counts(self) -> IntArray:
        """[B,N] how many actions each agent has; 1 in the slots of absent ones."""
        counts: IntArray = np.ones((self.num_games, self.num_agents), np.int64)
        for b, variant in enumerate(self._variant):
            counts[b, self._agent_slots(b)] = [codec.count for codec in self._plans[variant].actions]
        return counts

    @property
    def hidden_rules(self) -> FloatArray:
        """[B,R'] the hidden rules, scaled as visible ones are."""
        return self._hidden[self._variant]

    def reset(self, seed: int | None = None) -> Step:
        """Start every game afresh, in a new trial; with a seed, the random streams start afresh too."""
        if seed is not None:
            self._seed = check_integer("seed", seed, low=0)
            self._episode[:] = -1
            self._trial[:] = -1
        for b in range(self.num_games):
            self._begin_episode(b, new_trial=True)
        return self._quiet_step()

    def deal(self, weights: npt.ArrayLike) -> None:
        """Let new trials draw their variants in proportion to weights [V]; each variant stays possible."""
        deal(self._deck, weights)

    def step(self, actions: npt.NDArray[np.integer[Any]]) -> Step:
        """Play `actions` int [B,N] (ignored for agents that do not act); games that end start again."""
        if actions.shape != (self.num_games, self.num_agents) or not np.issubdtype(actions.dtype, np.integer):
            raise UserError(
                f"Actions must be integers of shape {(self.num_games, self.num_agents)} (games, agents), "
                f"not {actions.dtype} of shape {actions.shape}."
            )
        reward = np.zeros(actions.shape, np.float32)
        terminated, truncated = np.zeros(actions.shape, bool), np.zeros(actions.shape, bool)
        game_over = np.zeros(self.num_games, bool)
        for b, game in enumerate(self._running()):
            slots = self._agent_slots(b)
            game.step(actions[b, slots])
            reward[b, slots], game_over[b] = game.reward, game.over
            terminated[b, slots], truncated[b, slots] = game.terminated, game.truncated
        trial_over = game_over & (self._trial_episode + 1 >= self._episodes_per_trial)
        final = self._observe(last=True) if game_over.any() else None
        for row in np.flatnonzero(game_over):
            self._begin_episode(int(row), new_trial=bool(trial_over[row]))
        return Step(self._observe(), reward, terminated, truncated, game_over, trial_over, final)

    def original(self, b: int, slot: int) -> tuple[Any, Mapping[str, Any]]:
        """Return what the game itself shows the agent of a slot, who is there: its observation and its info."""
        return self._running()[b].original[self._agent_of(b, slot)]

    def seen(self, b: int, slot: int, *, over: bool) -> Any:
        """Return the original observation of the agent of a slot, None if it is not there.

        It is that of now, or of the end of the episode that is `over`.
        """
        game = self._running()[b]
        return (game.farewell if over else game.original).get(self._agent_of(b, slot), (None,))[0]

    def observation_space(self, b: int, slot: int) -> Space[Any]:
        """Return the space of what the agent of a slot is shown, but for its mask."""
        plan: GamePlan = self._plans[self._variant[b]]
        return plan.observations[plan.agents.index(self._agent_of(b, slot))].space

    def codec(self, b: int, slot: int) -> ActionCodec:
        """Return how actions of the agent of a slot are numbered."""
        plan: GamePlan = self._plans[self._variant[b]]
        return plan.actions[plan.agents.index(self._agent_of(b, slot))]

    def continuous(self, b: int, slot: int) -> ContinuousActions | None:
        """Return what continuous actions of the agent of a slot are, None where it has others."""
        codec = self.codec(b, slot)
        return codec if isinstance(codec, ContinuousActions) else None

    def snapshot(self) -> Snapshot:
        """Return seeds, counters and the running episodes' actions; `restore` of it plays these again."""
        games = self._running()
        lengths = np.array([len(game.log) for game in games], np.int64)
        log = np.full((self.num_games, int(lengths.max()), self.num_agents), -1, np.int64)
        for b, game in enumerate(games):
            if game.log:
                log[b][: len(game.log), self._agent_slots(b)] = np.stack(game.log)
        return {
            "seed": np.array([self._seed], np.int64),
            "episode": self._episode.copy(),
            "trial": self._trial.copy(),
            "trial_episode": self._trial_episode.copy(),
            "variant": self._variant.copy(),
            "deck": self._deck.copy(),
            "length": lengths,
            "log": log,
            "digest": np.array([_digest(game) for game in games], np.uint64),
        }

    def restore(self, snapshot: Snapshot) -> Step:
        """Go back to a snapshot by playing its episodes again; returns the observation there, with zero reward.

        Warns if a game does not come back to what it showed, because it depends on more than its seed and actions.
        """
        missing = [name for name in _SNAPSHOT if name not in snapshot]
        if missing:
            raise UserError(
                f"A snapshot of {self._source.entry_point!r} must hold {listed(_SNAPSHOT)}; it lacks {missing[0]!r}."
            )
        log = snapshot["log"]
        if log.shape[0] != self.num_games or log.shape[2] != self.num_agents:
            raise UserError(
                f"A snapshot of {log.shape[0]} games of {log.shape[2]} agents cannot be restored in a batch of "
                f"{self.num_games} games of {self.num_agents} agents."
            )
        numbers = np.concatenate([snapshot["variant"], snapshot["deck"]])
        if snapshot["deck"].shape != self._deck.shape or numbers.max() >= self.num_variants:
            raise UserError(f"A snapshot of other variants cannot be restored; this batch has {len(self._variants)}.")
        self._seed = int(snapshot["seed"][0])
        self._episode[:] = snapshot["episode"]
        self._trial[:] = snapshot["trial"]
        self._deck[:] = snapshot["deck"]
        self._trial_episode[:] = snapshot["trial_episode"]
        changed = []
        for b in range(self.num_games):
            self._set_variant(b, int(snapshot["variant"][b]))
            game = self._game(b)
            game.replay(self._episode_seed(b), log[b][: snapshot["length"][b], self._agent_slots(b)])
            if _digest(game) != snapshot["digest"][b]:
                changed.append(b)
        if changed:
            warnings.warn(
                f"{len(changed)} of {self.num_games} games of {self._source.entry_point!r} did not come back exactly "
                "as they were: they depend on more than their seed and actions, such as numpy's global generator.",
                RuntimeWarning,
                stacklevel=2,
            )
        return self._quiet_step()

    def close(self) -> None:
        """Close every game."""
        for b, game in enumerate(self._games):
            if game is not None:
                game.close()
            self._games[b] = None

    def _encoded(self, family: Family | None, *, hidden: bool) -> FloatArray:
        """Return the visible (or hidden) rules [V,R] of every variant; no columns without a family."""
        if family is None:
            return np.zeros((len(self._variants), 0), np.float32)
        return np.stack([family.encode(_allowed(family, one.rules), hidden=hidden) for one in self._variants])

    def _stream(self, b: int, stream: int, count: int) -> np.random.SeedSequence:
        """Return the `count`-th state of a random stream of game b."""
        return np.random.SeedSequence(self._seed, spawn_key=(self._first_game + b, stream, count))

    def _episode_seed(self, b: int) -> int:
        return int(self._stream(b, _EPISODE, int(self._episode[b])).generate_state(1)[0]) >> 1  # fits a signed int32

    def _draw_variant(self, b: int) -> int:
        """Return the variant of game b's trial; the trial before the first counts as the first."""
        if len(self._deck) == 0:
            return b % len(self._variants)
        rng = np.random.default_rng(self._stream(b, _TRIAL, max(int(self._trial[b]), 0)))
        return int(self._deck[rng.integers(len(self._deck))])

    def _set_variant(self, b: int, variant: int) -> None:
        """Give game b a variant; its running copy is closed if that is under another one."""
        game = self._games[b]
        if game is not None and variant != self._variant[b]:
            game.close()
            self._games[b] = None
        self._variant[b] = variant

    def _game(self, b: int) -> RunningGame:
        """Return the running copy of game b, made when first needed."""
        game = self._games[b]
        if game is None:
            variant = self._variant[b]
            environment = self._source.make(self._kwargs[variant])
            size, actions = self._arranged.observation_size, len(self.layout.actions)
            game = self._games[b] = RunningGame(environment, self._plans[variant], size, actions)
        return game

    def _running(self) -> list[RunningGame]:
        games = [game for game in self._games if game is not None]
        if len(games) < self.num_games or self._episode[0] < 0:
            raise RuntimeError("reset the games (or restore a snapshot) before anything else")
        return games

    def _agent_slots(self, b: int) -> npt.NDArray[np.int64]:
        variant = int(self._variant[b])
        return self._arranged.slots[variant].entities[: len(self._plans[variant].agents)]

    def _agent_of(self, b: int, slot: int) -> str:
        plan: GamePlan = self._plans[self._variant[b]]
        return plan.agents[int(np.flatnonzero(self._agent_slots(b) == slot)[0])]

    def _begin_episode(self, b: int, *, new_trial: bool) -> None:
        if new_trial:
            self._trial[b] += 1
            self._set_variant(b, self._draw_variant(b))
        self._trial_episode[b] = 0 if new_trial else self._trial_episode[b] + 1
        self._episode[b] += 1
        self._game(b).reset(self._episode_seed(b))

    def _observe(self, *, last: bool = False) -> Observation:
        """Return the batch's observation; with `last`, as those saw it who acted in the step that led here."""
        games = self._running()
        if self._source.strict:  # else whoever plays may read the originals
            for game in games:
                self._refuse_nonsense(game)
        return observe(self._arranged, self._plans, games, self._variant, self._visible, last=last)

    def _refuse_nonsense(self, game: RunningGame) -> None:
        """Raise UserError where a game shows an agent a number that is not finite: it would spoil whoever learns."""
        if np.isfinite(game.vectors).all():
            return
        agent, place = np.argwhere(~np.isfinite(game.vectors))[0].tolist()
        raise UserError(
            f"{self._source.entry_point!r} shows the agent {game.plan.agents[agent]!r} an observation that holds "
            f"{game.vectors[agent, place]} (number {place}); allowed are finite numbers."
        )

    def _quiet_step(self) -> Step:
        """Return what the games show now, where nothing came of any action."""
        reward = np.zeros((self.num_games, self.num_agents), np.float32)
        nobody, none = np.zeros(reward.shape, bool), np.zeros(self.num_games, bool)
        return Step(self._observe(), reward, nobody, nobody.copy(), none, none.copy(), final=None)


def game_name(entry_point: str) -> str:
    """Return what a third-party game is called: its module, or the file that it is made in."""
    module = entry_point.rpartition(":")[0]
    return Path(module).stem if module.endswith(".py") else module.rpartition(".")[2]


def _variant_of(family: Family, rules: Mapping[str, Any]) -> Variant:
    """Return the variant of a family of ours that a third-party game is; its numbers may lie beyond the ranges."""
    complete = {**family.complete({}), **rules}
    return Variant(family=family.name, rules=complete, variant_id=variant_id(family.name, complete))


def _allowed(family: Family, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return rules that a policy can be told: numbers beyond a rule's range become the nearest within it."""
    ranged = {name: rule for name, rule in family.rules.items() if rule.kind in ("int", "float")}
    limited = {name: min(max(rules[name], rule.low), rule.high) for name, rule in ranged.items()}
    return family.complete({**rules, **limited})


def _digest(game: RunningGame) -> int:
    """Return a number that changes with anything that the game's agents are shown."""
    shown = blake2b(digest_size=8)
    for array in (game.vectors, game.alive, game.acting, game.action_mask):
        shown.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(shown.digest(), "little")


def make_game(
    family: Family,
    variants: Sequence[Variant],
    num_games: int,
    seed: int,
    episodes_per_trial: int,
    first_game: int,
    fixed: bool,
) -> PettingZooVector:
    """Return a batch of the PettingZoo game that a family.yaml names; the entry point of such families.

    The file says `entry_point: "marl_meta.interop.vector:make_game"` and under `engine` what `PettingZooVector` takes:
    `pettingzoo` ("module:callable"), `kwargs`, `schema`, `kinds`, `teams`, `wrappers`. Rules are arguments too.
    """
    entry = Entry(family.path, "engine", family.engine)
    engine = entry.mapping(_ENGINE_KEYS, required=_ENGINE_KEYS[:1])
    for key in ("kwargs", "kinds", "teams"):
        if not isinstance(engine.get(key, {}), dict):
            raise entry.child(key).error("a mapping of keys to values")
    wrappers = engine.get("wrappers", [])
    if not isinstance(wrappers, list) or not all(isinstance(wrapper, dict) for wrapper in wrappers):
        raise entry.child("wrappers").error("a list of mappings, each with a key 'wrapper'")
    return PettingZooVector(
        entry.child("pettingzoo").text(),
        engine.get("kwargs"),
        num_games=num_games,
        seed=seed,
        first_game=first_game,
        episodes_per_trial=episodes_per_trial,
        schema=engine.get("schema"),
        kinds=engine.get("kinds"),
        teams=engine.get("teams"),
        wrappers=wrappers,
        folder=family.path.parent,
        family=family,
        variants=variants,
        fixed=fixed,
    )

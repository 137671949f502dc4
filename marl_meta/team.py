"""The portable team: a folder of `team.json` and `weights.safetensors`, no code in either.

team = load_team("runs/first/team")
player = team.controller(game.layout, plays="adversaries")
player.reset(game.num_games, agents)
actions = player.act(step.observation)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from marl_meta.files import atomic_write_bytes, atomic_write_text, read_json
from marl_meta.meta.adapter import Adapter
from marl_meta.meta.controller import GradientController
from marl_meta.meta.plan import Plan
from marl_meta.mind import Mind, Start
from marl_meta.nets.belief import BeliefNet
from marl_meta.nets.inputs import BeliefDesign, InputStorage, PolicyDesign, PolicyInputs
from marl_meta.nets.knowledge import Knowledge
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.resources import data_dirs, find
from marl_meta.rollout import sample
from marl_meta.types import (
    BoundRule,
    FloatArray,
    IntArray,
    Layout,
    Observation,
    RuleForm,
    Snapshot,
    Step,
    TeamLayout,
    UserError,
    VectorGame,
)
from marl_meta.wording import close_match, listed

SCHEMA_VERSION = 1
ZOO = "zoo:"
"""What the name of a team that ships with the toolkit begins with."""
_CARD, _WEIGHTS = "team.json", "weights.safetensors"
_BELIEF, _START, _ADAPTER = ":belief", ":start", ":adapter"
"""What the names of a policy's belief network's weights, of its memory, and of how it adapts by gradients have after
the policy's name."""


_Network = TypeVar("_Network", bound=nn.Module)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Teams(_Model):
    name: str
    kind: str


class _Bound(_Model):
    name: str
    feature: str
    kinds: tuple[str, ...]
    rule: str = ""
    form: RuleForm = "number"
    values: tuple[float, ...] = ()


class _Layout(_Model):
    kinds: tuple[str, ...]
    teams: tuple[_Teams, ...]
    entity_features: tuple[str, ...]
    private_features: tuple[str, ...]
    actions: tuple[str, ...]
    visible_rules: tuple[_Bound, ...]
    hidden_rules: tuple[_Bound, ...]


class _BeliefDesign(_Model):
    hidden: PositiveInt
    memory: PositiveInt
    events: Literal["contacts", "all"]
    read: Literal["head", "matching", "prototypes"] = "head"
    examples: PositiveInt = 512
    latents: NonNegativeInt = 0


class _Design(_Model):
    hidden: PositiveInt
    heads: PositiveInt
    layers: PositiveInt
    recurrent: bool
    memory: Literal["heads", "query"] = "heads"
    critic: Literal["own", "central", "told"]
    privileged: tuple[_Bound, ...] = ()
    guesses: bool = False
    kinds: tuple[str, ...]
    rules: tuple[str, ...]
    trial_inputs: bool
    clock: bool = False
    unknowns: tuple[_Bound, ...] = ()
    belief: _BeliefDesign | None = None
    adapted: NonNegativeInt = 0

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden must be a multiple of heads, not {self.hidden} with {self.heads}")
        return self


class _Card(_Model):
    """What team.json holds."""

    schema_version: int
    name: str
    layout: _Layout
    policies: dict[str, _Design]
    plays: dict[str, str]
    trained_on: dict[str, Any]
    adapter: dict[str, Plan] | None
    adapted_to: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kinds = self.layout.kinds
        for team, policy in self.plays.items():
            if policy not in self.policies:
                raise ValueError(f"plays.{team} names the policy {policy!r}; there are {sorted(self.policies)}")
        for policy in self.adapter or {}:
            if policy not in self.policies:
                raise ValueError(f"adapter names the policy {policy!r}; there are {sorted(self.policies)}")
        for name, design in self.policies.items():
            if design.kinds and not set(kinds) <= set(design.kinds):
                raise ValueError(f"policies.{name}.kinds must hold all of layout.kinds, {list(kinds)}")
        for bound in (*self.layout.visible_rules, *self.layout.hidden_rules):
            if not set(bound.kinds) <= set(kinds):
                raise ValueError(f"the rule {bound.name!r} of the layout is bound to other kinds than {list(kinds)}")
        return self


@dataclass(frozen=True, slots=True)
class Team:
    """Trained policies and what they were trained for."""

    name: str
    layout: Layout
    """Of the game that it was trained on."""
    designs: dict[str, PolicyDesign]
    """By the name of the policy (learner)."""
    policies: dict[str, RelationalPolicy] = field(hash=False)
    plays: dict[str, str]
    """Which policy plays each team of the game, by the team's name."""
    trained_on: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    beliefs: dict[str, BeliefNet] = field(default_factory=dict, hash=False)
    """By the name of the policy: how it infers hidden rules, for those that do."""
    adapters: dict[str, Adapter] = field(default_factory=dict, hash=False)
    """By the name of the policy: how it adapts by gradients, for those that do."""
    starts: dict[str, Start] = field(default_factory=dict, hash=False)
    """By the name of the policy: what its agents remember of the variant that the team was adapted to."""
    adapted_to: dict[str, Any] | None = None
    """The game that the team was adapted to, and by how many episodes; None for a team as it was trained."""

    def save(self, folder: Path) -> None:
        """Write the team to `folder`, which is created; each file is replaced whole."""
        folder.mkdir(parents=True, exist_ok=True)
        card = _Card(
            schema_version=SCHEMA_VERSION,
            name=self.name,
            layout=_Layout.model_validate(asdict(self.layout)),
            policies={name: _Design.model_validate(asdict(design)) for name, design in self.designs.items()},
            plays=self.plays,
            trained_on=self.trained_on,
            adapter={name: adapter.plan for name, adapter in self.adapters.items()} or None,
            adapted_to=self.adapted_to,
        )
        tensors = {
            f"{name}/{key}": tensor.detach().cpu().contiguous()
            for name, policy in self.policies.items()
            for key, tensor in policy.state_dict().items()
        }
        tensors |= {
            f"{name}{_BELIEF}/{key}": tensor.detach().cpu().contiguous()
            for name, belief in self.beliefs.items()
            for key, tensor in belief.state_dict().items()
        }
        tensors |= {
            f"{name}{_ADAPTER}/{key}": tensor.detach().cpu().contiguous()
            for name, adapter in self.adapters.items()
            for key, tensor in adapter.state_dict().items()
        }
        for name, start in self.starts.items():
            tensors[f"{name}{_START}/state"] = start.state.contiguous()
            tensors[f"{name}{_START}/evidence"] = start.evidence.contiguous()
        atomic_write_bytes(folder / _WEIGHTS, save(tensors))
        atomic_write_text(folder / _CARD, json.dumps(card.model_dump(mode="json"), indent=2) + "\n")

    def policy_for(self, team: TeamLayout) -> str:
        """Return the name of the policy that plays a team of a game: by the team's name, or else by its role."""
        if team.name in self.plays:
            return self.plays[team.name]
        for own in self.layout.teams:
            if own.kind == team.kind and own.name in self.plays:
                return self.plays[own.name]
        known = sorted(self.plays)
        raise UserError(
            f"The team {self.name!r} cannot play {team.name!r} (role {team.kind!r}): it was trained to play {known}."
        )

    def controller(
        self, layout: Layout, plays: str | None = None, seed: int = 0, deterministic: bool = False
    ) -> TeamController | GradientController:
        """Return a player of the team called `plays` (default: the only one, or the first) in a game of that layout.

        Raises UserError where the layout is not one that the team can read.
        """
        team = _team_of(layout, plays)
        name = self.policy_for(team)
        self.check(layout, self.designs[name])
        inputs = PolicyInputs(layout, self.designs[name])
        if name in self.adapters:
            return GradientController(self.policies[name], inputs, self.adapters[name], seed, deterministic)
        belief, start = self.beliefs.get(name), self.starts.get(name)
        return TeamController(self.policies[name], inputs, belief, start, seed, deterministic)

    def oracle(
        self, game: VectorGame, plays: str | None = None, seed: int = 0, deterministic: bool = False
    ) -> OracleController:
        """Return a player as `controller` does that is told the hidden rules of `game`.

        Raises UserError for a team that has no use for them, and for a game that does not have them.
        """
        knowledge = self.knowledge(game.layout, plays)
        return OracleController(self.controller(game.layout, plays, seed, deterministic), knowledge, game)

    def knowledge(self, layout: Layout, plays: str | None = None) -> Knowledge:
        """Return the columns of what it can know of the hidden rules of games of that layout.

        Raises UserError for a team that has no use for them, and for a layout that does not have them.
        """
        design = self.designs[self.policy_for(_team_of(layout, plays))]
        if not design.unknowns:
            raise UserError(f"The team {self.name!r} cannot be told hidden rules: it was trained without (meta=none).")
        knowledge = Knowledge(design.unknowns, layout)
        if not knowledge.tellable:
            rules = sorted({bound.rule for bound in design.unknowns})
            raise UserError(f"The team {self.name!r} cannot be told the hidden rules {rules}: the game has others.")
        return knowledge

    def after(self, name: str, player: TeamController | GradientController, game: int = 0) -> Team:
        """Return the team whose policy of that name starts where one of its players got to in a game."""
        if isinstance(player, TeamController):
            return replace(self, starts={**self.starts, name: player.learnt(game)})
        policy, adapter = player.learnt(game)
        return replace(self, policies={**self.policies, name: policy}, adapters={**self.adapters, name: adapter})

    def check(self, layout: Layout, design: PolicyDesign) -> None:
        """Raise UserError unless a policy of this design can read observations of `layout`."""
        unknown = [kind for kind in layout.kinds if kind not in design.kinds]
        features = [bound.feature for bound in layout.visible_rules]
        missing = [rule for rule in design.rules if rule not in features]
        problems = {
            f"kinds of entity {unknown} that it does not know (it knows {list(design.kinds)})": bool(unknown),
            f"no visible rules {missing}, which it reads": bool(missing),
            f"entity features {list(layout.entity_features)} (it reads {list(self.layout.entity_features)})": (
                layout.entity_features != self.layout.entity_features
            ),
            f"private features {list(layout.private_features)} (it reads {list(self.layout.private_features)})": (
                layout.private_features != self.layout.private_features
            ),
            f"{len(layout.actions)} actions (it plays {len(self.layout.actions)})": (
                len(layout.actions) != len(self.layout.actions)
            ),
        }
        for problem, found in problems.items():
            if found:
                raise UserError(f"The team {self.name!r} cannot play this game, which has {problem}.")


def _team_of(layout: Layout, name: str | None) -> TeamLayout:
    if name is None:
        return layout.teams[0]
    for team in layout.teams:
        if team.name == name:
            return team
    raise UserError(f"The game has no team {name!r}; its teams are {[team.name for team in layout.teams]}.")


class TeamController:
    """Plays some agents of a batch of games with a trained policy (a `marl_meta.rollout.Controller`).

    It reads nothing but its own agents' rows: what they see, their private features and legal actions.
    """

    def __init__(
        self, policy: RelationalPolicy, inputs: PolicyInputs, belief: BeliefNet | None, start: Start | None, seed: int,
        deterministic: bool,
    ) -> None:  # fmt: skip
        self._policy, self._inputs, self._belief, self._start = policy, inputs, belief, start
        self._deterministic = deterministic
        self._seed = seed
        self._generator = torch.Generator()
        self._storage: InputStorage | None = None
        self.reset(0, np.empty(0, np.int64))

    def reset(self, games: int, agents: IntArray) -> None:
        """Forget everything and get ready for `games` games in which it plays the agent slots `agents`."""
        slots = np.asarray(agents, np.int64)
        self._mind = Mind(self._policy, self._inputs, self._belief, games, slots, start=self._start)
        self._generator.manual_seed(self._seed)
        self._storage = None

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n], sampled from the policy, or the likeliest if it is deterministic."""
        return self.act_on(observation, self.knowledge())

    def knowledge(self) -> FloatArray | None:
        """Return what each agent believes of the hidden rules [B,n,W] (`nets.knowledge`); None where it infers none."""
        return self._mind.knowledge()

    @torch.no_grad()
    def act_on(self, observation: Observation, knowledge: FloatArray | None) -> IntArray:
        """Return what `act` does, with other `knowledge` [B,n,W] of the hidden rules than its own belief."""
        mind = self._mind
        if self._storage is None:
            games, entities = observation.present.shape
            sizes = (games, observation.private.shape[1], entities)
            self._storage = InputStorage(self._inputs, 1, sizes, mind.agents, observation.sees is None, actor_only=True)
        self._storage.write(0, observation, mind.context, knowledge)
        read = self._storage.read(slice(0, 1))
        output = self._policy.act(read.graph, mind.state, mind.starts[None], read.action_mask)
        mind.state = output.state
        mind.starts = torch.zeros_like(mind.starts)
        logits = output.logits[0]
        action: Tensor = logits.argmax(-1) if self._deterministic else sample(logits, self._generator)
        actions: IntArray = action.view(mind.games, -1).numpy()
        self._last, self._before = actions, observation
        return actions

    def observe(self, step: Step) -> None:
        """Take note of what its last actions led to: memory is cleared where a trial (or lone episode) ended."""
        self._mind.remember(self._before, self._last, step)
        self._mind.forget(step.trial_over)

    def learnt(self, game: int = 0) -> Start:
        """Return what its agents remember of a game's trial."""
        return self._mind.learnt(game)

    def snapshot(self) -> Snapshot:
        """Return its memory and random stream."""
        return {**self._mind.snapshot(), "generator": self._generator.get_state().numpy().copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self._mind.restore(snapshot)
        self._generator.set_state(torch.from_numpy(snapshot["generator"].copy()))


class OracleController:
    """Plays a team that is told the hidden rules of the very games that it plays."""

    def __init__(self, player: TeamController | GradientController, knowledge: Knowledge, game: VectorGame) -> None:
        self._player, self._knowledge, self._game = player, knowledge, game
        self._agents: IntArray = np.empty(0, np.int64)

    def reset(self, games: int, agents: IntArray) -> None:
        """Get ready for `games` games in which it plays the agent slots `agents`."""
        self._agents = agents
        self._player.reset(games, agents)

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n]."""
        truth = self._knowledge.truth(self._game.hidden_rules)
        return self._player.act_on(observation, np.repeat(truth[:, None], len(self._agents), axis=1))

    def observe(self, step: Step) -> None:
        """Take note of what its last actions led to."""
        self._player.observe(step)

    def snapshot(self) -> Snapshot:
        """Return its memory and random stream."""
        return self._player.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self._player.restore(snapshot)


def load_team(path: str | Path) -> Team:
    """Return the team that a folder holds (or a run folder's `team`), or `zoo:NAME`. Runs no code from it.

    Raises UserError where the folder is not a team, is damaged, or was written by a newer version.
    """
    folder = _in_zoo(str(path)) if str(path).startswith(ZOO) else Path(path)
    if not (folder / _CARD).is_file() and (folder / "team" / _CARD).is_file():
        folder = folder / "team"
    if not (folder / _CARD).is_file():
        raise UserError(f"{path} is not a team: a team is a folder with {_CARD} and {_WEIGHTS}.")
    card = _read_card(folder / _CARD)
    layout = Layout(
        kinds=card.layout.kinds,
        teams=tuple(TeamLayout(team.name, team.kind) for team in card.layout.teams),
        entity_features=card.layout.entity_features,
        private_features=card.layout.private_features,
        actions=card.layout.actions,
        visible_rules=tuple(BoundRule(**bound.model_dump()) for bound in card.layout.visible_rules),
        hidden_rules=tuple(BoundRule(**bound.model_dump()) for bound in card.layout.hidden_rules),
    )
    designs = {name: _read_design(design) for name, design in card.policies.items()}
    tensors = _read_tensors(folder / _WEIGHTS)
    policies, beliefs = _read_networks(folder / _WEIGHTS, tensors, layout, designs)
    adapters = _read_adapters(folder / _WEIGHTS, tensors, layout, designs, policies, card.adapter or {})
    starts = _read_starts(folder / _WEIGHTS, tensors, policies, beliefs)
    return Team(
        name=card.name, layout=layout, designs=designs, policies=policies, plays=card.plays,
        trained_on=card.trained_on, path=folder, beliefs=beliefs, adapters=adapters, starts=starts,
        adapted_to=card.adapted_to,
    )  # fmt: skip


def _in_zoo(path: str) -> Path:
    name = path.removeprefix(ZOO)
    there = sorted(card.parent.name for zoo in data_dirs("zoo") for card in zoo.glob(f"*/{_CARD}"))
    if name not in there:
        raise UserError(f"There is no team {path!r}{close_match(name, there)}; the zoo has {listed(there)}.")
    return find("zoo", name)


def _read_design(design: _Design) -> PolicyDesign:
    values = design.model_dump()
    for key in ("unknowns", "privileged"):
        values[key] = tuple(BoundRule(**bound) for bound in values[key])
    values["belief"] = BeliefDesign(**values["belief"]) if values["belief"] is not None else None
    return PolicyDesign(**values)


def _read_card(path: Path) -> _Card:
    values = read_json(path)
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{path} was written by a newer version of marl-meta (schema_version {version}, this one reads up to "
            f"{SCHEMA_VERSION})."
        )
    try:
        return _Card.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise UserError(f"{path} is not a team card: {key}: {first['msg'].removeprefix('Value error, ')}.") from None


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {str(error).splitlines()[0]}.") from error


def _read_starts(
    path: Path,
    tensors: Mapping[str, Tensor],
    policies: Mapping[str, RelationalPolicy],
    beliefs: Mapping[str, BeliefNet],
) -> dict[str, Start]:
    """Return what agents remember; raises UserError where it does not fit the networks."""
    starts = {}
    for name, policy in policies.items():
        found = {key.rpartition("/")[2]: value for key, value in tensors.items() if key.startswith(f"{name}{_START}/")}
        if not found:
            continue
        belief = beliefs.get(name)
        slots, width = (belief.slots, belief.memory) if belief is not None else (0, 0)
        state, evidence = found.get("state"), found.get("evidence")
        fits = (
            state is not None
            and evidence is not None
            and len(state) == len(evidence) > 0
            and state.shape[1:] == policy.initial_state(1).shape[1:]
            and evidence.shape[1:] == (slots, width)
        )
        if not fits or state is None or evidence is None:
            raise UserError(f"{path} holds a memory of policy {name!r} that does not fit its networks.")
        starts[name] = Start(state, evidence)
    return starts


def _read_networks(
    path: Path, tensors: Mapping[str, Tensor], layout: Layout, designs: Mapping[str, PolicyDesign]
) -> tuple[dict[str, RelationalPolicy], dict[str, BeliefNet]]:
    policies, beliefs = {}, {}
    for name, design in designs.items():
        inputs = PolicyInputs(layout, design)
        with torch.device("meta"):  # shapes alone: no memory for what a card claims, no random numbers for nothing
            policy, belief = inputs.build_policy(), inputs.build_belief()
        policies[name] = _fill(policy, name, tensors, path)
        if belief is not None:
            beliefs[name] = _fill(belief, name + _BELIEF, tensors, path)
    return policies, beliefs


def _read_adapters(
    path: Path,
    tensors: Mapping[str, Tensor],
    layout: Layout,
    designs: Mapping[str, PolicyDesign],
    policies: Mapping[str, RelationalPolicy],
    plans: Mapping[str, Plan],
) -> dict[str, Adapter]:
    adapters = {}
    for name, plan in plans.items():
        inputs = PolicyInputs(layout, designs[name])
        with torch.device("meta"):
            adapter = Adapter(plan, inputs, policies[name])
        adapters[name] = _fill(adapter, name + _ADAPTER, tensors, path)
    return adapters


def _fill(network: _Network, name: str, tensors: Mapping[str, Tensor], path: Path) -> _Network:
    """Return the network with the weights of that name, ready to play; raises UserError where they do not fit it."""
    own = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
    expected = {key: (value.shape, value.dtype) for key, value in network.state_dict().items()}
    found = {key: (value.shape, value.dtype) for key, value in own.items()}
    if expected != found:
        wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        raise UserError(f"{path} does not hold the weights of policy {name!r} that {_CARD} describes: {wrong[0]}.")
    network.to_empty(device="cpu").load_state_dict(own)
    network.eval().requires_grad_(requires_grad=False)
    return network

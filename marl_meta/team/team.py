"""Team: trained policies, what they were trained for, and who plays with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marl_meta.files import atomic_write_bytes, atomic_write_text
from marl_meta.meta.adapter import Adapter
from marl_meta.meta.controller import GradientController
from marl_meta.mind import Start
from marl_meta.nets.belief import BeliefNet
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.nets.knowledge import Knowledge
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.team.card import CARD, make_card
from marl_meta.team.controllers import OracleController, TeamController
from marl_meta.team.weights import WEIGHTS, named, not_finite, packed
from marl_meta.types import Layout, TeamLayout, UserError, VectorGame

if TYPE_CHECKING:
    from marl_meta.export.environments import Place
    from marl_meta.export.loops import Policy
    from marl_meta.export.model import Model
    from marl_meta.export.player import TeamPlayer


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
        """Write the team to `folder`, which is created; each file is replaced whole.

        Raises UserError, before anything is written, for a team that holds numbers that are not finite.
        """
        wrong = not_finite(named(self.policies, self.beliefs, self.adapters, self.starts))
        if wrong is not None:
            raise UserError(
                f"The team {self.name!r} is not saved in {folder}: its tensor {wrong!r} holds numbers that are not "
                "finite, as after learning from nonsense or with too large steps."
            )
        folder.mkdir(parents=True, exist_ok=True)
        card = make_card(
            name=self.name,
            layout=self.layout,
            designs=self.designs,
            plays=self.plays,
            trained_on=self.trained_on,
            plans={name: adapter.plan for name, adapter in self.adapters.items()},
            adapted_to=self.adapted_to,
        )
        atomic_write_bytes(folder / WEIGHTS, packed(self.policies, self.beliefs, self.adapters, self.starts))
        atomic_write_text(folder / CARD, card.text())

    def fingerprint(self) -> str:
        """Return the SHA-256 of its weights, as `sha256sum weights.safetensors` says it of the saved team."""
        return sha256(packed(self.policies, self.beliefs, self.adapters, self.starts)).hexdigest()

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
        return OracleController(
            self.controller(game.layout, plays, seed, deterministic), knowledge, lambda: game.hidden_rules
        )

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

    def player(self, seed: int = 0, *, deterministic: bool = False) -> TeamPlayer:
        """Return a player of flat observations: `start_series`, `reset`, `act`, `observe`, `close`."""
        from marl_meta.export.player import TeamPlayer

        return TeamPlayer(self, seed, deterministic=deterministic)

    def as_policy(
        self, env: Any = None, *, game: str | None = None, kwargs: Mapping[str, Any] | None = None,
        rules: Mapping[str, Any] | None = None, schema: str | None = None, seed: int = 0, deterministic: bool = False,
    ) -> Policy:  # fmt: skip
        """Return `policy(observation, agent)` for PettingZoo loops, see `export.loops.Policy`.

        It plays in `env` (any PettingZoo environment, parallel or in turns), in a `game` (a family with `rules`, or
        `package.module:parallel_env` with `kwargs`), or in what the team was trained on. `schema` says what the
        observations of somebody else's game mean. Raises UserError for games that the team cannot play.
        """
        from marl_meta.export.loops import Policy, find_place

        return Policy(self, find_place(self, env, game, kwargs, rules, schema), seed, deterministic=deterministic)

    def as_function(
        self, *, game: str | None = None, rules: Mapping[str, Any] | None = None, seed: int = 0,
        deterministic: bool = False,
    ) -> Callable[..., int]:  # fmt: skip
        """Return `agent(obs, config)`, as kaggle-environments has agents, see `export.standalone.as_function`.

        It plays a family under the rules that `config` shows; what that leaves out is as in `rules`.
        """
        from marl_meta.export.loops import find_place, function_of

        def place(shown: Mapping[str, Any]) -> Place:
            return find_place(self, game=game, rules={**(rules or {}), **shown} or None)

        return function_of(self, place, seed, deterministic=deterministic)

    def as_model(
        self, env: Any = None, *, agent: str | None = None, game: str | None = None,
        kwargs: Mapping[str, Any] | None = None, rules: Mapping[str, Any] | None = None, schema: str | None = None,
        seed: int = 0,
    ) -> Model:  # fmt: skip
        """Return something with Stable-Baselines3's `predict`, that plays one agent; where is said as to `as_policy`.

        Raises UserError for games that the team cannot play.
        """
        from marl_meta.export.loops import find_place
        from marl_meta.export.model import Model

        return Model(self, find_place(self, env, game, kwargs, rules, schema), agent, seed)

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
            f"links {list(layout.links)} (it reads {list(self.layout.links)})": layout.links != self.layout.links,
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

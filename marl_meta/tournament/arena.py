"""The game of a tournament: its variants, its sides, and how it is opened. A family of ours, or anybody's game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from marl_meta.evaluate.ground import THIRD_PARTY_GAMES_AT_ONCE
from marl_meta.evaluate.play import sides_of
from marl_meta.games import Family, load_family, make_vec
from marl_meta.games.rules import variant_id
from marl_meta.interop.schemas import load_schema
from marl_meta.interop.vector import PettingZooVector, game_name
from marl_meta.replay.record import GameRecord
from marl_meta.replay.recorder import family_game
from marl_meta.tournament.plan import Plan, ThirdParty
from marl_meta.types import UserError, Variant, VectorGame
from marl_meta.wording import listed

_APART = "/|="
"""What sets the parts of a seating apart, and is in no name."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Games that are opened together: each of the variants with each of the seeds, which follow each other.

    Row `s * len(variants) + v` is of `seeds[s]` and `variants[v]`.
    """

    variants: tuple[int, ...]
    seeds: tuple[int, ...]


class Arena(Protocol):
    """Where a tournament is played."""

    @property
    def name(self) -> str:
        """What people are told that is played."""

    @property
    def variants(self) -> tuple[Variant, ...]:
        """V of them."""

    @property
    def roles(self) -> Mapping[str, str]:
        """The sides of the game, and the role of each."""

    @property
    def family(self) -> Family | None:
        """Whose hand-written players can play here."""

    def hides(self, rules: Mapping[str, Any]) -> set[str]:
        """Return the names of the rules that nobody is told under these rules."""

    def portions(self, seeds: Sequence[int]) -> list[Portion]:
        """Return all variants with each of the seeds, in portions that can be opened."""

    def open(self, portion: Portion) -> VectorGame:
        """Return a batch of games. Its random streams depend on seed and variant alone, whoever is seated."""

    def record(self, variant: int, seed: int) -> GameRecord:
        """Return what makes a game of such a batch again, alone."""


@dataclass(frozen=True, slots=True)
class FamilyArena:
    """Variants of a family."""

    family: Family
    variants: tuple[Variant, ...]
    roles: Mapping[str, str]
    seed: int
    games: int
    """K: of a series."""

    @property
    def name(self) -> str:
        """The family's name."""
        return self.family.name

    def hides(self, rules: Mapping[str, Any]) -> set[str]:
        """Return the names of the rules that nobody is told under these rules."""
        return self.family.hides(rules)

    def portions(self, seeds: Sequence[int]) -> list[Portion]:
        """Return one portion: a batch has games of all variants."""
        return [Portion(tuple(range(len(self.variants))), tuple(seeds))]

    def open(self, portion: Portion) -> VectorGame:
        """Return a batch of games: of all variants, or one of a single game."""
        rules = [self.variants[v].rules for _ in portion.seeds for v in portion.variants]
        return make_vec(
            self.family, num_games=len(rules), rules=rules, seed=self.seed, episodes_per_trial=self.games,
            first_game=self._number(portion.variants[0], portion.seeds[0]),
        )  # fmt: skip

    def record(self, variant: int, seed: int) -> GameRecord:
        """Return what makes a game again."""
        rules = self.variants[variant].rules
        return family_game(self.family, rules, seed=self.seed, first_game=self._number(variant, seed))

    def _number(self, variant: int, seed: int) -> int:
        return seed * len(self.variants) + variant


@dataclass(frozen=True, slots=True)
class ThirdPartyArena:
    """A third-party PettingZoo game; its variants are choices of its arguments.

    Each variant is opened by itself, so that what is shown of it does not depend on the sizes of others.
    """

    game: ThirdParty
    variants: tuple[Variant, ...]
    roles: Mapping[str, str]
    family: Family | None
    seed: int
    games: int
    """K: of a series."""

    @property
    def name(self) -> str:
        """The game's name."""
        return game_name(self.game.entry_point)

    def hides(self, rules: Mapping[str, Any]) -> set[str]:  # noqa: ARG002 (an Arena's)
        """Return nothing: arguments are told."""
        return set()

    def portions(self, seeds: Sequence[int]) -> list[Portion]:
        """Return portions of one variant and a few seeds."""
        step = THIRD_PARTY_GAMES_AT_ONCE
        blocks = [tuple(seeds[start : start + step]) for start in range(0, len(seeds), step)]
        return [Portion((v,), block) for v in range(len(self.variants)) for block in blocks]

    def open(self, portion: Portion) -> VectorGame:
        """Return games of the portion's only variant."""
        (variant,) = portion.variants
        return open_third_party(
            self.game, self.variants[variant], len(portion.seeds), self.seed, portion.seeds[0], self.games
        )

    def record(self, variant: int, seed: int) -> GameRecord:
        """Return what makes a game again."""
        return GameRecord(
            name=self.name, family=False, api="vector", entry_point=self.game.entry_point,
            kwargs=self.variants[variant].rules, schema=self.game.observation_schema, sides=self.game.sides or None,
            seed=self.seed, first_game=seed,
        )  # fmt: skip


def open_third_party(
    game: ThirdParty, variant: Variant, count: int, seed: int = 0, first_game: int = 0, episodes: int = 1
) -> PettingZooVector:
    """Return `count` games of one variant; raises UserError for a game that cannot be played."""
    return PettingZooVector(
        game.entry_point, variant.rules, num_games=count, seed=seed, first_game=first_game,
        episodes_per_trial=episodes, schema=game.observation_schema, teams=game.sides, strict=False,
    )  # fmt: skip


def arena_of(plan: Plan) -> Arena:
    """Return where a tournament is played; raises UserError where the game is not the one that was planned."""
    if plan.third_party is None:
        variants, roles = variants_and_roles(plan)
        return FamilyArena(load_family(plan.game), variants, roles, plan.seed, plan.games)
    third = plan.third_party
    variants, planned = variants_and_roles(plan)
    roles = third_party_roles(third)
    if roles != planned:
        raise UserError(
            f"{third.entry_point!r} has the sides {listed(roles)} here, and had {listed(planned)} when the tournament "
            "was planned; it is another version of the game."
        )
    schema = load_schema(third.observation_schema) if third.observation_schema is not None else None
    family = load_family(schema.family) if schema is not None and schema.family is not None else None
    return ThirdPartyArena(third, variants, roles, family, plan.seed, plan.games)


def variants_and_roles(plan: Plan) -> tuple[tuple[Variant, ...], Mapping[str, str]]:
    """Return the variants of a tournament, and its sides with the role of each; no code of a third party is run."""
    if plan.third_party is not None:
        found = third_party_variants(plan.third_party)
        if [one.variant_id for one in found] != plan.variants:
            raise UserError("tournament: the key variants does not name the choices in third_party.kwargs.")
        return found, plan.third_party.roles
    family = load_family(plan.game)
    assert plan.split is not None  # a plan without a third-party game has one
    variants = _chosen(family, plan.split, plan.variants)
    game = make_vec(family, num_games=1, rules=variants[0].rules)
    try:
        return variants, roles_of(game)
    finally:
        game.close()


def third_party_variants(game: ThirdParty) -> tuple[Variant, ...]:
    """Return the variants that the choices of a game's arguments are."""
    name = game_name(game.entry_point)
    return tuple(Variant(family=name, rules=one, variant_id=variant_id(name, one)) for one in game.kwargs)


def third_party_roles(game: ThirdParty) -> dict[str, str]:
    """Return the sides of a third-party game, and the role of each; raises UserError where variants differ in them."""
    found: dict[str, dict[str, str]] = {}
    for variant in third_party_variants(game):
        opened = open_third_party(game, variant, 1)
        opened.close()
        found[str(variant.rules)] = roles_of(opened)
    first, *others = found
    for other in others:
        if found[other] != found[first]:
            raise UserError(
                f"All variants of a tournament must have the same sides; {game.entry_point!r} has "
                f"{listed(found[first])} with {first}, and {listed(found[other])} with {other}."
            )
    for side in found[first]:
        if any(letter in side for letter in _APART):
            raise UserError(
                f"{game.entry_point!r} has a side {side!r}, and names of sides are without {listed(_APART)}; "
                "give it another one (--sides)."
            )
    return found[first]


def roles_of(game: VectorGame) -> dict[str, str]:
    """Return the sides of a game, and the role of each."""
    there = sides_of(game)
    return {team.name: team.kind for team in game.layout.teams if team.name in there}


def lasting_path(name: str) -> str:
    """Return the path of a file so that it means the same from every folder."""
    return str(Path(name).expanduser().resolve())


def _chosen(family: Family, split: str, ids: Sequence[str]) -> tuple[Variant, ...]:
    """Return the variants of these ids; raises UserError for one that the split does not have."""
    there = {variant.variant_id: variant for variant in family.split(split)}
    for one in ids:
        if one not in there:
            raise UserError(f"The split {split!r} of {family.name} has no variant {one!r}.")
    return tuple(there[one] for one in ids)

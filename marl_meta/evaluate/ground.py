"""Where teams are evaluated: the variants of a split, given rules, or a third-party game."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marl_meta.games import Family, load_family, make_vec, parse_rules
from marl_meta.interop.schemas import load_schema
from marl_meta.interop.vector import PettingZooVector
from marl_meta.trust import trained_game
from marl_meta.types import UserError, Variant, VectorGame

GAMES_AT_ONCE = 1024
"""Games of ours that run side by side; more play one after the other."""

THIRD_PARTY_GAMES_AT_ONCE = 16
"""Third-party games are stepped one by one, and each costs its maker's start-up time."""

_SAY = {
    "entry_point": "--pettingzoo {} (in Python game=ThirdPartyGame(...))",
    "family": "--game {} (in Python game=...)",
}
_THIRD_PARTY_MAKER = "marl_meta.interop.vector:"


@dataclass(frozen=True, slots=True)
class ThirdPartyGame:
    """A PettingZoo game, parallel or turn-based, as `game=pettingzoo` names it."""

    entry_point: str
    """`package.module:callable` or `file.py:callable`."""
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    schema: str | None = None
    """What its flat observations mean; None makes every agent one entity."""
    sides: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Sides by pattern of agents' names, without a schema; a side called * is an agent's own, of its name.

    Agents that no pattern fits are on the side of their kind, or, where they move in turns, each on its own.
    """


@dataclass(frozen=True, slots=True)
class Ground:
    """Some variants of a game, on which teams are evaluated."""

    game: str
    """Name of the family, or the entry point of a third-party game."""
    split: str | None
    """None where rules were given."""
    num_variants: int
    rules: tuple[Mapping[str, Any], ...]
    """Of the variants, in the order in which they are played; empty where they are a third party's."""
    family: Family | None
    """Whose hand-written players can play here."""
    at_once: int
    """Most games that run side by side."""
    games_per_variant: int
    """How many games of each variant are played where nobody says otherwise."""
    open: Callable[[int, int, int], VectorGame]
    """`open(copies, episodes, seed)` returns a batch of `copies` times all variants, in turn, not yet reset."""
    third_party: ThirdPartyGame | None = None
    """The third-party game, where it is no family."""

    @property
    def label(self) -> str:
        """The split's name, or `rules`."""
        return self.split or "rules"


def family_ground(
    family: str | Path | Family, split: str | None = None, rules: Mapping[str, Any] | str | None = None
) -> Ground:
    """Return a ground of a split's variants, or of the one variant with these rules (others at their default).

    Rules as text are inline JSON, a YAML or JSON file, or a variant_id. Raises UserError on unknown names.
    """
    chosen = family if isinstance(family, Family) else load_family(family)
    if split is not None and rules is not None:
        raise UserError("An evaluation takes either a split or rules, not both: a split brings its own rules.")
    if split is not None:
        return variants_ground(chosen, split, chosen.split(split))
    only = parse_rules(rules, chosen) if isinstance(rules, str) else chosen.variant(rules)
    return variants_ground(chosen, None, [only])


def variants_ground(family: Family, split: str | None, variants: Sequence[Variant]) -> Ground:
    """Return a ground of these variants of a family.

    They are played in the order of their ids, because a game's random stream depends on its place: so what is found
    does not depend on the order in which somebody lists them. Raises UserError where there are none.
    """
    if not variants:
        raise UserError(f"The split {split!r} of {family.name} has no variants; there has to be at least one to play.")
    variants = sorted(variants, key=lambda variant: variant.variant_id)

    def open_games(copies: int, episodes: int, seed: int) -> VectorGame:
        assigned = [variant.rules for variant in variants] * copies
        return make_vec(family, num_games=len(assigned), rules=assigned, seed=seed, episodes_per_trial=episodes)

    third_party = family.entry_point.startswith(_THIRD_PARTY_MAKER)
    return Ground(
        game=family.name,
        split=split,
        num_variants=len(variants),
        rules=tuple(variant.rules for variant in variants),
        family=family,
        at_once=THIRD_PARTY_GAMES_AT_ONCE if third_party else GAMES_AT_ONCE,
        games_per_variant=_games_per_variant(128 if third_party else 1024, len(variants)),
        open=open_games,
    )


def third_party_ground(game: ThirdPartyGame) -> Ground:
    """Return the ground that a third-party game is; raises UserError for a game that cannot be played by teams."""
    schema = load_schema(game.schema) if game.schema is not None else None

    def open_games(copies: int, episodes: int, seed: int) -> VectorGame:
        return PettingZooVector(
            game.entry_point, game.kwargs, num_games=copies, seed=seed, episodes_per_trial=episodes,
            schema=game.schema, teams=game.sides,
        )  # fmt: skip

    return Ground(
        game=game.entry_point,
        split=None,
        num_variants=1,
        rules=(),
        family=load_family(schema.family) if schema is not None and schema.family is not None else None,
        at_once=THIRD_PARTY_GAMES_AT_ONCE,
        games_per_variant=_games_per_variant(128, 1),
        open=open_games,
        third_party=game,
    )


def trained_ground(trained_on: Mapping[str, Any], split: str | None, rules: Mapping[str, Any] | str | None) -> Ground:
    """Return the ground that fits what a team was trained on (`Team.trained_on`).

    Without `split` and `rules`, it is the held-out split beside the one that the team was trained on, or else the very
    rules of its training. Raises UserError where it is not known what the team was trained on, and where that is
    somebody's own code.
    """
    game = trained_game(trained_on, _SAY)
    if not game:
        raise UserError("It is not written down what the team was trained on; say which game to play (--game).")
    if game["family"] == "pettingzoo":
        if split is not None or rules is not None:
            raise UserError("A third-party game has no splits and no rules; its arguments are given with --kwargs.")
        sides = game.get("sides", {})  # teams of earlier versions do not say
        return third_party_ground(ThirdPartyGame(game["entry_point"], game["kwargs"], game["schema"], sides))
    family = load_family(game["family"])
    if split is None and rules is None:
        split = held_out_split(family, game.get("split"))
        rules = game.get("rules") if split is None else None
    return family_ground(family, split, rules)


def held_out_split(family: Family, trained: str | None) -> str | None:
    """Return the split of unseen variants beside the split of the training, that split where there is none."""
    if trained is None:
        return None
    unseen = trained.replace("train", "held_out")
    return unseen if unseen in family.splits else trained


def _games_per_variant(total: int, variants: int) -> int:
    return min(max(total // variants, 4), 512)

"""Games with adjustable rules: families, their variants, and batches of running games."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marl_meta.games.family import Family, check_integer, list_families, load_family, parse_rules
from marl_meta.types import UserError, Variant, VectorGame

__all__ = ["Family", "list_families", "load_family", "make_vec", "parse_rules"]


def make_vec(
    family: str | Path | Family,
    *,
    num_games: int,
    split: str | None = None,
    rules: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    seed: int = 0,
    episodes_per_trial: int = 1,
    first_game: int = 0,
) -> VectorGame:
    """Return a batch of `num_games` running games of a family, not yet reset.

    With `split`, every game draws a variant of that split at the start of each trial, by its own random stream.
    With `rules`, variants are fixed: one mapping for all games, or a list of one per game. With neither, all games
    play the family's default rules. A game's random stream depends on `seed` and on `first_game` + its row only.
    Raises UserError on an unknown family, split or rule and on values that are not allowed.
    """
    chosen = family if isinstance(family, Family) else load_family(family)
    check_integer("num_games", num_games, low=1)
    variants = _variants(chosen, num_games, split, rules)
    game: VectorGame = chosen.load_entry_point()(
        chosen,
        variants,
        num_games=num_games,
        seed=check_integer("seed", seed, low=0),
        episodes_per_trial=check_integer("episodes_per_trial", episodes_per_trial, low=1),
        first_game=check_integer("first_game", first_game, low=0),
        fixed=split is None,
    )
    return game


def _variants(
    family: Family, num_games: int, split: str | None, rules: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
) -> list[Variant]:
    if split is not None:
        if rules is not None:
            raise UserError("make_vec takes either a split or rules, not both: rules fix what a split draws.")
        return family.split(split)
    if rules is None or isinstance(rules, Mapping):
        return [family.variant(rules)]
    if len(rules) != num_games:
        raise UserError(f"rules must be one mapping, or a list of one mapping for each of the {num_games} games.")
    return [family.variant(one) for one in rules]

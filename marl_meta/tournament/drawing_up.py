"""From what a user asks for to the plan of a tournament."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marl_meta.config.complaints import validated
from marl_meta.evaluate.ground import ThirdPartyGame
from marl_meta.evaluate.lineup import RANDOM
from marl_meta.games import Family, load_family, make_vec
from marl_meta.games.family import check_integer
from marl_meta.interop.vector import game_name
from marl_meta.resources import is_path
from marl_meta.tournament.arena import lasting_path, third_party_roles, third_party_variants
from marl_meta.tournament.outsiders.specs import parse_all
from marl_meta.tournament.plan import FORMATS, SHARED, Plan, ThirdParty
from marl_meta.types import UserError
from marl_meta.wording import listed


def draw_up(
    *,
    teams: Sequence[str],
    game: str | Sequence[ThirdPartyGame],
    split: str | None = None,
    form: str = "round_robin",
    reference: Sequence[str] = (),
    games: int = 3,
    seeds: int = 4,
    variants: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Plan:
    """Return the plan of a tournament; raises UserError where something of it cannot be.

    `teams` are SPEC or NAME=SPEC. `game` is a family, or a third-party game with one choice of arguments or several,
    which are its variants. Of a family, `split` is by default the held-out one whose games have as many sides as the
    format needs; `variants` is how many of it are played, drawn by `seed`. Other `options` are keys of
    the plan.
    """
    if form not in FORMATS:
        raise UserError(f"There is no format {form!r}; allowed are {listed(FORMATS)}.")
    if isinstance(game, str):
        played = _of_family(game, split, form, variants, seed)
    else:
        if split is not None or variants is not None:
            raise UserError(
                "A third-party game has no splits: each choice of its arguments (--kwargs) is a variant, and all are "
                "played."
            )
        played = _of_third_party(game)
    entrants = [{"name": spec.name, "spec": spec.text} for spec in parse_all(teams)]
    if form in SHARED and all(one["spec"] != RANDOM for one in entrants):
        entrants.append({"name": RANDOM, "spec": RANDOM})  # 0 on the scale of scores
    values = {
        **played,
        "format": form,
        "entrants": entrants,
        "reference": list(reference),
        "games": games,
        "seeds": seeds,
        "seed": seed,
        **options,
    }
    return validated(Plan, values, "tournament: ")


def _of_family(game: str, split: str | None, form: str, variants: int | None, seed: int) -> dict[str, Any]:
    """Return what a plan says of variants of a family."""
    family = load_family(game)
    chosen = split if split is not None else _default_split(family, 1 if form in SHARED else 2)
    pool = family.split(chosen)
    if variants is not None and variants < len(pool):
        pool = family.sample(seed, check_integer("variants", variants, low=1), split=chosen)
    return {"game": game, "split": chosen, "variants": sorted(variant.variant_id for variant in pool)}


def _of_third_party(games: Sequence[ThirdPartyGame]) -> dict[str, Any]:
    """Return what a plan says of a third-party game, so that it means the same from every folder."""
    first = games[0]
    module, _, symbol = first.entry_point.rpartition(":")
    schema = first.schema
    game = ThirdParty(
        entry_point=f"{lasting_path(module)}:{symbol}" if module.endswith(".py") else first.entry_point,
        kwargs=[dict(one.kwargs) for one in games],
        schema=lasting_path(schema) if schema is not None and is_path(schema) else schema,
        sides=dict(first.sides),
    )
    ids = [one.variant_id for one in third_party_variants(game)]
    if len(set(ids)) < len(ids):
        raise UserError("Each choice of the game's arguments (--kwargs) is a variant; one of them is given twice.")
    game = game.model_copy(update={"roles": third_party_roles(game)})
    return {"game": game_name(game.entry_point), "split": None, "variants": ids, "third_party": game}


def _default_split(family: Family, sides: int) -> str:
    """Return the held-out split whose games have so many sides."""
    held_out = [name for name in family.splits if "held_out" in name]
    for name in held_out:
        batch = make_vec(family, num_games=1, rules=family.split(name)[0].rules)
        found = len(set(batch.agent_team.tolist()))
        batch.close()
        if found == sides:
            return name
    raise UserError(
        f"Family {family.name!r} has no held-out split of games with {sides} sides; say which split is played "
        f"(--split); it has {listed(family.splits)}."
    )

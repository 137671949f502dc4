"""From what a user asks for to the plan of a tournament."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marl_meta.config.complaints import validated
from marl_meta.evaluate.lineup import RANDOM
from marl_meta.games import Family, load_family, make_vec
from marl_meta.games.family import check_integer
from marl_meta.tournament.outsiders.specs import parse_all
from marl_meta.tournament.plan import FORMATS, SHARED, Plan
from marl_meta.types import UserError
from marl_meta.wording import listed


def draw_up(
    *,
    teams: Sequence[str],
    game: str,
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

    `teams` are SPEC or NAME=SPEC; `split` is by default the held-out one whose games have as many sides as the format
    needs; `variants` is how many of it are played, drawn by `seed`. Other `options` are keys of the plan.
    """
    family = load_family(game)
    if form not in FORMATS:
        raise UserError(f"There is no format {form!r}; allowed are {listed(FORMATS)}.")
    chosen = split if split is not None else _default_split(family, 1 if form in SHARED else 2)
    pool = family.split(chosen)
    if variants is not None and variants < len(pool):
        pool = family.sample(seed, check_integer("variants", variants, low=1), split=chosen)
    entrants = [{"name": spec.name, "spec": spec.text} for spec in parse_all(teams)]
    if form in SHARED and all(one["spec"] != RANDOM for one in entrants):
        entrants.append({"name": RANDOM, "spec": RANDOM})  # 0 on the scale of scores
    values = {
        "game": game,
        "split": chosen,
        "variants": sorted(variant.variant_id for variant in pool),
        "format": form,
        "entrants": entrants,
        "reference": list(reference),
        "games": games,
        "seeds": seeds,
        "seed": seed,
        **options,
    }
    return validated(Plan, values, "tournament: ")


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

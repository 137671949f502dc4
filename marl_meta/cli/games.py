"""The commands that show families, their rules and their variants."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from marl_meta.cli._options import AsJson
from marl_meta.games.card import (
    RULE_COLUMNS,
    SPLIT_COLUMNS,
    disjointness,
    family_record,
    rule_row,
    split_row,
    value_text,
)
from marl_meta.games.family import Family, list_families, load_family
from marl_meta.resources import FAMILIES_VARIABLE
from marl_meta.types import UserError, Variant
from marl_meta.wording import listed


def games(
    family: Annotated[
        str | None, typer.Argument(help="A family, or the path of a family.yaml; without it, all families are listed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the families, or show a family's rules card: its rules, their ranges, and its splits."""
    families = [load_family(name) for name in ([family] if family else list_families())]
    if as_json:
        _print_json({"families": [family_record(one) for one in families]})
    elif family:
        _show_card(families[0])
    else:
        _show_families(families)


def variants(
    family: Annotated[str, typer.Argument(help="A family, or the path of a family.yaml.")],
    split: Annotated[str | None, typer.Option(help="List this split, or sample from it: train, held_out, ood.")] = None,
    sample: Annotated[
        int | None, typer.Option(help="Draw so many distinct variants, of the split or over all allowed rules.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of --sample.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List the variants of a split, or draw some: their ids and their rules."""
    loaded = load_family(family)
    found = _chosen(loaded, split, sample, seed)
    if as_json:
        records = [{"variant_id": one.variant_id, "family": one.family, "rules": one.rules} for one in found]
        _print_json({"variants": records})
    else:
        _show_variants(loaded, found)


def _chosen(family: Family, split: str | None, sample: int | None, seed: int) -> list[Variant]:
    if sample is not None:
        return family.sample(seed, sample, split)
    if split is None:
        raise UserError(
            f"It is not said which variants of family {family.name!r} to list; allowed are --sample N, "
            f"--split NAME (its splits are {listed(family.splits)}), or both."
        )
    return family.split(split)


def _show_families(families: Iterable[Family]) -> None:
    rows = []
    for family in families:
        hidden = [rule.name for rule in family.rules.values() if rule.hidden]
        splits = ", ".join(f"{name} {len(family.split(name))}" for name in family.splits)
        rows.append((family.name, family.title, str(len(family.rules)), ", ".join(hidden), splits))
    console = Console()
    if not rows:
        console.print(f"No family is installed; the variable {FAMILIES_VARIABLE} lists folders of families.")
        return
    console.print(_table("Families", ("family", "title", "rules", "hidden rules", "variants by split"), rows))
    console.print("A family's rules card: marl-meta games FAMILY")


def _show_card(family: Family) -> None:
    console = Console()
    console.print(f"[bold]{escape(family.name)}[/bold]: {escape(family.title)}")
    if family.description:
        console.print(escape(family.description))
    console.print(f"Agents: {', '.join(family.agents)}. Objects: {', '.join(family.objects) or 'none'}.")
    console.print(f"From {family.path}", style="dim", markup=False, highlight=False, soft_wrap=True)
    rules = family.rules.values()
    unless = "" if family.told_by is None else f", unless {family.told_by} is true"
    for title, hidden in ((f"Hidden rules (they show only through play{unless})", True), ("Visible rules", False)):
        rows = [rule_row(rule) for rule in rules if rule.hidden == hidden]
        if rows:
            console.print(_table(title, RULE_COLUMNS, rows))
    if family.splits:
        splits = [split_row(family, split) for split in family.splits.values()]
        console.print(_table("Splits (rules not named stay at their default)", SPLIT_COLUMNS, splits))
    for line in disjointness(family):
        console.print(line, markup=False)


def _show_variants(family: Family, found: list[Variant]) -> None:
    rows = []
    for variant in found:
        changed = {name: value for name, value in variant.rules.items() if value != family.rules[name].default}
        text = "  ".join(f"{name}={value_text(value)}" for name, value in changed.items())
        rows.append((variant.variant_id, text or "(all at their default)"))
    columns = ("variant", "rules that differ from the default")
    Console().print(_table(f"{len(rows)} variants of {family.name}", columns, rows))


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        table.add_column(column, no_wrap=i == 0)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def _print_json(record: dict[str, Any]) -> None:
    typer.echo(json.dumps(record, ensure_ascii=False))

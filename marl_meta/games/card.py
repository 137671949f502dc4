"""What a family looks like to people (the rules card) and to other programs (a JSON record)."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

from marl_meta.games.family import Family, list_families, load_family
from marl_meta.games.rules import Rule, canonical_json
from marl_meta.games.splits import Split, digest, share_text, witness
from marl_meta.resources import data_dirs

CARD_FILE = "RULES.md"
RULE_COLUMNS = ("rule", "kind", "values", "default", "binds to", "what it does")
SPLIT_COLUMNS = ("split", "variants", "what varies", "digest")


def rules_card(family: Family) -> str:
    """Return the family's rules card as Markdown: what `envs/<family>/RULES.md` holds."""
    hidden = [rule_row(rule) for rule in family.rules.values() if rule.hidden]
    visible = [rule_row(rule) for rule in family.rules.values() if not rule.hidden]
    parts = [
        f"<!-- Made from {family.path.name} by `python -m marl_meta.games.card`; edit that file, not this one. -->",
        f"# {family.name}: {family.title}",
        family.description,
        f"Kinds of agents: {', '.join(family.agents)}. Kinds of objects: {', '.join(family.objects) or 'none'}.",
        "## Hidden rules",
        hidden_text(family) if hidden else "None.",
        _markdown_table(RULE_COLUMNS, hidden),
        "## Visible rules",
        "Every player sees their values." if visible else "None.",
        _markdown_table(RULE_COLUMNS, visible),
        "## Splits",
        "Rules that a split does not name stay at their default." if family.splits else "None.",
        _markdown_table(SPLIT_COLUMNS, [split_row(family, split) for split in family.splits.values()]),
        "\n".join(f"- {line}" for line in disjointness(family)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def hidden_text(family: Family) -> str:
    """Return what there is to say of the hidden rules."""
    unless = "" if family.told_by is None else f" Where {family.told_by} is true, players are shown them."
    return "Never observable; they show only through play." + unless


def rule_row(rule: Rule) -> tuple[str, ...]:
    """Return a rule as texts, one for each of RULE_COLUMNS."""
    where = {"game": "the game", "agents": "all agents"}
    return (
        rule.name,
        rule.kind,
        _values_text(rule),
        f"{value_text(rule.default)} {rule.unit}".strip(),
        ", ".join(where.get(place, place) for place in rule.binds),
        rule.about,
    )


def split_row(family: Family, split: Split) -> tuple[str, ...]:
    """Return a split as texts, one for each of SPLIT_COLUMNS."""
    variants = family.split(split.name)
    found = digest([variant.variant_id for variant in variants])
    hashed = _hashed(family, split)
    varies = [
        f"{name} {domain}"
        for name, domain in split.domains.items()
        if name not in hashed or len(domain.values) < len(family.rules[name].values())
    ]
    if split.share is not None:
        varies.append(f"combinations of {', '.join(hashed)} that hash into {share_text(split.share)}")
    return split.name, str(len(variants)), "; ".join(varies), found


def _hashed(family: Family, split: Split) -> tuple[str, ...]:
    """Return the rules of whose combinations a split takes a share."""
    return family.hashing.rules if family.hashing is not None and split.share is not None else ()


def disjointness(family: Family) -> list[str]:
    """Return for every two splits a line that says why no variant is in both."""
    return [
        f"{a.name} and {b.name} share no variant: {witness(a, b, family.rules)}."
        for a, b in itertools.combinations(family.splits.values(), 2)
    ]


def value_text(value: Any) -> str:
    """Return a rule's value as people read it: texts without quotes, all else as in canonical JSON."""
    return value if isinstance(value, str) else canonical_json(value)


def family_record(family: Family) -> dict[str, Any]:
    """Return all that a family declares as plain values, which JSON can hold."""
    return {
        "family": family.name,
        "title": family.title,
        "description": family.description,
        "path": str(family.path),
        "agents": list(family.agents),
        "objects": list(family.objects),
        "rules": [rule_record(rule) for rule in family.rules.values()],
        "splits": [split_record(family, split) for split in family.splits.values()],
        "disjoint": disjointness(family),
    }


def rule_record(rule: Rule) -> dict[str, Any]:
    """Return all that a rule declares as plain values; `range` or `options` only where its kind has them."""
    record: dict[str, Any] = {"rule": rule.name, "kind": rule.kind, "allowed": rule.allowed}
    if rule.kind in ("int", "float"):
        record["range"] = [rule.low, rule.high]
    if rule.options:
        record["options"] = list(rule.options)
    return record | {
        "default": rule.default,
        "unit": rule.unit,
        "hidden": rule.hidden,
        "binds": list(rule.binds),
        "about": rule.about,
    }


def split_record(family: Family, split: Split) -> dict[str, Any]:
    """Return what a split declares and holds as plain values."""
    variants = family.split(split.name)
    return {
        "split": split.name,
        "variants": len(variants),
        "rules": {
            name: {"intervals": domain.intervals} if domain.intervals else domain.values
            for name, domain in split.domains.items()
        },
        "hashed": list(_hashed(family, split)),
        "share": split.share,
        "digest": digest([variant.variant_id for variant in variants]),
    }


def write_cards(folder: Path) -> list[Path]:
    """Write the rules card of every family in `folder`; returns the files."""
    files = []
    for name in list_families():
        family = load_family(name)
        if family.path.parent.parent == folder.resolve():
            file = family.path.parent / CARD_FILE
            file.write_text(rules_card(family), encoding="utf-8")
            files.append(file)
    return files


def _values_text(rule: Rule) -> str:
    match rule.kind:
        case "int" | "float":
            return f"{rule.low:.10g} to {rule.high:.10g}"
        case "choice":
            return ", ".join(map(str, rule.options))
        case "permutation":
            return f"orderings of {canonical_json(rule.options)}"
        case "flag":
            return "true, false"


def _markdown_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    escaped = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, ("---",) * len(columns), *escaped))


if __name__ == "__main__":
    for card in write_cards(data_dirs("envs")[0]):
        sys.stdout.write(f"{card}\n")

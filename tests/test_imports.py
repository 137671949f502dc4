"""The import graph goes downward only, and each heavy library has one user."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import marl_meta

ROOT = Path(marl_meta.__file__).parent

LEVELS = {
    "": 6,  # marl_meta itself: the public surface
    "types": 0,
    "wording": 0,
    "files": 0,
    "resources": 0,
    "config": 0,
    "_compose": 0,
    "_callable": 0,
    "tracking": 0,
    "allocator": 0,
    "kernels": 0,
    "trust": 0,
    "games": 1,
    "rl": 1,
    "nets": 2,
    "interop": 2,
    "replay": 2,
    "players": 3,
    "rollout": 3,
    "meta": 3,
    "mind": 3,
    "thinking": 3,
    "visitors": 3,
    "team": 3,
    "export": 3,
    "evaluate": 4,
    "tournament": 4,
    "train": 5,
    "bench": 5,
    "cli": 6,
}
"""Every module or package directly below marl_meta, and its level. A module imports its own level or lower ones."""

SIBLINGS = {"games": {"rl"}, "rl": {"games"}}
"""Of one level, and yet strangers."""

ONLY_IN = {
    "torch_geometric": {"nets"},
    "wandb": {"tracking"},
    "hydra": {"_compose"},
    "omegaconf": {"_compose"},
    "pettingzoo": {"interop"},
    "gymnasium": {"interop"},
    "supersuit": {"interop"},
    "mpe2": {"interop"},
    "typer": {"cli"},
}
"""Libraries with one user; lazy imports elsewhere count too."""

NEVER_IN = {"torch": {"games", "types", "config", "resources", "tracking", "files"}, "rich": {"games", "rl", "nets"}}


def part(module: str) -> str:
    """Return the part of marl_meta that a module belongs to: `games` for marl_meta.games.kernel."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else ""


def modules() -> dict[str, Path]:
    """Return every module of marl_meta by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        pieces = ["marl_meta", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(pieces[:-1] if pieces[-1] == "__init__" else pieces)] = path
    return found


def imports(source: str) -> Iterator[str]:
    """Yield what a module imports, at its top or anywhere inside, but for types only."""
    tree = ast.parse(source)
    for_types = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for child in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what is imported"
            assert node.module is not None
            if node.module == "marl_meta":  # `from marl_meta import types` imports a module, as it says
                yield from (f"marl_meta.{alias.name}" for alias in node.names)
            else:
                yield node.module


MODULES = modules()


def test_the_graph_is_seen() -> None:
    assert len(MODULES) > 10
    code = "import a.b\nfrom marl_meta import types\ndef f():\n    from c.d import e\nif TYPE_CHECKING:\n    import g\n"
    assert list(imports(code)) == ["a.b", "marl_meta.types", "c.d"]


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward(module: str) -> None:
    user = part(module)
    assert user in LEVELS, f"say in LEVELS which level marl_meta.{user} has"
    for imported in imports(MODULES[module].read_text(encoding="utf-8")):
        if imported.split(".")[0] != "marl_meta":
            continue
        used = part(imported)
        assert LEVELS.get(used, 99) <= LEVELS[user], f"{module} imports {imported}, which is above it"
        assert used not in SIBLINGS.get(user, ()), f"{module} imports {imported}, a stranger of the same level"


@pytest.mark.parametrize("module", MODULES)
def test_libraries_have_one_user(module: str) -> None:
    user = part(module)
    for imported in imports(MODULES[module].read_text(encoding="utf-8")):
        library = imported.split(".")[0]
        assert user in ONLY_IN.get(library, {user}), f"{module} imports {imported}; only {ONLY_IN[library]} may"
        assert user not in NEVER_IN.get(library, ()), f"{module} imports {imported}, and never may"

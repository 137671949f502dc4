"""What specs mean, and what is said of those that mean nothing."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from marl_meta.tournament.outsiders.specs import GROUP, Spec, parse, parse_all
from marl_meta.types import UserError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an agent, a team and a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents" / "clever").mkdir(parents=True)
    (tmp_path / "agents" / "clever" / "main.py").touch()
    (tmp_path / "agents" / "greedy.py").touch()
    for team in ("red", "runs/first/team"):
        (tmp_path / team).mkdir(parents=True)
        (tmp_path / team / "team.json").touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_each_kind(folder: Path) -> None:
    agents = folder / "agents"
    for text, kind, name, target, where in (
        ("random", "random", "random", "", folder),
        ("builtin:chaser", "builtin", "chaser", "chaser", folder),
        ("zoo:harvest-belief", "zoo", "harvest-belief", "harvest-belief", folder),
        ("red", "team", "red", str(folder / "red"), folder),
        ("./red/", "team", "red", str(folder / "red"), folder),
        ("runs/first", "team", "first", str(folder / "runs/first/team"), folder),
        ("agents/greedy.py", "python", "greedy", str(agents / "greedy.py"), agents),
        ("agents/greedy.py:Agent", "python", "greedy", f"{agents / 'greedy.py'}:Agent", agents),
        ("agents/clever/main.py", "python", "clever", str(agents / "clever/main.py"), agents / "clever"),
        ("package.module:Symbol", "python", "Symbol", "package.module:Symbol", folder),
        ("exec:./bin/agent --level=3", "exec", "agent", "./bin/agent --level=3", folder),
    ):
        assert parse(text) == Spec(kind, name, target, text, None, where)  # type: ignore[arg-type]


def test_names_and_styles(folder: Path) -> None:
    spec = parse("best-1=random")
    assert (spec.name, spec.kind, spec.text) == ("best-1", "random", "random")
    spec = parse("x=sb3:agents/greedy.py:load")
    assert (spec.name, spec.style, spec.target) == ("x", "sb3", f"{folder / 'agents/greedy.py'}:load")
    assert parse("kaggle:agents/greedy.py").style == "kaggle"
    assert parse("lux:package.module:Agent").target == "package.module:Agent"
    assert parse("exec:A=1 ./agent").target == "A=1 ./agent"
    assert [one.name for one in parse_all(["random", "other=random"])] == ["random", "other"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no entrant; allowed are random, builtin:NAME"),
        ("x=", "names no entrant"),
        ("=random", "'' in '=random' is no name"),
        ("a b=random", "'a b' in 'a b=random' is no name"),
        ("../x=random", "names no entrant"),
        ("randm", r"names no entrant (did you mean 'random'?)"),
        ("exec:", "exec: names no command"),
        ("builtin:", "builtin: names no player"),
        ("zoo:harvest-beleif", "There is no team 'zoo:harvest-beleif' (did you mean 'harvest-belief'?)"),
        ("empty", "The folder 'empty' is no team"),
        ("agents/missing.py", "there is no file"),
        ("agents/greedy.py:", "after the colon comes the name"),
        ("kaggle:", "'kaggle:' names no entrant"),
        ("kaggle:random", "'kaggle:random' names no entrant"),
        ("no-module:Symbol", "names no entrant"),
        (
            "wandb:us/project/team:v3",
            "needs the network; download it first, with 'wandb artifact get us/project/team:v3",
        ),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_means_nothing(text: str, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        parse(text)


@pytest.mark.usefixtures("folder")
def test_names_are_unique() -> None:
    with pytest.raises(UserError, match=r"Two entrants are called 'red', 'red' and '\./red'"):
        parse_all(["red", "random", "./red"])


def test_packages_offer_agents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offered = importlib.metadata.EntryPoints(
        [
            importlib.metadata.EntryPoint("minimax", "its_package.agents:Minimax", GROUP),
            importlib.metadata.EntryPoint("broken", "its_package", GROUP),
        ]
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: offered.select(group=group))
    monkeypatch.chdir(tmp_path)
    assert parse("minimax") == Spec(
        "python", "minimax", "its_package.agents:Minimax", "minimax", None, tmp_path
    )  # fmt: skip
    with pytest.raises(UserError, match=r"is 'its_package', which is no pkg\.mod:Symbol"):
        parse("broken")
    with pytest.raises(UserError, match="did you mean 'minimax'"):
        parse("minmax")


def test_parsing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from marl_meta.tournament.outsiders import host, process, specs; specs.parse('random');"
        "print(sorted({'torch', 'numba', 'pydantic', 'pettingzoo', 'gymnasium'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

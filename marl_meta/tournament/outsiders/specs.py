"""What the specs of entrants on the command line mean. It only parses and finds: no entrant's code runs here."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from marl_meta.resources import data_dirs
from marl_meta.tournament.outsiders.styles import STYLES, Style
from marl_meta.types import UserError
from marl_meta.wording import close_match, listed

SpecKind = Literal["random", "builtin", "zoo", "team", "python", "exec"]

GROUP = "marl_meta.agents"
"""The entry points by which packages offer agents, by name."""
ALLOWED = (
    "random, builtin:NAME (or builtin:ONE+OTHER, of different roles), zoo:NAME, a team's folder, file.py, "
    "file.py:Symbol, pkg.mod:Symbol, exec:COMMAND"
)

_CARD = "team.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,59}")
_NAMED = re.compile(r"([^=:/\\]*)=(.*)", re.DOTALL)
"""A name in front; what has a colon or a separator before its first equals sign has none."""
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_GENERIC = ("main", "agent", "submission", "player", "team")
"""Names of files that say nothing; their folder's says more."""


@dataclass(frozen=True, slots=True)
class Spec:
    """An entrant, as somebody wrote it down."""

    kind: SpecKind
    name: str
    """What it is called in reports."""
    target: str
    """By kind: nothing; a hand-written player; a team of the zoo; a team's folder; code with its absolute path; a
    command."""
    text: str
    """What was written, without a name in front."""
    style: Style | None = None
    """Of Python code, where it was named."""
    folder: Path = Path()
    """Where Python code and commands run."""


def parse(text: str) -> Spec:
    """Return what a spec means, which may have `NAME=` in front; raises UserError for what is none."""
    match = _NAMED.fullmatch(text)
    given, spec = (match.group(1), match.group(2)) if match else (None, text)
    if given is not None and not _NAME.fullmatch(given):
        raise UserError(f"{given!r} in {text!r} is no name; allowed are letters, digits and . _ + -, up to 60 of them.")
    if not spec.strip():
        raise UserError(f"{text!r} names no entrant; allowed are {ALLOWED}.")
    kind, target, style, folder = _meaning(spec)
    return Spec(kind, given or _usual_name(kind, target, spec), target, spec, style, folder)


def parse_all(texts: Iterable[str]) -> list[Spec]:
    """Return what specs mean; raises UserError where two of them have the same name."""
    found: dict[str, Spec] = {}
    for text in texts:
        spec = parse(text)
        if spec.name in found:
            raise UserError(
                f"Two entrants are called {spec.name!r}, {found[spec.name].text!r} and {spec.text!r}; "
                "give one of them a name of its own: NAME=SPEC."
            )
        found[spec.name] = spec
    return list(found.values())


_Meaning = tuple[SpecKind, str, Style | None, Path]


def _meaning(spec: str) -> _Meaning:
    here = Path.cwd()
    prefix, colon, rest = spec.partition(":")
    if spec == "random":
        return "random", "", None, here
    if colon and prefix == "exec":
        if not rest.strip():
            raise UserError("exec: names no command; it takes one, as in exec:./my_agent --fast.")
        return "exec", rest.strip(), None, here
    if colon and prefix == "wandb":
        raise UserError(
            f"{spec!r} is an artifact of W&B, which needs the network; download it first, with "
            f"'wandb artifact get {rest or 'ENTITY/PROJECT/TEAM:ALIAS'} --root FOLDER', and name the folder."
        )
    if colon and prefix == "builtin":
        if not rest:
            raise UserError("builtin: names no player; it takes one of the family's hand-written players.")
        return "builtin", rest, None, here
    if colon and prefix == "zoo":
        return "zoo", _of_zoo(rest), None, here
    style = next((one for one in get_args(Style) if colon and one == prefix), None)
    if style is not None:
        target, folder = _code(rest, spec)
        return "python", target, style, folder
    if (team := _team(spec)) is not None:
        return "team", str(team), None, here
    target, folder = _code(spec, spec)
    return "python", target, None, folder


def _of_zoo(name: str) -> str:
    there = sorted({card.parent.name for zoo in data_dirs("zoo") for card in zoo.glob(f"*/{_CARD}")})
    if name not in there:
        raise UserError(f"There is no team 'zoo:{name}'{close_match(name, there)}; the zoo has {listed(there)}.")
    return name


def _team(spec: str) -> Path | None:
    """Return the folder of the team that a path names: its own, or that of a run."""
    path = Path(spec).expanduser()
    if not path.is_dir():
        return None
    for folder in (path, path / "team"):
        if (folder / _CARD).is_file():
            return folder.resolve()
    raise UserError(f"The folder {spec!r} is no team: a team is a folder with {_CARD}.")


def _code(text: str, spec: str) -> tuple[str, Path]:
    """Return the code that a text names, and the folder where it runs."""
    path, _, symbol = text.rpartition(":") if re.search(r"\.py:\w*$", text) else (text, "", "")
    if path.endswith(".py"):
        file = Path(path).expanduser().resolve()
        if not file.is_file():
            raise UserError(f"{spec!r} names no code: there is no file {file}.")
        if text != path and not symbol.isidentifier():
            raise UserError(f"{spec!r} names no code: after the colon comes the name of a function, class or object.")
        return (f"{file}:{symbol}" if symbol else str(file)), file.parent
    if _MODULE.fullmatch(text):
        return text, Path.cwd()
    offered = {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}
    if text in offered:
        if not _MODULE.fullmatch(offered[text]):
            raise UserError(
                f"The agent {text!r} that a package offers is {offered[text]!r}, which is no pkg.mod:Symbol."
            )
        return offered[text], Path.cwd()
    known = ["random", *offered, *(f"{style}:" for style in STYLES), "builtin:", "zoo:", "exec:"]
    raise UserError(f"{spec!r} names no entrant{close_match(text, known)}; allowed are {ALLOWED}.")


def _usual_name(kind: SpecKind, target: str, spec: str) -> str:
    """Return what an entrant is called that nobody named."""
    if kind == "python" and ".py" in target:
        file = Path(target if target.endswith(".py") else target.rpartition(":")[0])
        name = file.parent.name if file.stem in _GENERIC and file.parent.name else file.stem
    elif kind == "python":
        name = spec.rpartition(":")[2]
    elif kind == "team":
        folder = Path(target)
        name = folder.parent.name if folder.name in _GENERIC and folder.parent.name else folder.name
    elif kind == "exec":
        name = Path(target.split(maxsplit=1)[0]).stem or "exec"
    else:
        name = target or kind
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name)[:60].strip("-._+")
    return plain or kind

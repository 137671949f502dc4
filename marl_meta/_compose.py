"""Composing `configs/` with overrides: the only user of hydra, of which only the compose API is used.

Hydra's own command line is not: nothing changes the working directory, the logging, or writes an output folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from marl_meta import resources
from marl_meta.types import UserError
from marl_meta.wording import close_match, listed, one_line

ROOT = "config"
"""Name of the YAML file that composition starts from."""


def compose(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the composed values as plain dicts and lists; raises UserError for what cannot be composed."""
    folder = resources.find("configs", f"{ROOT}.yaml").parent.resolve()
    lines = [line for override in overrides for line in _translated(override, folder)]
    try:
        with initialize_config_dir(config_dir=str(folder), version_base="1.3"):
            composed = hydra_compose(ROOT, overrides=lines)
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"The overrides {listed(overrides)} cannot be applied: {one_line(error)}.") from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _translated(override: str, folder: Path) -> list[str]:
    """Return the hydra overrides that mean this one of ours.

    `game=X` takes any family, so it becomes the default game with that family where X has no file of its own.
    A value may be new to its mapping (`game.kwargs={N: 3}`), which hydra writes `++key=value`: whether the
    key is allowed is for the typed configuration to say.
    """
    group, separator, option = override.partition("=")
    options = _options(folder, group)
    if separator and options and not option.startswith("{"):
        name = option.strip("'\"")
        if name in options:
            return [f"{group}={name}"]
        if group == "game" and name:
            return ["game=default", f"++game.family={_quoted(name)}"]
        raise UserError(
            f"Config group {group} has no option {name!r}{close_match(name, options)}; allowed are {listed(options)}."
        )
    parsed = _parsed(override)
    if parsed.is_delete():
        return [override]
    return [f"++{override.lstrip('+')}"]


def _options(folder: Path, group: str) -> list[str]:
    """Return the options of a config group, none if there is no such group."""
    if not group.isidentifier():
        return []
    return sorted(path.stem for path in (folder / group).glob("*.yaml"))


def _parsed(override: str) -> Override:
    """Return the override as hydra understands it; raises UserError when it does not."""
    unreadable = UserError(
        f"The override {override!r} cannot be read; allowed are key=value, group=option and ~key, "
        "with text that holds special characters in quotes."
    )
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise unreadable from error
    if not parsed.key_or_group or parsed.package is not None:
        raise unreadable
    if parsed.key_or_group.partition(".")[0] == "hydra":
        raise UserError(
            f"The override {override!r} sets up hydra itself, of which nothing is used; allowed are our keys."
        )
    if parsed.is_sweep_override():
        raise UserError(f"The override {override!r} gives several values; allowed is one (a list is written [1,2]).")
    return parsed


def _quoted(text: str) -> str:
    """Return text as hydra's grammar quotes it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

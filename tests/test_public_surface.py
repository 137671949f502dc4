"""The public names of marl_meta, pinned: what is added or taken away is decided here."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import FunctionType

import pytest

import marl_meta

SURFACE = {
    "Replay",
    "ThirdPartyGame",
    "UserError",
    "adapt",
    "evaluate",
    "list_families",
    "load_family",
    "load_replay",
    "load_team",
    "make",
    "make_aec",
    "make_vec",
    "play",
    "record",
    "resume",
    "train",
}


def test_the_surface_is_this() -> None:
    assert set(marl_meta.__all__) == set(dir(marl_meta)) == SURFACE


@pytest.mark.parametrize("name", sorted(SURFACE))
def test_every_name_can_be_called_and_explains_itself(name: str) -> None:
    thing = getattr(marl_meta, name)
    assert callable(thing)
    assert thing.__doc__
    assert isinstance(thing, type) or inspect.signature(thing)


@pytest.mark.parametrize("name", ["evaluate", "train"])
def test_packages_that_are_called_are_functions_and_packages(name: str) -> None:
    """Importing a submodule writes the package over the parent's attribute; it must not matter."""
    package = sys.modules.get(f"marl_meta.{name}") or getattr(marl_meta, name)
    assert getattr(marl_meta, name) is package
    function = getattr(package, name)
    assert isinstance(function, FunctionType)
    assert inspect.signature(package) == inspect.signature(function)


def test_importing_the_package_is_fast_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, marl_meta\n"
        "heavy = {'torch', 'numpy', 'numba', 'wandb', 'hydra', 'pydantic', 'pettingzoo', 'gymnasium', 'PIL'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "marl_meta.make_vec\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        marl_meta.trian  # noqa: B018


def test_the_readme_story(tmp_path) -> None:
    """What the package's docstring shows, in small."""
    run = marl_meta.train(
        [
            "game=spread", "game.split=train", "game.num_games=4", "policy.hidden=8", "policy.heads=2",
            "train.steps=100", "train.threads=1", "tracking=off", "name=first", f"runs_dir={tmp_path}",
        ],
        quiet=True,
    )  # fmt: skip
    found = marl_meta.evaluate(run.team, split="held_out", games_per_variant=2)
    assert found.record()["teams"][0]["team"] == "first"

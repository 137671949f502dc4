"""The wheel works by itself: installed elsewhere, from an empty folder, with nothing of the checkout in reach."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly built wheel."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which nothing but the wheel is installed."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)
    return folder


def python(installed: Path, empty: Path, code: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(empty), "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=empty, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_wheel_holds_code_and_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"marl_meta/types.py", "marl_meta/py.typed", "marl_meta/_data/configs/config.yaml"} <= set(names)
    for family in (CHECKOUT / "envs").glob("*/family.yaml"):
        assert f"marl_meta/_data/envs/{family.parent.name}/family.yaml" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"marl_meta"}
    assert not [name for name in names if name.endswith((".nbi", ".nbc", ".pyc"))]


def test_wheel_lists_its_families_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    code = (
        "import marl_meta\n"
        "from marl_meta.games.family import list_families, load_family\n"
        "print(marl_meta.__file__)\n"
        "for name in list_families(): print(name, load_family(name).path)"
    )
    origin, *families = python(installed, tmp_path, code).splitlines()
    assert Path(origin).is_relative_to(installed)
    expected = sorted(path.parent.name for path in (CHECKOUT / "envs").glob("*/family.yaml"))
    assert [line.split()[0] for line in families] == expected
    assert all(Path(line.split(maxsplit=1)[1]).is_relative_to(installed) for line in families)
    assert list(tmp_path.iterdir()) == []


def test_wheel_finds_its_configs_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    code = "from marl_meta.config import load_config; print(load_config(['game=harvest', 'name=a']).game.family)"
    assert python(installed, tmp_path, code) == "harvest"
    assert list(tmp_path.iterdir()) == []


def test_wheel_brings_the_command(installed: Path, tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['marl-meta', 'games', '--json']\nfrom marl_meta.cli.app import main\nmain()"
    assert '"spread"' in python(installed, tmp_path, code)
    command = (installed / "bin" / "marl-meta").read_text()
    assert "marl_meta.cli.app" in command


def test_constraints_pin_every_dependency_within_its_range() -> None:
    lines = [line for line in (CHECKOUT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "torch==2.13.0"
    assert all("==" in line and "://" not in line and "@" not in line for line in lines)
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert canonicalize_name(project["name"]) not in pins
    for line in project["dependencies"] + project["optional-dependencies"]["test"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line

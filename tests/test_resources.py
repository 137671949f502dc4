from __future__ import annotations

import re
from pathlib import Path

import pytest

from marl_meta import resources
from marl_meta.types import UserError

CHECKOUT = Path(resources.__file__).parents[1]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's folder as a wheel leaves it: away from any checkout, its data inside."""
    package = tmp_path / "site-packages" / "marl_meta"
    (package / "_data" / "envs" / "pebbles").mkdir(parents=True)
    (package / "_data" / "configs").mkdir()
    (package / "_data" / "configs" / "train.yaml").write_text("steps: 3\n")
    (package.parent / "envs").mkdir()  # somebody else's, which must not be taken for ours
    monkeypatch.setattr(resources, "_PACKAGE", package)
    monkeypatch.delenv(resources.FAMILIES_VARIABLE, raising=False)
    return package


def test_the_checkout_comes_first() -> None:
    assert resources.data_dirs("envs")[0] == CHECKOUT / "envs"
    assert resources.find("envs", "spread") == CHECKOUT / "envs" / "spread"
    assert resources.find("envs", "common/particles.yaml") == CHECKOUT / "envs" / "common" / "particles.yaml"


def test_an_installed_package_finds_its_own_data(installed: Path) -> None:
    assert resources.data_dirs("envs") == [installed / "_data" / "envs"]
    assert resources.find("envs", "pebbles") == installed / "_data" / "envs" / "pebbles"
    assert resources.find("configs", "train.yaml") == installed / "_data" / "configs" / "train.yaml"


def test_explicit_paths_come_before_all_else(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.yaml").write_text("steps: 4\n")
    Path("pebbles").mkdir()
    assert resources.find("configs", "./train.yaml") == Path("train.yaml")
    assert resources.find("configs", tmp_path / "train.yaml") == tmp_path / "train.yaml"
    # What has no separator is a name, whatever the working directory holds.
    assert resources.find("configs", "train.yaml") == installed / "_data" / "configs" / "train.yaml"
    assert resources.find("envs", "pebbles") == installed / "_data" / "envs" / "pebbles"


def test_what_is_not_there_is_said_with_where_it_was_searched(installed: Path) -> None:
    text = f"There is no 'marbles' among the envs; searched were {installed / '_data' / 'envs'}."
    with pytest.raises(UserError, match=f"^{re.escape(text)}$"):
        resources.find("envs", "marbles")
    with pytest.raises(UserError, match=r"There is no '/nowhere/x\.yaml' among the configs"):
        resources.find("configs", "/nowhere/x.yaml")


def test_nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "marl_meta")
    with pytest.raises(UserError, match="no configs folder, because none is installed"):
        resources.find("configs", "train")


def test_the_users_folders_come_first(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, ours = tmp_path / "mine", installed / "_data" / "envs"
    (mine / "pebbles").mkdir(parents=True)
    monkeypatch.setenv(resources.FAMILIES_VARIABLE, f"{mine}:")
    assert resources.families_dirs() == [mine, ours]
    assert resources.find("envs", "pebbles") == mine / "pebbles"
    monkeypatch.setenv(resources.FAMILIES_VARIABLE, f"{mine}:{tmp_path / 'gone'}")
    with pytest.raises(UserError, match=r"MARL_META_ENVS names '.*gone', which is not a folder; it takes existing"):
        resources.families_dirs()


@pytest.mark.parametrize(
    ("name", "path"),
    [("harvest", False), ("game/harvest", True), ("a.yaml", True), (".", True), ("~", True), (Path("harvest"), True)],
)
def test_what_is_written_as_a_path(name: str | Path, path: bool) -> None:
    assert resources.is_path(name) is path


def test_yaml_is_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("{a: 1e-3, b: [2E6, -1.5e+3, 1.0], c: {d: e5, f: 12e}}")
    assert resources.read_yaml(file) == {"a": 1e-3, "b": [2e6, -1500.0, 1.0], "c": {"d": "e5", "f": "12e"}}
    for content, complaint in (
        ("{a: 1, a: 2}", "the key 'a' is given twice"),
        ("a: {b: 1, c: 2, b: 3}", "the key 'b' is given twice"),
        ("a: [", "is not a YAML file"),
        ("{[1]: 2}", "is not a YAML file"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=complaint) as caught:
            resources.read_yaml(file)
        assert str(caught.value).startswith(str(file))
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"cannot be read as a text file: .*No such file"):
        resources.read_yaml(tmp_path / "gone.yaml")


def test_symbols_of_modules_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("class Thing:\n    pass\n")
    assert resources.load_symbol("marl_meta.resources:find") is resources.find
    thing = resources.load_symbol("mine.py:Thing", tmp_path)
    assert thing.__name__ == "Thing"
    monkeypatch.chdir(tmp_path)
    assert resources.load_symbol("mine.py:Thing") is thing
    assert resources.load_symbol(f"{tmp_path}/mine.py:Thing") is thing


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("import no_such_module", "cannot be imported: No module named 'no_such_module'"),
        ("def broken(:", "cannot be imported: invalid syntax"),
        ("", "names no code: mine.py has no 'Thing'"),
    ],
)
def test_files_without_the_symbol(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "mine.py").write_text(content)
    for _ in range(2):  # a failed import leaves nothing behind
        with pytest.raises(UserError, match=complaint):
            resources.load_symbol("mine.py:Thing", tmp_path)

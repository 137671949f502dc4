"""The one place that finds data files and the code that data files name.

`envs/`, `configs/` and `zoo/` lie beside the package in a checkout and inside it (`_data/`) in an installed wheel.
A user's own families lie in any folder that the environment variable MARL_META_ENVS lists.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Hashable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import yaml

from marl_meta.types import UserError
from marl_meta.wording import one_line

DataKind = Literal["envs", "configs", "zoo"]

FAMILIES_VARIABLE = "MARL_META_ENVS"

_PACKAGE = Path(__file__).resolve().parent


def data_dirs(kind: DataKind) -> list[Path]:
    """Return the folders that hold our own data of that kind: the checkout's, then the package's."""
    checkout = _PACKAGE.parent
    candidates = [_PACKAGE / "_data" / kind]
    if (checkout / "pyproject.toml").is_file():  # else the folder beside the package belongs to somebody else
        candidates.insert(0, checkout / kind)
    return [folder for folder in candidates if folder.is_dir()]


def families_dirs() -> list[Path]:
    """Return the folders whose subfolders are families: the user's (MARL_META_ENVS) first, then ours."""
    listed = [Path(part).expanduser() for part in os.environ.get(FAMILIES_VARIABLE, "").split(os.pathsep) if part]
    for folder in listed:
        if not folder.is_dir():
            raise UserError(
                f"The environment variable {FAMILIES_VARIABLE} names {str(folder)!r}, which is not a folder; "
                f"it takes existing folders separated by {os.pathsep!r}."
            )
    return [*listed, *data_dirs("envs")]


def find(kind: DataKind, name: str | Path) -> Path:
    """Return the path of a data file or folder: an explicit path, else one in the checkout, else in the package.

    Without a separator (`harvest`, `train.yaml`) it is always a name and never a path, so that something in the
    working directory that happens to be called so cannot shadow it. Raises UserError when nothing is there.
    """
    path = Path(name).expanduser()
    explicit = isinstance(name, Path) or re.search(r"[/\\]|^~", name)
    if explicit and path.exists():
        return path
    folders = families_dirs() if kind == "envs" else data_dirs(kind)
    for folder in folders:
        if not path.is_absolute() and (folder / path).exists():
            return folder / path
    searched = ", ".join(str(folder) for folder in folders) or f"no {kind} folder, because none is installed"
    raise UserError(f"There is no {str(name)!r} among the {kind}; searched were {searched}.")


def is_path(name: str | Path) -> bool:
    """Return whether `name` is written as a path (a separator, a suffix or a leading dot) and not as a name."""
    text = str(name)
    return isinstance(name, Path) or bool(re.search(r"[/\\.~]", text))


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key given twice and reads 1e-3 as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping; raises when a key occurs twice, which YAML would silently overwrite."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 takes 1e-3 for a string because it lacks a dot; nobody who writes it means one.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> Any:
    """Return what a YAML (or JSON) file holds; raises UserError naming the file when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a text file: {one_line(error)}.") from error
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a subclass of SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not a YAML file: {one_line(error)}.") from error


def load_symbol(spec: str, folder: Path | None = None) -> Any:
    """Return what `package.module:Symbol` or `file.py:Symbol` names.

    A file is looked for relative to `folder` (where the data file that names it lies), else to the working
    directory. Raises UserError when there is no such module, file or symbol, or when importing it fails.
    """
    module_name, separator, symbol = spec.rpartition(":")
    if not separator or not module_name or not symbol.isidentifier():
        raise UserError(f"{spec!r} names no code; allowed is 'package.module:Symbol' or 'file.py:Symbol'.")
    module = (
        _import_file(spec, Path(folder or ".") / module_name)
        if module_name.endswith(".py")
        else _import_module(spec, module_name)
    )
    try:
        return getattr(module, symbol)
    except AttributeError as error:
        raise UserError(f"{spec!r} names no code: {module_name} has no {symbol!r}.") from error


def _import_module(spec: str, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{spec!r} cannot be imported: {one_line(error)}.") from error


def _import_file(spec: str, path: Path) -> Any:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{spec!r} names no code: there is no file {path}.")
    # One module per file however often it is named, so that its classes stay the same classes.
    name = f"marl_meta_file_{path.stem}_{blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    module_spec = importlib.util.spec_from_file_location(name, path)
    if module_spec is None or module_spec.loader is None:
        raise UserError(f"{spec!r} cannot be imported: {path} is not a Python file.")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    try:
        module_spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        del sys.modules[name]
        raise UserError(f"{spec!r} cannot be imported: {one_line(error)}.") from error
    return module

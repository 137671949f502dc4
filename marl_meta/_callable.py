"""Packages that are called: `marl_meta.train(...)` is the function `train` of the package `marl_meta/train/`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(package: str, function: Callable[..., Any]) -> None:
    """Have calls of an imported package (by its full name) be calls of `function`.

    Importing a package writes it over whatever its parent has under that name, so that a function cannot share the
    name of the package that holds it in any other way.
    """
    module = sys.modules[package]
    module.__class__ = type("CallablePackage", (ModuleType,), {"__call__": staticmethod(function)})
    vars(module)["__signature__"] = inspect.signature(function)

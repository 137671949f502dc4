"""What is said about a value that is not allowed: one sentence that names the key and what it may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from marl_meta.types import UserError
from marl_meta.wording import close_match, listed, shorten

_Model = TypeVar("_Model", bound=BaseModel)


def validated(model: type[_Model], values: object, source: str) -> _Model:
    """Return the configuration made of `values`; raises UserError, with `source` before the key that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # A key that is not known explains more than the one that it was meant for being missing.
        problem = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise UserError(_sentence(problem, model.model_json_schema(), source)) from None


def _sentence(problem: ErrorDetails, root: dict[str, Any], source: str) -> str:
    """Return one sentence that names the key, says what is wrong with it and what the schema `root` allows."""
    kind, value = problem["type"], problem["input"]
    path = [str(part) for part in problem["loc"]]
    place = source + ".".join(path) if path else source.removesuffix("key ").rstrip(": ")
    if kind == "extra_forbidden":
        known = list(_schema(root, path[:-1]).get("properties", {}))
        group = f"in {'.'.join(path[:-1])}" if path[:-1] else "at the top"
        return f"{place} is not known{close_match(path[-1], known)}; allowed {group} are {listed(known)}."
    if kind == "value_error":  # raised by a validator of ours, whose text says it all
        return f"{place}: {problem['msg'].removeprefix('Value error, ')}."
    schema = _schema(root, path)
    meaning = f" ({schema['description'].split('. ')[0].rstrip('.')})" if "description" in schema else ""
    if kind == "missing":
        return f"{place} is missing; it must be {_allowed(schema)}{meaning}."
    return f"{place} must be {_allowed(schema)}, not {'null' if value is None else shorten(value)}{meaning}."


def _schema(root: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """Return the JSON schema of the key at `path` below `root`; an empty one where there is none."""
    node: dict[str, Any] = root
    for part in path:
        children = node.get("properties", {})
        node = children.get(part) or node.get("additionalProperties") or {}
        if "$ref" in node:
            node = root["$defs"][node["$ref"].rpartition("/")[2]]
    return node


_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "object": "a mapping of keys to values",
    "null": "null",
}
_BOUNDS = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "of at most", "exclusiveMaximum": "below"}


def _allowed(schema: dict[str, Any]) -> str:
    """Return what a JSON schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(_allowed(option) for option in schema["anyOf"])
    if "enum" in schema:
        return f"one of {listed(schema['enum'])}"
    if "const" in schema:
        return str(schema["const"])
    if "pattern" in schema:
        return "a name of letters, digits, dots, dashes and underscores"
    bounds = " and ".join(f"{words} {schema[key]:g}" for key, words in _BOUNDS.items() if key in schema)
    kind = _TYPES.get(schema.get("type", ""), "a value")
    return f"{kind} {bounds}" if bounds else kind

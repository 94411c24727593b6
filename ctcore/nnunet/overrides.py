"""Recipe fields given on the command line: `--set FIELD=VALUE`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ctcore.errors import RecipeError

ABSENT = "none"
"""The bare word that takes a field out of a recipe, so that its default counts."""

NOT_BARE = tuple("[]{}\"'")
"""What begins a TOML value that is more than a word: a fault in it is not to be taken for text."""


@dataclass(frozen=True)
class Change:
    """One field that replaces a recipe's.

    Attributes:
        text: what was given.
        path: the field's name; with a table's name before it for a field of a table.
        value: its value as TOML has it.
        removed: whether the field is taken out instead.
    """

    text: str
    path: tuple[str, ...]
    value: Any
    removed: bool

    @property
    def field(self) -> str:
        """The recipe's own field that is changed, whole or in part."""
        return self.path[0]


def parse_change(text: str) -> Change:
    """Reads `FIELD=VALUE`: a TOML key, dotted for a field of a table, and a TOML value; bare words are strings.

    Raises:
        RecipeError: it is not of that form.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key or not value or "\n" in text:
        raise RecipeError(f"--set '{text}' is not FIELD=VALUE; write for instance --set epochs=20")
    return Change(text, _path_of(text, key), _value_of(text, value), value == ABSENT)


def _path_of(text: str, key: str) -> tuple[str, ...]:
    try:
        node: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        node = {}
    path = []
    while isinstance(node, dict) and node:
        ((name, node),) = node.items()
        path.append(name)
    if not path:
        raise RecipeError(f"--set '{text}': '{key}' is not the name of a field")
    return tuple(path)


def _value_of(text: str, value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        if value.startswith(NOT_BARE):
            raise RecipeError(
                f"--set '{text}': {value} is not a TOML value; write for instance [16, 32, 64]"
            ) from error
        return value


def apply_changes(values: dict[str, Any], changes: Sequence[Change], known: Collection[str]) -> dict[str, Any]:
    """Returns a recipe's values with fields replaced; what comes later counts.

    Args:
        values: the recipe as read from its file.
        changes: the fields to replace.
        known: the recipe's fields.

    Raises:
        RecipeError: a recipe has no such field, or a value that is no table is asked for one of its fields.
    """
    result = dict(values)
    for change in changes:
        if change.field not in known:
            near = difflib.get_close_matches(change.field, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(sorted(known))}"
            raise RecipeError(f"--set '{change.text}': a recipe has no field '{change.field}'; {hint}")
        result = _replaced(result, change.path, change)
    return result


def _replaced(table: dict[str, Any], path: Sequence[str], change: Change) -> dict[str, Any]:
    name, *rest = path
    if not rest:
        others = {key: value for key, value in table.items() if key != name}
        return others if change.removed else others | {name: change.value}
    inner = table.get(name, {})
    if not isinstance(inner, dict):
        raise RecipeError(f"--set '{change.text}': {name} = {inner!r} is not a table and has no field '{rest[0]}'")
    return table | {name: _replaced(inner, rest, change)}

"""Named fixes: what a recipe changes of the values that a publication reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctcore.errors import RecipeError

FIXES = "fixes"
"""The table of a recipe's file that holds a table for each fix."""

WHY = "why"
"""The key of a fix that says, in words, what it is for; every fix has it."""

PUBLISHED = "published"
"""The variant without any fix."""


def apply_fixes(values: Mapping[str, Any], variant: str, title: str) -> dict[str, Any]:
    """Returns a recipe's values with fixes in them, and the fixes' names under `fixes`.

    Args:
        values: the recipe as read from its file.
        variant: names of fixes with commas between them, `published` for none; empty for all.
        title: the recipe in messages.

    Raises:
        RecipeError: a fix is not one of the recipe's, or does not say what it is for.
    """
    fixes = values.get(FIXES, {})
    if not isinstance(fixes, dict) or not all(isinstance(fix, dict) and fix.get(WHY) for fix in fixes.values()):
        raise RecipeError(f"{title}: each fix is a table [fixes.NAME] with a text '{WHY}'; write one")
    chosen = list(fixes) if not variant else [] if variant == PUBLISHED else variant.split(",")
    unknown = [name for name in chosen if name not in fixes]
    if unknown:
        known = ", ".join([PUBLISHED, *fixes])
        raise RecipeError(f"{title}: it has no variant '{unknown[0]}'; choose one of {known}")
    result = {key: value for key, value in values.items() if key != FIXES}
    for name in chosen:
        result = _merged(result, {key: value for key, value in fixes[name].items() if key != WHY})
    if variant:
        result["name"] = ".".join([str(values.get("name", "")), *(chosen or [PUBLISHED])])
    return result | {FIXES: chosen}


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values with changes in them; a table is merged, unless the change names its `kind` and so replaces it."""
    result = dict(values)
    for key, change in changes.items():
        before = result.get(key)
        if isinstance(change, dict) and isinstance(before, dict) and "kind" not in change:
            result[key] = _merged(before, change)
        else:
            result[key] = change
    return result

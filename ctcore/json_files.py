"""JSON files as the standard has them: finite numbers, no key twice, complete or not there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ctcore.durable import write_text
from ctcore.errors import RequestError, first_line

MAX_JSON_BYTES = 64 << 20
"""Largest JSON file that is read; the largest of a dataset of thousands of cases have some MiB."""


def write_json(path: Path, value: Any) -> None:
    """Writes JSON with indentation, complete or not at all; NaN and infinity are refused (ValueError)."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Returns JSON with indentation; NaN and infinity are refused (ValueError)."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Reads a JSON file as the standard has it: without NaN and infinity, and no key twice in one object.

    Raises:
        RequestError: it is missing, too large, or not such JSON.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"it has more than {MAX_JSON_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_not_finite, parse_float=_finite, object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"'{path}' cannot be read as JSON: {first_line(error)}; check or replace it") from error


def _not_finite(text: str) -> float:
    raise ValueError(f"it holds {text}, which JSON has not")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_finite(text)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it says '{next(key for key in keys if keys.count(key) > 1)}' twice")
    return entries

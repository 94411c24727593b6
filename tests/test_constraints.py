"""Everything that is installed of what the project asks for is pinned, at the version that is installed."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

NAME = "ct-lesion-pipeline"
PINS = Path(__file__).parents[1] / "constraints.txt"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in PINS.read_text().splitlines()]
    pairs = [line.split("==") for line in lines if line]
    assert all(len(pair) == 2 for pair in pairs)
    names = [canonical(name) for name, _ in pairs]
    assert len(set(names)) == len(names)
    return {canonical(name): version for name, version in pairs}


def needed(extras: tuple[str, ...]) -> set[str]:
    """Names of all that is asked for, however deep, as far as it is installed."""
    seen: set[tuple[str, str]] = set()
    rest = [(NAME, extra) for extra in ("", *extras)]
    while rest:
        name, extra = rest.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            asked = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for text in asked:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                rest += [(canonical(requirement.name), one) for one in ("", *requirement.extras)]
    return {name for name, _ in seen} - {NAME}


@pytest.mark.parametrize("extra", ["dicom", "mlflow", "test", "fuzz", "audit", "dev", "ray"])
def test_all_that_an_extra_needs_is_pinned(extra: str) -> None:
    pins = pinned()
    assert sorted(needed((extra,)) - pins.keys()) == []


def test_what_is_installed_is_what_is_pinned() -> None:
    pins = pinned()
    other = {}
    for name in needed(("test",)):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if version != pins.get(name):
            other[name] = version
    assert other == {}

"""Everything that is installed of what the project asks for is pinned, at the version that is installed."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

NAME = "ct-lesion-pipeline"
ROOT = Path(__file__).parents[1]
PINS = ROOT / "constraints.txt"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in PINS.read_text().splitlines()]
    pairs = [line.split("==") for line in lines if line]
    assert all(len(pair) == 2 for pair in pairs)
    names = [canonical(name) for name, _ in pairs]
    assert len(set(names)) == len(names)
    return {canonical(name): version for name, version in pairs}


def requirements(extra: str) -> list[str]:
    """What the project itself asks for; an extra that it names is looked into."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked: list[str] = project["optional-dependencies"][extra] if extra else project["dependencies"]
    own = [Requirement(text) for text in asked if text.startswith(NAME)]
    return [text for text in asked if not text.startswith(NAME)] + [
        text for requirement in own for one in requirement.extras for text in requirements(one)
    ]


def needed(extra: str) -> set[str]:
    """Names of all that is asked for, however deep as far as it is installed."""
    seen: set[tuple[str, str]] = set()
    names: set[str] = set()
    asked = [Requirement(text) for text in (*requirements(""), *requirements(extra))]
    names |= {canonical(requirement.name) for requirement in asked}
    rest = [(canonical(requirement.name), one) for requirement in asked for one in ("", *requirement.extras)]
    while rest:
        name, one = rest.pop()
        if (name, one) in seen:
            continue
        seen.add((name, one))
        try:
            deeper = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # a part of Python by now, or of an extra that is not installed
            continue
        names.add(name)
        for requirement in map(Requirement, deeper):
            if requirement.marker is None or requirement.marker.evaluate({"extra": one}):
                rest += [(canonical(requirement.name), two) for two in ("", *requirement.extras)]
    return names


@pytest.mark.parametrize("extra", ["dicom", "mlflow", "test", "fuzz", "audit", "dev", "ray", "s3"])
def test_all_that_an_extra_needs_is_pinned(extra: str) -> None:
    pins = pinned()
    assert sorted(needed(extra) - pins.keys()) == []


def test_what_is_installed_is_what_is_pinned() -> None:
    pins = pinned()
    other = {}
    for name in needed("test"):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if version != pins.get(name):
            other[name] = version
    assert other == {}

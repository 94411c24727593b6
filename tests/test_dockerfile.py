"""The Dockerfile against the project that it installs: a container engine would notice the rest."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import tomllib
from pathlib import Path

from typer.main import get_command

from pipeline.bundle import load_bundle
from pipeline.cli import app

ROOT = Path(__file__).parents[1]
Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """Returns the Dockerfile's instructions and their arguments, comments left out and lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    words = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word, " ".join(rest.split())) for word, rest in words]


def stages() -> list[list[Instruction]]:
    """Returns the instructions of each stage; the first holds what stands before the first FROM."""
    parts: list[list[Instruction]] = [[]]
    for instruction in instructions():
        if instruction[0] == "FROM":
            parts.append([])
        parts[-1].append(instruction)
    return parts


def arguments_of(part: list[Instruction]) -> dict[str, str]:
    return dict(rest.split("=", 1) for word, rest in part if word == "ARG")


def test_the_base_is_pinned_and_of_the_tested_python() -> None:
    before, *parts = stages()
    base = arguments_of(before)["BASE"]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    assert len(parts) == 2
    for part in parts:
        assert re.fullmatch(r"\$\{BASE\}( AS \w+)?", part[0][1])


def test_it_runs_as_a_user_who_owns_nothing_of_it() -> None:
    last = stages()[-1]
    (user,) = [rest for word, rest in last if word == "USER"]
    made = " ".join(rest for word, rest in last if word == "RUN")
    match = re.search(r"useradd --uid (\d+) .* (\w+) &&", made)
    assert match is not None
    assert int(match[1]) >= 1000
    assert user == match[2] != "root"
    assert re.findall(r"chown \S+ (\S+)", made) == ["/output"]
    order = [word for word, _ in last]
    assert order.index("USER") > max(i for i, word in enumerate(order) if word in {"RUN", "COPY"})


def test_the_entry_point_is_the_command() -> None:
    last = dict(stages()[-1])
    program, command, *words = json.loads(last["ENTRYPOINT"]) + json.loads(last["CMD"])
    assert (program, command) == ("pipeline", "grand-challenge")
    parameters = getattr(get_command(app), "commands", {})[command].params
    options = {option for parameter in parameters for option in parameter.opts}
    assert dict(zip(words[::2], words[1::2], strict=True)) == {
        "--bundle": "/opt/bundle",
        "--input": "/input",
        "--output": "/output",
    }
    assert set(words[::2]) <= options
    defaults = {parameter.opts[0]: parameter.default for parameter in parameters}
    assert (str(defaults["--input"]), str(defaults["--output"])) == ("/input", "/output")


def test_what_is_installed_is_the_tested_set() -> None:
    build = stages()[1]
    run = [rest for word, rest in build if word == "RUN"]
    installs = re.findall(r"pip install ([^;&]*)", " && ".join(run))
    assert len(installs) == 3  # PyTorch for CPUs, PyTorch with CUDA, the project
    for install in installs:
        assert "--constraint constraints.txt" in install or "${torch}" in install
    assert "--index-url https://download.pytorch.org/whl/cpu" in installs[0]
    assert "grep -E '^(torch|torchvision)==' constraints.txt" in run[0]
    pins = re.findall(r"^(torch|torchvision)==\S+$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert pins == ["torch", "torchvision"]
    assert arguments_of(build) == {"VARIANT": "cpu"}
    assert set(re.findall(r"(\w+)\) /opt", run[0])) == {"cpu", "cuda"}


def test_every_package_and_its_metadata_are_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = [shlex.split(rest) for word, rest in stages()[1] if word == "COPY"]
    sources = {source for *some, _ in copied for source in some}
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    about = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml", "constraints.txt"}
    assert sources == packages | about
    for source in sources:
        assert (ROOT / source).exists()
        assert not ignored(source)


def test_the_bundle_is_there_and_baked_in() -> None:
    last = stages()[-1]
    bundle = arguments_of(last)["BUNDLE"]
    assert load_bundle(ROOT / bundle).manifest.demo
    assert not ignored(bundle)
    assert not ignored("work/bundle")
    assert ("COPY", "${BUNDLE} /opt/bundle") in last
    assert ("RUN", "/opt/venv/bin/pipeline bundle verify /opt/bundle") in last


def test_nothing_private_goes_to_the_builder() -> None:
    for name in (".git", ".venv", "work", "tests", "ctcore/__pycache__"):
        assert ignored(name), name


def ignored(name: str) -> bool:
    """Tells whether .dockerignore leaves a path out; the last pattern that fits decides."""
    result = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        names = [name.rsplit("/", 1)[-1]] if pattern.startswith("**/") else [name, name.split("/", maxsplit=1)[0]]
        if any(fnmatch.fnmatchcase(part, pattern.removeprefix("**/")) for part in names):
            result = not line.startswith("!")
    return result

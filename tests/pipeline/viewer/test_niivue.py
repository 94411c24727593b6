"""NiiVue's class is found in the package that carries it, or the reason is told."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path

import pytest

from ctcore.errors import RequestError
from pipeline.viewer.niivue import niivue_module


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> None:
    """Lets ipyniivue lie in a folder; None: it is not installed."""
    spec = None
    if folder is not None:
        spec = importlib.machinery.ModuleSpec("ipyniivue", None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)


def test_the_class_is_exported() -> None:
    module = niivue_module()
    assert module.rpartition(b"\n")[0].endswith(b" as Niivue};")
    name = module[module.rindex(b"export{") + 7 : module.rindex(b" as Niivue")]
    assert b"attachToCanvas" in module
    assert b"new " + name + b"(" in module


def test_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, None)
    with pytest.raises(RequestError, match=r"^the viewer needs ipyniivue; install it with: pip install"):
        niivue_module()


@pytest.mark.parametrize("code", [None, b"", b"export{a as default}"])
def test_it_is_built_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: bytes | None) -> None:
    if code is not None:
        (tmp_path / "static").mkdir()
        (tmp_path / "static" / "widget.js").write_bytes(code)
    installed(monkeypatch, tmp_path)
    with pytest.raises(RequestError, match="this version of ipyniivue is built otherwise"):
        niivue_module()

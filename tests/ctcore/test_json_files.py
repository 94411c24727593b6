"""JSON as the standard has it."""

import json
from pathlib import Path

import pytest

from ctcore import json_files
from ctcore.errors import RequestError
from ctcore.json_files import read_json, write_json


def test_json_is_indented_and_comes_back(tmp_path: Path) -> None:
    value = {"score": 0.1, "flags": ["demo_model"], "error": None}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_text() == json.dumps(value, indent=2) + "\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_without_nan(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"score": value})
    assert list(tmp_path.iterdir()) == []


def test_json_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"none\.json' cannot be read as JSON"):
        read_json(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"score": ')
    with pytest.raises(RequestError, match=r"half\.json' cannot be read as JSON: Expecting value"):
        read_json(tmp_path / "half.json")
    (tmp_path / "latin.json").write_bytes(b'"\xff"')
    with pytest.raises(RequestError, match=r"latin\.json' cannot be read as JSON"):
        read_json(tmp_path / "latin.json")


def test_json_twice_said_not_finite_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    for text, reason in (
        ('{"score": 1, "id": "a", "score": 2}', "it says 'score' twice"),
        ('[{"score": NaN}]', "it holds NaN, which JSON has not"),
        ("[1e999]", "it holds 1e999, which JSON has not"),
    ):
        path.write_text(text)
        with pytest.raises(RequestError, match=f"cannot be read as JSON: {reason}"):
            read_json(path)
    monkeypatch.setattr(json_files, "MAX_JSON_BYTES", 1 << 20)
    path.write_text(" " * ((1 << 20) + 1))
    with pytest.raises(RequestError, match="it has more than 1 MiB"):
        read_json(path)

"""An output folder that could not be written to is refused before the work."""

from pathlib import Path

import pytest

from ctcore.errors import FolderInUseError, RequestError
from ctcore.evaluation.output import alone, check_output


def test_only_folders(tmp_path: Path) -> None:
    check_output(tmp_path)
    check_output(tmp_path / "new" / "deep")
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RequestError, match=r"file' is not a folder that can be written to; name another"):
            check_output(output)
    assert not (tmp_path / "new").exists()


def test_one_evaluation_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    for name in (".partial-a", "plots/.partial-b", "kept"):
        (tmp_path / name).touch()
    with alone(tmp_path, tmp_path / "plots"):
        assert not list(tmp_path.rglob(".partial-*"))
        with pytest.raises(FolderInUseError), alone(tmp_path):
            pytest.fail("two write the same figures")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "plots"]

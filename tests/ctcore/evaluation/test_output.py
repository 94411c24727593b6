"""An output folder that could not be written to is refused before the work."""

from pathlib import Path

import pytest

from ctcore.errors import RequestError
from ctcore.evaluation.output import check_output


def test_only_folders(tmp_path: Path) -> None:
    check_output(tmp_path)
    check_output(tmp_path / "new" / "deep")
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RequestError, match=r"file' is not a folder that can be written to; name another"):
            check_output(output)
    assert not (tmp_path / "new").exists()

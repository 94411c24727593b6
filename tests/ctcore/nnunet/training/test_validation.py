"""Which folds are measured, and on which cases."""

from pathlib import Path

import pytest

from ctcore.errors import RequestError
from ctcore.json_files import write_json
from ctcore.nnunet.training.validation import folds_to_measure, validation_ids
from ctcore.nnunet.workspace import Workspace


def test_folds() -> None:
    assert folds_to_measure(("0", "2", "all"), ()) == ["0", "2"]
    assert folds_to_measure(("0", "2"), ("2", "2")) == ["2"]
    assert folds_to_measure(("all",), ()) == ["all"]
    with pytest.raises(RequestError, match="fold 1, 3 is not trained to its end; trained: 0, 2"):
        folds_to_measure(("0", "2"), ("1", "0", "3"))


def test_validation_cases(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Dataset009_Test")
    write_json(workspace.preprocessed / "splits_final.json", [{"train": ["b"], "val": ["a"]}, {"train": [], "val": []}])
    assert validation_ids(workspace, "0") == ["a"]
    with pytest.raises(RequestError, match="fold 'all' trains on every case"):
        validation_ids(workspace, "all")

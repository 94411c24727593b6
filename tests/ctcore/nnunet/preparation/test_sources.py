"""Phantoms are known as such, directly and through a workspace."""

from __future__ import annotations

from pathlib import Path

from ctcore.durable import write_text
from ctcore.json_files import write_json
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.nnunet.preparation.sources import are_phantoms, holds_phantoms, sources_of
from ctcore.nnunet.workspace import Workspace


def make_workspace(root: Path, image: Path) -> Workspace:
    """Writes the record of a workspace of one case."""
    workspace = Workspace(root, "Dataset007_Tiny")
    write_text(workspace.cases_file, f"case_id,image\na,{image}\n")
    return workspace


def case_of(image: Path) -> TrainingCase:
    return TrainingCase("a", image, image, "PDAC")


def test_phantoms(tmp_path: Path) -> None:
    image = tmp_path / "data" / "imagesTr" / "a_0000.nii.gz"
    workspace = make_workspace(tmp_path / "first", image)
    second = make_workspace(tmp_path / "second", workspace.image_file("a"))
    assert sources_of(workspace) == "data"
    assert not holds_phantoms(second)
    write_json(tmp_path / "data" / "dataset.json", {"name": "phantoms"})
    assert sources_of(workspace) == "data (phantoms: synthetic CTs)"
    assert holds_phantoms(workspace)
    assert holds_phantoms(second)
    assert are_phantoms([case_of(image)])
    assert are_phantoms([case_of(workspace.image_file("a"))])
    assert not are_phantoms([case_of(tmp_path / "other" / "imagesTr" / "a.nii.gz")])


def test_no_record(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Dataset007_Tiny")
    assert sources_of(workspace) == "not recorded"
    assert not holds_phantoms(workspace)

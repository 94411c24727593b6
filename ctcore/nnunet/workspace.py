"""A training workspace: one nnU-Net dataset with its raw, preprocessed and result folders."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcore.durable import remove_partials
from ctcore.errors import DatasetError
from ctcore.json_files import read_json, write_json
from ctcore.lock import LOCK_NAME, locked

CONFIGURATION = "3d_fullres"
"""The one configuration of a plan. A 2-D network has the same name: its images are the same volumes, and a workspace
that is planned again must not keep folds of both."""
PLANS_NAME = "nnUNetPlans"
FILE_ENDING = ".nii.gz"


@dataclass(frozen=True)
class Workspace:
    """Paths of one stage's training data and results.

    Attributes:
        root: the folder that a stage's `prepare` makes.
        dataset_name: nnU-Net's name of the dataset, `DatasetNNN_Name`.
    """

    root: Path
    dataset_name: str

    @property
    def dataset_id(self) -> int:
        """nnU-Net's number of the dataset."""
        return int(self.dataset_name[7:10])

    @property
    def raw(self) -> Path:
        """nnU-Net raw dataset: `imagesTr`, `labelsTr`, `dataset.json`."""
        return self.root / "raw" / self.dataset_name

    @property
    def preprocessed(self) -> Path:
        """nnU-Net's preprocessed cases, fingerprint, plans and splits."""
        return self.root / "preprocessed" / self.dataset_name

    @property
    def plans_file(self) -> Path:
        """The plan that training follows."""
        return self.preprocessed / f"{PLANS_NAME}.json"

    @property
    def case_labels_file(self) -> Path:
        """Table `case_id,class_name` of the training cases."""
        return self.raw / "case_labels.csv"

    @property
    def cases_file(self) -> Path:
        """Table of where each training case comes from."""
        return self.raw / "cases.csv"

    @property
    def prepared_with_file(self) -> Path:
        """Record of the recipe that `prepare` followed."""
        return self.raw / "prepared_with.json"

    @property
    def planned_with_file(self) -> Path:
        """Record of the recipe that `plan` followed."""
        return self.preprocessed / "planned_with.json"

    def image_file(self, case_id: str) -> Path:
        """Training image of a case."""
        return self.raw / "imagesTr" / f"{case_id}_0000{FILE_ENDING}"

    def label_file(self, case_id: str) -> Path:
        """Training label map of a case."""
        return self.raw / "labelsTr" / f"{case_id}{FILE_ENDING}"

    def prepared_file(self, case_id: str) -> Path:
        """Record that a case's image and label map are finished."""
        return self.root / "prepared" / f"{case_id}.json"

    def write_dataset_json(self, labels: Mapping[str, int], cases: int) -> None:
        """Writes nnU-Net's description of the dataset."""
        write_json(
            self.raw / "dataset.json",
            {
                "channel_names": {"0": "CT"},
                "labels": dict(labels),
                "numTraining": cases,
                "file_ending": FILE_ENDING,
                "overwrite_image_reader_writer": "SimpleITKIO",
            },
        )

    def dataset_json(self) -> dict[str, Any]:
        """Reads nnU-Net's description of the dataset.

        Raises:
            DatasetError: nothing was prepared here.
        """
        path = self.raw / "dataset.json"
        if not path.is_file():
            raise DatasetError(f"'{self.root}' holds no prepared dataset ('{path}' is missing); run `prepare` first")
        value: dict[str, Any] = read_json(path)
        return value

    def plans(self) -> dict[str, Any]:
        """Reads the plan.

        Raises:
            DatasetError: nothing was planned here.
        """
        if not self.plans_file.is_file():
            raise DatasetError(f"'{self.root}' holds no plan ('{self.plans_file}' is missing); run `plan` first")
        value: dict[str, Any] = read_json(self.plans_file)
        return value

    def configuration(self) -> dict[str, Any]:
        """Reads of the plan what training follows: patch, batch, spacing, architecture.

        Raises:
            DatasetError: nothing was planned here.
        """
        value: dict[str, Any] = self.plans()["configurations"][CONFIGURATION]
        return value


@contextlib.contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Keeps other commands out of a workspace for the length of a block, trainings of single folds too.

    What a killed command has left half written is removed.

    Raises:
        FolderInUseError: another command prepares, plans or trains here.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(workspace.root))
        for lock in workspace.root.glob(f"results/*/{workspace.dataset_name}/*/fold_*/{LOCK_NAME}"):
            stack.enter_context(locked(lock.parent))
        remove_partials(workspace.root, workspace.raw, workspace.preprocessed)
        yield

"""What lies where in the output folder of `pipeline run`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from pipeline.records import ImageFormat

DICOM_LESIONS = "lesions.dcm"
DICOM_SEGMENTATION = "segmentation.dcm"
DICOM_REPORT = "report.dcm"
DICOM_FILES = (DICOM_LESIONS, DICOM_SEGMENTATION, DICOM_REPORT)
"""What is made of a case in DICOM: SEG of the candidates, SEG of the segmentation, SR."""

FORMATS: tuple[ImageFormat, ...] = ("nii.gz", "mha")


class OutputPaths:
    """Paths of one output folder.

    Args:
        folder: the folder.
        image_format: file format of the maps.
    """

    def __init__(self, folder: Path, image_format: ImageFormat) -> None:
        self.folder = folder
        self._format = image_format

    @property
    def maps_folders(self) -> tuple[Path, Path]:
        """Folders of the detection maps and of the segmentations."""
        return self.folder / "detection_maps", self.folder / "segmentations"

    @property
    def report_folder(self) -> Path:
        """Folder of the report."""
        return self.folder / "report"

    @property
    def index_path(self) -> Path:
        """The report's page of all cases."""
        return self.report_folder / "index.html"

    @property
    def results_path(self) -> Path:
        """Where the table of results lies."""
        return self.folder / "results.csv"

    @property
    def run_path(self) -> Path:
        """Where the run is told."""
        return self.folder / "run.json"

    @property
    def measurements_path(self) -> Path:
        """Where the table of measurements lies."""
        return self.folder / "measurements.csv"

    @property
    def log_path(self) -> Path:
        """The run's log, with the traceback of every failed case."""
        return self.folder / "run.log"

    def record_path(self, case_id: str) -> Path:
        """Where everything of one case is told."""
        return self.folder / "cases" / f"{case_id}.json"

    def detection_path(self, case_id: str) -> Path:
        """Where a case's detection map lies."""
        return self.maps_folders[0] / f"{case_id}.{self._format}"

    def segmentation_path(self, case_id: str) -> Path:
        """Where a case's segmentation lies."""
        return self.maps_folders[1] / f"{case_id}.{self._format}"

    @property
    def class_maps_folder(self) -> Path:
        """Folder of the detection maps of single lesion classes: one folder a class."""
        return self.folder / "detection_maps_by_class"

    def class_detection_path(self, case_id: str, class_name: str) -> Path:
        """Where a case's detection map of one lesion class lies; characters that folders may not have are escaped."""
        return self.class_maps_folder / quote(class_name, safe=" ") / f"{case_id}.{self._format}"

    @property
    def evidence_folder(self) -> Path:
        """Folder of the maps of the evidence."""
        return self.folder / "evidence"

    def evidence_path(self, case_id: str) -> Path:
        """Where the map of a case's evidence lies."""
        return self.evidence_folder / f"{case_id}.{self._format}"

    def dicom_folder(self, case_id: str) -> Path:
        """Where a case's DICOM SEG and SR lie."""
        return self.folder / "dicom" / case_id

    def picture_path(self, case_id: str) -> Path:
        """Where a case's picture for the report lies."""
        return self.report_folder / "cases" / f"{case_id}.png"

    def evidence_picture_path(self, case_id: str) -> Path:
        """Where the picture of a case's evidence lies."""
        return self.report_folder / "evidence" / f"{case_id}.png"

    def case_page_path(self, case_id: str) -> Path:
        """Where a case's page of the report lies."""
        return self.report_folder / "cases" / f"{case_id}.html"

    def report_files(self, case_id: str) -> tuple[Path, ...]:
        """Returns where the page and the pictures of a case lie in the report, whether or not they are there."""
        return self.case_page_path(case_id), self.picture_path(case_id), self.evidence_picture_path(case_id)

    @property
    def all_maps_folders(self) -> tuple[Path, ...]:
        """Folders that images are written into; those of single classes lie in one of them."""
        return *self.maps_folders, self.class_maps_folder, self.evidence_folder

    def possible_files(self, case_id: str) -> list[Path]:
        """Returns whatever any run may have left of a case, its record first."""
        by_class = self.class_maps_folder.iterdir() if self.class_maps_folder.is_dir() else ()
        folders = (*self.maps_folders, *by_class, self.evidence_folder)
        return [
            self.record_path(case_id),
            *(folder / f"{case_id}.{image_format}" for folder in folders for image_format in FORMATS),
            *self.report_files(case_id),
            *(self.dicom_folder(case_id) / name for name in DICOM_FILES),
        ]

    @property
    def tables(self) -> tuple[Path, ...]:
        """What speaks of all cases, but for `run.json`."""
        return self.results_path, self.measurements_path, self.index_path

    def name_of(self, path: Path) -> str:
        """Returns what one of the files is called relative to the folder."""
        return path.relative_to(self.folder).as_posix()

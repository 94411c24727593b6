"""Codes of what is said in DICOM: the standard's where it has one, else this project's own."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from highdicom.sr import CodedConcept

from ctcore.datasets.label_names import is_lesion, project_name

OWN_SCHEME: Final = "99CTLP"
"""Coding scheme of this project; private ones begin with 99."""

MAX_MEANING = 64
"""Most characters of a code's meaning (value representation LO)."""


def _snomed(value: str, meaning: str) -> CodedConcept:
    return CodedConcept(value, "SCT", meaning)


def own(value: str, meaning: str) -> CodedConcept:
    """Returns a code of this project's; the meaning is cut to what DICOM allows, in which a backslash separates."""
    return CodedConcept(value.replace("\\", "/"), OWN_SCHEME, meaning[:MAX_MEANING].replace("\\", "/"))


ABNORMAL_STRUCTURE = _snomed("49755003", "Morphologically Abnormal Structure")
ANATOMICAL_STRUCTURE = _snomed("123037004", "Anatomical Structure")
LESION = _snomed("52988006", "Lesion")
PANCREAS = _snomed("15776009", "Pancreas")
CT_PROCEDURE = _snomed("77477000", "Computed tomography")

ANATOMY = {
    "veins": _snomed("29092000", "Vein"),
    "arteries": _snomed("51114001", "Artery"),
    "pancreas": PANCREAS,
    "pancreatic duct": _snomed("69930009", "Pancreatic duct"),
    "common bile duct": _snomed("79741001", "Common bile duct"),
}
"""Codes by this project's label names."""

VOLUME = _snomed("118565006", "Volume")
LONG_AXIS = _snomed("103339001", "Long Axis")
ATTENUATION = CodedConcept("112031", "DCM", "Attenuation Coefficient")
DIAMETER = _snomed("81827009", "Diameter")
MEAN = _snomed("373098007", "Mean")
MAXIMUM = _snomed("56851009", "Maximum")
MEDIAN = _snomed("373099004", "Median")

NO_UNITS = CodedConcept("1", "UCUM", "no units")
MILLILITRE = CodedConcept("ml", "UCUM", "Milliliter")
MILLIMETRE = CodedConcept("mm", "UCUM", "Millimeter")
HOUNSFIELD = CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit")

SCORE = own("score", "Lesion score, 0 to 1")
DETECTION_MAXIMUM = own("detection_max", "Highest confidence of a lesion candidate, 0 to 1")
CONFIDENCE = own("confidence", "Confidence of the lesion candidate, 0 to 1")
PANCREAS_DISTANCE = own("pancreas_dist", "Shortest distance to the pancreas")
PREDICTED_CLASS = own("class", "Class of the highest score")
NOTICE = own("notice", "Notice")
FLAG = own("flag", "Flag")


@lru_cache(maxsize=256)
def structure(name: str) -> tuple[CodedConcept, CodedConcept]:
    """Returns category and type of a segmentation's label."""
    if is_lesion(name):
        return ABNORMAL_STRUCTURE, LESION
    known = ANATOMY.get(project_name(name))
    return ANATOMICAL_STRUCTURE, known if known is not None else own(f"label_{name}"[:16], name)

"""Named labels and classes.

Source of the label map: PANORAMA challenge, public label maps (0 background, 1 PDAC lesion, 2 veins, 3 arteries,
4 pancreas parenchyma, 5 pancreatic duct, 6 common bile duct).
"""

from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ctcore.errors import RequestError


class PanoramaLabel(IntEnum):
    """Voxel values of a PANORAMA label map."""

    BACKGROUND = 0
    LESION = 1
    VEINS = 2
    ARTERIES = 3
    PANCREAS = 4
    DUCT = 5
    BILE_DUCT = 6


PANORAMA_NAMES: Mapping[str, int] = MappingProxyType(
    {
        "background": 0,
        "lesion": 1,
        "veins": 2,
        "arteries": 3,
        "pancreas": 4,
        "pancreatic duct": 5,
        "common bile duct": 6,
    }
)
"""Label names as this project's datasets and bundles write them, by voxel value."""

PANCREAS_REGION = (PanoramaLabel.LESION, PanoramaLabel.PANCREAS, PanoramaLabel.DUCT)
"""What the localizer calls pancreas: the gland with its duct and any lesion in it."""

LESION_NAMES = ("lesion", "tumor", "pdac")
"""Names (lower case) under which datasets in the wild store the lesion label."""

NON_PDAC = "non-PDAC"
PDAC = "PDAC"
CLASS_NAMES = (NON_PDAC, PDAC)
"""The two patient-level classes of PANORAMA, in the order of the classifier's outputs."""

SUBTYPE_NAMES = ("subtype0", "subtype1", "subtype2")
"""The classes of the three-subtype reports; every one of their cases holds a lesion."""


def pancreas_mask(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Returns where a PANORAMA label map of shape (z, y, x) holds pancreas, duct or lesion."""
    return np.isin(labels, PANCREAS_REGION)


def lesion_classes_of(class_names: Sequence[str], asked: Collection[str] = ()) -> tuple[str, ...]:
    """Returns the classes that stand for a lesion, in the order of `class_names`.

    Args:
        class_names: the classes of a model.
        asked: which of them stand for a lesion; by default `PDAC` and the three subtypes.

    Raises:
        RequestError: a class asked for is not there, or none is known to stand for a lesion.
    """
    unknown = sorted(set(asked) - set(class_names))
    if unknown:
        raise RequestError(f"lesion class '{unknown[0]}' is none of the classes {', '.join(class_names)}")
    wanted = set(asked or (PDAC, *SUBTYPE_NAMES))
    found = tuple(name for name in class_names if name in wanted)
    if not found:
        raise RequestError(
            f"none of the classes {', '.join(class_names)} is known to stand for a lesion; say which do with"
            " --lesion-class"
        )
    return found

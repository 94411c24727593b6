"""What the files of one case say: the part of the doctor that reads voxels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ctcore.datasets.description import DatasetCase
from ctcore.datasets.doctor.finding import Code, Finding
from ctcore.datasets.label_names import LESION, PANCREAS_PARTS, values_of
from ctcore.datasets.label_values import LabelValues, label_values
from ctcore.errors import CaseError, IntensityError, first_line
from ctcore.files import image_suffix, read, read_ct
from ctcore.geometry import to_lps
from ctcore.volume import Geometry, Volume

SMALLEST_MAXIMUM_HU = 100
"""Every CT of an abdomen holds bone, calcium or contrast medium; one that is trained on has to."""


@dataclass(frozen=True)
class Order:
    """What is to be examined.

    Attributes:
        case: the case.
        labels: value by name of the labels that its label map may hold.
        lesion_expected: for each class of which it is known, whether its label maps hold a lesion.
    """

    case: DatasetCase
    labels: Mapping[str, int]
    lesion_expected: Mapping[str, bool]


@dataclass(frozen=True)
class Inspection:
    """What the files of a case say.

    Attributes:
        findings: in the order of the checks.
        content: a hash of grid size and voxels in LPS order, equal for equal images; None where unreadable.
    """

    findings: tuple[Finding, ...]
    content: str | None = None


def inspect(order: Order) -> Inspection:
    """Reads a case's image, then its label map; only one of the two is in memory at a time."""
    case = order.case
    findings = list(_names(case))
    geometry, content = None, None
    try:
        image = read_ct(case.image)
    except IntensityError as error:
        findings.append(Finding(Code.NOT_CT, first_line(error)))
    except CaseError as error:
        findings.append(Finding(Code.UNREADABLE_IMAGE, first_line(error)))
    else:
        findings += _intensities(image)
        geometry, content = image.geometry, content_of(image)
        del image
    if case.label is not None:
        try:
            label = read(case.label)
        except CaseError as error:
            findings.append(Finding(Code.UNREADABLE_LABEL, first_line(error)))
        else:
            if geometry is not None:
                findings += _grids(geometry, label.geometry)
            findings += _label(order, label_values(label.array))
    return Inspection(tuple(findings), content)


def content_of(image: Volume) -> str:
    """Returns a hash of an image's voxels, whole numbers of HU, in LPS order, and of its size.

    The voxels are in memory when it is asked for, so that comparing sizes first would not save anything.
    """
    array = to_lps(image)[0].array
    digest = hashlib.blake2b(str(array.shape).encode(), digest_size=16)
    for layer in array:
        digest.update(np.rint(layer).astype(np.int32).tobytes())
    return digest.hexdigest()


def _names(case: DatasetCase) -> Iterator[Finding]:
    for path in (case.image, case.label):
        suffix = image_suffix(path) if path is not None else None
        if path is not None and suffix is not None and not path.name.endswith(suffix):
            yield Finding(
                Code.UPPER_CASE_EXTENSION, f"'{path.name}': programs look for '{suffix}'; rename it", fault=False
            )


def _intensities(image: Volume) -> Iterator[Finding]:
    low, high = float(image.array.min()), float(image.array.max())
    if high < SMALLEST_MAXIMUM_HU:
        yield Finding(
            Code.NOT_CT,
            f"values from {low:g} to {high:g}, but a CT holds bone or contrast medium, above {SMALLEST_MAXIMUM_HU} HU;"
            " convert to Hounsfield units",
        )


def _grids(image: Geometry, label: Geometry) -> Iterator[Finding]:
    if image.allclose(label):
        return
    if image.shape != label.shape:
        reason = f"(z, y, x) {image.shape} and {label.shape} voxels"
    elif not np.allclose(image.spacing, label.spacing, rtol=1e-3, atol=0):
        reason = f"spacing {_numbers(image.spacing)} and {_numbers(label.spacing)} mm"
    elif not np.allclose(image.direction, label.direction, rtol=0, atol=1e-3):
        reason = f"direction {_numbers(image.direction)} and {_numbers(label.direction)}"
    else:
        reason = f"origin {_numbers(image.origin)} and {_numbers(label.origin)} mm"
    yield Finding(Code.GRID_MISMATCH, f"CT and label map lie on different grids: {reason}; resample the label map")


def _numbers(values: tuple[float, ...]) -> str:
    return "x".join(f"{value:.5g}" for value in values)


def _label(order: Order, values: LabelValues) -> Iterator[Finding]:
    if values.has_fractions:
        yield Finding(
            Code.FRACTIONAL_LABEL, f"label values are up to {values.fraction:.3g} off a whole number; store them again"
        )
        return
    if values.fraction > 0:
        yield Finding(
            Code.ROUNDED_LABEL, f"label values are {values.fraction:.1g} off whole numbers; rounded", fault=False
        )
    stray = {value: count for value, count in values.counts.items() if value not in set(order.labels.values())}
    if stray:
        listed = ", ".join(f"{value} ({count} voxels)" for value, count in stray.items())
        yield Finding(Code.STRAY_LABEL, f"label values {listed} have no name; correct the label map")
    if not values.counts.keys() - {0}:
        yield Finding(Code.EMPTY_LABEL, "the label map is empty; label the case or leave it out")
        return
    if not values.counts.keys() & set(values_of(order.labels, PANCREAS_PARTS)):
        yield Finding(
            Code.NO_PANCREAS, f"no pancreas among label values {list(values.counts)}; label it or leave it out"
        )
        return
    yield from _contradictions(order, values)


def _contradictions(order: Order, values: LabelValues) -> Iterator[Finding]:
    class_name = order.case.class_name or ""
    expected, lesion = order.lesion_expected.get(class_name), values_of(order.labels, {LESION})
    if expected is None or not lesion:
        return
    found = sum(values.counts.get(value, 0) for value in lesion)
    if expected and not found:
        yield Finding(Code.LESION_MISSING, f"class '{class_name}', but no lesion voxel; correct one of the two")
    if not expected and found:
        yield Finding(
            Code.LESION_UNEXPECTED, f"class '{class_name}', but {found} lesion voxels; correct one of the two"
        )

"""Who made a DICOM object of ours, and of what: what SEG and SR say alike."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from pipeline.bundle import Bundle

PRODUCT = "ct-lesion-pipeline"
MAX_TEXT = 64
"""Most characters of a description (value representation LO)."""

DEMO_PREFIX = "DEMO MODEL, NOT FOR CLINICAL USE: "
"""What descriptions of a demonstration bundle's objects begin with."""

DEMO_TEXT = "Demonstration model, synthetic training data, not clinical use"
"""What the report of a demonstration bundle says; no more than `MAX_TEXT` characters."""

PERSON = "ct-lesion-pipeline^automatic"
"""Who made the content, where DICOM wants a person's name."""


@dataclass(frozen=True)
class Maker:
    """Who made an object, and of what.

    Attributes:
        bundle: the models.
        sources: headers of the slices of the CT, in the order of the stored grid's first axis.
    """

    bundle: Bundle
    sources: Sequence[Dataset]

    @property
    def version(self) -> str:
        """Version of this software."""
        try:
            return metadata.version(PRODUCT)
        except metadata.PackageNotFoundError:
            return "unknown"

    @property
    def model(self) -> str:
        """Name of the bundle."""
        return self.bundle.manifest.name[:MAX_TEXT]

    @property
    def model_version(self) -> str:
        """Version of the bundle."""
        return self.bundle.manifest.version[:MAX_TEXT]

    @property
    def serial(self) -> str:
        """What tells this bundle from any other."""
        return self.bundle.digest[:16]

    def description(self, text: str) -> str:
        """Returns a description that says so where the bundle is a demonstration."""
        return (DEMO_PREFIX * self.bundle.manifest.demo + text)[:MAX_TEXT]

"""Which segmentation labels a head looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctcore.datasets.label_names import PANCREAS_PARTS, values_of
from stage2_multitask.heads.settings import RegionName


@dataclass(frozen=True)
class Regions:
    """Segmentation labels by what they are to the classification.

    Attributes:
        lesion: values of the labels that are lesion.
        foreground: values of the labels that are pancreas: gland, duct and lesions.
    """

    lesion: tuple[int, ...] = ()
    foreground: tuple[int, ...] = ()

    def labels_of(self, region: RegionName) -> tuple[int, ...]:
        """Returns a region's label values.

        Raises:
            ValueError: the segmentation has no such label.
        """
        labels = self.lesion if region == "lesion" else self.foreground
        if not labels:
            raise ValueError(f"the head looks at the {region}, and no segmentation label is {region}")
        return labels


def regions_of(labels: Mapping[str, int], lesions: Sequence[str]) -> Regions:
    """Returns which labels are lesion and which are pancreas, for heads that look at the segmentation.

    Args:
        labels: label values by name.
        lesions: names of the labels that are lesion.
    """
    values = tuple(labels[name] for name in lesions)
    return Regions(values, tuple(sorted({*values, *values_of(labels, PANCREAS_PARTS)})))

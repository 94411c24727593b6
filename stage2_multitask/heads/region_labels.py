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

    def named(self, name: RegionName) -> list[tuple[int, ...]]:
        """Returns the label values of each region that a name stands for.

        Raises:
            ValueError: the segmentation has no such label.
        """
        kind, labels = ("foreground", self.foreground) if name == "foreground" else ("lesion", self.lesion)
        if not labels:
            raise ValueError(f"the head looks at the {kind}, and no segmentation label is {kind}")
        return [(label,) for label in labels] if name == "each lesion" else [labels]

    def foreground_labels(self) -> tuple[int, ...]:
        """Returns the label values of the foreground; errors as above."""
        return self.named("foreground")[0]


def regions_of(labels: Mapping[str, int], lesions: Sequence[str]) -> Regions:
    """Returns which labels are lesion and which are pancreas, for heads that look at the segmentation.

    Args:
        labels: label values by name.
        lesions: names of the labels that are lesion.
    """
    values = tuple(labels[name] for name in lesions)
    return Regions(values, tuple(sorted({*values, *values_of(labels, PANCREAS_PARTS)})))

"""What the labels of a case's label map become for the network."""

from __future__ import annotations

from collections.abc import Mapping


def label_targets(
    labels: Mapping[str, int],
    merged: Mapping[str, str],
    lesion_label: str,
    lesion_labels: Mapping[str, str],
    class_name: str | None,
) -> dict[str, int]:
    """Returns the value that each label of a label map becomes.

    Args:
        labels: the network's label values by name.
        merged: further labels that label maps may hold, each with the label that it becomes part of.
        lesion_label: the label of lesions whose class the map does not tell.
        lesion_labels: label of each lesion class that has one of its own.
        class_name: the case's class. Where lesion classes have labels of their own and `lesion_label` is none of the
            network's, the case's lesions become its class's; those of a class without a label have no value.
    """
    targets = {**labels, **{name: labels[target] for name, target in merged.items()}}
    own = lesion_labels.get(class_name) if class_name is not None else None
    if own is not None:
        targets.setdefault(lesion_label, labels[own])
    return targets

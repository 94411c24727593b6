"""Reading a dataset by the name of its layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ctcore.datasets.decathlon import read_msd, read_nnunet
from ctcore.datasets.description import Dataset, Layout
from ctcore.datasets.panorama import read_panorama
from ctcore.datasets.splits import read_splits
from ctcore.datasets.subtypes import read_subtypes

READERS: Mapping[Layout, Callable[[Path], Dataset]] = {
    Layout.PANORAMA: read_panorama,
    Layout.MSD: read_msd,
    Layout.SUBTYPES: read_subtypes,
    Layout.NNUNET: read_nnunet,
}


def read_dataset(folder: Path, layout: Layout = Layout.NNUNET, splits: Path | None = None) -> Dataset:
    """Reads what a dataset holds; no image is opened.

    Args:
        folder: where it is.
        layout: how it is laid out.
        splits: folds to take instead of those that come with it.

    Raises:
        RequestError: the folder does not exist or is not laid out like that.
        DatasetError: one of its tables or JSON files cannot be used.
    """
    dataset = READERS[layout](folder)
    return replace(dataset, folds=read_splits(splits)) if splits is not None else dataset

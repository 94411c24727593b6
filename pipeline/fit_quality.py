"""Fitting a bundle's quality reference: what its figures come to on CTs like those it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ctcore.cts import find_cts, read_case
from ctcore.errors import CaseError, DatasetError
from ctcore.quality.flags import LEAST_CASES, fit_limits
from ctcore.quality.outlier import fit_reference
from ctcore.quality.reference import QualityReference
from pipeline.bundle import Bundle
from pipeline.case import process_case
from pipeline.clock import Clock
from pipeline.create_bundle import remade

if TYPE_CHECKING:
    from ctcore.quality.figures import QualityFigures
    from pipeline.stages import Stages

Progress = Callable[[int, int], None]

logger = logging.getLogger(__name__)


def fit_quality(
    bundle: Bundle,
    images: Path,
    output: Path,
    *,
    fitted_on: str,
    load: Callable[[], Stages],
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Makes a bundle with the same content and a quality reference, found by running it on CTs.

    They should look like those of training, and not be among them: the stages agree too well on what they have seen.
    A CT in which no pancreas is found counts for none of the figures that need one.

    Args:
        bundle: the bundle; calibrated before, for limits are of its probabilities as they are.
        images: the CTs, as `pipeline run` takes them.
        output: folder of the new bundle.
        fitted_on: which cases these are, in a few words.
        load: loads both stages, for the options that runs have by default.
        overwrite: whether a bundle that already lies at `output` is replaced.
        progress: called with cases done and in all.

    Raises:
        RequestError: the input or the output cannot be used.
        DatasetError: a CT cannot be used, or there are fewer than `LEAST_CASES`.
    """
    cases = find_cts(images).cases
    if len(cases) < LEAST_CASES:
        raise DatasetError(f"'{images}' holds {len(cases)} CTs; give {LEAST_CASES} at least, better 100")
    stages = load()
    figures: list[QualityFigures] = []
    features: list[npt.NDArray[np.float32]] = []
    for done, case in enumerate(cases):
        if progress is not None:
            progress(done, len(cases))
        try:
            result = process_case(read_case(case), stages, bundle, Clock())
        except CaseError as error:
            raise DatasetError(f"case '{case.case_id}' cannot be used: {error}; leave it out") from error
        figures.append(result.quality)
        if result.features is not None:
            features.append(result.features)
    if progress is not None:
        progress(len(cases), len(cases))
    known = len(features) == len(cases)
    reference = fit_reference(np.stack(features)) if known else None
    quality = QualityReference(
        cases=len(cases),
        fitted_on=fitted_on,
        limits=fit_limits(figures),
        features=None if reference is None else len(reference.mean),
    )
    return remade(bundle, output, overwrite=overwrite, quality=quality, features=reference)

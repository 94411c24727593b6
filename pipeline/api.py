"""The pipeline from Python: a bundle loaded once, cases one by one, no files but the CTs (docs/python.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.bounds import check_extent
from ctcore.cts import find_cts, read_case
from ctcore.errors import RequestError
from ctcore.files import CaseFile
from ctcore.itk import from_sitk
from ctcore.plausible import judge_ct
from ctcore.volume import Volume
from pipeline import bundle as bundles
from pipeline.case import CaseResult, process_case
from pipeline.case_output import CaseOutput, LesionCandidate
from pipeline.case_writer import record_of
from pipeline.clock import Clock

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ctcore.inference.backends.choose import Execution
    from ctcore.inference.cover import WindowMode
    from pipeline.stages import Stages

__all__ = ["CaseOutput", "LesionCandidate", "LoadedBundle", "load_bundle", "run_case"]

IN_MEMORY = "image"
"""Case id of a CT that does not come from a file, unless another is given."""


@dataclass(frozen=True, eq=False)
class LoadedBundle:
    """A bundle whose files are verified and whose networks are loaded; any number of threads may use it.

    Attributes:
        bundle: its folder, manifest and hash.
        stages: the networks.
        execution: the device, library and precision that compute.
        segmentations: whether segmentations are made.
        evidence: whether the classifier's evidence is mapped.
    """

    bundle: bundles.Bundle
    stages: Stages
    execution: Execution
    segmentations: bool = True
    evidence: bool = False

    def compute(self, ct: Volume, clock: Clock, case_id: str) -> CaseResult:
        """Computes a case, whose arrays stay on the ROI; `run_case` says what it raises.

        Args:
            ct: the CT as stored, in Hounsfield units.
            clock: receives the time of every phase.
            case_id: names the case in the log.
        """
        return process_case(
            ct,
            self.stages,
            self.bundle,
            clock,
            segmentations=self.segmentations,
            evidence=self.evidence,
            case_id=case_id,
        )


def load_bundle(
    folder: str | Path | None = None,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    folds: Sequence[str] | None = None,
    tta: bool = False,
    windows: WindowMode = "guided",
    segmentations: bool = True,
    evidence: bool = False,
) -> LoadedBundle:
    """Verifies a bundle and loads its networks: seconds, once. Arguments are the options of `pipeline run`.

    Args:
        folder: the bundle; None: the demonstration model that comes with the package.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        backend: `auto`, `torch` or `openvino`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        folds: models of each stage to average; None for all that the bundle holds.
        tta: whether to average over mirrored images: slower.
        windows: `guided` around the pancreas that was found, or `exact`: nnU-Net's all over the ROI.
        segmentations: whether segmentations are made.
        evidence: whether what the classifier draws a lesion from is mapped: slower.

    Raises:
        BundleError: the bundle is damaged, or none.
        RequestError: a fold is not in it, this machine cannot do what was asked for, or evidence is asked of a bundle
            without a classifier.
    """
    from ctcore.inference.backends.choose import resolve
    from pipeline.stages import load_stages

    bundle = bundles.load_bundle(bundles.DEMO_BUNDLE if folder is None else Path(folder))
    execution = resolve(device, backend, precision)
    stages = load_stages(
        bundle, execution, folds=folds, tta=tta, windows=windows, segmentations=segmentations, evidence=evidence
    )
    return LoadedBundle(bundle, stages, execution, segmentations, evidence)


def run_case(ct: sitk.Image | str | Path, bundle: LoadedBundle, *, case_id: str | None = None) -> CaseOutput:
    """Scores a CT and maps its lesions. Writes nothing; the image that is given stays as it is.

    Args:
        ct: a SimpleITK image in Hounsfield units, or the path of an image file, of a DICOM series or of a folder with
            one; any orientation and spacing.
        bundle: from `load_bundle`.
        case_id: name of the case; by default the file's, without `_0000` and extension, or the series' digest.

    Raises:
        CaseError: the CT cannot be used; the next one may.
        RequestError: the path does not exist, or holds no CT or several.
        TypeError: the CT is neither an image nor a path.
    """
    clock = Clock()
    with clock.phase("read"):
        case, volume = _from_path(Path(ct)) if isinstance(ct, str | Path) else _from_image(ct)
    if case_id is not None:
        case = replace(case, case_id=case_id)
    result = bundle.compute(volume, clock, case.case_id)
    return CaseOutput.of(result, record_of(case, result, clock, bundle.bundle))


def _from_path(path: Path) -> tuple[CaseFile, Volume]:
    cases = find_cts(path).cases
    if len(cases) > 1:
        names = ", ".join(case.image for case in cases[:3])
        raise RequestError(f"'{path}' holds {len(cases)} CTs ({names}, ...); give one of them")
    return cases[0], read_case(cases[0])


def _from_image(image: sitk.Image) -> tuple[CaseFile, Volume]:
    import SimpleITK as sitk

    if not isinstance(image, sitk.Image):
        raise TypeError(
            f"a CT is a SimpleITK image or a path, not a {type(image).__name__}; an array has no geometry: make an"
            " image of it with SimpleITK.GetImageFromArray, and set its spacing, origin and direction"
        )
    volume = from_sitk(image)
    check_extent(volume.geometry, IN_MEMORY)
    return CaseFile(IN_MEMORY, Path(IN_MEMORY)), judge_ct(volume, IN_MEMORY)

"""A case as grand-challenge.org hands it to a container of PANORAMA's, and the answer as it expects it.

In: `images/venous-ct/` with one CT; `clinical-information-pancreatic-ct.json`, which may be missing, and whose
fields may be null. Out: `images/pdac-detection-map/detection_map.mha` and `pdac-likelihood.json`, a bare number (0..1).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.durable import is_writable
from ctcore.errors import OutputError, RequestError, first_line
from ctcore.files import CaseFile, discover, read_ct, write
from ctcore.json_files import write_json
from pipeline.case_writer import record_of
from pipeline.clinical_information import ReadInformation, read_clinical_information
from pipeline.clock import Clock

if TYPE_CHECKING:
    from pipeline.api import LoadedBundle
    from pipeline.records import CaseRecord

CT_FOLDER = Path("images") / "venous-ct"
CLINICAL_FILE = Path("clinical-information-pancreatic-ct.json")
MAP_FILE = Path("images") / "pdac-detection-map" / "detection_map.mha"
LIKELIHOOD_FILE = Path("pdac-likelihood.json")


@dataclass(frozen=True)
class ChallengeCase:
    """What the input holds.

    Attributes:
        case: the CT.
        clinical: the clinical information, None where there is no file.
    """

    case: CaseFile
    clinical: ReadInformation | None


def read_input(folder: Path) -> ChallengeCase:
    """Finds the CT and reads the clinical information of an input folder.

    Raises:
        RequestError: there is no CT or more than one, or the clinical information is not valid.
    """
    cts = folder / CT_FOLDER
    if not cts.is_dir():
        raise RequestError(f"'{cts}' is not a folder; put the CT there, a MetaImage file")
    cases = discover(cts)
    if len(cases) > 1:
        names = ", ".join(case.path.name for case in cases[:3]) + (", ..." if len(cases) > 3 else "")
        raise RequestError(f"'{cts}' holds {len(cases)} images ({names}); leave one")
    return ChallengeCase(cases[0], read_clinical_information(folder / CLINICAL_FILE))


def prepare_output(folder: Path) -> None:
    """Makes the output folder, and removes what an earlier call has left: an answer is of this case, or not there.

    Raises:
        RequestError: it cannot be made or written.
    """
    try:
        (folder / MAP_FILE).parent.mkdir(parents=True, exist_ok=True)
        _remove_answer(folder)
    except OSError as error:
        raise RequestError(f"output '{folder}' cannot be used ({error.strerror}); give another folder") from error
    if not (is_writable(folder) and is_writable((folder / MAP_FILE).parent)):
        raise RequestError(f"output '{folder}' cannot be written; change its permissions, or give another folder")


def answer(
    challenge: ChallengeCase, bundle: LoadedBundle, output: Path, *, record_file: Path | None = None
) -> CaseRecord:
    """Computes a case and writes its answer: the map, then the likelihood; both, or neither.

    Args:
        challenge: from `read_input`.
        bundle: computes it.
        output: folder that `prepare_output` has made.
        record_file: where everything that is known of the case goes, the clinical information too; None: nowhere.

    Raises:
        CaseError: the CT cannot be used, or the answer could not be written in full.
    """
    clock = Clock()
    with clock.phase("read"):
        ct = read_ct(challenge.case.path)
    result = bundle.compute(ct, clock, challenge.case.case_id)
    try:
        with clock.phase("write"):
            write(result.detection_inset(), output / MAP_FILE)
        record = record_of(challenge.case, result, clock, bundle.bundle)
        if record_file is not None:
            clinical = challenge.clinical and challenge.clinical.information.model_dump(mode="json")
            write_json(record_file, record.model_dump(mode="json") | {"clinical_information": clinical})
        write_json(output / LIKELIHOOD_FILE, result.fused.score)
    except BaseException as error:
        _remove_answer(output)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise OutputError(f"the answer cannot be written ({first_line(error)}); free space on its disk") from error
        raise
    return record


def _remove_answer(folder: Path) -> None:
    (folder / LIKELIHOOD_FILE).unlink(missing_ok=True)
    (folder / MAP_FILE).unlink(missing_ok=True)

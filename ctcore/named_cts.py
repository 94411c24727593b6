"""Cases by the names of their images: which name is whose, which is none, and which are the same.

What is named like an image and cannot be one is a case, too: it fails, and the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcore.case_names import case_id_from, same_name, why_not_named
from ctcore.errors import CaseError, UnreadableImageError
from ctcore.files import CaseFile

OTHER_FORMATS = (".hdr", ".hdr.gz", ".img", ".img.gz", ".nhdr", ".mgh", ".mgz", ".mnc")
"""Names of volumes in formats that are not read: Analyze and NIfTI pairs, NRRD headers, MGH, MINC."""


@dataclass(frozen=True)
class FaultyCase(CaseFile):
    """What was meant to be a CT and cannot be one, whatever its voxels are: it ends as `failed`, and the others go on.

    Attributes:
        called: what the CT is called in results, printable.
        fault: why.
    """

    called: str
    fault: CaseError

    @property
    def image(self) -> str:
        """What the CT is called in results."""
        return self.called

    @property
    def stamp(self) -> tuple[int, int]:
        """Nothing: the fault is raised."""
        raise self.fault


def why_faulty(path: Path, *, folder: bool) -> FaultyCase | None:
    """Returns the faulty case that something named like an image is by its name or because it is a folder, or None."""
    case_id, reason = case_id_from(path), why_not_named(path)
    if reason is not None:
        return FaultyCase(case_id, path, case_id, UnreadableImageError(f"'{case_id}' {reason}; rename it"))
    if folder:
        fault = f"'{path.name}' is a folder, not an image; give the file inside, or rename it"
        return FaultyCase(case_id, path, path.name, UnreadableImageError(fault))
    return None


def other_suffix(path: Path) -> str | None:
    """Returns the suffix of a volume in a format that is not read, or None."""
    name = path.name.lower()
    return next((s for s in sorted(OTHER_FORMATS, key=len, reverse=True) if name.endswith(s)), None)


def not_read(paths: Sequence[Path]) -> list[CaseFile]:
    """Returns a faulty case for every volume in a format that is not read; a pair of files is one."""
    stems: dict[str, Path] = {}
    for path in paths:
        stems.setdefault(path.name[: -len(other_suffix(path) or "")], path)
    cases: list[CaseFile] = []
    for path in stems.values():
        case_id = case_id_from(path, other_suffix(path))
        fault = f"'{path.name}' is of a format that is not read; convert it to '.nii.gz', '.mha' or '.nrrd'"
        cases.append(FaultyCase(case_id, path, path.name, UnreadableImageError(fault)))
    return cases


def told_apart(cases: Sequence[CaseFile]) -> list[CaseFile]:
    """Returns the cases; those whose results would take each other's place are one faulty case together."""
    by_name: dict[str, list[CaseFile]] = {}
    for case in cases:
        by_name.setdefault(same_name(case.case_id), []).append(case)
    apart: list[CaseFile] = []
    for same in by_name.values():
        first = same[0]
        if len(same) > 1:
            images = " and ".join(f"'{case.image}'" for case in same[:3]) + (", ..." if len(same) > 3 else "")
            ids = {case.case_id for case in same}
            why = "are" if len(ids) == 1 else "have names that many file systems do not tell apart, of"
            fault = UnreadableImageError(f"{images} {why} case '{first.case_id}'; rename or remove all but one")
            first = FaultyCase(first.case_id, first.path, first.image, fault)
        apart.append(first)
    return apart

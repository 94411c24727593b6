"""One exception per kind of fault; every message is one line that quotes the offending value and says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctcore.text import printable

if TYPE_CHECKING:
    from pydantic import ValidationError


class PipelineError(Exception):
    """Base of every fault this project reports to its users."""


class RequestError(PipelineError):
    """The request itself is wrong (a missing folder, an unknown option value): nothing was started; exit code 2."""


class BundleError(RequestError):
    """A bundle is incomplete, damaged, or written for another version."""


class RecipeError(RequestError):
    """A recipe holds an unknown key or an impossible value."""


class DatasetError(RequestError):
    """A training or evaluation dataset contradicts itself or lacks something that the work needs."""


class CheckpointError(RequestError):
    """A training's checkpoint is damaged or of another version."""


class FolderInUseError(RequestError):
    """Another command writes into the same folder."""


class OutputGoneError(PipelineError):
    """The folder that a command writes into was removed or replaced meanwhile; exit code 1."""


class TrainingError(PipelineError):
    """A training cannot go on: it ends with this reason, what it has written stays; exit code 1."""


class CaseError(PipelineError):
    """One case cannot be used: it ends as `failed` with this reason while the others go on; exit code 1."""


class UnreadableImageError(CaseError):
    """A file is truncated, empty, or not the image its name claims."""


class ImageDimensionError(CaseError):
    """An image is not a single three-dimensional scalar volume."""


class GeometryError(CaseError, ValueError):
    """Spacing, origin, direction or shape is impossible, or two grids that must agree do not."""


class IntensityError(CaseError):
    """Voxel values cannot be a CT's Hounsfield units."""


class OutputError(CaseError, OSError):
    """A file could not be written in full."""


class ProbabilityError(CaseError, ValueError):
    """A probability is NaN, infinite, outside 0..1 or of the wrong shape: the case cannot be scored."""


class MemoryLimitError(CaseError):
    """A case does not fit the memory that a run may use."""


class LabelError(CaseError):
    """A label map or a case's class is missing or holds a value without a name."""


def first_line(error: BaseException) -> str:
    """Returns an error as the one line that a table or a status field can hold."""
    lines = str(error).strip().splitlines()
    return printable(lines[0]) if lines else type(error).__name__


def describe_validation(error: ValidationError) -> str:
    """Returns pydantic's findings as one line that names each key and the value it found."""
    parts = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"] if part != "")
        if not key:
            parts.append(str(item["msg"]))
        elif item["type"] == "missing":  # its input is all the rest
            parts.append(f"{key} is missing")
        else:
            parts.append(f"{key} = {item['input']!r}: {item['msg']}")
    return printable("; ".join(parts)[:600])

"""Faults of an input, each of which is put beside a healthy CT, and what has to become of it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ctcore.files import write
from ctcore.volume import Geometry, Volume
from tests.pipeline.conftest import ct_array

GEOMETRY = Geometry((12, 20, 24), (0.7, 0.9, 2.5), (-31.25, 17.0, -250.5))
HEALTHY = "healthy"
FAULTY = "faulty"
"""Case ids."""

End = Literal["failed", "done", "left out"]


@dataclass(frozen=True)
class Fault:
    """Something wrong with an input.

    Attributes:
        make: puts it into the folder that it is given, which holds the healthy CT.
        end: how the case ends; `left out`: there is no such case.
        says: what the reason of the failure holds.
        flags: of the case that is done.
        case_id: of the faulty case.
    """

    make: Callable[[Path], object]
    end: End
    says: str = ""
    flags: tuple[str, ...] = ()
    case_id: str = FAULTY


def failed(make: Callable[[Path], object], says: str, case_id: str = FAULTY) -> Fault:
    """Returns a fault that ends as a failure with a reason."""
    return Fault(make, "failed", says, case_id=case_id)


def done(make: Callable[[Path], object], *flags: str, case_id: str = FAULTY) -> Fault:
    """Returns a fault that can be computed all the same, with these flags."""
    return Fault(make, "done", flags=flags, case_id=case_id)


def ct(path: Path, *, array: npt.NDArray[Any] | None = None, geometry: Geometry = GEOMETRY) -> Path:
    """Writes a CT, the healthy one unless told otherwise."""
    values = ct_array() if array is None else array
    grid = Geometry((values.shape[0], values.shape[1], values.shape[2]), *_placed(geometry))
    write(Volume(values, grid), path)
    return path


def _placed(geometry: Geometry) -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, ...]]:
    return geometry.spacing, geometry.origin, geometry.direction


def noisy() -> npt.NDArray[np.int16]:
    """Returns the healthy CT with noise: its compressed bytes are many enough to be cut and changed anywhere."""
    return (ct_array() + np.random.default_rng(0).integers(-20, 20, GEOMETRY.shape)).astype(np.int16)


def rewritten(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Changes the bytes of a file."""
    path.write_bytes(change(path.read_bytes()))


Field = tuple[int, str, tuple[float, ...]]
"""Of a NIfTI-1 header: offset, `struct` format, values."""


def nifti(*fields: Field, array: npt.NDArray[Any] | None = None) -> Callable[[Path], object]:
    """Returns what writes a CT as NIfTI and then changes fields of its header."""

    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        for offset, kind, values in fields:
            struct.pack_into(f"<{kind}", changed, offset, *values)
        return bytes(changed)

    return lambda folder: rewritten(ct(folder / f"{FAULTY}.nii", array=array), change)


def metaimage(old: str, new: str) -> Callable[[Path], object]:
    """Returns what writes a CT as MetaImage and then replaces a part of its header, which must be there."""

    def change(data: bytes) -> bytes:
        assert old.encode() in data, f"{old} is not in the header"
        return data.replace(old.encode(), new.encode(), 1)

    return lambda folder: rewritten(ct(folder / f"{FAULTY}.mha"), change)


def values(array: npt.NDArray[Any], name: str = f"{FAULTY}.nii.gz") -> Callable[[Path], object]:
    """Returns what writes values (z, y, x) as a CT."""
    return lambda folder: ct(folder / name, array=array)

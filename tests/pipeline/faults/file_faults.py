"""What can be wrong with a file or its name."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from tests.pipeline.conftest import ct_array
from tests.pipeline.faults.fault import FAULTY, Fault, ct, done, failed, noisy, rewritten

GZ, NII, MHA = f"{FAULTY}.nii.gz", f"{FAULTY}.nii", f"{FAULTY}.mha"
NFC, NFD = unicodedata.normalize("NFC", "Grün"), unicodedata.normalize("NFD", "Grün")
AFFINE = np.diag([-0.7, -0.9, 2.5, 1.0])
Make = Callable[[Path], object]


def _changed(name: str, change: Callable[[bytes], bytes]) -> Make:
    """A noisy CT whose bytes are changed."""
    return lambda folder: rewritten(ct(folder / name, array=noisy()), change)


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def _holding(name: str, content: bytes) -> Make:
    return lambda folder: (folder / name).write_bytes(content)


def _renamed(written: str, name: str) -> Make:
    """A CT that is written under one name and then given another."""
    return lambda folder: shutil.move(ct(folder / written), folder / name)


def _both(*names: str) -> Make:
    """The same CT under several names."""
    return lambda folder: [ct(folder / name) for name in names]


def _folder(folder: Path) -> None:
    (folder / NII).mkdir()
    ct(folder / NII / "inside.nii")


def _socket(folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)  # sockets have short names
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(GZ)
    finally:
        os.chdir(before)


def _without_text(folder: Path) -> None:
    ct(folder / GZ).rename(folder / os.fsdecode(b"caf\xe9.nii.gz"))


def _members(folder: Path) -> None:
    stored = gzip.decompress(ct(folder / GZ).read_bytes())
    (folder / GZ).write_bytes(gzip.compress(stored[:1000]) + gzip.compress(stored[1000:]))


def _apart(folder: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(ct_array()), str(folder / f"{FAULTY}.mhd"))
    (folder / f"{FAULTY}.raw").unlink()


def _nrrd_apart(folder: Path) -> None:
    header = "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 24 20 12\nendian: little\n"
    header += "space directions: (0.7,0,0) (0,0.9,0) (0,0,2.5)\nspace origin: (0,0,0)\nencoding: raw\n"
    (folder / f"{FAULTY}.nrrd").write_text(f"{header}data file: {FAULTY}.raw\n\n")


def _nhdr(folder: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(ct_array()), str(folder / f"{FAULTY}.nhdr"))


def _pair(folder: Path) -> None:
    nib.Nifti1Pair(ct_array().T, AFFINE).to_filename(folder / f"{FAULTY}.img")


def _analyze(folder: Path) -> None:
    nib.Spm2AnalyzeImage(ct_array().T, AFFINE).to_filename(folder / f"{FAULTY}.img")


def _nifti_2(folder: Path) -> None:
    nib.Nifti2Image(ct_array().T, AFFINE).to_filename(folder / GZ)


def _big_endian(folder: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    nib.Nifti1Image(ct_array().T.astype(">i2"), AFFINE, header=header).to_filename(folder / GZ)


FILE_FAULTS: dict[str, Fault] = {
    "gzip cut in its header": failed(_changed(GZ, lambda d: d[:8]), "compressed data ends early; check or replace"),
    "gzip cut in the image's header": failed(_changed(GZ, lambda d: d[:60]), "compressed data ends early; check or"),
    "gzip cut in the voxels": failed(_changed(GZ, lambda d: d[: len(d) // 2]), "compressed data ends early; check"),
    "gzip cut in the checksum": failed(_changed(GZ, lambda d: d[:-4]), "compressed data ends early; check or replace"),
    "gzip with a wrong checksum": failed(
        _changed(GZ, lambda d: _flipped(d, len(d) - 6)), "its compressed data is damaged; check or"
    ),
    "gzip with a changed byte": failed(
        _changed(GZ, lambda d: _flipped(d, len(d) // 2)), "its compressed data is damaged; check or"
    ),
    "NIfTI cut in the voxels": failed(_changed(NII, lambda d: d[:5000]), "of which 4648 bytes are there; check or"),
    "NIfTI cut in the header": failed(_changed(NII, lambda d: d[:200]), "it ends within its header; check or replace"),
    "MetaImage cut in the voxels": failed(_changed(MHA, lambda d: d[:-40]), "'faulty.mha' cannot be read"),
    "NRRD cut in the voxels": failed(_changed(f"{FAULTY}.nrrd", lambda d: d[:-40]), "'faulty.nrrd' cannot be read"),
    "NIfTI named .mha": failed(_renamed("a.nii", MHA), "it holds NIfTI-1, not MetaImage; name it '.nii'"),
    "MetaImage named .nii.gz": failed(_renamed("a.mha", GZ), "it holds MetaImage, not NIfTI-1; name it '.mha'"),
    "NRRD named .nii": failed(_renamed("a.nrrd", NII), "it holds NRRD, not NIfTI-1; name it '.nrrd'"),
    "compressed NIfTI named .nii": failed(_renamed("a.nii.gz", NII), "it is compressed; name it '.nii.gz'"),
    "uncompressed NIfTI named .nii.gz": done(_renamed("a.nii", GZ)),
    "text named .nii.gz": failed(_holding(GZ, b"words\n" * 99), "it holds text, not NIfTI-1; check or replace it"),
    "compressed text named .nii.gz": failed(_holding(GZ, gzip.compress(b"words\n" * 99)), "it holds text, not NIfTI"),
    "web page named .mha": failed(_holding(MHA, b"<!DOCTYPE html><p>Log in"), "it holds a web page, not MetaImage"),
    "Git LFS pointer": failed(
        _holding(GZ, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "that was not downloaded"
    ),
    "zeros alone": failed(_holding(NII, bytes(12000)), "it holds zeros alone, not NIfTI-1; check or replace it"),
    "zero bytes": failed(_holding(GZ, b""), "'faulty.nii.gz' cannot be read: it is empty; check or replace it"),
    "folder named like an image": failed(_folder, "'faulty.nii' is a folder, not an image; give the file inside"),
    "broken link": failed(lambda f: (f / GZ).symlink_to("nowhere"), "it is a link to a file that is not there; check"),
    "link to itself": failed(lambda f: (f / GZ).symlink_to(GZ), "it is a link that leads back to itself; check or"),
    "pipe named like an image": failed(lambda f: os.mkfifo(f / MHA), "it is a pipe, a socket or a device, not a file"),
    "pipe of another name": Fault(lambda f: os.mkfifo(f / "pipe"), "left out"),
    "socket": failed(_socket, "it is a pipe, a socket or a device, not a file; check or replace it"),
    "device": failed(lambda f: (f / NII).symlink_to("/dev/zero"), "it is a pipe, a socket or a device, not a file"),
    "umlaut as one character": done(lambda f: ct(f / f"{NFC}.nii.gz"), case_id=NFC),
    "umlaut as two characters": done(lambda f: ct(f / f"{NFD}.mha"), case_id=NFD),
    "both umlauts": failed(_both(f"{NFC}.nii.gz", f"{NFD}.nii.gz"), "many file systems do not tell apart", case_id=NFD),
    "spaces in the name": done(lambda f: ct(f / " a  b .nii.gz"), case_id=" a  b "),
    "markup in the name": done(lambda f: ct(f / "[red]a[_red].nii.gz"), case_id="[red]a[_red]"),
    "leading dash": done(lambda f: ct(f / "-rf.nii.gz"), case_id="%2Drf"),
    "name of a channel alone": done(lambda f: ct(f / "_0000.nii.gz"), case_id="_0000"),
    "line end in the name": failed(
        lambda f: ct(f / "a\nb.nii.gz"),
        "'a%0Ab' has control characters or bytes that are no text in its name; rename",
        "a%0Ab",
    ),
    "bytes that are no text in the name": failed(
        _without_text, "'caf%E9' has control characters or bytes that are no text in its name; rename it", "caf%E9"
    ),
    "name too long for its results": done(
        _renamed("a.mha", f"{'x' * 240}.mha"), case_id=f"{'x' * 183}-718df6704d8a0610"
    ),
    "hidden file of macOS": Fault(_holding("._healthy_0000.nii.gz", b"\0\5\x16\7" + bytes(99)), "left out"),
    ".DS_Store": Fault(_holding(".DS_Store", b"Bud1" + bytes(99)), "left out"),
    "two formats of one case": failed(_both(GZ, MHA), "'faulty.mha' and 'faulty.nii.gz' are case 'faulty'; rename or"),
    "one case with and without _0000": failed(
        _both(f"{FAULTY}_0000.nii.gz", GZ), "are case 'faulty'; rename or remove"
    ),
    "names that differ in upper and lower case": failed(
        _both("a.nii.gz", "A.nii.gz"), "many file systems do not tell apart", case_id="A"
    ),
    "MetaImage header without its data": failed(_apart, "'faulty.mhd' cannot be read"),
    "NRRD header without its data": failed(_nrrd_apart, "'faulty.nrrd' cannot be read"),
    "NRRD header file": failed(_nhdr, "'faulty.nhdr' is of a format that is not read; convert it to '.nii.gz'"),
    "NIfTI pair": failed(_pair, "'faulty.hdr' is of a format that is not read; convert it to '.nii.gz'"),
    "Analyze 7.5": failed(_analyze, "'faulty.hdr' is of a format that is not read; convert it to '.nii.gz'"),
    "NIfTI-2": failed(_nifti_2, "it holds NIfTI-2, not NIfTI-1; convert it to NIfTI-1"),
    "big-endian NIfTI": done(_big_endian),
    "gzip of several members": done(_members),
    "bytes after the voxels": done(_changed(NII, lambda d: d + b"what follows")),
    "bytes after the gzip stream": done(_changed(GZ, lambda d: d + b"what follows")),
    "zeros after the gzip stream": done(_changed(GZ, lambda d: d + bytes(512))),
}

"""What is fuzzed: each target takes any bytes and ends in a value or in one of this project's errors.

A target is a function of a file's bytes; the seeds are what its mutations start from. Anything else that is raised, a
hang or the end of the process is a bug.
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ctcore.errors import PipelineError


@dataclass(frozen=True)
class Target:
    """One thing that parses.

    Attributes:
        run: parses bytes.
        seeds: returns sound inputs.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], tuple[bytes, ...]]


@cache
def _folder() -> Path:
    """Returns a folder in memory, where there is one: each input becomes a file."""
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=shared if shared.is_dir() else None))


def _of_file(name: str, parse: Callable[[Path], object]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        path = _folder() / name
        path.write_bytes(data)
        with contextlib.suppress(PipelineError):
            parse(path)

    return run


def _nifti_header(path: Path) -> object:
    from ctcore.nifti import read_nifti_header

    return read_nifti_header(path)


def _metaimage_header(path: Path) -> object:
    from ctcore.metaimage import read_metaimage_header

    return read_metaimage_header(path)


def _nrrd_header(path: Path) -> object:
    from ctcore.nrrd import read_nrrd_header

    return read_nrrd_header(path)


def _image(path: Path) -> object:
    from ctcore.files import read

    return read(path)


def _json(path: Path) -> object:
    from ctcore.json_files import read_json

    return read_json(path)


def _bundle(path: Path) -> object:
    from pipeline.bundle import load_bundle

    return load_bundle(path.parent)


def _model(path: Path) -> object:
    from ctcore.nnunet.exported import load_model
    from stage2_multitask.model import MultiTaskModel

    return load_model(path.parent, MultiTaskModel)


def _recipe(path: Path) -> object:
    from stage2_multitask.recipe import load

    return load(str(path))


def _case_labels(path: Path) -> object:
    from ctcore.datasets.case_labels import read_case_labels

    return read_case_labels(path)


def _table(path: Path) -> object:
    from ctcore.datasets.spreadsheet import read_rows

    return read_rows(path)


def _archive(path: Path) -> object:
    from ctcore.dicom.archive import members

    return members(path)


def _dicom(path: Path) -> object:
    from ctcore.dicom.header import read_header
    from ctcore.dicom.source import DicomSource

    with path.open("rb") as handle:
        return read_header(handle, DicomSource(path, None, path.stat().st_size, 0))


def _array(path: Path) -> object:
    from ctcore.evaluation.maps import read_map
    from ctcore.volume import Geometry

    return read_map(path, Geometry((2, 3, 4), (1.0, 1.0, 1.0)))


def _plans(path: Path) -> object:
    from ctcore.json_files import read_json
    from ctcore.nnunet.folders.plan import Plan

    plans = read_json(path)
    if not isinstance(plans, dict):
        return None
    return Plan(plans, {"labels": {"background": 0, "lesion": 1}, "channel_names": {"0": "CT"}}, "3d_fullres", "fuzz")


def _codestream(data: bytes) -> None:
    from ctcore.dicom.codestream import coded_size

    coded_size(data)


def _names(data: bytes) -> None:
    from ctcore.dicom.names import safe_name
    from ctcore.text import safe_id

    text = data.decode("utf-8", "surrogateescape")
    for name in (safe_id(text), safe_name(text)):
        if not name.isprintable() or "/" in name or name in ("..", ".") or name[:1] in {*"=+-@"}:
            raise AssertionError(name)


VOXELS = bytes(range(48))


def _nifti_seeds() -> tuple[bytes, ...]:
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, 4, 3, 2, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<4f", head, 76, 1, 0.7, 0.7, 2.5)
    struct.pack_into("<3f", head, 108, 352, 1, 0)
    struct.pack_into("<2h", head, 252, 1, 1)
    struct.pack_into("<12f", head, 280, 0.7, 0, 0, 1, 0, 0.7, 0, 2, 0, 0, 2.5, 3)
    head[344:348] = b"n+1\0"
    plain = bytes(head) + VOXELS
    packer = zlib.compressobj(wbits=31)
    return plain, packer.compress(plain) + packer.flush()


def _metaimage_seeds() -> tuple[bytes, ...]:
    head = (
        b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = %s\n"
        b"TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nCenterOfRotation = 0 0 0\nAnatomicalOrientation = RAI\n"
        b"ElementSpacing = 0.5 0.6 2\nDimSize = 4 3 2\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    return head % b"False" + VOXELS, head % b"True" + zlib.compress(VOXELS)


def _nrrd_seeds() -> tuple[bytes, ...]:
    head = (
        b"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\n"
        b"space directions: (0.5,0,0) (0,0.6,0) (0,0,2)\nkinds: domain domain domain\nendian: little\n"
        b"encoding: %s\nspace origin: (0,0,0)\na note:=something\n\n"
    )
    packer = zlib.compressobj(wbits=31)
    return head % b"raw" + VOXELS, head % b"gzip" + packer.compress(VOXELS) + packer.flush()


def _demo(name: str) -> Callable[[], tuple[bytes, ...]]:
    def seeds() -> tuple[bytes, ...]:
        from pipeline.bundle import DEMO_BUNDLE

        return ((DEMO_BUNDLE / name).read_bytes(),)

    return seeds


def _recipe_seeds() -> tuple[bytes, ...]:
    import stage2_multitask

    folder = Path(next(iter(stage2_multitask.__path__))) / "recipes"
    return tuple(path.read_bytes() for path in sorted(folder.glob("*.toml")))


def _zip_seeds() -> tuple[bytes, ...]:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/IM0001", VOXELS)
        archive.writestr("a/IM0002", VOXELS * 100)
    return (made.getvalue(),)


def _dicom_seeds() -> tuple[bytes, ...]:
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    seeds = []
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID = CTImageStorage, "1.2.3", "1.2.4"
        dataset.PatientID, dataset.Modality, dataset.SeriesNumber = "a", "CT", 1
        dataset.ImageType, dataset.Rows, dataset.Columns = ["ORIGINAL", "PRIMARY"], 4, 3
        dataset.PixelSpacing, dataset.ImagePositionPatient = [0.7, 0.7], [0, 0, 1.5]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        made = io.BytesIO()
        pydicom.dcmwrite(made, dataset, enforce_file_format=True)
        seeds.append(made.getvalue())
    return tuple(seeds)


def _array_seeds() -> tuple[bytes, ...]:
    import numpy as np

    plain, packed = io.BytesIO(), io.BytesIO()
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.save(plain, array)
    np.savez_compressed(packed, detection_map=array)
    return plain.getvalue(), packed.getvalue()


def _codestream_seeds() -> tuple[bytes, ...]:
    siz = b"\xff\x4f\xff\x51\0\x29\0\0" + struct.pack(">2I", 512, 512) + bytes(40)
    frame = b"\xff\xd8\xff\xe0\0\x04\0\0\xff\xf7\0\x0b\x10\x02\0\x02\0\x01\x01\x11\0\xff\xda"
    return siz, frame


def _plans_seeds() -> tuple[bytes, ...]:
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "a", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2, "patch_size": [16, 16, 16],
        "spacing": [1, 1, 1], "normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_data_kwargs": resampling,
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling,
        "architecture": {"network_class_name": "a.PlainConvUNet", "arch_kwargs": {}, "_kw_requires_import": []},
    }  # fmt: skip
    intensities = {"0": {"percentile_00_5": -1, "percentile_99_5": 1, "mean": 0, "std": 1}}
    plans = {
        "dataset_name": "a", "plans_name": "nnUNetPlans", "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2], "label_manager": "LabelManager", "image_reader_writer": "SimpleITKIO",
        "foreground_intensity_properties_per_channel": intensities, "configurations": {"3d_fullres": configuration},
    }  # fmt: skip
    return (json.dumps(plans).encode(),)


def _text_seeds() -> tuple[bytes, ...]:
    return b"case_id,class_name\na,PDAC\nb,non-PDAC\n", b'case_id;class_name\n"a;b";PDAC\n'


TARGETS: Mapping[str, Target] = {
    "metaimage": Target(_of_file("a.mha", _metaimage_header), _metaimage_seeds),
    "nrrd": Target(_of_file("a.nrrd", _nrrd_header), _nrrd_seeds),
    "nifti": Target(_of_file("a.nii", _nifti_header), _nifti_seeds),
    "codestream": Target(_codestream, _codestream_seeds),
    "names": Target(_names, lambda: (b"case_1", b"=cmd()", b"../x\n\xff")),
    "json": Target(_of_file("a.json", _json), _demo("bundle.json")),
    "bundle": Target(_of_file("bundle.json", _bundle), _demo("bundle.json")),
    "model": Target(_of_file("model.json", _model), _demo("stage2/model.json")),
    "recipe": Target(_of_file("a.toml", _recipe), _recipe_seeds),
    "case_labels": Target(_of_file("a.csv", _case_labels), _text_seeds),
    "table": Target(_of_file("b.csv", _table), _text_seeds),
    "workbook": Target(_of_file("c.xlsx", _table), _zip_seeds),
    "archive": Target(_of_file("d.zip", _archive), _zip_seeds),
    "dicom": Target(_of_file("e", _dicom), _dicom_seeds),
    "array": Target(_of_file("f.npz", _array), _array_seeds),
    "plans": Target(_of_file("plans.json", _plans), _plans_seeds),
    "read_metaimage": Target(_of_file("r.mha", _image), _metaimage_seeds),
    "read_nrrd": Target(_of_file("r.nrrd", _image), _nrrd_seeds),
    "read_nifti": Target(_of_file("r.nii", _image), _nifti_seeds),
}
"""By name; those that begin with `read_` go on to ITK with what its own header check lets through."""

"""Cohorts: the same bytes for the same seed, the promised files, honest labels and images."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from threadpoolctl import threadpool_limits

from ctcore import files
from ctcore.datasets.layouts import read_dataset
from ctcore.errors import FolderInUseError, RequestError
from ctcore.geometry import to_lps
from ctcore.labels import PANORAMA_NAMES
from ctcore.lock import locked
from ctcore.phantom.cohort import _begin, write_cohort
from ctcore.phantom.phantom import make_phantom
from ctcore.volume import Volume

Maker = Callable[..., Volume]

CASES, SEED = 4, 11
RECORDS_SHA256 = "3eb8d64f6d581392cf33c21168cecd35c6a38531e087fa5e4656272093968834"
TABLE_SHA256 = "1d53452d8c94e266858c0a0de5cb9d7f85874c080f4b13a7fae1322b4562f38d"
# Voxels of each label and mean HU of each case.
PIXELS = (
    ([2552810, 222, 2432, 6366, 8367, 308, 503], -646.7885),
    ([1385753, 308, 1626, 2222, 3962, 34, 15], -594.2529),
    ([2960901, 0, 2342, 3815, 6555, 37, 46], -525.232),
    ([4195494, 0, 3104, 6951, 7097, 36, 54], -505.6859),
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "new"
    seen: list[tuple[int, int]] = []
    write_cohort(folder, CASES, SEED, positive_fraction=0.5, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, CASES) for n in range(1, CASES + 1)]
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "case_labels.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_workers_do_not_change_a_byte(cohort: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path / "again", CASES, SEED, positive_fraction=0.5, workers=2)
    first = {path.relative_to(cohort): path.read_bytes() for path in cohort.rglob("*") if path.is_file()}
    again = tmp_path / "again"
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()} == first
    assert len(first) == 3 * CASES + 3


def _rounded(value: Any) -> Any:
    """Floats to six digits: the last ones are the processor's."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def test_a_seed_stays_what_it_was(cohort: Path) -> None:
    # The records hold every random choice, also the seeds of all random fields; made before there were subtypes.
    records = [_rounded(json.loads(path.read_text())) for path in sorted((cohort / "phantoms").iterdir())]
    assert hashlib.sha256(json.dumps(records).encode()).hexdigest() == RECORDS_SHA256
    table = (cohort / "case_labels.csv").read_bytes()
    assert hashlib.sha256(table).hexdigest() == TABLE_SHA256
    for row, (label_counts, mean) in zip(rows(cohort), PIXELS, strict=True):
        labels = files.read(cohort / "labelsTr" / f"{row['case_id']}.nii.gz").array
        image = files.read(cohort / "imagesTr" / f"{row['case_id']}_0000.nii.gz").array
        np.testing.assert_allclose(np.bincount(labels.ravel(), minlength=7), label_counts, atol=3)
        assert image.mean(dtype=np.float64) == pytest.approx(mean, abs=0.01)


def test_files_are_a_complete_data_set(cohort: Path) -> None:
    names = [f"phantom_{SEED}_{index:04d}" for index in range(1, CASES + 1)]
    assert [row["case_id"] for row in rows(cohort)] == names
    assert [row["class_name"] for row in rows(cohort)].count("PDAC") == 2
    dataset = json.loads((cohort / "dataset.json").read_text())
    assert dataset["labels"] == dict(PANORAMA_NAMES)
    assert dataset["numTraining"] == CASES
    assert dataset["channel_names"] == {"0": "CT"}
    for name in names:
        image = files.read(cohort / "imagesTr" / f"{name}_0000.nii.gz")
        labels = files.read(cohort / "labelsTr" / f"{name}.nii.gz")
        assert image.array.dtype == np.int16
        assert labels.array.dtype == np.uint8
        assert image.geometry == labels.geometry
        assert (cohort / "phantoms" / f"{name}.json").is_file()


def test_only_pdac_cases_hold_a_lesion(cohort: Path) -> None:
    for row in rows(cohort):
        labels = files.read(cohort / "labelsTr" / f"{row['case_id']}.nii.gz")
        values = set(np.unique(labels.array))
        assert values <= set(range(7))
        assert {0, 2, 3, 4} <= values
        assert (1 in values) == (row["class_name"] == "PDAC")


def test_the_image_shows_the_recorded_attenuation(cohort: Path) -> None:
    for row in rows(cohort):
        record = json.loads((cohort / "phantoms" / f"{row['case_id']}.json").read_text())["draws"]
        image, _ = to_lps(files.read(cohort / "imagesTr" / f"{row['case_id']}_0000.nii.gz"))
        labels, _ = to_lps(files.read(cohort / "labelsTr" / f"{row['case_id']}.nii.gz"))
        # Away from the borders, where voxels hold two tissues.
        core = ndimage.binary_erosion(labels.array == 3, iterations=2)
        assert np.median(image.array[core]) == pytest.approx(record["hu.mean"]["arteries"], abs=8.0)
        gland = ndimage.binary_erosion(labels.array == 4)
        assert np.percentile(image.array[gland], 60) == pytest.approx(record["hu.mean"]["pancreas"], abs=25.0)
        lesion = ndimage.binary_erosion(labels.array == 1)
        if lesion.sum() > 60 and "lesion.necrosis_hu" not in record:
            assert np.median(image.array[lesion]) == pytest.approx(record["lesion.mean_hu"], abs=15.0)


def test_the_record_makes_the_phantom_again(cohort: Path) -> None:
    name = rows(cohort)[1]["case_id"]
    record = json.loads((cohort / "phantoms" / f"{name}.json").read_text())
    seed = np.random.SeedSequence(record["seed"]["entropy"], spawn_key=tuple(record["seed"]["spawn_key"]))
    with threadpool_limits(1):  # as cohorts are rendered: more threads sum in another order
        phantom = make_phantom(
            seed, positive=record["class_name"] == "PDAC", size=record["size"], domain=record["domain"]
        )
    image = files.read(cohort / "imagesTr" / f"{name}_0000.nii.gz")
    np.testing.assert_array_equal(phantom.image.array, image.array)
    assert phantom.image.geometry.allclose(image.geometry)
    assert json.loads(json.dumps(phantom.record["draws"])) == record["draws"]


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_anatomy_is_chosen_by_class_and_cycled(hand_made_map: Maker, tmp_path: Path, fraction: float) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    files.write(hand_made_map(lesion=True), maps / "sick.nii.gz")
    files.write(hand_made_map(lesion=False), maps / "well.nii.gz")
    empty = hand_made_map(lesion=False)
    files.write(empty.with_array(np.zeros_like(empty.array)), maps / "empty.nii.gz")
    (maps / "README.txt").write_text("not an image")
    write_cohort(tmp_path / "out", 2, 3, anatomy=maps, positive_fraction=fraction, domain="wide", around_mm=5)
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "out" / "phantoms").iterdir())]
    assert [record["anatomy"] for record in records] == ["sick.nii.gz" if fraction else "well.nii.gz"] * 2
    assert len({record["draws"]["liver.size"] for record in records}) == 2


@pytest.fixture(scope="module")
def subtypes(hand_made_map: Maker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One case of each subtype; two of them around the map of one patient, none around the excluded patient's."""
    folder = tmp_path_factory.mktemp("subtypes")
    for stem, lesion in (("7_1", True), ("8_1", True), ("9_1", True), ("10_1", False)):
        files.write(hand_made_map(lesion=lesion), folder / "maps" / f"{stem}.nii.gz")
    (folder / "other" / "phantoms").mkdir(parents=True)
    (folder / "other" / "phantoms" / "x.json").write_text('{"anatomy": "8_2.nii.gz"}')
    write_cohort(
        folder / "out",
        3,
        5,
        task="subtypes",
        class_fractions=(1, 1, 1),
        anatomy=folder / "maps",
        exclude=[folder / "other"],
        repeat=2,
        workers=2,
        around_mm=5,
    )
    return folder / "out"


def test_a_cohort_of_subtypes_holds_one_lesion_a_case(subtypes: Path) -> None:
    assert sorted(row["class_name"] for row in rows(subtypes)) == ["subtype0", "subtype1", "subtype2"]
    for row in rows(subtypes):
        record = json.loads((subtypes / "phantoms" / f"{row['case_id']}.json").read_text())
        assert record["class_name"] == row["class_name"]
        labels = files.read(subtypes / "labelsTr" / f"{row['case_id']}.nii.gz")
        assert ndimage.label(labels.array == 1, np.ones((3, 3, 3)))[1] == 1


def test_the_image_shows_the_subtype(subtypes: Path) -> None:
    medians = {}
    for row in rows(subtypes):
        record = json.loads((subtypes / "phantoms" / f"{row['case_id']}.json").read_text())["draws"]
        image, _ = to_lps(files.read(subtypes / "imagesTr" / f"{row['case_id']}_0000.nii.gz"))
        labels, _ = to_lps(files.read(subtypes / "labelsTr" / f"{row['case_id']}.nii.gz"))
        inside = image.array[ndimage.binary_erosion(labels.array == 1)]
        medians[row["class_name"]] = np.median(inside) - record["hu.mean"]["pancreas"]
        if "lesion.fluid_hu" in record:
            assert np.percentile(inside, 5) == pytest.approx(record["lesion.fluid_hu"], abs=20.0)
        else:
            assert np.median(inside) == pytest.approx(record["lesion.mean_hu"], abs=20.0)
    assert medians["subtype1"] < medians["subtype0"] < medians["subtype2"]


def test_repeats_of_a_map_are_one_patient_but_other_bodies(subtypes: Path) -> None:
    table = rows(subtypes)
    assert table[0]["patient_id"] == table[1]["patient_id"] != table[2]["patient_id"]
    assert {row["patient_id"] for row in table} == {"7", "9"}
    records = [json.loads(path.read_text()) for path in sorted((subtypes / "phantoms").iterdir())]
    assert [record["anatomy"] for record in records] == [f"{row['patient_id']}_1.nii.gz" for row in table]
    assert len({record["draws"]["liver.size"] for record in records}) == 3


def test_the_reader_of_datasets_sees_classes_and_patients(subtypes: Path) -> None:
    cases = read_dataset(subtypes).cases
    assert [(case.case_id, case.class_name, case.patient_id) for case in cases] == [
        (row["case_id"], row["class_name"], row["patient_id"]) for row in rows(subtypes)
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"cases": 0}, "number of phantom cases 0 is below 1"),
        ({"positive_fraction": 1.2}, "positive fraction 1.2 is outside 0 to 1"),
        ({"positive_fraction": float("nan")}, "positive fraction nan"),
        ({"workers": 0}, "number of workers 0 is below 1"),
        ({"size": "huge"}, "phantom size 'huge' is unknown"),
        ({"domain": "mars"}, "phantom domain 'mars' is unknown"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"anatomy": Path("nowhere")}, "anatomy folder 'nowhere' does not exist"),
        ({"exclude": [Path("other")]}, "cohort 'other' is excluded without label maps"),
        ({"anatomy": Path(), "exclude": [Path("nowhere")]}, "excluded cohort 'nowhere' holds no phantoms"),
        ({"repeat": 0}, "repeat 0 is below 1"),
        ({"around_mm": -3.0}, "CTs cannot end -3 mm around the pancreas: give 0 or more"),
        ({"bend_mm": 4.0}, "bending by 4 mm needs label maps"),
        ({"anatomy": Path(), "bend_mm": 20.0}, "label maps cannot be bent by 20 mm: give 0 to 8"),
        ({"repeat": 2}, "repeat 2 needs label maps to repeat"),
        ({"task": "cysts"}, "phantom task 'cysts' is unknown"),
        ({"task": "subtypes", "class_fractions": (1, 2)}, "class fractions 1,2 are 2"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, object], reason: str
) -> None:
    request: dict[str, object] = {"cases": 2, "seed": 1} | options
    with pytest.raises(RequestError, match=reason):
        write_cohort(tmp_path / "out", **request)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_output_must_be_new(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RequestError, match="is a file"):
        write_cohort(tmp_path / "file", 1, 1)
    with pytest.raises(RequestError, match="is not empty"):
        write_cohort(tmp_path, 1, 1)


def test_an_interrupted_cohort_goes_on(cohort: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(cohort, again)
    first = sorted(path.stem for path in (again / "phantoms").iterdir())[0]
    for name in ("case_labels.csv", "dataset.json", f"phantoms/{first}.json", f"labelsTr/{first}.nii.gz"):
        (again / name).unlink()
    others = {path: path.stat().st_mtime_ns for path in (again / "imagesTr").iterdir() if first not in path.name}
    write_cohort(again, CASES, SEED, positive_fraction=0.5)
    for path in (path for path in cohort.rglob("*") if path.is_file()):
        assert (again / path.relative_to(cohort)).read_bytes() == path.read_bytes(), path
    assert {path: path.stat().st_mtime_ns for path in others} == others
    with pytest.raises(RequestError, match="not of a cohort that was begun by the same command"):
        write_cohort(again, CASES, 99, positive_fraction=0.5)


def test_a_cohort_that_was_killed_at_its_first_file_goes_on(tmp_path: Path) -> None:
    (tmp_path / ".partial-cohort.json").write_text("{")
    _begin(tmp_path, {"seed": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["cohort.json"]
    _begin(tmp_path, {"seed": 1})
    (tmp_path / "cohort.json").rename(tmp_path / "other.json")
    with pytest.raises(RequestError, match="is not empty"):
        _begin(tmp_path, {"seed": 1})


def test_two_commands_make_no_cohort_together(tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(FolderInUseError):
        write_cohort(tmp_path / "out", CASES, SEED)


def test_positives_need_a_map_with_a_lesion(hand_made_map: Maker, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    files.write(hand_made_map(lesion=False), maps / "well.nii.gz")
    with pytest.raises(RequestError, match="no usable label map with a lesion"):
        write_cohort(tmp_path / "out", 2, 3, anatomy=maps)

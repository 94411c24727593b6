"""The evaluation from files to files: by hand, and every bad input with its message."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcore import files
from ctcore.errors import RequestError
from ctcore.evaluation.evaluate import evaluate as evaluate_all
from ctcore.evaluation.matching import MatchingRule
from ctcore.evaluation.metrics import Metrics
from ctcore.evaluation.strata import Column
from ctcore.volume import Geometry, Volume
from tests.visitor import Visitor

SHAPE = (3, 8, 20)
GEOMETRY = Geometry(SHAPE, (0.8, 0.8, 2.0), (-50.0, -40.0, 900.0))
IDS = ("a", "b", "c", "d")

Change = Callable[[Path, Path], object]


def volume(*runs: tuple[int, int, float], dtype: Any = np.float32, geometry: Geometry = GEOMETRY) -> Volume:
    """A volume that holds a value from x = start to stop in one line of voxels."""
    array = np.zeros(geometry.shape, dtype=dtype)
    for start, stop, value in runs:
        array[1, 4, start:stop] = value
    return Volume(array, geometry)


def evaluate(*folders: Path, **options: Any) -> Metrics:
    """Without plots and page, which have a test of their own."""
    return evaluate_all(*folders, **{"page": False, **options})


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Path]:
    """Four cases: a hit at 0.9, a miss with a false candidate at 0.5, two negatives at 0.6 and without candidate."""
    maps, labels = tmp_path / "maps", tmp_path / "labels"
    files.write(volume((0, 10, 0.9)), maps / "a.nii.gz")
    files.write(volume((15, 18, 0.5)), maps / "b.nii.gz")
    files.write(volume((3, 5, 0.6)), maps / "c.nii.gz")
    files.write(volume(), maps / "d.nii.gz")
    files.write(volume((0, 8, 1), dtype=np.uint8), labels / "a.nii.gz")
    files.write(volume((0, 8, 1), dtype=np.uint8), labels / "b.nii.gz")
    files.write(volume(dtype=np.uint8), labels / "c.nii.gz")
    files.write(volume(dtype=np.uint8), labels / "d.nii.gz")
    return maps, labels


def as_run(tmp_path: Path, maps: Path, rows: str) -> Path:
    """An output of `pipeline run` with these maps and results."""
    run = tmp_path / "run"
    run.mkdir()
    maps.rename(run / "detection_maps")
    run.joinpath("run.json").write_text("{}")
    header = "case_id,status,score,p_non-PDAC,p_PDAC,detection_max,n_candidates,flags,seconds"
    run.joinpath("results.csv").write_text(header + "\n" + rows)
    return run


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["case_id"]: row for row in csv.DictReader(file)}


def test_plain_maps_by_hand(study: tuple[Path, Path], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    output = tmp_path / "deep" / "out"
    metrics = evaluate(*study, output, bootstrap=200, progress=lambda done, all_: seen.append((done, all_)))

    # scores 0.9 and 0.5 against 0.6 and 0: three of four pairs in order
    assert metrics.auroc.value == pytest.approx(0.75)
    # at 0.9 one hit of one; the second lesion is never hit
    assert metrics.ap.value == pytest.approx(0.5)
    assert metrics.warnings == ()
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    written = json.loads((output / "metrics.json").read_text())
    assert written["schema_version"] == 2
    assert written["auroc"]["value"] == 0.75
    assert written["ap"]["value"] == pytest.approx(0.5)
    assert written["counts"] == {
        "cases": 4,
        "positive": 2,
        "negative": 2,
        "failed": 0,
        "lesions": 2,
        "hits": 1,
        "missed": 1,
        "candidates": 3,
        "false_positives": 2,
        "ignored": 0,
    }
    assert written["settings"]["lesion_label"]["values"] == [1]
    assert written["settings"]["min_overlap"] == 0.15
    rows = table(output / "per_case.csv")
    assert sorted(rows) == list(IDS)
    assert (rows["a"]["positive"], rows["a"]["n_hits"], float(rows["a"]["best_overlap"])) == ("1", "1", 0.8)
    assert float(rows["a"]["score"]) == pytest.approx(0.9)
    assert (rows["b"]["n_missed"], rows["b"]["n_false_positives"]) == ("1", "1")
    assert (rows["d"]["positive"], rows["d"]["n_candidates"]) == ("0", "0")
    assert sorted(path.name for path in output.iterdir()) == ["metrics.json", "per_case.csv", "per_lesion.csv"]


def test_the_same_seed_gives_the_same_file(study: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        evaluate(*study, tmp_path / name, bootstrap=50, seed=4)
    assert (tmp_path / "one" / "metrics.json").read_bytes() == (tmp_path / "two" / "metrics.json").read_bytes()


def test_no_bootstrap_no_interval(study: tuple[Path, Path], tmp_path: Path) -> None:
    evaluate(*study, tmp_path / "out", bootstrap=0)
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["auroc"] == {"value": 0.75, "ci95": None}
    assert written["ap"] == {"value": 0.5, "ci95": None}


def test_the_minimum_overlap_decides_what_is_a_hit(study: tuple[Path, Path], tmp_path: Path) -> None:
    assert evaluate(*study, tmp_path / "out", rule=MatchingRule(0.8), bootstrap=0).counts.hits == 1
    assert evaluate(*study, tmp_path / "out", rule=MatchingRule(0.81), bootstrap=0).counts.hits == 0


def test_a_run_brings_its_scores_and_its_failures(study: tuple[Path, Path], tmp_path: Path) -> None:
    maps, labels = study
    (maps / "d.nii.gz").unlink()
    run = as_run(
        tmp_path, maps, "a,done,0.3,,,,,,1\nb,done,0.7,,,,,,1\nc,done,0.5,,,,,roi_fallback,1\nd,failed,,,,,,,\n"
    )
    metrics = evaluate(run, labels, tmp_path / "out", bootstrap=0)
    assert metrics.auroc.value == pytest.approx(0.5)  # 0.3 and 0.7 against 0.5: not the maps' maxima
    assert metrics.ap.value == pytest.approx(0.5)  # of the maps alone
    assert metrics.failed_cases == ("d",)
    assert metrics.counts.failed == 1
    assert metrics.warnings == ("1 failed cases have no prediction and are not in the numbers: 'd'",)
    rows = table(tmp_path / "out" / "per_case.csv")
    assert (rows["d"]["status"], rows["d"]["score"]) == ("failed", "")
    assert rows["b"]["score"] == "0.7"


def test_case_labels_decide_what_is_positive(study: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "case_labels.csv"
    path.write_text("case_id,class_name\na,PDAC\nb,PDAC\nc,PDAC\nd,non-PDAC\nsurplus,PDAC\n")
    metrics = evaluate(*study, tmp_path / "out", case_labels=path, bootstrap=100)
    assert metrics.auroc.value == 1
    assert (metrics.counts.positive, metrics.counts.lesions) == (3, 2)
    assert "1 positive cases have no lesion in their label" in metrics.warnings[0]
    assert "'c'" in metrics.warnings[0]
    path.write_text("case_id,class_name\na,non-PDAC\nb,PDAC\nc,non-PDAC\nd,non-PDAC\n")
    metrics = evaluate(*study, tmp_path / "out", case_labels=path, bootstrap=100)
    assert metrics.warnings == ("1 negative cases have a lesion in their label: 'a'",)


@pytest.mark.parametrize(("value", "name"), [(0, "positive"), (1, "negative")])
def test_one_class_leaves_the_auroc_undefined(study: tuple[Path, Path], tmp_path: Path, value: int, name: str) -> None:
    maps, labels = study
    for case_id in IDS:
        files.write(volume((0, 8, value), dtype=np.uint8), labels / f"{case_id}.nii.gz")
    metrics = evaluate(maps, labels, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["auroc"] == {"value": None, "ci95": None}
    assert f"no {name} case: the AUROC is undefined" in metrics.warnings
    assert (written["ap"]["value"] is None) == (value == 0)


def test_float_labels_and_another_format(study: tuple[Path, Path], tmp_path: Path) -> None:
    maps, labels = study
    for case_id in IDS:
        label = files.read(labels / f"{case_id}.nii.gz")
        (labels / f"{case_id}.nii.gz").unlink()
        files.write(label.with_array(label.array.astype(np.float64)), labels / f"{case_id}.mha")
    assert evaluate(maps, labels, tmp_path / "out", bootstrap=0).ap.value == pytest.approx(0.5)


def test_labels_with_other_structures(study: tuple[Path, Path], tmp_path: Path) -> None:
    maps, labels = study
    for case_id in IDS:
        label = files.read(labels / f"{case_id}.nii.gz")
        array = label.array * 2
        array[0] = 1  # pancreas
        files.write(label.with_array(array), labels / f"{case_id}.nii.gz")
    with pytest.raises(RequestError, match=r"values \[0, 1, 2\] and no dataset\.json .* pass --lesion-label"):
        evaluate(maps, labels, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert evaluate(maps, labels, tmp_path / "out", lesion_label="2", bootstrap=0).ap.value == pytest.approx(0.5)
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "pancreas": 1, "lesion": 2}}')
    for requested in (None, "lesion"):
        metrics = evaluate(maps, labels, tmp_path / "out", lesion_label=requested, bootstrap=0)
        assert metrics.ap.value == pytest.approx(0.5)


def test_rounding_of_the_grid_is_no_difference(study: tuple[Path, Path], tmp_path: Path) -> None:
    maps, labels = study
    near = Geometry(SHAPE, (0.80001, 0.8, 2.0), (-50.0001, -40.0, 900.0))
    files.write(volume((0, 10, 0.9), geometry=near), maps / "a.nii.gz")
    assert evaluate(maps, labels, tmp_path / "out", bootstrap=0).ap.value == pytest.approx(0.5)


def replace_by_nan(maps: Path, labels: Path) -> None:
    """Writes a map that holds NaN, as MetaImage: ITK's NIfTI reader turns NaN into 0."""
    (maps / "b.nii.gz").unlink()
    files.write(volume((0, 3, np.nan)), maps / "b.mha")


def remove_all(maps: Path, labels: Path) -> None:
    for path in maps.iterdir():
        path.unlink()


BAD_MAPS: dict[str, tuple[Change, str]] = {
    "missing label": (lambda maps, labels: (labels / "b.nii.gz").unlink(), "no label in .* for 'b'"),
    "missing prediction": (lambda maps, labels: (maps / "c.nii.gz").unlink(), "no prediction for the labels of 'c'"),
    "no prediction at all": (remove_all, "holds no image"),
    "truncated": (
        lambda maps, labels: (maps / "a.nii.gz").write_bytes((maps / "a.nii.gz").read_bytes()[:60]),
        "case 'a': .*cannot be read",
    ),
    "other shape": (
        lambda maps, labels: files.write(volume(geometry=Geometry((3, 8, 21), (0.8, 0.8, 2.0))), maps / "a.nii.gz"),
        r"case 'a': its detection map lies on another grid.*\(3, 8, 21\)",
    ),
    "shifted": (
        lambda maps, labels: files.write(
            volume(geometry=Geometry(SHAPE, GEOMETRY.spacing, (-50.0, -40.0, 902.0))), maps / "a.nii.gz"
        ),
        "case 'a': its detection map lies on another grid",
    ),
    "softmax": (
        lambda maps, labels: files.write(volume(*((x, x + 1, x / 20) for x in range(9))), maps / "b.nii.gz"),
        "case 'b': .*looks like a softmax",
    ),
    "above 1": (
        lambda maps, labels: files.write(volume((0, 3, 40)), maps / "b.nii.gz"),
        "case 'b': the detection map holds values from 0 to 40",
    ),
    "not a number": (
        replace_by_nan,
        "case 'b': the detection map holds NaN",
    ),
    "label between values": (
        lambda maps, labels: files.write(volume((0, 3, 0.5)), labels / "b.nii.gz"),
        "case 'b': the label holds 0.5, not a whole number",
    ),
}


@pytest.mark.parametrize("name", BAD_MAPS)
def test_bad_files(study: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    change, message = BAD_MAPS[name]
    change(*study)
    with pytest.raises(RequestError, match=message) as caught:
        evaluate(*study, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


GOOD_ROWS = "a,done,0.3\nb,done,0.7\nc,done,0.5\nd,done,0.1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case_id,status\na,done\n", "lacks the column 'score'"),
        ("case_id,status,score\n" + GOOD_ROWS + "a,done,0.4\n", "case id 'a' empty or twice"),
        ("case_id,status,score\n" + GOOD_ROWS.replace("0.7", "high"), "case 'b' in .* has score 'high'"),
        ("case_id,status,score\n" + GOOD_ROWS.replace("0.7", "nan"), "case 'b' in .* has score 'nan'"),
        ("case_id,status,score\n" + GOOD_ROWS.replace("b,done", "b,running"), "case 'b' in .* has status 'running'"),
        ("case_id,status,score\n" + GOOD_ROWS.replace("d,done,0.1\n", ""), "no row for the detection maps of 'd'"),
        ("case_id,status,score\n" + GOOD_ROWS + "e,done,0.4\n", "no detection map in .* for 'e'"),
        ("case_id,status,score\na,failed,\n", "no case of .* is done .1 failed: 'a'"),
    ],
)
def test_bad_results(study: tuple[Path, Path], tmp_path: Path, text: str, message: str) -> None:
    run = as_run(tmp_path, study[0], "")
    (run / "results.csv").write_text(text)
    with pytest.raises(RequestError, match=message):
        evaluate(run, study[1], tmp_path / "out")


def test_incomplete_runs(study: tuple[Path, Path], tmp_path: Path) -> None:
    run = as_run(tmp_path, study[0], "a,done,0.3,,,,,,1\n")
    (run / "detection_maps").rename(run / "elsewhere")
    with pytest.raises(RequestError, match="but no folder detection_maps"):
        evaluate(run, study[1], tmp_path / "out")
    (run / "results.csv").unlink()
    with pytest.raises(RequestError, match=r"run\.json but no results\.csv"):
        evaluate(run, study[1], tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case_id,class_name\na,PDAC\nb,PDAC\n", "has no row for 'c', 'd'"),
        (
            "case_id,class_name\na,PDAC\nb,cancer\nc,PDAC\nd,PDAC\n",
            "case 'b' in .* has class 'cancer'; use non-PDAC or",
        ),
        ("case,class_name\na,PDAC\n", "lacks the column 'case_id'"),
        (None, "cannot be read as CSV"),
    ],
)
def test_bad_case_labels(study: tuple[Path, Path], tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "case_labels.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RequestError, match=message):
        evaluate(*study, tmp_path / "out", case_labels=path)


def test_bad_bootstrap_and_folders(study: tuple[Path, Path], tmp_path: Path) -> None:
    maps, labels = study
    with pytest.raises(RequestError, match="bootstrap -1"):
        evaluate(maps, labels, tmp_path / "out", bootstrap=-1)
    with pytest.raises(RequestError, match="nowhere' does not exist"):
        evaluate(tmp_path / "nowhere", labels, tmp_path / "out")
    with pytest.raises(RequestError, match="nowhere' does not exist"):
        evaluate(maps, tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(RequestError, match="is not a folder that can be written to"):
            evaluate(maps, labels, output)


def test_a_failed_evaluation_leaves_the_old_result(study: tuple[Path, Path], tmp_path: Path) -> None:
    evaluate(*study, tmp_path / "out", bootstrap=0)
    before = (tmp_path / "out" / "metrics.json").read_bytes()
    (study[0] / "a.nii.gz").write_bytes(b"")
    with pytest.raises(RequestError):
        evaluate(*study, tmp_path / "out", bootstrap=0)
    assert (tmp_path / "out" / "metrics.json").read_bytes() == before


def test_the_worked_example_of_the_documentation(study: tuple[Path, Path], tmp_path: Path) -> None:
    """Every number of docs/evaluation.md, "A worked example"."""
    evaluate(*study, tmp_path / "out", bootstrap=0)
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["auroc"]["value"] == pytest.approx(0.75)
    assert written["ap"]["value"] == pytest.approx(0.5)
    assert written["calibration"]["score"]["brier"]["value"] == pytest.approx(0.155, abs=1e-6)
    froc = written["lesions"]["sensitivity_at_false_positives_per_case"]
    assert froc["0.125"]["value"] == froc["4"]["value"] == pytest.approx(0.5)
    assert written["lesions"]["false_positives_per_case"]["value"] == pytest.approx(0.5)
    assert written["lesions"]["false_positives_per_negative_case"]["value"] == pytest.approx(0.5)
    # of the two lesions, of 8 voxels of 0.8 mm each, one is hit
    assert written["lesions"]["sensitivity_by_size"]["< 2 cm"]["value"] == pytest.approx(0.5)
    assert written["lesions"]["sensitivity_by_size"]["> 4 cm"]["value"] is None
    # called positive from 0.5 on: a and b rightly, c wrongly
    assert written["classification"]["confusion"] == {"classes": ["non-PDAC", "PDAC"], "counts": [[1, 1], [0, 2]]}
    assert written["classification"]["accuracy"]["value"] == pytest.approx(0.75)
    # IoU 0.8 is a hit at every overlap of the sweep
    assert {row["value"] for row in written["overlap_sweep"].values()} == {0.5}


def test_plots_and_page(study: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "out"
    evaluate_all(*study, output, bootstrap=50)
    names = {"roc", "precision_recall", "froc", "overlap_sweep", "confusion", "reliability", "decision"}
    found = {path.name for path in (output / "plots").iterdir()}
    assert found == {f"{name}.{suffix}" for name in names for suffix in ("png", "svg")}
    page = (output / "index.html").read_text()
    assert all(f'src="plots/{name}.svg"' in page for name in names)
    assert "<b>0.750" in page
    first = (output / "plots" / "roc.svg").read_bytes()
    evaluate_all(*study, output, bootstrap=50)
    assert (output / "plots" / "roc.svg").read_bytes() == first


def test_the_page_in_a_browser(visitor: Visitor, study: tuple[Path, Path], tmp_path: Path) -> None:
    evaluate_all(*study, tmp_path / "out", bootstrap=0)
    visitor.page.goto((tmp_path / "out" / "index.html").as_uri())
    assert visitor.violations() == []


def test_several_processes_give_the_same(study: tuple[Path, Path], tmp_path: Path) -> None:
    evaluate(*study, tmp_path / "one", bootstrap=20)
    evaluate(*study, tmp_path / "two", bootstrap=20, workers=2)
    for name in ("metrics.json", "per_case.csv", "per_lesion.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_maps_as_numpy_files(study: tuple[Path, Path], tmp_path: Path) -> None:
    maps, labels = study
    for case_id in IDS:
        np.savez_compressed(maps / f"{case_id}.npz", files.read(maps / f"{case_id}.nii.gz").array)
        (maps / f"{case_id}.nii.gz").unlink()
    metrics = evaluate(maps, labels, tmp_path / "out", bootstrap=0)
    assert metrics.auroc.value == pytest.approx(0.75)
    assert metrics.warnings == ("4 detection maps are NumPy files without geometry: only their shapes were compared",)


def test_touching_candidates_are_told(study: tuple[Path, Path], tmp_path: Path) -> None:
    maps, labels = study
    files.write(volume((0, 5, 0.9), (5, 10, 0.4), (15, 16, 0.4)), maps / "a.nii.gz")
    metrics = evaluate(maps, labels, tmp_path / "out", bootstrap=0)
    assert metrics.counts.candidates == 4
    assert metrics.warnings == (
        "1 cases have touching candidates of different confidence; each such group counts as one with the highest: 'a'",
    )


def test_all_faulty_cases_are_named(study: tuple[Path, Path], tmp_path: Path) -> None:
    maps, labels = study
    files.write(volume((0, 3, 40)), maps / "b.nii.gz")
    files.write(volume((0, 3, -1)), maps / "d.nii.gz")
    with pytest.raises(RequestError, match=r"case 'b': the detection map holds .* \(and 1 more: 'd'\)"):
        evaluate(maps, labels, tmp_path / "out")


def test_strata_and_what_is_left_without_one(study: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "strata.csv"
    path.write_text("case_id,sex,age,patient_id\na,F,40,p1\nb,F,70,p2\nc,F,50,p1\nd,M,80,p3\n")
    metrics = evaluate(
        *study,
        tmp_path / "out",
        strata=path,
        columns=[Column("sex"), Column("age", (60.0,))],
        leave_out=[Column("sex")],
    )
    rows = {(row["column"], row["stratum"]): row for row in metrics.parts["strata"]}
    assert set(rows) == {("sex", "F"), ("sex", "M"), ("age", "< 60"), ("age", ">= 60")}
    women = rows["sex", "F"]
    assert (women["cases"], women["positive"], women["auroc"]["value"]) == (3, 2, 0.5)  # 0.9 and 0.5 against 0.6
    assert (rows["sex", "M"]["auroc"]["value"], rows["sex", "M"]["ap"]["value"]) == (None, None)
    (without_women, without_men) = metrics.parts["leave_one_out"]
    assert (without_women["stratum"], without_women["cases"]) == ("F", 1)
    assert without_men["auroc"]["value"] == 0.5
    assert metrics.settings["patients"] is True
    with pytest.raises(RequestError, match="strata by 'sex' need a table; pass --strata"):
        evaluate(*study, tmp_path / "out", columns=[Column("sex")])


def test_a_run_with_classes_and_segmentations(study: tuple[Path, Path], tmp_path: Path) -> None:
    maps, labels = study
    run = as_run(tmp_path, maps, "")
    probabilities = {"a": 0.8, "b": 0.4, "c": 0.3, "d": 0.1}
    rows = "".join(f"{case},done,{p},{1 - p},{p},,,,1\n" for case, p in probabilities.items())
    (run / "results.csv").write_text((run / "results.csv").read_text() + rows)
    (run / "cases").mkdir()
    for case, p in probabilities.items():
        record = {"label": "PDAC" if p > 0.35 else "non-PDAC", "segmentation_labels": {"background": 0, "lesion": 3}}
        (run / "cases" / f"{case}.json").write_text(json.dumps(record))
        files.write(volume((0, 4, 3), dtype=np.uint8), run / "segmentations" / f"{case}.nii.gz")
    metrics = evaluate(run, labels, tmp_path / "out", bootstrap=0)
    assert metrics.parts["classification"]["confusion"]["counts"] == [[2, 0], [0, 2]]
    assert metrics.parts["patients"]["auroc_of_class_probability"]["value"] == 1
    # 4 of 8 lesion voxels are segmented twice: Dice 8 / 12; c and d have none of the label: Dice 0
    assert metrics.parts["segmentation"]["lesion"]["dice"]["value"] == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4)
    assert table(tmp_path / "out" / "per_case.csv")["a"]["predicted_class"] == "PDAC"

"""The viewer's server: what it gives, to whom, and what it says of what is not there."""

from __future__ import annotations

import http.client
import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from ctcore.errors import RequestError
from ctcore.files import read
from pipeline.viewer.server import ViewerServer
from pipeline.viewer.shown import ShownRun


def ask(server: ViewerServer, path: str, host: str | None = None, secret: str | None = None) -> tuple[int, bytes, Any]:
    """Returns status, content and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    address = f"/{server.secret if secret is None else secret}/{path}"
    connection.request("GET", address, headers={"Host": host or f"127.0.0.1:{server.server_port}"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def told(server: ViewerServer, path: str) -> Any:
    """Returns the JSON of an answer."""
    return json.loads(ask(server, path)[1])


def volume(server: ViewerServer, tmp_path: Path, name: str) -> Any:
    """Returns the voxels (z, y, x) of a volume that was served."""
    path = tmp_path / name
    status, content, _ = ask(server, f"case/ill/{name}")
    assert status == 200
    path.write_bytes(content)
    return read(path)


def test_cases_from_the_highest_score(server: ViewerServer) -> None:
    cases = told(server, "cases.json")["cases"]
    assert [case["case_id"] for case in cases] == ["ill", "well", "torn"]
    assert [case["status"] for case in cases] == ["done", "done", "failed"]
    assert "torn_0000.nii.gz" in cases[2]["error"]


def test_facts_of_a_case(server: ViewerServer) -> None:
    facts = told(server, "case/ill/case.json")
    assert (facts["detection"], facts["segmentation"], facts["roi"], facts["missing_ct"]) == (True, True, True, None)
    assert [label["name"] for label in facts["labels"]] == ["lesion", "pancreas"]
    assert (facts["colours"]["I"], facts["colours"]["labels"]) == ([0, 1, 4], ["", "lesion", "pancreas"])
    assert [facts["colours"][key][1] for key in "RGBA"] == [*facts["labels"][0]["rgb"], 255]
    (candidate,) = facts["candidates"]
    assert candidate["centroid_lps_mm"] == pytest.approx([-31.25 + 0.7 * 6.5, 17 + 0.9 * 7.5, -250.5 + 2.5 * 5])
    failed = told(server, "case/torn/case.json")
    assert (failed["detection"], failed["segmentation"], failed["roi"]) == (False, False, False)


def test_volumes_are_those_of_the_case(server: ViewerServer, tmp_path: Path, cohort: Path, output: Path) -> None:
    ct = volume(server, tmp_path, "ct.nii")
    assert ct.array.dtype == np.int16
    assert np.array_equal(ct.array, read(cohort / "ill_0000.nii.gz").array)
    detection = volume(server, tmp_path, "detection.nii.gz")
    assert np.array_equal(detection.array, read(output / "detection_maps" / "ill.nii.gz").array)
    assert detection.geometry.allclose(ct.geometry)
    assert set(np.unique(volume(server, tmp_path, "segmentation.nii.gz").array)) == {0, 1, 4}
    roi = volume(server, tmp_path, "roi.nii.gz").array
    assert (roi[2, 4, 3], roi[3, 5, 4], roi[1, 4, 3], roi.max()) == (1, 0, 0, 1)  # the box begins at (2, 4, 3)


def test_surfaces_of_labels_and_candidates(server: ViewerServer) -> None:
    for name in ("surface-1.mz3", "surface-4.mz3", "surface-candidates.mz3"):
        assert ask(server, f"case/ill/{name}")[1][:2] == b"MZ"
    assert int.from_bytes(ask(server, "case/ill/surface-7.mz3")[1][4:8], "little") == 0


def test_evidence_where_a_run_has_mapped_it(server: ViewerServer, output: Path, tmp_path: Path) -> None:
    assert told(server, "case/ill/case.json")["evidence"] is False
    (output / "evidence").mkdir()
    shutil.copy(output / "detection_maps" / "ill.nii.gz", output / "evidence")
    assert told(server, "case/ill/case.json")["evidence"] is True
    assert volume(server, tmp_path, "evidence.nii.gz").array.max() == pytest.approx(0.75)


def test_a_ct_that_is_no_longer_there(server: ViewerServer, output: Path, cohort: Path) -> None:
    (cohort / "ill_0000.nii.gz").unlink()
    reason = told(server, "case/ill/case.json")["missing_ct"]
    assert reason == f"the CT 'ill_0000.nii.gz' is not in '{cohort}'; say where it is: pipeline view --input FOLDER"
    assert ask(server, "case/ill/ct.nii")[0] == 404
    assert ask(server, "case/ill/detection.nii.gz")[0] == 200


def test_a_ct_that_is_another_one(server: ViewerServer, cohort: Path) -> None:
    path = cohort / "ill_0000.nii.gz"
    with path.open("ab") as file:
        file.write(b"more")
    assert "has changed since the run" in told(server, "case/ill/case.json")["missing_ct"]


def test_a_ct_that_was_moved(output: Path, cohort: Path, tmp_path: Path) -> None:
    moved = cohort.rename(tmp_path / "elsewhere")
    shown = ShownRun.read(output, moved)
    assert shown.ct(shown.record("ill")).path == moved / "ill_0000.nii.gz"


def test_records_that_are_damaged(server: ViewerServer, output: Path) -> None:
    (output / "cases" / "ill.json").write_text("{")
    (case,) = [case for case in told(server, "cases.json")["cases"] if case["case_id"] == "ill"]
    assert case["status"] == "failed"
    assert ask(server, "case/ill/case.json")[0] == 404


@pytest.mark.parametrize(
    "path",
    ["../../run.json", "case/ill/../../run.json", "case/nobody/case.json", "case/ill/run.json",
     "case/..%2F..%2Frun/case.json",
     "case/ill/..%2F..%2Fill.json", "viewer.py", "%2e%2e/server.py", "case/ill/surface-9999.mz3"],
)  # fmt: skip
def test_nothing_else_is_given(server: ViewerServer, path: str) -> None:
    assert ask(server, path)[0] == 404


def test_strangers_are_refused(server: ViewerServer) -> None:
    assert ask(server, "cases.json", secret="guess")[0] == 403
    assert ask(server, "cases.json", host="evil.example")[0] == 403
    assert ask(server, "cases.json", secret=quote("\u00fc"))[0] == 403
    assert server.server_address[0] == "127.0.0.1"


def test_nothing_stays_in_the_browsers_cache(server: ViewerServer) -> None:
    for path in ("", "viewer.js", "viewer.css", "niivue.js", "cases.json", "case/ill/ct.nii"):
        status, _, headers = ask(server, path)
        assert (status, headers["Cache-Control"]) == (200, "no-store")


def test_what_was_made_is_removed(output: Path) -> None:
    with ViewerServer(ShownRun.read(output)) as server:
        first = server.volumes.file("ill", "roi.nii.gz")
        assert server.volumes.file("ill", "ct.nii").parent == first.parent
        second = server.volumes.file("well", "ct.nii")
        assert not first.parent.exists()
    assert not second.parent.exists()


def test_a_port_that_is_taken(output: Path, server: ViewerServer) -> None:
    with pytest.raises(RequestError, match=f"^port {server.server_port} cannot be used"):
        ViewerServer(ShownRun.read(output), server.server_port)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"holds no run.json; give the output of 'pipeline run'$"):
        ShownRun.read(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RequestError, match=r"run.json' is not valid"):
        ShownRun.read(tmp_path)

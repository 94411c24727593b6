"""Shares of a run: disjoint, complete, and joined again to the bytes of the whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.cts import FoundCts
from ctcore.errors import RequestError
from ctcore.files import CaseFile
from ctcore.inference.backends.choose import Execution
from pipeline.bundle import Bundle
from pipeline.merge import merge
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import RunSummary, run_cohort
from pipeline.run_record import RunRecord
from pipeline.shards import Shard, digest_of
from pipeline.stages import Stages
from tests.pipeline.executors.test_processes import contents


@given(st.sets(st.integers(0, 999), min_size=1, max_size=60), st.integers(1, 60))
def test_shards_are_disjoint_and_complete(numbers: set[int], of: int) -> None:
    cases = tuple(CaseFile(f"c{n}", Path(f"c{n}.nii")) for n in numbers)
    parts = [Shard(number, of).part(FoundCts(cases)) for number in range(1, min(of, len(cases)) + 1)]
    ids = [case.case_id for found, _ in parts for case in found.cases]
    assert sorted(ids) == sorted(case.case_id for case in cases)
    sizes = [len(found.cases) for found, _ in parts]
    assert max(sizes) - min(sizes) <= 1
    assert len({record.digest for _, record in parts}) == 1
    again, _ = Shard(1, of).part(FoundCts(tuple(reversed(cases))))
    assert again.cases == parts[0][0].cases  # however the folder lists them


def test_more_shards_than_cases() -> None:
    found = FoundCts((CaseFile("a", Path("a.nii")),))
    with pytest.raises(RequestError, match=r"shard 2/2 has no case: the input has 1; use no more shards than cases"):
        Shard(2, 2).part(found)


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/2/3", "-1/2", "1/0", ""])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(RequestError, match="is not one of several; write for instance --shard 2/8"):
        Shard.parse(text)


def test_the_list_of_cases_decides_the_digest() -> None:
    a, b = CaseFile("a", Path("a.nii")), CaseFile("b", Path("b.nii"))
    assert len({digest_of([a]), digest_of([a, b]), digest_of([CaseFile("a", Path("a.mha"))])}) == 3


@pytest.fixture
def cts(tmp_path: Path, make_ct: Callable[..., Path]) -> Path:
    """A folder of seven CTs, one of which cannot be read."""
    folder = tmp_path / "cts"
    for number in range(6):
        make_ct(folder / f"case{number}.nii.gz", lesion=number % 2 == 0)
    (folder / "broken.nii.gz").write_bytes(b"nothing")
    return folder


Run = Callable[..., RunSummary]


@pytest.fixture
def run(cts: Path, bundle: Bundle, execution: Execution, stages: Stages) -> Run:
    """Returns a function that runs the CTs, or a share of them, into a folder."""

    def runner(output: Path, shard: str | None = None, **options: object) -> RunSummary:
        chosen = RunOptions.model_validate({"deterministic": True} | options)
        share = None if shard is None else Shard.parse(shard)
        folder = OutputFolder(output, chosen.format)
        return run_cohort(cts, folder, bundle, execution, chosen, load=lambda: stages, shard=share)

    return runner


@pytest.fixture
def shards(run: Run, tmp_path: Path) -> list[Path]:
    """Three shards, run in any order."""
    folders = [tmp_path / f"shard{number}" for number in (3, 1, 2)]
    for folder in folders:
        run(folder, f"{folder.name[-1]}/3")
    return folders


def test_merged_shards_are_the_whole_run(run: Run, shards: list[Path], tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    told: list[tuple[int, int]] = []
    summary = merge(shards, tmp_path / "merged", lambda done, of: told.append((done, of)))
    assert summary.records == whole.records
    assert len((tmp_path / "merged" / "measurements.csv").read_text().splitlines()) == 1 + 7
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")
    assert told == [(n, 7) for n in range(1, 8)]
    again = merge(list(reversed(shards)), tmp_path / "merged")  # a merging is repeated by the same call
    assert again == summary
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")


def test_a_shard_tells_which_it_is(run: Run, tmp_path: Path) -> None:
    run(tmp_path / "out", "2/3")
    record = RunRecord.model_validate_json((tmp_path / "out" / "run.json").read_text())
    assert record.shard is not None
    assert (record.shard.number, record.shard.of, record.shard.cases) == (2, 3, 7)
    assert [case.case_id for case in record.cases] == ["case0", "case3"]


def test_times_are_added_up(run: Run, tmp_path: Path) -> None:
    for number in (1, 2):
        run(tmp_path / str(number), f"{number}/2", deterministic=False, report=False)
    parts = [RunRecord.model_validate_json((tmp_path / n / "run.json").read_text()) for n in ("1", "2")]
    merge([tmp_path / "1", tmp_path / "2"], tmp_path / "both")
    both = RunRecord.model_validate_json((tmp_path / "both" / "run.json").read_text())
    assert both.started == parts[0].started
    for phase, seconds in both.phase_seconds.items():
        assert seconds == pytest.approx(sum(part.phase_seconds[phase] for part in parts))
    walls = [part.wall_seconds or 0.0 for part in parts]
    assert both.wall_seconds is not None
    assert both.wall_seconds > max(walls) - 1e-3  # seconds since 1970 have seven digits behind the point


def edit_run(folder: Path, **changes: object) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


SPOILT: tuple[tuple[Callable[[list[Path]], object], str], ...] = (
    (lambda f: f.pop(), r"shard 2 of 3 missing; give all of them"),
    (lambda f: f.append(f[0]), r"shard 3 is there twice; give every shard once"),
    (lambda f: (f[1] / "run.json").unlink(), r"holds no run\.json; give folders that 'pipeline run --shard' has"),
    (lambda f: edit_run(f[1], complete=False), r"shard 1/3 in '.*' did not come to its end; run it again"),
    (lambda f: edit_run(f[1], shard=None), r"is no shard but a whole run"),
    (lambda f: edit_run(f[1], schema_version=7), r"run\.json' is not valid: schema_version.*; run the shard again"),
    (lambda f: edit_run(f[1], versions={}), r"were run with different versions; run one of them again"),
    (lambda f: edit_run(f[1], bundle={"name": "other"}), r"were run with different bundle"),
    (
        lambda f: edit_run(f[1], shard={"number": 1, "of": 3, "cases": 8, "digest": "0"}),
        r"are shards of different lists of cases; run all shards on the same input again",
    ),
    (lambda f: shutil.rmtree(f[1] / "detection_maps"), r"'.*detection_maps/.*' is missing; run the shard again"),
)
"""What is done to three shards, and what merging says then."""


def test_what_is_not_one_run_in_parts(shards: list[Path], tmp_path: Path, subtests: pytest.Subtests) -> None:
    for number, (spoil, message) in enumerate(SPOILT):
        with subtests.test(message):
            copies = [shutil.copytree(shard, tmp_path / f"spoilt{number}" / shard.name) for shard in shards]
            spoil(copies)
            with pytest.raises(RequestError, match=message):
                merge(copies, tmp_path / f"merged{number}")
            assert not (tmp_path / f"merged{number}" / "results.csv").exists()


def test_the_output_is_none_of_the_shards(shards: list[Path]) -> None:
    with pytest.raises(RequestError, match="is one of the shards; give a folder of its own"):
        merge(shards, shards[1])


def test_nothing_to_merge(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no shard to merge"):
        merge([], tmp_path / "merged")

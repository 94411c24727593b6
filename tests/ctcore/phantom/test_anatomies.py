"""Choosing label maps: by lesion, without excluded patients, several cases a map."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ctcore import files
from ctcore.errors import RequestError
from ctcore.phantom.anatomies import choose_maps, patient_of, patients_used
from ctcore.volume import Volume

Maker = Callable[..., Volume]

SICK = ("100_1", "100_2", "200_1", "300_1")
WELL = ("300_2", "400_1", "500_1")


@pytest.fixture(scope="module")
def maps(hand_made_map: Maker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four maps with a lesion, three without, of five patients."""
    folder = tmp_path_factory.mktemp("maps")
    for stem in (*SICK, *WELL):
        files.write(hand_made_map(lesion=stem in SICK), folder / f"{stem}.nii.gz")
    return folder


def choose(
    maps: Path, lesions: list[bool], *, excluded: frozenset[str] = frozenset(), repeat: int = 1, seed: int = 5
) -> list[str]:
    chosen = choose_maps(maps, lesions, np.random.default_rng(seed), excluded=excluded, repeat=repeat)
    return [files.label_id_of(path) for path in chosen]


def cohort(folder: Path, anatomies: list[object]) -> Path:
    (folder / "phantoms").mkdir(parents=True)
    for index, anatomy in enumerate(anatomies):
        (folder / "phantoms" / f"{index}.json").write_text(json.dumps({"anatomy": anatomy}))
    return folder


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("100001_00002.nii.gz", "100001"),
        ("100001_00002.mha", "100001"),
        ("case_00002.nii.gz", "case_00002"),
        ("100001_00002_3.nii.gz", "100001_00002_3"),
        ("sick.nii.gz", "sick"),
    ],
)
def test_panorama_names_tell_the_patient(name: str, patient: str) -> None:
    assert patient_of(name) == patient


def test_every_map_serves_once_before_one_serves_twice(maps: Path) -> None:
    chosen = choose(maps, [True, False] * 4)
    assert sorted(chosen[::2]) == sorted(SICK)
    assert set(chosen[1::2]) == set(WELL)
    assert chosen[7] == chosen[1]


def test_the_choice_is_the_same_for_the_same_seed(maps: Path) -> None:
    # As chosen before there were exclusions and repeats: cohorts of a seed stay what they were.
    assert choose(maps, [True, False, True, False, True]) == ["100_2", "300_2", "200_1", "500_1", "300_1"]
    assert choose(maps, [True] * 4, seed=6) != choose(maps, [True] * 4)


def test_excluded_patients_lose_all_their_studies(maps: Path) -> None:
    chosen = choose(maps, [True, True, False, False], excluded=frozenset({"100", "300"}))
    assert chosen[:2] == ["200_1", "200_1"]
    assert set(chosen[2:]) == {"400_1", "500_1"}


def test_repeats_share_a_map_and_the_last_may_have_fewer(maps: Path) -> None:
    chosen = choose(maps, [True] * 7 + [False] * 3, repeat=3)
    assert chosen[0] == chosen[1] == chosen[2] != chosen[3] == chosen[4] == chosen[5]
    assert sorted(Counter(chosen[:7]).values()) == [1, 3, 3]
    assert len(set(chosen[7:])) == 1


def test_a_seed_repeats_the_maps_it_would_use_once(maps: Path) -> None:
    assert choose(maps, [True] * 6, repeat=2)[::2] == choose(maps, [True] * 3)


def test_nothing_left_is_said_with_the_reason(maps: Path) -> None:
    with pytest.raises(RequestError, match=r"no usable label map with a lesion .* besides 5 of excluded patients"):
        choose(maps, [True], excluded=frozenset({"100", "200", "300"}))
    with pytest.raises(RequestError, match="does not exist"):
        choose(maps / "nowhere", [True])


def test_patients_of_cohorts_are_read_from_their_records(tmp_path: Path) -> None:
    first = cohort(tmp_path / "a", ["100_1.nii.gz", "200_1.nii.gz"])
    second = cohort(tmp_path / "b", ["100_2.mha", "odd.nii.gz"])
    assert patients_used([first, second]) == {"100", "200", "odd"}
    assert patients_used([]) == frozenset()


@pytest.mark.parametrize("anatomy", ["parametric", "label map", None, 3])
def test_a_cohort_without_label_maps_excludes_nothing_and_is_refused(tmp_path: Path, anatomy: object) -> None:
    with pytest.raises(RequestError, match=rf"0.json' has anatomy {anatomy!r}, not a label map"):
        patients_used([cohort(tmp_path / "a", [anatomy])])


def test_a_folder_that_is_no_cohort_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"holds no phantoms/\*.json"):
        patients_used([tmp_path])

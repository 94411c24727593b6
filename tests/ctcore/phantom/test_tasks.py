"""Classes of a cohort: their shares, met exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import RequestError
from ctcore.phantom.tasks import class_counts, class_shares


def test_subtypes_come_in_the_shares_of_the_reports() -> None:
    assert class_counts(class_shares("subtypes"), 252) == [62, 106, 84]
    assert class_counts(class_shares("subtypes"), 600) == [148, 252, 200]  # 147.6, 252.4, 200


def test_carcinomas_are_rounded_half_up() -> None:
    assert class_counts(class_shares("pdac"), 5) == [3, 2]
    assert class_counts(class_shares("pdac", 0.0), 4) == [0, 4]
    assert class_counts(class_shares("pdac", 1.0), 4) == [4, 0]
    assert class_counts(class_shares("pdac", 0.3), 5) == [2, 3]


def test_weights_need_not_sum_to_one() -> None:
    assert class_shares("subtypes", class_fractions=[1, 0, 3]) == (0.25, 0.0, 0.75)


@given(
    weights=st.lists(st.floats(0, 1e6), min_size=3, max_size=3).filter(lambda weights: sum(weights) > 0),
    cases=st.integers(1, 2000),
)
def test_counts_are_whole_and_within_one_of_the_shares(weights: list[float], cases: int) -> None:
    shares = class_shares("subtypes", class_fractions=weights)
    counts = class_counts(shares, cases)
    assert sum(counts) == cases
    assert all(
        count >= 0 and abs(count - share * cases) <= 1.0 + 1e-6 for count, share in zip(counts, shares, strict=True)
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"task": "cysts"}, "phantom task 'cysts' is unknown: choose one of pdac, subtypes"),
        ({"task": "pdac", "class_fractions": [1, 2, 3]}, "class fractions 1,2,3 are for the task subtypes"),
        ({"task": "pdac", "positive_fraction": float("nan")}, "positive fraction nan is outside 0 to 1"),
        ({"task": "subtypes", "positive_fraction": 0.5}, "positive fraction 0.5 is for the task pdac"),
        ({"task": "subtypes", "class_fractions": [1, 2]}, "class fractions 1,2 are 2: give one for each of subtype0"),
        ({"task": "subtypes", "class_fractions": [1, -2, 3]}, "class fractions 1,-2,3 are impossible"),
        ({"task": "subtypes", "class_fractions": [0, 0, 0]}, "class fractions 0,0,0 are impossible"),
        ({"task": "subtypes", "class_fractions": [1, float("inf"), 1]}, "class fractions 1,inf,1 are impossible"),
        ({"task": "subtypes", "class_fractions": [1, float("nan"), 1]}, "class fractions 1,nan,1 are impossible"),
    ],
)
def test_impossible_shares_are_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        class_shares(**options)  # type: ignore[arg-type]

"""Only what is among the worst is made and kept."""

from hypothesis import given
from hypothesis import strategies as st

from ctcore.evaluation.worst import Worst

CASES = st.lists(st.tuples(st.integers(0, 5), st.text("abc", max_size=3)), max_size=12, unique_by=lambda c: c[1])


@given(CASES, st.integers(0, 4))
def test_the_worst_are_kept_in_order(cases: list[tuple[int, str]], size: int) -> None:
    worst: Worst[tuple[int, str]] = Worst(size)
    for badness, name in cases:
        worst.add(badness, name, lambda kept=(badness, name): kept)  # type: ignore[misc]
    badnesses = [badness for badness, _ in worst.items]
    assert badnesses == sorted((badness for badness, _ in cases), reverse=True)[:size]
    assert set(worst.items) <= set(cases)


def test_nothing_is_made_in_vain() -> None:
    made: list[str] = []
    worst: Worst[None] = Worst(1)
    for badness, name in ((2.0, "a"), (1.0, "b"), (3.0, "c"), (3.0, "d")):
        worst.add(badness, name, lambda name=name: made.append(name))  # type: ignore[misc]
    assert made == ["a", "c"]

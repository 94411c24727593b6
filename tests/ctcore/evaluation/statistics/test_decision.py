"""Net benefit by its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics.decision import decision_curve, net_benefit, net_benefit_of_all
from ctcore.evaluation.statistics.statistic import point

CASES = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.4, 0.5, 1.0]), st.booleans()), min_size=1, max_size=20)


@given(CASES, st.sampled_from([0.0, 0.1, 0.4, 0.45, 0.9]))
def test_net_benefit_is_its_definition(cases: list[tuple[float, bool]], t: float) -> None:
    p, y = [value for value, _ in cases], [truth for _, truth in cases]
    treated = [truth for value, truth in cases if value >= t]
    expected = (sum(treated) - (len(treated) - sum(treated)) * t / (1 - t)) / len(cases)
    everyone = (sum(y) - (len(y) - sum(y)) * t / (1 - t)) / len(cases)
    assert point(net_benefit(p, y, t), len(cases)) == pytest.approx(expected, abs=1e-12)
    assert point(net_benefit_of_all(y, t), len(cases)) == pytest.approx(everyone, abs=1e-12)
    curve = decision_curve(p, y, [0.0, t])
    assert curve.model[1] == pytest.approx(expected, abs=1e-12)
    assert curve.treat_all[1] == pytest.approx(everyone, abs=1e-12)
    assert curve.model[0] == pytest.approx(np.mean(y))


def test_impossible_requests() -> None:
    with pytest.raises(RequestError, match=r"threshold probability 1\.0"):
        net_benefit([0.5], [True], 1.0)
    with pytest.raises(DatasetError, match=r"2\.0 is no probability"):
        net_benefit([2.0], [True], 0.5)

"""Every draw has a name, stays in its range and is remembered."""

import json

import numpy as np
import pytest

from ctcore.phantom.draws import Draws


def test_every_draw_is_recorded_and_fits_json(draws: Draws) -> None:
    values = {
        "uniform": draws.uniform("uniform", 1.0, 2.0),
        "normal": draws.normal("normal", 0.0, 1.0),
        "lognormal": draws.lognormal("lognormal", 5.0, 0.3, 1.0, 20.0),
        "flag": draws.flag("flag", 0.5),
        "integer": draws.integer("integer", 1, 3),
        "pick": draws.pick("pick", {"a": 1.0, "b": 2.0}),
        "number": draws.pick_number("number", (0.5, 1.0), (1.0, 1.0)),
        "vector": list(draws.vector("vector", 1.0)),
    }
    draws.stream("stream")
    draws.note("note", 7)
    assert json.loads(json.dumps(draws.record)) == {**values, "stream": draws.record["stream"], "note": 7}


def test_a_name_is_used_once(draws: Draws) -> None:
    draws.uniform("liver.size", 0.0, 1.0)
    with pytest.raises(KeyError, match=r"'liver\.size' was made twice"):
        draws.normal("liver.size", 0.0, 1.0)


def test_truncated_draws_stay_in_range_and_do_not_pile_up_at_the_edge(draws: Draws) -> None:
    values = np.array([draws.normal(f"n{i}", 0.0, 1.0, -0.5, 0.5) for i in range(400)])
    assert np.all(np.abs(values) <= 0.5)
    assert np.count_nonzero(np.abs(values) == 0.5) == 0


def test_an_impossible_range_gives_the_nearest_value(draws: Draws) -> None:
    assert draws.normal("far", 0.0, 0.01, 5.0, 6.0) == 5.0
    assert draws.lognormal("high", 1.0, 0.01, 5.0, 6.0) == 5.0


def test_a_stream_is_made_again_from_its_record(draws: Draws) -> None:
    first = draws.stream("field").standard_normal(5)
    again = np.random.default_rng(draws.record["field"]).standard_normal(5)
    np.testing.assert_array_equal(first, again)

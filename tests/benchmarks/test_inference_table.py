from typing import Any

from benchmarks.inference_table import bounds_table, phase_table, roof_table, tables
from tests.benchmarks.flow_records import record


def lines(table: str) -> dict[str, list[str]]:
    """Returns the cells of a Markdown table, by the first one of the row."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows}


def summary() -> dict[str, Any]:
    """What the benchmark keeps, as far as the tables need it."""
    return {
        "machine": {"processor": "a processor", "cpus": 2, "load_average": 0.5},
        "request": {"slices": 250, "device": "cpu", "folds": 1, "tta": False},
        "records": {
            "reference": [record("reference", 4.0, gib=9.0).model_dump()],
            "exact": [record("exact", seconds).model_dump() for seconds in (1.0, 2.0, 6.0)],
        },
        "precision": "fp32",
        "matrix_peak_gflops": {"fp32": 100.0, "bf16": 400.0},
        "network_gflops": {"reference": 40.0, "exact": 75.0},
        "bounds": [{"name": "exact windows", "direction": "at least", "limit": 2.0, "value": 2.0}],
    }


def test_phases_are_medians_over_repetitions() -> None:
    rows = lines(
        phase_table(
            {
                "reference": [record(seconds=4.0)],
                "exact": [record(seconds=s, ends=(9.0, 12.0 + 4 * s)) for s in (1.0, 2.0, 6.0)],
            }
        )
    )
    assert rows["seconds"] == ["reference", "exact"]
    assert rows["read"] == ["4.00", "2.00"]
    assert rows["all"] == ["36.00", "18.00"]
    assert rows["around the networks"] == ["28.00", "14.00"]
    assert rows["beyond the networks, by the clock"] == ["", "7.00"]  # of 11 seconds between the cases 4 in networks


def test_the_roof_is_that_of_the_precision() -> None:
    rows = lines(roof_table(summary()))
    assert rows["network, exact"] == ["75.00", "0.7500"]
    assert rows["matrix product, bf16"] == ["400.00", ""]


def test_a_summary_becomes_all_tables_with_what_was_measured_on() -> None:
    said, *rest = tables(summary())
    assert "2 cores of a processor, load 0.5" in said
    assert "512 x 512 x 250" in said
    assert len(rest) == 3
    assert lines(bounds_table(summary()["bounds"]))["exact windows"] == ["at least 2.00", "2.00"]

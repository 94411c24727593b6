from benchmarks.matrix_peak import higher, matrix_peak
from ctcore.inference.backends.choose import cpu_has_bf16


def test_a_cpu_multiplies_in_the_precisions_that_it_has() -> None:
    peak = matrix_peak("cpu", 64)
    assert peak.keys() == ({"fp32", "bf16"} if cpu_has_bf16() else {"fp32"})
    assert all(value > 0 for value in peak.values())


def test_the_better_of_two_measurements_counts() -> None:
    assert higher({}, {"fp32": 3.0}) == {"fp32": 3.0}
    assert higher({"fp32": 3.0, "bf16": 5.0}, {"fp32": 4.0, "bf16": 1.0}) == {"fp32": 4.0, "bf16": 5.0}

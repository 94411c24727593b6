"""Records of flows that never ran."""

from benchmarks.flow import PHASES, FlowRecord


def record(flow: str = "exact", seconds: float = 1.0, ends: tuple[float, ...] = (9.0,), gib: float = 2.0) -> FlowRecord:
    """Returns a record whose phases all took as long."""
    return FlowRecord(
        flow=flow,
        execution={"device": "cpu", "backend": "openvino", "precision": "fp32"},
        seconds=dict.fromkeys(PHASES, seconds),
        windows=(1, 12),
        start_up_seconds=None,
        finished_seconds=ends,
        peak_gib=gib,
        load_average=2.0,
    )

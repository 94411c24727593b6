"""What the processor can do."""

from __future__ import annotations

import re
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def processor_flags() -> frozenset[str] | None:
    """Returns the instruction sets of the processor, as Linux names them; None where it cannot be told (not Linux)."""
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(flags.group(1).split()) if flags else frozenset()

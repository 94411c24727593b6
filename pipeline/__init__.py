"""The way of a case from CT to score, map and report: bundles, cohort runs, outputs and the `pipeline` command line.

From Python: `load_bundle` and `run_case` (docs/python.md). They are imported when they are first asked for, so that
`import pipeline` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api import CaseOutput, LesionCandidate, LoadedBundle, load_bundle, run_case

__all__ = ["CaseOutput", "LesionCandidate", "LoadedBundle", "load_bundle", "run_case"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for.

    Raises:
        AttributeError: it is not one of `__all__`.
    """
    if name not in __all__:
        raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
    from pipeline import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """Returns the names that there are, imported or not."""
    return sorted({*globals(), *__all__})

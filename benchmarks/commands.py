"""The project's own commands, as a user would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TextIO


def run(*arguments: str, output: TextIO | None = None, threads: int | None = None) -> None:
    """Runs one of the project's commands; ends with its exit code where it fails, as it has said why.

    Args:
        arguments: the module and its arguments.
        output: takes what the command prints; the console if not given.
        threads: of its matrix products; torch's choice if not given.
    """
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    command = [sys.executable, "-m", *arguments]
    status = subprocess.run(
        command, check=False, env=environment, stdout=output, stderr=None if output is None else subprocess.STDOUT
    ).returncode
    if status:
        print(f"stopped at: {' '.join(arguments)}", file=sys.stderr)
        sys.exit(status)

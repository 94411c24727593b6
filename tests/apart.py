"""Processes of the tests' own, forked from one that has imported what they need.

There is one such server a process, and what the last caller preloads is all that it has: so all is named here.
"""

from __future__ import annotations

import multiprocessing

APART = multiprocessing.get_context("forkserver")
APART.set_forkserver_preload(["tests.ctcore.nnunet.tiny_training", "tests.pipeline.stub_run"])

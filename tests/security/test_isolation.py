"""The whole pipeline sends nothing anywhere, unpickles nothing and starts no program; its pages fetch nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ctcore.files import write
from ctcore.volume import Geometry, Volume
from tests.ctcore.dicom.series_on_disk import write_series
from tests.security import guarded

ROOT = Path(__file__).parents[2]
FETCHED = re.compile(r"""(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?//|@import|url\(\s*["']?(?:https?:)?//""")

SEND = """
import socket
from tests.security.guarded import forbid_sending
forbid_sending()
print("here", flush=True)
{call}
print("there", flush=True)
"""
CALLS = (
    "socket.socket().connect(('127.0.0.1', 9))",
    "socket.socket(socket.AF_INET6).connect(('::1', 9))",
    "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "socket.getaddrinfo('name.invalid', 80)",
)

HARMLESS = (
    ("socket.bind", "('::1', 0))"),
    ("subprocess.Popen", "('/sbin/ldconfig', ['/sbin/ldconfig', '-p']"),
    ("subprocess.Popen", "('fc-list', ['fc-list', '--help']"),
    ("subprocess.Popen", "('fc-list', ['fc-list', '--format=%{file}"),
)
"""What libraries do when they are imported: urllib3 (pydicom imports it where it is installed) asks the system whether
it has IPv6 and sends nothing; Python asks where libraries lie, Matplotlib, once, where fonts do. None sees an input."""


@pytest.mark.skipif(not guarded.can_forbid(), reason="this system has no seccomp for x86-64")
@pytest.mark.parametrize("call", CALLS)
def test_the_guard_ends_a_process_that_sends(call: str) -> None:
    command = [sys.executable, "-c", SEND.format(call=call)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -31  # SIGSYS
    assert done.stdout == "here\n"


def test_the_whole_pipeline_in_isolation(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(40, 20, (24, 32, 32)).astype(np.int16)
    values[0] = -1000  # air
    ct = Volume(values, Geometry(values.shape, (4.0, 4.0, 4.0)))
    write(ct, tmp_path / "input" / "case_0000.nii.gz")
    write_series(tmp_path / "series", ct)
    (tmp_path / "input" / "broken.mha").write_bytes(b"not an image")
    write(ct.with_array((values > 90).astype(np.uint8)), tmp_path / "labels" / "case.nii.gz")
    write(ct, tmp_path / "challenge" / "images" / "venous-ct" / "a.mha")
    out = tmp_path / "out"
    commands = [
        ["phantom", "--cases", "1", "--seed", "3", "--output", str(tmp_path / "phantoms")],
        ["bundle", "verify"],
        ["bundle", "inspect"],
        ["dicom", "list", str(tmp_path / "series")],
        ["run", "--input", str(tmp_path / "input"), "--output", str(out), "--device", "cpu"],
        ["run", "--input", str(tmp_path / "series"), "--output", str(tmp_path / "out2"), "--device", "cpu",
         "--dicom-output"],
        ["evaluate", "--predictions", str(out / "detection_maps"), "--labels", str(tmp_path / "labels"),
         "--lesion-label", "1", "--bootstrap", "10", "--output", str(tmp_path / "evaluation")],
        ["grand-challenge", "--input", str(tmp_path / "challenge"), "--output", str(tmp_path / "answer")],
    ]  # fmt: skip
    (tmp_path / "commands.json").write_text(json.dumps(commands))
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.guarded", str(tmp_path / "commands.json"), str(tmp_path / "seen.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"},
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:], done.stdout[-2000:])
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["codes"] == [0, 0, 0, 0, 1, 0, 0, 0], done.stderr[-2000:]  # the file that is no image fails, alone
    strange = [e for e in seen["events"] if not any(e[0] == name and part in e[1] for name, part in HARMLESS)]
    assert strange == []
    pages = [path for folder in (out, tmp_path / "evaluation") for path in folder.rglob("*")]
    pages = [path for path in pages if path.suffix in (".html", ".svg", ".md")]
    assert len(pages) > 2
    for page in pages:
        assert not FETCHED.search(page.read_text()), page.name
        own = page.relative_to(page.parents[1]).as_posix() == "report/index.html"  # its script is known by its hash
        assert page.read_text().count("<script") == own, page.name

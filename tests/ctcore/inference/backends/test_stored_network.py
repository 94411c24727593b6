from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ctcore.inference.backends import stored_network
from ctcore.inference.backends.stored_network import identity_of

ELSEWHERE = """
import sys
from pathlib import Path
from ctcore.inference.backends.stored_network import identity_of
print(identity_of(Path(sys.argv[1]), {"features": [8, 16]}, "ctcore"))
assert "torch" not in sys.modules
"""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "fold_0.safetensors"
    path.write_bytes(b"weights")
    return path


def test_it_is_the_same_in_other_processes_and_places(weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(weights.read_bytes())
    command = [sys.executable, "-c", ELSEWHERE, str(copy)]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert elsewhere == identity_of(weights, {"features": [8, 16]}, "ctcore")
    assert len(elsewhere) == 64


def test_whatever_may_change_the_answers_changes_it(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_of_this_test"
    package.mkdir()
    code = package / "__init__.py"
    code.write_text("twice = 2")
    monkeypatch.syspath_prepend(tmp_path)
    identities = [identity_of(weights, [8, 16], package.name)]
    identities.append(identity_of(weights, [8, 32], package.name))
    identities.append(identity_of(weights, [8, 16], "stage1_localizer"))
    weights.write_bytes(b"Weights")
    identities.append(identity_of(weights, [8, 16], package.name))
    code.write_text("twice = 3")
    assert identity_of(weights, [8, 16], package.name) == identities[-1]  # the process has imported what was there
    stored_network._sources.cache_clear()
    identities.append(identity_of(weights, [8, 16], package.name))
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda name: "another")
        identities.append(identity_of(weights, [8, 16], package.name))
    assert len(set(identities)) == len(identities)


def test_code_without_a_file_is_refused(weights: Path) -> None:
    with pytest.raises(ValueError, match="'nowhere_to_be_found' is no package with sources"):
        identity_of(weights, None, "nowhere_to_be_found")

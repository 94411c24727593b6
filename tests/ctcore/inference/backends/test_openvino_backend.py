from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from torch import nn

from ctcore.inference.backends.choose import cpu_has_bf16
from ctcore.inference.backends.openvino_backend import OpenVinoBackend, default_cache_dir
from ctcore.inference.backends.torch_backend import TorchBackend

BATCH = np.random.default_rng(3).standard_normal((1, 1, 8, 16, 16)).astype(np.float32)

WITHOUT_NETWORK = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(refuse)
import numpy as np
from torch import nn
from ctcore.inference.backends.openvino_backend import OpenVinoBackend
network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.InstanceNorm3d(2))
OpenVinoBackend(network)(np.zeros((1, 1, 2, 2, 2), np.float32))
assert sys.modules["openvino_telemetry"] is None
assert not any(name.startswith("openvino_telemetry.") for name in sys.modules)
"""

SIGNALS_AFTERWARDS = """
import gc, signal
import numpy as np
from torch import nn
from ctcore.inference.backends.openvino_backend import OpenVinoBackend
received = []
signal.signal(signal.SIGUSR1, lambda *_: received.append(True))
backends = [OpenVinoBackend(nn.Conv3d(1, 2, 1)) for _ in range(3)]
for backend in backends:
    backend(np.zeros((1, 1, 2, 2, 2), np.float32))
while backends:
    backends.pop(0)
    backend = None
    gc.collect()
    signal.raise_signal(signal.SIGUSR1)
assert len(received) == 3
"""


def test_fp32_equals_torch(two_headed: Callable[[int], nn.Module]) -> None:
    exact = TorchBackend(two_headed(0))(BATCH)
    outputs = OpenVinoBackend(two_headed(0))(BATCH)
    assert list(outputs) == ["segmentation", "classes"]
    for name, output in outputs.items():
        assert output.shape == exact[name].shape
        assert output.dtype == np.float32
        np.testing.assert_allclose(softmax(output, axis=1), softmax(exact[name], axis=1), atol=1e-4)


@pytest.mark.skipif(not cpu_has_bf16(), reason="the processor has no bfloat16 arithmetic")
def test_bf16_is_near_fp32_and_another_arithmetic(unet: Callable[[int], nn.Module]) -> None:
    exact = softmax(TorchBackend(unet(0))(BATCH)["segmentation"], axis=1)
    outputs = OpenVinoBackend(unet(0), "bf16")(BATCH)
    difference = np.abs(softmax(outputs["segmentation"], axis=1) - exact)
    assert 1e-4 < difference.max() < 0.1
    assert difference.mean() < 0.01


def test_each_input_shape_is_compiled_once(unet: Callable[[int], nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = OpenVinoBackend(unet(0))
    compiled: list[tuple[int, ...]] = []
    compile_for = backend._compile

    def compile_and_note(shape: tuple[int, ...]) -> tuple[tuple[str, ...], Any]:
        compiled.append(shape)
        return compile_for(shape)

    monkeypatch.setattr(backend, "_compile", compile_and_note)
    larger = np.concatenate([BATCH, BATCH], axis=2)
    first = backend(BATCH)["segmentation"]
    assert backend(larger)["segmentation"].shape == (1, 3, 16, 16, 16)
    first_again = backend(BATCH)["segmentation"]
    assert compiled == [BATCH.shape, larger.shape]
    np.testing.assert_array_equal(first, first_again)
    first += 1  # the caller's own array
    np.testing.assert_array_equal(backend(BATCH)["segmentation"], first_again)


def test_the_disk_cache_never_mixes_up_weights_or_precisions(
    two_headed: Callable[[int], nn.Module], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "cache"
    if cpu_has_bf16():
        OpenVinoBackend(two_headed(0), "bf16", folder)(BATCH)
    for _ in range(2):  # written in the first round, read in the second
        for seed in (0, 1):
            cached = OpenVinoBackend(two_headed(seed), cache_dir=folder)(BATCH)
            exact = TorchBackend(two_headed(seed))(BATCH)
            assert list(cached) == ["segmentation", "classes"]
            for name, output in cached.items():
                np.testing.assert_allclose(softmax(output, axis=1), softmax(exact[name], axis=1), atol=1e-4)
        assert len(list((folder / "fp32").iterdir())) == 2


def test_a_cache_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        backend = OpenVinoBackend(nn.Conv3d(1, 2, 1), cache_dir=tmp_path / "file" / "cache")
    assert "every start compiles anew" in caplog.text
    assert str(tmp_path / "file") in caplog.text
    assert backend(BATCH)["segmentation"].shape == (1, 2, 8, 16, 16)


def test_the_default_cache_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert default_cache_dir() == tmp_path / ".cache" / "ctcore" / "openvino"


def test_no_home_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with caplog.at_level(logging.WARNING):
        assert default_cache_dir() is None
    assert "Could not determine home directory" in caplog.text


def test_fp16_is_refused() -> None:
    with pytest.raises(ValueError, match="'fp16'"):
        OpenVinoBackend(nn.Conv3d(1, 2, 1), "fp16")


def test_no_network_call_is_made() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_NETWORK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "Warning" not in done.stderr


def test_signals_can_be_handled_after_a_network_has_gone() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNALS_AFTERWARDS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from torch import nn

from ctcore.errors import BundleError
from ctcore.inference.backends import openvino_backend
from ctcore.inference.backends.choose import cpu_has_bf16
from ctcore.inference.backends.compiled_cache import CompiledCache
from ctcore.inference.backends.openvino_backend import OpenVinoBackend
from ctcore.inference.backends.stored_network import StoredNetwork
from ctcore.inference.backends.torch_backend import TorchBackend
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.architecture import describe_unet, topology_of

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


@pytest.mark.parametrize("encoder", ["plain", "resenc"])
def test_behind_a_strided_stem_the_answer_is_interpolated(encoder: str) -> None:
    topology = topology_of((3.0, 3.0, 3.0), (32, 32, 32), (4, 8, 8), stem_stride=2)
    network = build_unet(describe_unet(encoder, topology, (4, 8, 8), (1, 1, 1)), 1, 3).eval()
    batch = np.random.default_rng(4).standard_normal((1, 1, 32, 32, 48)).astype(np.float32)
    exact = TorchBackend(network)(batch)["segmentation"]
    assert exact.shape == (1, 3, 32, 32, 48)
    answer = OpenVinoBackend(network)(batch)["segmentation"]
    np.testing.assert_allclose(softmax(answer, axis=1), softmax(exact, axis=1), atol=1e-4)


@pytest.mark.skipif(not cpu_has_bf16(), reason="the processor has no bfloat16 arithmetic")
def test_bf16_is_near_fp32_and_another_arithmetic(unet: Callable[[int], nn.Module]) -> None:
    exact = softmax(TorchBackend(unet(0))(BATCH)["segmentation"], axis=1)
    outputs = OpenVinoBackend(unet(0), "bf16")(BATCH)
    difference = np.abs(softmax(outputs["segmentation"], axis=1) - exact)
    assert 1e-4 < difference.max() < 0.1
    assert difference.mean() < 0.01


def test_each_input_shape_is_compiled_once(unet: Callable[[int], nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = OpenVinoBackend(unet(0))
    compiled = compilations(backend, monkeypatch)
    larger = np.concatenate([BATCH, BATCH], axis=2)
    first = backend(BATCH)["segmentation"]
    assert backend(larger)["segmentation"].shape == (1, 3, 16, 16, 16)
    first_again = backend(BATCH)["segmentation"]
    assert compiled == [BATCH.shape, larger.shape]
    np.testing.assert_array_equal(first, first_again)
    first += 1  # the caller's own array
    np.testing.assert_array_equal(backend(BATCH)["segmentation"], first_again)


def compilations(backend: OpenVinoBackend, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Notes the shapes that a backend compiles for, rather than finding them in its cache."""
    compiled: list[tuple[int, ...]] = []
    compile_for = backend._compile

    def compile_and_note(shape: tuple[int, ...]) -> Any:
        compiled.append(shape)
        return compile_for(shape)

    monkeypatch.setattr(backend, "_compile", compile_and_note)
    return compiled


def stored(make: Callable[[int], nn.Module], seed: int = 0) -> StoredNetwork:
    return StoredNetwork(f"{make.__name__} {seed}", BATCH.shape, lambda: make(seed))


def unbuilt() -> nn.Module:
    raise AssertionError("the network was built")


def test_a_network_compiled_before_is_not_built_and_gives_the_same_answers(
    two_headed: Callable[[int], nn.Module], tmp_path: Path
) -> None:
    network = stored(two_headed)
    fresh = OpenVinoBackend(network, cache=CompiledCache(tmp_path))(BATCH)
    again = OpenVinoBackend(replace(network, build=unbuilt), cache=CompiledCache(tmp_path))(BATCH)
    assert list(again) == list(fresh) == ["segmentation", "classes"]
    for name, output in again.items():
        np.testing.assert_array_equal(output, fresh[name])


def test_a_network_not_compiled_yet_is_built_at_once(tmp_path: Path) -> None:
    def damaged() -> nn.Module:
        raise BundleError("'fold_0.safetensors' does not fit its model")

    with pytest.raises(BundleError, match=r"fold_0\.safetensors"):
        OpenVinoBackend(StoredNetwork("damaged", BATCH.shape, damaged), cache=CompiledCache(tmp_path))


def test_another_shape_than_foreseen_is_compiled_too(unet: Callable[[int], nn.Module], tmp_path: Path) -> None:
    larger = np.concatenate([BATCH, BATCH], axis=2)
    expected = OpenVinoBackend(unet(0))(larger)["segmentation"]
    OpenVinoBackend(stored(unet), cache=CompiledCache(tmp_path))(BATCH)
    for build in (stored(unet).build, unbuilt):  # built for the new shape, then that is kept as well
        backend = OpenVinoBackend(replace(stored(unet), build=build), cache=CompiledCache(tmp_path))
        np.testing.assert_array_equal(backend(larger)["segmentation"], expected)


def test_another_network_shape_precision_or_version_is_not_mixed_up(
    two_headed: Callable[[int], nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = CompiledCache(tmp_path)
    backend = OpenVinoBackend(stored(two_headed), cache=cache)
    keys = {backend._key(BATCH.shape), backend._key((1, 1, 8, 16, 32))}
    keys.add(OpenVinoBackend(stored(two_headed, 1), cache=cache)._key(BATCH.shape))
    keys.add(OpenVinoBackend(stored(two_headed), "bf16", cache)._key(BATCH.shape))
    assert len(keys) == 4
    assert backend._key(BATCH.shape) in keys
    for changed in ("processor_flags", "_openvino"):
        with monkeypatch.context() as patch:
            if changed == "processor_flags":
                patch.setattr(openvino_backend, "processor_flags", lambda: frozenset({"avx9000"}))
            else:
                patch.setattr(backend, "_openvino", SimpleNamespace(get_version=lambda: "another"))
            assert backend._key(BATCH.shape) not in keys
    for seed in (0, 1):
        OpenVinoBackend(stored(two_headed, seed), cache=cache)(BATCH)
    for seed in (0, 1):
        cached = OpenVinoBackend(stored(two_headed, seed), cache=cache)(BATCH)
        exact = TorchBackend(two_headed(seed))(BATCH)
        np.testing.assert_allclose(
            softmax(cached["segmentation"], axis=1), softmax(exact["segmentation"], axis=1), atol=1e-4
        )


@pytest.mark.parametrize("damage", ["a byte in the middle", "half of it", "checksum right, content not OpenVINO's"])
def test_a_damaged_file_is_compiled_anew(
    unet: Callable[[int], nn.Module],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    fresh = OpenVinoBackend(stored(unet), cache=CompiledCache(tmp_path))(BATCH)["segmentation"]
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "a byte in the middle":
        content[len(content) // 2] ^= 0x40
        file.write_bytes(content)
    elif damage == "half of it":
        file.write_bytes(content[: len(content) // 2])
    else:
        CompiledCache(tmp_path).store(file.stem, memoryview(b"not a compiled network"))
    with caplog.at_level(logging.WARNING):
        for compiled_shapes in ([BATCH.shape], []):
            backend = OpenVinoBackend(stored(unet), cache=CompiledCache(tmp_path))
            compiled = compilations(backend, monkeypatch)
            np.testing.assert_array_equal(backend(BATCH)["segmentation"], fresh)
            assert compiled == compiled_shapes
    assert [record.message.count("is compiled anew") for record in caplog.records] == [1]
    assert file.read_bytes() != bytes(content) or damage.startswith("checksum")


def test_a_network_that_is_not_stored_is_not_cached(tmp_path: Path) -> None:
    OpenVinoBackend(nn.Conv3d(1, 2, 1), cache=CompiledCache(tmp_path))(BATCH)
    assert list(tmp_path.iterdir()) == []


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

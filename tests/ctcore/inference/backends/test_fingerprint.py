from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from ctcore.inference.backends import fingerprint as fingerprints
from ctcore.inference.backends.fingerprint import fingerprint

ELSEWHERE = """
import torch
from torch import nn
from ctcore.inference.backends.fingerprint import fingerprint
from dynamic_network_architectures.building_blocks.simple_conv_blocks import StackedConvBlocks
torch.manual_seed(0)
norm = {"eps": 1e-5}
print(fingerprint(StackedConvBlocks(1, nn.Conv3d, 1, 2, 3, 1, norm_op=nn.InstanceNorm3d, norm_op_kwargs=norm)))
"""


def small(seed: int = 0, *, slope: float = 0.01, stride: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv3d(1, 2, 3, stride=stride), nn.InstanceNorm3d(2, affine=True), nn.LeakyReLU(slope))


def test_it_is_the_same_for_the_same_network(two_headed: Callable[[int], nn.Module]) -> None:
    assert fingerprint(two_headed(0)) == fingerprint(two_headed(0))
    assert fingerprint(small()) == fingerprint(small())


def test_it_is_the_same_in_another_process() -> None:
    answers = {
        subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(answers) == 1
    assert len(answers.pop().strip()) == 64


def with_buffer(value: float) -> nn.Module:
    network = small()
    network.register_buffer("shift", torch.tensor(value), persistent=False)
    return network


def with_attribute(value: object) -> nn.Module:
    network = small()
    network.extra = value  # type: ignore[assignment]
    return network


def with_one_weight_changed() -> nn.Module:
    network = small()
    with torch.no_grad():
        next(network.parameters())[0, 0, 0, 0, 0] += 1e-6
    return network


DIFFERENT: dict[str, Callable[[], nn.Module]] = {
    "as it is": small,
    "seed": lambda: small(1),
    "slope": lambda: small(slope=0.02),
    "stride": lambda: small(stride=2),
    "one weight": with_one_weight_changed,
    "training": lambda: small().train(False),
    "buffer 1": lambda: with_buffer(1.0),
    "buffer 2": lambda: with_buffer(2.0),
    "half": lambda: small().half(),
    "list 1": lambda: with_attribute([1, 2]),
    "list 2": lambda: with_attribute([1, 3]),
    "set": lambda: with_attribute({"a", "b"}),
    "dict": lambda: with_attribute({"a": 1}),
    "tensor 1": lambda: with_attribute((torch.zeros(2),)),
    "tensor 2": lambda: with_attribute((torch.ones(2),)),
    "class": lambda: with_attribute(nn.ReLU),
    "function": lambda: with_attribute(small),
    "partial 1": lambda: with_attribute(functools.partial(small, 1)),
    "partial 2": lambda: with_attribute(functools.partial(small, 2)),
    "closure 1": lambda: with_attribute(closure(1)),
    "closure 2": lambda: with_attribute(closure(2)),
    "object 1": lambda: with_attribute(Path("a")),
    "object 2": lambda: with_attribute(Path("b")),
}


def closure(number: int) -> Callable[[], int]:
    return lambda: number


def test_whatever_may_change_the_answer_changes_it() -> None:
    hashes = {name: fingerprint(make()) for name, make in DIFFERENT.items()}
    assert len(set(hashes.values())) == len(hashes), hashes


def test_shared_weights_are_not_taken_for_equal_ones() -> None:
    def ones() -> nn.Linear:
        layer = nn.Linear(2, 2, bias=False)
        nn.init.ones_(layer.weight)
        return layer

    first, second = ones(), ones()
    equal = fingerprint(nn.Sequential(first, second))
    second.weight = first.weight
    assert fingerprint(nn.Sequential(first, second)) != equal


def test_a_network_that_holds_itself_is_described() -> None:
    circle: list[object] = []
    network = with_attribute(circle)
    circle += [network, circle]
    assert len(fingerprint(network)) == 64


def test_changed_code_changes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "networks_of_this_test.py"
    source.write_text("from torch import nn\nclass Twice(nn.Module):\n    def forward(self, x): return x * 2\n")
    network = importlib.import_module(source.stem).Twice()
    before = fingerprint(network)
    source.write_text(source.read_text().replace("* 2", "* 3"))
    assert fingerprint(network) == before  # the process goes on with the code it has imported
    fingerprints._sources.cache_clear()
    assert fingerprint(network) != before


def test_code_without_a_file_is_refused() -> None:
    kind = type("Typed", (nn.Module,), {"__module__": "nowhere_to_be_found"})
    with pytest.raises(ValueError, match="'nowhere_to_be_found' has no source file"):
        fingerprint(kind())

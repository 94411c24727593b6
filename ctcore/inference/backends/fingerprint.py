"""What a network computes, as one hash: its weights, its layers and the code that joins them."""

from __future__ import annotations

import enum
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from ctcore.errors import first_line

if TYPE_CHECKING:
    import torch

_PLAIN = (bool, int, float, complex, str, bytes, type(None), enum.Enum)
_CODE = (type, FunctionType, MethodType, BuiltinFunctionType, functools.partial)
_BY_VERSION = frozenset({"torch", "builtins"})
"""Packages whose code is known by its version alone; of others the sources are read."""
_OWN_STATE = ("_parameters", "_buffers", "_modules")


def fingerprint(module: torch.nn.Module) -> str:
    """Returns a SHA-256 over all that a network's answers depend on.

    That is every weight and buffer, every attribute of every layer, PyTorch's version, and the sources of the packages
    that the layers' classes and functions come from. Tracing would say it more exactly, and cost a run of the network.
    Where an attribute is described by its address the hash differs from process to process: what is cached under it
    is not found again, but never mistaken for another network's.

    Raises:
        ValueError: a layer's class has no source file (it was typed at a prompt).
    """
    import torch

    digest = hashlib.sha256(f"torch {torch.__version__}\n".encode())
    description = _Description(module)
    for path, layer in module.named_modules():
        state = {name: value for name, value in vars(layer).items() if name not in _OWN_STATE}
        digest.update(f"{path}: {description.of_type(type(layer))} {description.of(state)}\n".encode())
    tensors = (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    )
    first_names: dict[int, str] = {}
    for name, tensor in tensors:
        first = first_names.setdefault(id(tensor), name)  # nnU-Net names the same weights up to three times
        digest.update(f"{name}: {_tensor(tensor) if first == name else first}\n".encode())
    for package in sorted(description.packages - _BY_VERSION):
        digest.update(f"{package}: {_sources(package)}\n".encode())
    return digest.hexdigest()


class _Description:
    """Puts a network's attributes into words, and notes the packages that their code comes from.

    Attributes:
        packages: top-level names.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.packages: set[str] = set()
        self._seen = {id(layer): f"layer {path}" for path, layer in module.named_modules()}
        self._kept: list[Any] = []

    def of_type(self, kind: Any) -> str:
        """Returns the name of a class or function."""
        module = kind.__module__ or "builtins"  # functions of C extensions may not say
        self.packages.add(module.partition(".")[0])
        return f"{module}.{kind.__qualname__}"

    def of(self, value: Any) -> str:
        """Returns a text that differs where what is computed may."""
        if isinstance(value, _PLAIN):
            return repr(value)
        if id(value) in self._seen:
            return self._seen[id(value)]
        self._kept.append(value)  # an address is another's as soon as its object is gone
        self._seen[id(value)] = f"the same as {len(self._seen)}"
        if isinstance(value, Mapping):
            return f"{{{', '.join(f'{self.of(key)}: {self.of(item)}' for key, item in value.items())}}}"
        if isinstance(value, tuple | list):
            return f"[{', '.join(map(self.of, value))}]"
        if isinstance(value, set | frozenset):
            return f"{{{', '.join(sorted(map(self.of, value)))}}}"
        return self._of_code(value) if isinstance(value, _CODE) else self._of_object(value)

    def _of_code(self, value: Any) -> str:
        if isinstance(value, FunctionType):
            closure = [cell.cell_contents for cell in value.__closure__ or ()]
            return f"{self.of_type(value)} {self.of([closure, value.__defaults__, value.__kwdefaults__])}"
        if isinstance(value, MethodType):
            return f"{self.of(value.__func__)} of {self.of(value.__self__)}"
        if isinstance(value, functools.partial):
            return f"partial {self.of([value.func, value.args, value.keywords])}"
        return self.of_type(value)

    def _of_object(self, value: Any) -> str:
        import torch

        if isinstance(value, torch.Tensor):
            return _tensor(value)
        if isinstance(value, torch.dtype | torch.device):
            return repr(value)
        state = vars(value) if hasattr(value, "__dict__") else repr(value)
        return f"{self.of_type(type(value))} {self.of(state)}"


def _tensor(tensor: torch.Tensor) -> str:
    import torch

    values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(values).hexdigest()}"


@functools.cache
def _sources(package: str) -> str:
    """Returns the hash of a package's Python files, or of a single module's."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError as error:  # __main__ of a prompt
        raise ValueError(f"'{package}' has no source: {first_line(error)}; put its classes into a file") from error
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    files = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    if spec is not None and not folders and spec.origin is not None:
        files = [Path(spec.origin)] if spec.has_location else []
    if package in sys.builtin_module_names:
        return sys.version
    if not files:
        raise ValueError(f"'{package}' has no source file; put its classes into one")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()

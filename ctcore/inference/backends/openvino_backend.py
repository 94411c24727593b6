"""Networks computed by OpenVINO, on a CPU."""

from __future__ import annotations

import functools
import hashlib
import importlib
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from ctcore.errors import first_line
from ctcore.inference.backends.backend import ExactBackendName, ExactPrecision, named_outputs
from ctcore.inference.backends.compiled_cache import CompiledCache
from ctcore.inference.backends.processor import processor_flags
from ctcore.inference.backends.stored_network import StoredNetwork
from ctcore.inference.backends.winograd import spares_time, with_winograd

if TYPE_CHECKING:
    import torch

_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}
_HINTS = {"PERFORMANCE_HINT": "LATENCY"}
"""All cores on one window. Two streams, unpinned threads and other partitioners were not faster."""

_TRACING = threading.Lock()
"""Tracing changes what belongs to the whole process: the filters of warnings, PyTorch's tracing state."""


def import_openvino() -> Any:
    """Imports OpenVINO with its telemetry replaced by its own stub: this project makes no network call.

    Raises:
        ImportError: OpenVINO is not installed, or does not load here.
    """
    if "openvino" not in sys.modules:
        # Importing a name bound to None fails, and OpenVINO then selects the stub.
        cast(dict[str, Any], sys.modules)["openvino_telemetry"] = None
    return importlib.import_module("openvino")


@functools.cache
def openvino_core() -> Any:
    """Returns this process's one OpenVINO core, which it keeps to its end.

    Where the processor has AMX, a core gives the thread that makes it a larger stack for signal handlers, and takes
    that memory back when it goes: the next signal with a handler (Ctrl-C, a child's end) would then end the process.

    Raises:
        ImportError: as `import_openvino`.
    """
    return import_openvino().Core()


def openvino_threads() -> int:
    """Returns how many threads OpenVINO computes with: the processor's cores, as far as this process may use them.

    Raises:
        ImportError: as `import_openvino`.
    """
    openvino, operations = import_openvino(), importlib.import_module("openvino.opset13")
    nothing = operations.parameter([1], np.float32)
    model = openvino.Model([operations.relu(nothing)], [nothing], "nothing")  # known once something is compiled
    compiled = openvino_core().compile_model(model, "CPU", _HINTS)
    return int(compiled.get_property("INFERENCE_NUM_THREADS"))


class OpenVinoBackend:
    """A network computed by OpenVINO; converted and compiled once for each input shape, at the first such call.

    Threads may share it: their calls come one after the other, each on all cores.

    Attributes:
        name: `openvino`.
        precision: `fp32` or `bf16`.
        flags: none.
    """

    name: ExactBackendName = "openvino"
    flags: tuple[str, ...] = ()

    def __init__(
        self,
        network: torch.nn.Module | StoredNetwork,
        precision: ExactPrecision = "fp32",
        cache: CompiledCache | None = None,
        *,
        one_thread: bool = False,
    ) -> None:
        """Takes over a network: its weights move to the CPU, as float32, and its normalisation is made exact for fp32.

        A stored network that was compiled before is not built: PyTorch, slow to import, is not needed then.

        Args:
            network: the network; see `named_outputs` for what its `forward` may return.
            precision: `fp32` or `bf16`.
            cache: where compiled stored networks are kept between runs; None: they are not.
            one_thread: whether to compute with one thread: the same bits, however many there are.

        Raises:
            ImportError: OpenVINO is not installed, or does not load here.
            BundleError: the network has to be built and cannot be.
            ValueError: the precision is another one.
        """
        if precision not in _PRECISION_HINTS:
            raise ValueError(f"OpenVINO on a CPU does not compute in '{precision}'; use fp32 or bf16")
        self.precision: ExactPrecision = precision
        self._openvino = import_openvino()
        self._core = openvino_core()
        self._properties = _HINTS | {"INFERENCE_PRECISION_HINT": _PRECISION_HINTS[precision]}
        self._winograd = precision == "fp32" and spares_time()
        if one_thread:
            self._properties |= {"INFERENCE_NUM_THREADS": "1"}
        self._requests: dict[tuple[int, ...], tuple[tuple[str, ...], Any]] = {}
        self._stored = network if isinstance(network, StoredNetwork) else None
        self._cache = None if self._stored is None else cache
        self._built: torch.nn.Module | None = None
        self._lock = threading.Lock()  # an inference request serves one call at a time
        if not isinstance(network, StoredNetwork):
            self._built = self._prepared(network)
        elif (compiled := self._from_cache(network.shape)) is not None:
            self._requests[network.shape] = _ready(compiled)
        else:
            self._built = self._prepared(network.build())  # here, lest a damaged file be noticed at the first case

    def __call__(self, batch: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the network; see `Backend`."""
        with self._lock:
            if batch.shape not in self._requests:
                compiled = self._from_cache(batch.shape) or self._compile_and_keep(batch.shape)
                self._requests[batch.shape] = _ready(compiled)
            names, request = self._requests[batch.shape]
            inputs = {0: np.ascontiguousarray(batch, np.float32)}
            results = request.infer(inputs, share_inputs=True, share_outputs=False)
            return {name: results[index] for index, name in enumerate(names)}

    def _from_cache(self, shape: tuple[int, ...]) -> Any:
        """Returns the network that an earlier run has compiled for an input shape, None where there is none.

        OpenVINO's own cache (CACHE_DIR) does not notice a file that was changed, and computes something else.
        """
        if self._cache is None:
            return None
        key = self._key(shape)
        exported = self._cache.load(key)
        if exported is None:
            return None
        try:
            tensor = self._openvino.Tensor(np.frombuffer(exported, np.uint8))
            return self._core.import_model(tensor, "CPU", self._properties)
        except RuntimeError as error:
            self._cache.discard(key, first_line(error))
            return None

    def _compile_and_keep(self, shape: tuple[int, ...]) -> Any:
        compiled = self._compile(shape)
        if self._cache is not None:
            self._cache.store(self._key(shape), compiled.export_model().getbuffer())
        return compiled

    def _compile(self, shape: tuple[int, ...]) -> Any:
        with _TRACING:
            names, traced = _trace(self._module, shape)
        model = self._openvino.convert_model(traced, input=[list(shape)])
        for output, name in zip(model.outputs, names, strict=True):
            output.get_tensor().set_names({name})
        if self._winograd:
            with_winograd(model)
        return self._core.compile_model(model, "CPU", self._properties)

    @property
    def _module(self) -> torch.nn.Module:
        """The network, built where that was not done."""
        if self._built is None and self._stored is not None:
            self._built = self._prepared(self._stored.build())
        return cast("torch.nn.Module", self._built)

    def _prepared(self, network: torch.nn.Module) -> torch.nn.Module:
        import torch

        from ctcore.inference.backends.pooled_norm import with_pooled_norms

        network = network.to(device="cpu", dtype=torch.float32).eval()
        return with_pooled_norms(network) if self.precision == "fp32" else network

    def _key(self, shape: tuple[int, ...]) -> str:
        """Returns a hash of all that a stored network, compiled, depends on."""
        processor = (
            self._core.get_property("CPU", "FULL_DEVICE_NAME"),
            sorted(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
            sorted(processor_flags() or ()),
        )
        network = self._stored and self._stored.identity
        made = (sorted(self._properties.items()), self._winograd, self._openvino.get_version())
        parts = (network, shape, made, processor)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def _ready(compiled: Any) -> tuple[tuple[str, ...], Any]:
    """Returns a compiled network's output names, in order, and an inference request."""
    return tuple(output.get_any_name() for output in compiled.outputs), compiled.create_infer_request()


def _trace(module: torch.nn.Module, shape: tuple[int, ...]) -> tuple[tuple[str, ...], Any]:
    """Returns the output names, in order, and the network as a graph that gives its outputs as a tuple in that order.

    Traced rather than exported: the exported graph spells instance normalisation out, which OpenVINO then runs about
    twice as slowly; traced here, because the converter's own call runs the network three times to check itself.
    """
    import torch

    jit = cast(Any, torch.jit)

    class Tuple(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module
            self.names: tuple[str, ...] = ()

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            outputs = named_outputs(self.module(image))
            self.names = tuple(outputs)
            return tuple(outputs.values())

    network = Tuple().eval()
    with torch.no_grad(), warnings.catch_warnings():
        # Tracing is announced as deprecated, and layers decide by shapes, which are fixed here; a warning
        # that a network of ours decides by values would be a real one, and stays.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", category=jit.TracerWarning, module=r"torch\.|ctcore\..*pooled_norm")
        traced = jit.trace(network, torch.zeros(shape), check_trace=False, strict=False)
    return network.names, traced

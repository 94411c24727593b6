"""Nothing that could run code from a file, a shell or a name is called in the packages, but where a reason is given."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ctcore", "stage1_localizer", "stage2_multitask", "pipeline")

FORBIDDEN_MODULES = frozenset(
    {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "subprocess", "pty", "code",
     "runpy", "socket", "urllib.request", "http", "ftplib", "requests", "httpx", "webbrowser", "xmlrpc",
     "fsspec", "s3fs", "boto3", "botocore"}
)  # fmt: skip
FORBIDDEN_CALLS = frozenset(
    {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.fork", "os.startfile", "builtins.eval",
     "builtins.exec", "importlib.import_module", "importlib.__import__", "pydoc.locate", "pydoc.importfile"}
)  # fmt: skip
FORBIDDEN_OF_ANYTHING = frozenset({"read_pickle", "to_pickle", "execv", "execve", "execvp", "spawnv", "posix_spawn"})
LOADERS = frozenset({"torch.load", "np.load", "numpy.load", "joblib.load", "pickle.load", "pickle.loads"})

ALLOWED_MODULES = {
    ("ctcore.object_client", "fsspec"): "reaches the object storage that a URL of --input or --output names",
    ("ctcore.ray_cluster", "socket"): "asks whether anybody listens at the address that --ray-address names",
    ("pipeline.cli_view", "webbrowser"): "opens the viewer's own address",
    ("pipeline.executors.cores", "socket"): "names in Linux's abstract namespace; nothing listens, nothing connects",
    ("pipeline.viewer.server", "http"): "listens on the loopback address alone",
    ("pipeline.viewer.server", "http.server"): "listens on the loopback address alone",
}

ALLOWED = {
    ("ctcore.evaluation.maps", "np.load"): "allow_pickle=False",
    ("ctcore.inference.backends.winograd", "importlib.import_module"): "a constant name",
    ("ctcore.inference.backends.openvino_backend", "importlib.import_module"): "constant names",
    ("ctcore.nnunet.encoders", "importlib.import_module"): "constant names",
    ("ctcore.nnunet.networks", "pydoc.locate"): "names from an allow-list, torch modules alone",
    ("ctcore.nnunet.safe_load", "torch.load"): "weights_only=True",
    ("ctcore.nnunet.training.checkpoint", "torch.load"): "weights_only=True",
    ("ctcore.nnunet.training.initial_weights", "torch.load"): "weights_only=True",
    ("ctcore.ray_cluster", "importlib.import_module"): "a constant name",
}

STARTS = ("pipeline.cli_run", "pipeline.api", "pipeline.run", "pipeline.stages", "pipeline.cli_grand_challenge")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def called(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN_CALLS | LOADERS or name.rpartition(".")[2] in FORBIDDEN_OF_ANYTHING:
                yield name, node


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_no_module_that_runs_code_from_files_is_imported() -> None:
    found = {(name, one) for name, tree in modules() for one in imported(tree)}
    bad = {(name, one) for name, one in found for no in FORBIDDEN_MODULES if one == no or one.startswith(f"{no}.")}
    assert bad == set(ALLOWED_MODULES)


def test_no_call_that_runs_code_from_files() -> None:
    assert {(name, call) for name, tree in modules() for call, _ in called(tree)} == set(ALLOWED)


@pytest.mark.parametrize("function", ["torch.load", "np.load"])
def test_loads_are_told_not_to_unpickle(function: str) -> None:
    keyword, value = ("weights_only", True) if function == "torch.load" else ("allow_pickle", False)
    calls = [(name, node) for name, tree in modules() for call, node in called(tree) if call == function]
    assert calls
    for name, node in calls:
        given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        assert given.get(keyword) is value, name


def test_shells_are_never_asked_for() -> None:
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                assert not any(k.arg == "shell" for k in node.keywords), name


def test_the_way_of_a_case_imports_nothing_that_unpickles() -> None:
    """Of all that `pipeline run` can import, only what trains and imports checkpoints may name their reader."""
    graph = grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)
    reached = {module for start in STARTS for module in (start, *graph.find_upstream_modules(start))}
    assert "ctcore.inference.predict" in reached  # inside functions, too
    assert reached & FORBIDDEN_MODULES == {module for name, module in ALLOWED_MODULES if name in reached}
    assert "ctcore.nnunet.folders" not in {m.rpartition(".")[0] for m in reached}, "nnU-Net's checkpoints are imported"

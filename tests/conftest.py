"""Settings of all tests."""

import importlib.util
import os
import signal
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings

from ctcore.object_client import file_system
from tests.object_server import ObjectServer
from tests.visitor import ARGUMENTS, CHROMIUM, Visitor

# No deadline: a busy machine is not a failure.
settings.register_profile("quick", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None, max_examples=300)
settings.load_profile("quick")

# A shell starts what it puts in the background deaf to Ctrl-C, and every process that such a test run starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread: tiny networks wait for threads longer than they compute."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ObjectServer]:
    """An S3 server on this machine."""
    pytest.importorskip("s3fs", reason="s3fs, of the extra 's3', is not installed")
    server = ObjectServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def ray_cluster(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Ray cluster of two cores on this machine, whose workers find the S3 server if there is one."""
    pytest.importorskip("ray", reason="Ray, of the extra 'ray', is not installed")
    from ray.cluster_utils import Cluster

    variables = request.getfixturevalue("s3_server").variables if importlib.util.find_spec("s3fs") else {}
    before = signal.getsignal(signal.SIGTERM)
    with mock.patch.dict(os.environ, variables):
        cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    signal.signal(signal.SIGTERM, before)  # else what later tests fork would wait for Ray when it is told to end
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def object_server(s3_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """The S3 server, to which the environment of this process leads."""
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    s3_server.reset()
    file_system.cache_clear()
    yield s3_server
    s3_server.reset()
    file_system.cache_clear()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    from playwright import sync_api

    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture
def visitor(browser: Any) -> Iterator[Visitor]:
    """A visitor of nothing yet; in the end nothing may have been complained of, and nobody asked."""
    page = browser.new_page()
    visitor = Visitor(page)
    yield visitor
    page.close()
    assert visitor.heard == []

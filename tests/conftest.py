"""Settings of all tests."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.visitor import CHROMIUM, Visitor

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
def ray_cluster() -> Iterator[str]:
    """The address of a Ray cluster of two cores on this machine."""
    pytest.importorskip("ray", reason="Ray, of the extra 'ray', is not installed")
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright, of the extra 'browser', is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visitor(browser: Any) -> Iterator[Visitor]:
    """A visitor of nothing yet; at the end, nothing may have been complained of."""
    page = browser.new_page()
    visitor = Visitor(page)
    yield visitor
    page.close()
    assert visitor.heard == []

"""The viewer in a real browser: what is drawn where, windows, views, candidates, cases, keys; nobody else is asked."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipeline.viewer.server import ViewerServer
from tests.visitor import Visitor

READY = "() => globalThis.viewer && document.getElementById('state').textContent === ''"
PLACE = """(lps) => {
  const { nv } = globalThis.viewer;
  const [x, y] = nv.frac2canvasPos(nv.mm2frac([-lps[0], -lps[1], lps[2]]));
  const box = document.getElementById('canvas').getBoundingClientRect();
  return [box.x + x / nv.uiData.dpr, box.y + y / nv.uiData.dpr];
}"""
LESION_LPS = (-31.25 + 0.7 * 6.5, 17 + 0.9 * 7.5, -250.5 + 2.5 * 5)


def picture(visitor: Visitor) -> npt.NDArray[np.uint8]:
    """Returns what shows: (rows, columns, RGB)."""
    return np.asarray(Image.open(io.BytesIO(visitor.page.screenshot())).convert("RGB"))


@pytest.fixture
def open_at(visitor: Visitor, server: ViewerServer) -> Callable[[str], Visitor]:
    """Returns a function that opens a case."""

    def open_case(case_id: str) -> Visitor:
        visitor.allowed = (server.address, "data:", "blob:")
        visitor.page.set_viewport_size({"width": 700, "height": 400})
        visitor.page.goto(f"{server.address}?case={case_id}")
        visitor.page.wait_for_function(READY)
        return visitor

    return open_case


def at_lesion(visitor: Visitor) -> npt.NDArray[np.int64]:
    """Returns the colour at the middle of the lesion of `ill`, in the view of one plane."""
    x, y = visitor.page.evaluate(PLACE, list(LESION_LPS))
    patch: Any = picture(visitor)[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3].astype(np.int64)
    return np.asarray(patch.reshape(-1, 3).mean(axis=0).round(), np.int64)


def test_the_overlay_is_where_the_lesion_is(open_at: Callable[[str], Visitor]) -> None:
    visitor = open_at("ill")
    page = visitor.page
    page.keyboard.press("a")
    for name in ("segmentation", "roi", "detection"):
        page.locator(f"#show-{name}").uncheck()
    plain = at_lesion(visitor)
    assert np.ptp(plain) <= 2  # grey: the CT alone
    assert 200 <= plain[0] <= 245  # 200 HU in the pancreas window, from -160 to 240
    page.locator("#show-detection").check()
    red, _, blue = at_lesion(visitor)
    assert red > blue + 60  # the map's colours


def test_windows_and_what_is_said_of_a_place(open_at: Callable[[str], Visitor]) -> None:
    visitor = open_at("ill")
    page = visitor.page
    said = page.locator("#place").inner_text()
    assert said.startswith("LPS -26.7, 23.8, -238.0 mm")
    assert "200 HU" in said
    assert "lesion" in said
    assert "confidence 0.750" in said
    page.keyboard.press("a")
    page.locator("#show-detection").uncheck()
    page.locator("#show-segmentation").uncheck()
    greys = []
    for key, name in enumerate(("pancreas", "liver", "lung", "bone"), start=1):
        page.keyboard.press(str(key))
        assert page.get_by_role("button", name=name).get_attribute("aria-pressed") == "true"
        greys.append(int(at_lesion(visitor)[0]))
    assert greys[1] == greys[2] == 255  # above the windows of liver and lung
    assert abs(greys[3] - 255 * 700 / 1800) <= 6


def test_planes_and_three_dimensions(open_at: Callable[[str], Visitor]) -> None:
    visitor = open_at("ill")
    page = visitor.page
    seen = []
    for key in "macs":
        page.keyboard.press(key)
        seen.append(picture(visitor)[:, :370])
    page.keyboard.press("r")
    page.wait_for_function("() => globalThis.viewer.solid.meshes.length === 3")
    page.wait_for_function(READY)
    seen.append(picture(visitor)[:, :370])
    for number, one in enumerate(seen):
        assert one.std() > 5  # not blank
        assert all(np.abs(one.astype(int) - other).mean() > 0.5 for other in seen[:number])


def test_slices_and_candidates(open_at: Callable[[str], Visitor]) -> None:
    page = open_at("ill").page
    page.keyboard.press("PageUp")
    assert "-235.5 mm" in page.locator("#place").inner_text()
    page.keyboard.press("n")
    assert page.locator("#place").inner_text().startswith("LPS -26.7, 23.8, -238.0 mm")
    page.keyboard.press("PageDown")
    page.get_by_role("button", name="1 · confidence 0.750").click()
    assert page.locator("#place").inner_text().startswith("LPS -26.7, 23.8, -238.0 mm")


def test_from_case_to_case(open_at: Callable[[str], Visitor]) -> None:
    visitor = open_at("ill")
    page = visitor.page
    page.keyboard.press("]")
    page.wait_for_function("() => globalThis.viewer.state.facts.case_id === 'well'")
    page.wait_for_function(READY)
    assert page.locator("#candidates").inner_text() == "No lesion candidate."
    page.locator("#case").select_option(index=2)
    page.wait_for_function("() => document.getElementById('state').textContent.includes('cannot be read')")
    assert "failed" in page.locator("#told").inner_text()
    visitor.heard.clear()


def test_nothing_is_in_the_way_of_anybody(open_at: Callable[[str], Visitor]) -> None:
    assert open_at("ill").violations() == []

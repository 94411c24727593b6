"""Whoever visits a page in a real browser, and what they hear of it."""

from __future__ import annotations

import shutil
from typing import Any

CHROMIUM = shutil.which("chromium")
"""Debian's package, which pip does not bring."""
ARGUMENTS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""WebGL on machines without a GPU."""


class Visitor:
    """A page in a browser, and what it complained of or asked others for.

    Args:
        page: of Playwright.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.heard: list[str] = []
        self.allowed: tuple[str, ...] = ("file:", "data:")
        page.on("console", lambda message: self.heard.append(message.text))
        page.on("pageerror", lambda error: self.heard.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(self.allowed) else self.heard.append(r.url))

    def violations(self) -> list[str]:
        """Returns what axe-core finds serious or critical: rule, and the elements that break it."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {[node['html'] for node in one['nodes']]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

"""A real browser that looks at pages on the disk, and hears what they complain of."""

from __future__ import annotations

import shutil
from typing import Any

CHROMIUM = shutil.which("chromium")


class Visitor:
    """A page in a browser, and what it complained of or asked others for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.heard: list[str] = []
        page.on("console", lambda message: self.heard.append(message.text))
        page.on("pageerror", lambda error: self.heard.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else self.heard.append(r.url))

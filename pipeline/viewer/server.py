"""The viewer's server: on this machine alone, behind a secret in its address, and nothing but what the page needs."""

from __future__ import annotations

import json
import logging
import secrets
import shutil
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ctcore.errors import PipelineError, RequestError, first_line
from pipeline.viewer.facts import facts_of
from pipeline.viewer.niivue import niivue_module
from pipeline.viewer.shown import ShownRun
from pipeline.viewer.volumes import CaseVolumes

LOOPBACK = "127.0.0.1"
PAGES = {"": "viewer.html", "viewer.js": "viewer.js", "viewer.css": "viewer.css"}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
}
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:;"
    " connect-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""NiiVue unpacks its fonts from data addresses and some formats with WebAssembly; nothing else is needed."""

logger = logging.getLogger(__name__)


class ViewerServer(ThreadingHTTPServer):
    """Serves a run's output to browsers on this machine.

    Args:
        shown: the run.
        port: of the loopback address; 0 for any that is free.

    Raises:
        RequestError: NiiVue is not installed, or the port is taken.
    """

    daemon_threads = True

    def __init__(self, shown: ShownRun, port: int = 0) -> None:
        self.shown, self.volumes, self.niivue = shown, CaseVolumes(shown), niivue_module()
        self.secret = secrets.token_urlsafe(16)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise RequestError(
                f"port {port} cannot be used ({error.strerror}); give another one with --port, or none"
            ) from error

    @property
    def address(self) -> str:
        """Where the page is; other users of the machine do not know it."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.secret}/"

    def server_close(self) -> None:
        """Stops listening, and removes what was made."""
        super().server_close()
        self.volumes.close()


class _Handler(BaseHTTPRequestHandler):
    server: ViewerServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers with a page, facts or a volume."""
        # A page elsewhere whose name was made to lead here (DNS rebinding) asks for another host.
        if self.headers.get("Host") != f"{LOOPBACK}:{self.server.server_port}":
            return self._refuse(HTTPStatus.FORBIDDEN, "another host was asked for")
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]
        if not secrets.compare_digest(parts[0].encode(), self.server.secret.encode()):
            return self._refuse(HTTPStatus.FORBIDDEN, "the address is not the one that 'pipeline view' has told")
        try:
            match parts[1:]:
                case ["niivue.js"]:
                    self._send(self.server.niivue, ".js")
                case ["cases.json"]:
                    self._send_json({"run": self.server.shown.run.input, "cases": self.server.shown.summaries()})
                case ["case", case_id, name] if case_id in self.server.shown.case_ids:
                    self._case(case_id, name)
                case [name] if name in PAGES:
                    page = resources.files("pipeline.viewer").joinpath(PAGES[name])
                    self._send(page.read_bytes(), Path(PAGES[name]).suffix)
                case _:
                    self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        except RequestError as error:
            self._refuse(HTTPStatus.NOT_FOUND, first_line(error))
        except PipelineError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, first_line(error))
        except ConnectionError:  # the browser went on to another case
            self.close_connection = True
        except Exception as error:  # no memory left, say: of this answer alone
            logger.debug("the viewer", exc_info=True)
            self.close_connection = True
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected {type(error).__name__}: {first_line(error)}")

    def _case(self, case_id: str, name: str) -> None:
        shown = self.server.shown
        if name == "case.json":
            self._send_json(facts_of(shown, self.server.volumes, shown.record(case_id)))
            return
        with self.server.volumes.file(case_id, name).open("rb") as file:
            self._head(HTTPStatus.OK, ".bin", Path(file.name).stat().st_size)
            shutil.copyfileobj(file, self.wfile)

    def _send_json(self, value: Mapping[str, object]) -> None:
        self._send(json.dumps(value, allow_nan=False).encode(), ".json")

    def _send(self, content: bytes, suffix: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._head(status, suffix, len(content))
        self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(json.dumps({"error": why}).encode(), ".json", status)

    def _head(self, status: HTTPStatus, suffix: str, length: int) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": TYPES.get(suffix, "application/octet-stream"),
            "Content-Length": str(length),
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-store",  # nothing of a patient stays in the browser's cache
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class names it so)
        """Says nothing on the console: addresses hold case ids and the secret."""
        del format, args

"""moto's S3 on this machine, which can be told to refuse requests."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable
from typing import Any

from ctcore.object_store import ObjectFolder

Fault = Callable[[str, str], int | None]
"""Told the method and the path (`/bucket/name`) of a request; returns the status that it gets instead of an answer."""

CODES = {400: "InvalidArgument", 403: "AccessDenied", 500: "InternalError", 501: "NotImplemented"}


def no_fault(method: str, path: str) -> int | None:
    """Refuses nothing."""
    del method, path
    return None


class ObjectServer:
    """The server, and what tests ask it past the code that they test.

    Attributes:
        fault: which requests are refused.
        requests: method and path of each since `reset`.
    """

    def __init__(self) -> None:
        self.fault: Fault = no_fault
        self.requests: list[tuple[str, str]] = []
        self._app: Any = None
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self._buckets = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    @property
    def variables(self) -> dict[str, str]:
        """The environment that leads there."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "not-so-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_MAX_ATTEMPTS": "2",
        }

    def start(self, port: int = 0) -> None:
        """Listens; what was stored before is there."""
        serving: Any = importlib.import_module("werkzeug.serving")
        if self._app is None:
            moto: Any = importlib.import_module("moto.server")
            self._app = moto.DomainDispatcherApplication(moto.create_backend_app)
        quiet = type("Quiet", (serving.WSGIRequestHandler,), {"log": lambda *_: None})
        self._server = serving.make_server("127.0.0.1", port, self._answer, threaded=True, request_handler=quiet)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listens no more."""
        self._server.shutdown()
        self._server.server_close()
        if self._thread is not None:
            self._thread.join()

    def reset(self) -> None:
        """Refuses nothing, and forgets the requests."""
        self.fault, self.requests = no_fault, []

    def new_bucket(self) -> ObjectFolder:
        """Makes a bucket."""
        self._buckets += 1
        name = f"bucket-{self._buckets}"
        self.client.create_bucket(Bucket=name)
        return ObjectFolder("s3", name)

    @property
    def client(self) -> Any:
        """boto3's client."""
        boto3: Any = importlib.import_module("boto3")
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="testing",
            aws_secret_access_key="not-so-secret",
            region_name="us-east-1",
        )

    def put(self, folder: ObjectFolder, files: dict[str, bytes]) -> None:
        """Stores objects in a folder."""
        bucket, _, prefix = folder.path.partition("/")
        client = self.client
        for name, content in files.items():
            client.put_object(Bucket=bucket, Key=f"{prefix}/{name}".lstrip("/"), Body=content)

    def contents(self, folder: ObjectFolder) -> dict[str, bytes]:
        """Returns the bytes of every object below a folder, by its name there."""
        bucket, _, prefix = folder.path.partition("/")
        client = self.client
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/".lstrip("/"))
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {
            key.removeprefix(f"{prefix}/"): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys
        }

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        status = self.fault(method, path)
        if status is None:
            answered: Iterable[bytes] = self._app(environ, start_response)
            return answered
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"].read(length)
        start_response(f"{status} {CODES[status]}", [("Content-Type", "application/xml")])
        return (
            []
            if method == "HEAD"
            else [f"<Error><Code>{CODES[status]}</Code><Message>as the test has it</Message></Error>".encode()]
        )

"""A Hugging Face Hub on loopback that serves one repository from a folder."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


class LoopbackHub:
    """Serves `folder` as the repository "studio/tiny", revisions "main" and "v1".

    "studio/gated" lists the same files and hands out none: its licence was not accepted.

    downloads   (path, first byte) of each body that was sent
    cut_short   names whose first download breaks off in the middle
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.downloads: list[tuple[str, int]] = []
        self.cut_short: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def entries(self) -> list[dict[str, object]]:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return [
            {
                "type": "file",
                "path": path.relative_to(self.folder).as_posix(),
                "oid": hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest(),
                "size": path.stat().st_size,
            }
            for path in files
        ]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                hub._answer(self, body=True)

            def do_HEAD(self) -> None:
                hub._answer(self, body=False)

        return Handler

    def _answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlsplit(request.path).path)
        if match := re.fullmatch(r"/api/models/studio/(?:tiny|gated)/(tree|revision)/(.+)", path):
            if match[2] not in {"main", "v1", COMMIT}:
                self._refuse(request, 404, "RevisionNotFound")
            elif match[1] == "tree":
                self._send_json(request, self.entries())
            else:
                siblings = [{"rfilename": entry["path"]} for entry in self.entries()]
                self._send_json(request, {"id": "studio/tiny", "sha": COMMIT, "siblings": siblings})
        elif match := re.fullmatch(rf"/studio/tiny/resolve/(?:main|v1|{COMMIT})/(.+)", path):
            self._send_file(request, match[1], body=body)
        elif path.startswith("/studio/gated/resolve/"):
            self._refuse(request, 403, "GatedRepo")
        else:
            self._refuse(request, 404, "RepoNotFound")

    def _send_json(self, request: BaseHTTPRequestHandler, value: object) -> None:
        data = json.dumps(value).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def _refuse(self, request: BaseHTTPRequestHandler, status: int, code: str) -> None:
        request.send_response(status)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _send_file(self, request: BaseHTTPRequestHandler, name: str, *, body: bool) -> None:
        data = (self.folder / name).read_bytes()
        first = 0
        if match := re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", "")):
            first = int(match[1])
        request.send_response(206 if first else 200)
        request.send_header("Content-Length", str(len(data) - first))
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        request.send_header("Accept-Ranges", "bytes")
        etag = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        request.send_header("ETag", f'"{etag}"')
        request.send_header("X-Repo-Commit", COMMIT)
        request.end_headers()
        if not body:
            return
        self.downloads.append((name, first))
        if name in self.cut_short:
            self.cut_short.discard(name)
            request.wfile.write(data[: len(data) // 2])
            request.close_connection = True
        else:
            request.wfile.write(data[first:])

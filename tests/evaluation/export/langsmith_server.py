"""LangSmith's data sets on loopback: what it is sent is kept, and listed."""

from __future__ import annotations

import json
import threading
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DATASET = "11111111-2222-3333-4444-555555555555"


class LangSmithServer:
    """One data set, and its examples by id: their parts by name, as bytes."""

    def __init__(self) -> None:
        self.dataset: dict[str, Any] | None = None
        self.examples: dict[str, dict[str, bytes]] = {}
        self.refuses: int | None = None
        """Status that everything is answered with."""
        self.requests = 0
        self.received = b""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> LangSmithServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _take(self, kind: str, body: bytes) -> list[str]:
        whole = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        ids = []
        for part in whole.get_payload():
            identity, _, field = str(
                part.get_param("name", header="content-disposition")
            ).partition(".")
            if not field:
                assert identity not in self.examples  # LangSmith: 409
                ids.append(identity)
            self.examples.setdefault(identity, {})[field] = part.get_payload(decode=True)
        return ids

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/examples":
                    offset = "offset=0" in self.path
                    found = [{"id": i, "dataset_id": DATASET} for i in server.examples if offset]
                    self._send(found)
                elif path == "/datasets":
                    self._send([server.dataset] if server.dataset else [])
                else:
                    flags = {"dataset_examples_multipart_enabled": True}
                    self._send({"version": "0.11.0", "instance_flags": flags})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.received += body
                if self.path == "/datasets":
                    given = {"id": DATASET, "created_at": "2026-01-01T00:00:00Z"}
                    server.dataset = {**json.loads(body), **given}
                    self._send(server.dataset)
                else:
                    assert self.path.endswith(f"/datasets/{DATASET}/examples")
                    ids = server._take(self.headers["Content-Type"], body)
                    self._send({"example_ids": ids, "count": len(ids)})

            def _send(self, found: object) -> None:
                server.requests += 1
                body = json.dumps(found).encode()
                self.send_response(server.refuses or 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler

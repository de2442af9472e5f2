"""A real HTTP server on loopback that collects what telemetry sends: LangSmith's runs, OTLP."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import zstandard

_INFO = {
    "version": "0.11.0",
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
    },
    "instance_flags": {"zstd_compression_enabled": True},
}
"""What LangSmith says of itself."""


class Collector:
    """Takes what is posted, and keeps it as it was before it was compressed."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, bytes]] = []
        """Path, content type and body of each."""
        self.gets: list[str] = []
        """Paths."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Collector:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(collector) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                collector.gets.append(self.path)
                self._send(json.dumps(_INFO).encode())

            def do_POST(self) -> None:
                body = b"".join(iter(self._chunk, b"")) if self._chunked else self._whole()
                body = _PLAIN.get(self.headers.get("Content-Encoding", ""), bytes)(body)
                kind = self.headers.get("Content-Type", "")
                collector.posts.append((self.path, kind, body))
                self._send(b"{}" if "json" in kind or "multipart" in kind else b"")

            do_PATCH = do_POST  # noqa: N815

            @property
            def _chunked(self) -> bool:
                return self.headers.get("Transfer-Encoding") == "chunked"

            def _whole(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def _chunk(self) -> bytes:
                chunk = self.rfile.read(int(self.rfile.readline(), 16))
                self.rfile.readline()
                return chunk

            def _send(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


def _unzstd(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


_PLAIN: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "zstd": _unzstd}


def runs_of(collector: Collector) -> list[dict[str, Any]]:
    """LangSmith's runs in the order of their beginnings, put together from all that was said."""
    runs: dict[str, dict[str, Any]] = {}
    for path, kind, body in collector.posts:
        if path != "/runs/multipart":
            continue
        whole = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        for part in whole.get_payload():
            _, identity, *field = part.get_param("name", header="content-disposition").split(".")
            said = json.loads(part.get_payload(decode=True))
            run = runs.setdefault(identity, {})
            run.update({field[0]: said} if field else said)
    return sorted(runs.values(), key=lambda run: run["dotted_order"])

"""A real HTTP server on loopback that speaks the OpenAI protocol, with scripted answers."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from PIL import Image

DRIP_S = 0.05
"""Between two bytes of an answer that drips."""


@dataclass
class Reply:
    """One scripted answer or fault."""

    text: str | None = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    until: threading.Event | None = None
    """Waited for before the answer."""
    finish: str = "stop"
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    body: bytes | None = None
    """Sent as it is, instead of a completion."""
    usage: tuple[int, int] = (300, 12)
    """Tokens of the prompt and of the answer."""
    logprobs: dict[str, float] | None = None
    """Of the first token's alternatives; told only where the request asks for them."""
    fault: Literal[
        "", "reset", "reset late", "cut", "cut chunk", "stall", "drip", "drip headers"
    ] = ""
    """The connection is reset before the answer or in the middle of it, closed in the middle (of
    a chunk of an answer that comes in chunks), silent from the middle on, or the answer comes a
    byte at a time: its body, or all of it."""


def tool_call(name: str, **arguments: Any) -> Reply:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
    return Reply(text=None, finish="tool_calls", tool_calls=[call])


class OpenAIServer:
    """Answers `script` in order, then its last reply for ever; keeps what it was asked."""

    def __init__(self) -> None:
        self.script: list[Reply] = [Reply("hello")]
        self.answer: Callable[[dict[str, Any]], Reply] | None = None
        """Answers in place of the script: a simulated model."""
        self.requests: list[dict[str, Any]] = []
        self.received: list[bytes] = []
        """Each request as it came: its path, headers and body."""
        self.models: list[str] | None = ["test-model"]
        """That it lists; None: it has no list."""
        self.owner = "test"
        self.refuses: set[str] = set()
        """Fields of a request that are answered with 400, and a message that names them."""
        self.ignores_logprobs = False
        self.times: list[float] = []
        """When each request came, in seconds."""
        self.open = 0
        """Requests that are being answered."""
        self.left = 0
        """Requests whose client went away before their answer."""
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> OpenAIServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _next(self, request: dict[str, Any]) -> Reply:
        with self._lock:
            self.requests.append(request)
            self.times.append(time.monotonic())
            for field in sorted(self.refuses & set(request)):
                error = {"message": f"Unsupported parameter: '{field}'.", "param": field}
                return Reply(status=400, body=json.dumps({"error": error}).encode())
            if self.answer:
                return self.answer(request)
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are sent one after the other

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                server.received.append(f"{self.path}\n{self.headers}\n".encode())
                if server.models is None:
                    self._send(404, b"{}", {})
                    return
                kind = {"object": "model", "owned_by": server.owner, "created": 1}
                models = [{"id": m, **kind} for m in server.models]
                self._send(200, json.dumps({"object": "list", "data": models}).encode(), {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.received.append(f"{self.path}\n{self.headers}\n".encode() + body)
                request = json.loads(body)
                reply = server._next(request)
                with server._lock:
                    server.open += 1
                try:
                    self._reply(request, reply)
                except OSError:  # the client went away
                    self.close_connection = True
                    with server._lock:
                        server.left += 1
                finally:
                    with server._lock:
                        server.open -= 1

            def _reply(self, request: dict[str, Any], reply: Reply) -> None:
                if reply.until:
                    reply.until.wait(30)
                self._wait(reply.delay_s)
                if reply.fault == "reset":
                    self._reset()
                    return
                if reply.status != 200:
                    error = {"error": {"message": f"scripted {reply.status}", "type": "fault"}}
                    body = reply.body or json.dumps(error).encode()
                else:
                    told = None if server.ignores_logprobs else reply.logprobs
                    body = reply.body or json.dumps(_completion(request, reply, told)).encode()
                self._send(reply.status, body, reply.headers, reply.fault)

            def _wait(self, seconds: float) -> None:
                """Wait, and notice where the client goes away meanwhile."""
                end = time.monotonic() + seconds
                while (left := end - time.monotonic()) > 0:
                    self.connection.settimeout(left)
                    try:
                        if not self.connection.recv(1, socket.MSG_PEEK):
                            raise ConnectionResetError
                    except TimeoutError:
                        pass
                    finally:
                        self.connection.settimeout(None)

            def _reset(self) -> None:
                self.close_connection = True
                linger = struct.pack("ii", 1, 0)  # closing sends RST
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.shutdown(socket.SHUT_RD)
                self.connection.close()

            def _send(
                self, status: int, body: bytes, headers: dict[str, str], fault: str = ""
            ) -> None:
                given = {"Content-Type": "application/json", "Content-Length": str(len(body))}
                if fault == "cut chunk":
                    given["Transfer-Encoding"] = "chunked"
                    del given["Content-Length"]
                    body = f"{len(body):x}\r\n".encode() + body
                lines = [f"{name}: {value}" for name, value in (given | headers).items()]
                head = "\r\n".join([f"HTTP/1.1 {status} Scripted", *lines, "", ""]).encode()
                fast, slow = head + body, b""
                if fault in ("reset late", "cut", "cut chunk", "stall"):
                    fast = head + body[: len(body) // 2]
                elif fault.startswith("drip"):
                    fast, slow = (head, body) if fault == "drip" else (b"", head + body)
                self.wfile.write(fast)
                for byte in slow:
                    self.wfile.write(bytes([byte]))
                    self._wait(DRIP_S)
                if fault == "reset late":
                    self._wait(0.02)  # what was sent is read first
                    self._reset()
                elif fault == "stall":
                    self._wait(30)
                if fault in ("cut", "cut chunk", "stall"):
                    self.close_connection = True

        return Handler


def _completion(
    request: dict[str, Any], reply: Reply, logprobs: dict[str, float] | None
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
    if reply.tool_calls:
        message["tool_calls"] = reply.tool_calls
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": reply.finish}
    if request.get("logprobs") and logprobs:
        tops = [{"token": t, "logprob": p, "bytes": None} for t, p in logprobs.items()]
        choice["logprobs"] = {"content": [{**tops[0], "top_logprobs": tops}], "refusal": None}
    sent, received = reply.usage
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [choice],
        "usage": {
            "prompt_tokens": sent,
            "completion_tokens": received,
            "total_tokens": sent + received,
        },
    }


def options_of(request: dict[str, Any]) -> dict[str, str]:
    """Names by letter, as a model reads them in a request."""
    content = request["messages"][-1]["content"]
    texts = (block["text"] for block in content if block["type"] == "text")
    lines = re.findall(r"^([A-Z])\. (.+?)(?: \(also: .*\))?$", "\n".join(texts), re.MULTILINE)
    return dict(lines)


def pictures_of(request: dict[str, Any]) -> list[bytes]:
    """The files of a request's pictures, in order."""
    urls = [
        block["image_url"]["url"]
        for message in request["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "image_url"
    ]
    return [base64.b64decode(url.partition(",")[2]) for url in urls]


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Width and height of a picture, in pixels."""
    size: tuple[int, int] = Image.open(io.BytesIO(jpeg)).size
    return size

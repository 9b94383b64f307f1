"""A local OpenAI-compatible endpoint that answers as a test tells it to, and remembers what it was asked."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmark.progress import Advance
from benchmark.prompts import Message, Prompt


@dataclass(frozen=True)
class Reply:
    """What the server sends back; status 0 drops the connection."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """How long it keeps the client waiting."""


@dataclass(frozen=True)
class Asked:
    """One request as the server got it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    number: int
    """How often this prompt has been asked, this time included."""

    @property
    def text(self) -> str:
        """The last message, or the prompt where a completion is asked for."""
        return _text(self.body)


@dataclass
class FakeServer:
    """The server's address and what it was asked, in order."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, text: str) -> int:
        """Return how often a prompt was asked."""
        return sum(asked.text == text for asked in self.asked)


def _text(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"] if "messages" in body else body["prompt"])


def answer(text: object, **more: object) -> Reply:
    """Return a reply in the schema of chat completions."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return Reply(body=json.dumps({"choices": [choice], "usage": usage}))


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt((Message("user", text),)) for text in texts]


@contextmanager
def serve(reply: Callable[[Asked], Reply]) -> Iterator[FakeServer]:
    """Run a server on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    fake = FakeServer(f"http://127.0.0.1:{server.server_port}/v1")
    server.RequestHandlerClass = _handler(fake, reply)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


def _handler(fake: FakeServer, reply: Callable[[Asked], Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with fake.lock:
                number = 1 + fake.count(_text(body))
                asked = Asked(self.path, dict(self.headers), body, number)
                fake.asked.append(asked)
                fake.under_way += 1
                fake.most_at_once = max(fake.most_at_once, fake.under_way)
            made = reply(asked)
            time.sleep(made.seconds)
            with fake.lock:
                fake.under_way -= 1
            self._send(made)

        def _send(self, made: Reply) -> None:
            if made.status == 0:
                self.close_connection = True
                return
            content = made.body.encode()
            self.send_response(made.status)
            for name, value in {"Content-Length": str(len(content)), **made.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            return None

    return Handler


class Interrupting:
    """Progress that interrupts the program at its n-th advance."""

    def __init__(self, at: int) -> None:
        """Interrupt at advance number `at`."""
        self.left = at

    @contextmanager
    def task(self, title: str, total: int, *, alike: bool = True) -> Iterator[Advance]:
        """Open a task; the count goes on from one to the next."""

        def advance(units: int = 1) -> None:
            self.left -= units
            if self.left <= 0:
                raise KeyboardInterrupt

        yield advance

"""DigitalOcean, Linode and Vultr as libcloud has recorded them, served over HTTP.

The records of VMs, sizes, images and places are libcloud's own fixtures, which its wheel has. What
a record cannot have is added: a VM that was made is in the list from then on, under the name and
with the tags that were asked for; it runs after two looks, and a verb changes its state.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import libcloud

_FIXTURES = Path(libcloud.__file__).parent / "test" / "compute" / "fixtures"
_LOOKS = 2
"""Looks that show a VM on its way before one shows it where it is going."""

Answer = tuple[int, Any]


@dataclass
class Fault:
    """What happens to requests of a method and path instead of, or after, their answer."""

    method: str
    path: str
    status: int = 0
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    done_first: bool = False


class Recorded:
    """One provider, on a port of its own."""

    imports = ("vmops_libcloud.backend", "requests")
    """Modules of what talks to it that take long to import."""
    provider: ClassVar[str]
    folder: ClassVar[str]
    """Of its records."""
    lists: ClassVar[Mapping[str, str]]
    """Path -> the fixture that answers it."""
    account: ClassVar[tuple[str, Any]]
    """Where it tells whose key it is, and what."""
    vms: ClassVar[str]
    """Where VMs are listed and made."""
    defaults: ClassVar[Mapping[str, str]]
    """Params of a VM that can be made."""
    wrong: ClassVar[tuple[tuple[str, str, str], ...]]
    """Param, a value that it does not offer, and what the hint says."""
    refusals: ClassVar[Mapping[str, tuple[int, Any]]]
    """What it says to requests that it refuses, by the reason."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.machines: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.keys: set[str] = set()
        self.faults: list[Fault] = []
        self._numbers = itertools.count(3164500)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def calls(self) -> list[dict[str, str]]:
        """All requests so far."""
        return [{"action": f"{method} {path}"} for method, path, _ in self.requests]

    def record(self, name: str) -> Any:
        """What libcloud has recorded."""
        return json.loads((_FIXTURES / self.folder / f"{name}.json").read_text())

    def fail(self, method: str, path: str, status: int = 0, body: Any = None, **more: Any) -> None:
        """Answer the next such request by a refusal, or without a status by none at all.

        Args:
            method: Of HTTP.
            path: A regular expression of the whole path.
            status: Of the answer; 0 is a connection that breaks.
            body: Of the answer, as JSON; bytes as they are.
            more: `headers`, `times`, and `done_first` where the request is obeyed all the same.
        """
        self.faults.append(Fault(method, path, status, body, **more))

    def made(self, method: str = "", path: str = "") -> list[tuple[str, str, Any]]:
        """The requests so far, of a method and with a path that match."""
        return [
            one for one in self.requests if one[0].startswith(method) and re.search(path, one[1])
        ]

    # -- one request ------------------------------------------------------------------------------

    def fault(self, method: str, path: str) -> Fault | None:
        """The one that this request meets."""
        for one in self.faults:
            if one.times and one.method == method and re.fullmatch(one.path, path):
                one.times -= 1
                return one
        return None

    def answered(self, method: str, path: str, body: Any, token: str) -> Answer:
        """What the provider says."""
        with self._lock:
            self.keys.add(token)
            if method == "GET" and path in self.lists:
                return 200, self.record(self.lists[path])
            if (method, path) == ("GET", self.account[0]):
                return 200, self.account[1]
            return self.answer(method, path, body) or self.unknown(path)

    def answer(self, method: str, path: str, body: Any) -> Answer | None:
        """What the provider says to what is no plain record; None is a 404."""
        raise NotImplementedError

    def unknown(self, path: str) -> Answer:
        """A 404 in the provider's own words."""
        raise NotImplementedError

    def recorded_vm(self) -> dict[str, Any]:
        """A VM of libcloud's records, which somebody else has made."""
        raise NotImplementedError

    def said_in(self, body: Any) -> str:
        """The words in the body of a refusal."""
        raise NotImplementedError

    def size_and_place(self, body: Any) -> tuple[str, str]:
        """Which size and place the body of a create names."""
        raise NotImplementedError

    def key_in(self, body: Any) -> str:
        """Where the body of a create has the public key."""
        raise NotImplementedError

    def user_data_in(self, body: Any) -> str:
        """The user data in the body of a create, in plain text."""
        raise NotImplementedError

    @staticmethod
    def now() -> float:
        """Its clock."""
        return time.time()

    # -- VMs --------------------------------------------------------------------------------------

    def add(self, machine: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
        """One more VM, after the likeness of a recorded one."""
        made = copy.deepcopy({**machine, **changes, "id": self.new_id()})
        self.machines[str(made["id"])] = made
        return made

    def new_id(self) -> Any:
        """An id that no VM had before."""
        return next(self._numbers)

    def going(self, id_: str, *states: Mapping[str, Any]) -> None:
        """A VM goes through states, the last of which is shown after some looks."""
        self.machines[id_].update(states[0], _next=list(states[1:]), _looks=_LOOKS)

    def shown(self) -> Iterator[dict[str, Any]]:
        """All VMs that are not gone; each look brings them further."""
        for machine in list(self.machines.values()):
            yield {key: value for key, value in machine.items() if not key.startswith("_")}
            if machine.get("_next"):
                machine["_looks"] -= 1
                if not machine["_looks"]:
                    machine.update(machine.pop("_next")[0])


def _handler(cloud: Recorded) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            method, path = self.command, urlsplit(self.path).path
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or "null")
            cloud.requests.append((method, path, body))
            fault = cloud.fault(method, path)
            token = self.headers.get("Authorization", "")
            if fault is None or fault.done_first:
                status, said = cloud.answered(method, path, body, token)
            if fault is not None:
                status, said = fault.status, fault.body
            if not status:
                self.close_connection = True
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            text = (
                said
                if isinstance(said, bytes)
                else b""
                if said is None
                else json.dumps(said).encode()
            )
            self.send_response(status)
            for name, value in (fault.headers if fault else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815  (the base class's names)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler

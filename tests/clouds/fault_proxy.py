"""A proxy between a real SDK and a stand-in cloud that breaks chosen answers in chosen ways.

    with FaultProxy("http://127.0.0.1:5000") as proxy:
        proxy.add("lost", body=action("RunInstances"))  # carried out, and nobody hears of it
        client = boto3.client("ec2", endpoint_url=proxy.url)

It speaks HTTP/1.1 over plain sockets, because no HTTP server does wrong what it has to do wrong:
resets, answers that end in the middle, no answer at all. What no rule matches passes unchanged, the
Host header too, so that URLs in a cloud's answers lead through the proxy again.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO, Self
from urllib.parse import urlsplit

from fault_rules import (
    CARRIED_OUT,
    FOREVER,
    PORTAL,
    Answer,
    Exchange,
    Fault,
    Pattern,
    Request,
    Rule,
    action,
    ec2_error,
)

__all__ = ["FOREVER", "Answer", "Exchange", "FaultProxy", "Request", "Rule", "action", "ec2_error"]

# What belongs to one connection is not passed on; lengths are counted anew.
HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length"}
BODILESS = {204, 304}
UPSTREAM_SECONDS = 60


class FaultProxy:
    """The proxy, on a port of its own until it is closed."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._rules: list[Rule] = []
        self._log: list[Exchange] = []
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._acceptor = threading.Thread(target=self._accept, name="fault-proxy")
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where clients are to send what is meant for the cloud."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def add(
        self,
        fault: Fault,
        *,
        method: str = ".*",
        path: str = "",
        body: str = "",
        times: int = 1,
        skip: int = 0,
        carried_out: bool | None = None,
        seconds: float = 0,
        answer: Answer | None = None,
        rewrite: Callable[[bytes], bytes] = bytes,
    ) -> Rule:
        """A rule for the next `times` matches after `skip`; the oldest rule that matches counts.

        `seconds` pass before the outcome of any fault. With `carried_out=True` faults that keep
        requests from the cloud do not: it carries them out, and its answer is thrown away.
        """
        if (fault == "status") != (answer is not None):
            raise ValueError(f"{fault=} with {answer=}: status, and it alone, needs an answer")
        reached = fault in CARRIED_OUT if carried_out is None else carried_out
        if fault in {"cut", "rewrite", "delay"} and not reached:
            raise ValueError(f"{fault=} with {carried_out=}: it is done to the cloud's own answer")
        own = answer or Answer(200, PORTAL, (("Content-Type", "text/html"),))
        if fault == "empty":
            own = Answer(200)
        pattern = Pattern(method, path, body)
        rule = Rule(fault, pattern, reached, skip, times, seconds, own, rewrite)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """From now on everything passes."""
        with self._lock:
            self._rules.clear()

    def log(self, *, method: str = ".*", path: str = "", body: str = "") -> list[Exchange]:
        """The requests so far that match, oldest first."""
        pattern = Pattern(method, path, body)
        with self._lock:
            return [exchange for exchange in self._log if pattern.fits(exchange.request)]

    def deliver(self, exchange: Exchange) -> Answer:
        """What was kept from the cloud reaches it after all; its answer, which no client gets."""
        answer = self._forward(exchange.request)
        exchange.carried_out = True
        return answer

    def close(self) -> None:
        """Connections are closed, whatever hangs ends, threads are joined."""
        if self._ending.is_set():
            return
        self._ending.set()
        # closing a listening socket wakes nobody who waits in accept()
        socket.create_connection(self._listener.getsockname()).close()
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            for open_socket in self._sockets:
                _shut_down(open_socket)
        for thread in self._threads:
            thread.join()

    # --- connections ----------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._ending.is_set():
                client.close()
                return
            thread = threading.Thread(target=self._serve, args=(client,), name="fault-proxy-client")
            self._threads = [*(old for old in self._threads if old.is_alive()), thread]
            thread.start()

    @contextlib.contextmanager
    def _open(self, connection: socket.socket) -> Iterator[None]:
        # while it is open, close() can end whatever waits for it
        with self._lock:
            self._sockets.add(connection)
            if self._ending.is_set():
                _shut_down(connection)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(connection)

    def _serve(self, client: socket.socket) -> None:
        # in this order the stream is closed first: only then does closing the socket close it
        with client, self._open(client), client.makefile("rb") as stream:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(OSError, ValueError):  # clients may leave as they like
                while request := _read(stream):
                    answer = self._treat(client, request)
                    if answer is None or request.header("connection") == "close":
                        return

    def _treat(self, client: socket.socket, request: Request) -> Answer | None:
        """The answer that was sent; none when the connection is not to be used any more."""
        with self._lock:
            rule = next((rule for rule in self._rules if rule.meets(request)), None)
            exchange = Exchange(request, rule.fault if rule else None)
            self._log.append(exchange)
        answer = None
        if rule is None or rule.carried_out:
            try:
                answer = self._forward(request)
            except (OSError, http.client.HTTPException):  # the cloud itself broke off
                _reset(client)
                return None
            exchange.carried_out = True
        if rule is not None:
            answer = self._spoil(client, rule, answer)
        if answer is not None:
            exchange.status = answer.status
            client.sendall(_head(answer) + answer.body)
        return answer

    def _spoil(self, client: socket.socket, rule: Rule, answer: Answer | None) -> Answer | None:
        # what the client is to be told; none when it has been told all that it will be
        if self._ending.wait(rule.seconds):
            return None
        match rule.fault:
            case "reset_before" | "lost":
                _reset(client)
                return None
            case "hang":
                while client.recv(4096):  # until it gives up, or close() shuts it down
                    pass
                return None
            case "garbage" | "empty" | "status":
                return rule.answer
        assert answer is not None  # add() sees to it
        if rule.fault == "cut":
            client.sendall(_head(answer) + answer.body[: len(answer.body) // 2])
            return None
        return replace(answer, body=rule.rewrite(answer.body))

    def _forward(self, request: Request) -> Answer:
        # a connection for each: one kept alive could be stale, and that would be no fault of a rule
        cloud = http.client.HTTPConnection(self._upstream, timeout=UPSTREAM_SECONDS)
        with contextlib.closing(cloud):
            cloud.connect()
            with self._open(cloud.sock):
                cloud.putrequest(
                    request.method, request.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in request.headers:
                    if name.lower() not in HOP:
                        cloud.putheader(name, value)
                cloud.putheader("Content-Length", str(len(request.body)))
                cloud.putheader("Connection", "close")
                cloud.endheaders(request.body)
                with cloud.getresponse() as response:
                    body, headers = response.read(), tuple(response.getheaders())
        # HEAD's answer says how long the body would be, and has none
        own = HOP - {"content-length"} if request.method == "HEAD" else HOP
        passed = tuple((name, value) for name, value in headers if name.lower() not in own)
        return Answer(response.status, body, passed)


def _read(stream: BinaryIO) -> Request | None:
    """The next request; none when the client has gone, were it in the middle of one."""
    lines = []
    while line := stream.readline():
        lines.append(line.decode("latin-1").strip())
        if not lines[-1]:
            break
    else:
        return None
    method, path, _ = lines[0].split(" ", 2)
    pairs = (line.partition(":") for line in lines[1:-1])
    request = Request(method, path, tuple((name, value.strip()) for name, _, value in pairs), b"")
    if request.header("transfer-encoding") == "chunked":
        return replace(request, body=b"".join(_chunks(stream)))
    size = int(request.header("content-length") or 0)
    body = stream.read(size)
    return replace(request, body=body) if len(body) == size else None


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while size := int(stream.readline(), 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


def _head(answer: Answer) -> bytes:
    names = {name.lower() for name, _ in answer.headers}
    lines = [f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, 'Unknown')}"]
    if answer.status not in BODILESS and "content-length" not in names:
        lines.append(f"Content-Length: {len(answer.body)}")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _reset(connection: socket.socket) -> None:
    # with no time to linger, close() sends RST in the place of FIN
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may be closed already
        connection.shutdown(socket.SHUT_RDWR)

"""The proxy that breaks answers: each fault as a client meets it, and what the cloud saw of it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.parsers import ResponseParserError
from fault_proxy import FOREVER, Answer, FaultProxy, action, ec2_error

WHOLE = (
    b'<StopInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>'
    b"<instancesSet><item><instanceId>i-1</instanceId></item></instancesSet></StopInstancesResponse>"
)


class _Cloud(BaseHTTPRequestHandler):
    """Answers everything alike, and remembers what it was asked and how."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.command, self.path, self.headers["Host"], body))
        if body == b"break off":
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(WHOLE)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(WHOLE)

    do_GET = do_HEAD = do_POST  # noqa: N815 - the library's names

    def log_message(self, *_: Any) -> None:
        """Not on the screen."""


@pytest.fixture
def cloud() -> Iterator[Any]:
    """A cloud of one answer."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Cloud) as server:
        server.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(cloud: Any) -> Iterator[FaultProxy]:
    """The proxy before it."""
    with FaultProxy(f"http://127.0.0.1:{cloud.server_port}") as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    """One kept-alive connection to the proxy."""
    address = proxy.url.removeprefix("http://")
    with contextlib.closing(http.client.HTTPConnection(address, timeout=20)) as connection:
        yield connection


@pytest.fixture(scope="module")
def session() -> Any:
    """One for all, as it takes its time."""
    return boto3.Session("testing", "testing", region_name="eu-west-1")


@pytest.fixture
def ec2(session: Any, proxy: FaultProxy) -> Iterator[Any]:
    """The real SDK, one attempt a call."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=20)
    with contextlib.closing(session.client("ec2", endpoint_url=proxy.url, config=config)) as ec2:
        yield ec2


def ask(
    client: http.client.HTTPConnection, body: str = "", method: str = "POST", path: str = "/"
) -> tuple[int, bytes]:
    """Status and body of an answer."""
    client.request(method, path, body, {"Content-Length": str(len(body))})
    response = client.getresponse()
    return response.status, response.read()


def stop(ec2: Any) -> Any:
    """One call, and what the SDK makes of its answer."""
    return ec2.stop_instances(InstanceIds=["i-1"])


def threads() -> set[str]:
    """The names of those that live."""
    return {thread.name for thread in threading.enumerate()}


def test_passes(cloud: Any, proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    """What no rule matches passes unchanged, on one connection, and is in the log."""
    port = None
    for path in ("/one?a=b", "/two"):
        client.request("POST", path, b"body\xff\x00")
        response = client.getresponse()
        assert (response.status, response.read()) == (200, WHOLE)
        assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert port in {None, client.sock.getsockname()[1]}
        port = client.sock.getsockname()[1]
    host = proxy.url.removeprefix("http://")
    assert cloud.asked[0] == ("POST", "/one?a=b", host, b"body\xff\x00")
    (exchange,) = proxy.log(path="one")
    assert exchange.request.body == b"body\xff\x00"
    assert (exchange.fault, exchange.carried_out, exchange.status) == (None, True, 200)


def test_other_bodies(cloud: Any, client: http.client.HTTPConnection) -> None:
    """Chunked requests arrive whole, and HEAD's answer has a length and no body."""
    client.request("POST", "/", iter([b"in ", b"pieces"]), encode_chunked=True)
    assert client.getresponse().read() == WHOLE
    client.request("HEAD", "/")
    response = client.getresponse()
    assert (response.headers["Content-Length"], response.read()) == (str(len(WHOLE)), b"")
    assert ask(client)[0] == 200
    assert [body for *_, body in cloud.asked] == [b"in pieces", b"", b""]


@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "lost"])
def test_reset(cloud: Any, proxy: FaultProxy, ec2: Any, carried_out: bool) -> None:
    """A reset is one to the SDK, before or after the cloud did it; the next call is answered."""
    proxy.add("lost" if carried_out else "reset_before", body=action("StopInstances"))
    with pytest.raises(ConnectionClosedError):
        stop(ec2)
    assert len(cloud.asked) == carried_out
    assert stop(ec2)["StoppingInstances"] == [{"InstanceId": "i-1"}]
    assert [exchange.status for exchange in proxy.log()] == [None, 200]


def test_reset_is_no_close(proxy: FaultProxy) -> None:
    """A reset is one on the wire, too: no orderly end, which some clients take for an answer's."""
    proxy.add("reset_before")
    host, port = proxy.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(100)


def test_cut(cloud: Any, proxy: FaultProxy, ec2: Any, client: http.client.HTTPConnection) -> None:
    """Of a cut answer half the body comes, while Content-Length speaks of all of it."""
    proxy.add("cut", times=2)
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(client)
    assert caught.value.partial == WHOLE[: len(WHOLE) // 2]
    assert caught.value.expected == len(WHOLE) - len(WHOLE) // 2
    with pytest.raises(ResponseParserError):  # botocore does not compare the lengths
        stop(ec2)
    assert len(cloud.asked) == 2
    assert stop(ec2)["StoppingInstances"]


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("fault", ["garbage", "empty", "status"])
def test_instead(
    cloud: Any, proxy: FaultProxy, client: http.client.HTTPConnection, fault: Any, carried_out: bool
) -> None:
    """Another answer comes instead of the cloud's, which was asked only if the test says so."""
    own = Answer(503, b"later", (("Retry-After", "7"),)) if fault == "status" else None
    proxy.add(fault, answer=own, carried_out=carried_out)
    client.request("POST", "/", b"")
    response = client.getresponse()
    body = response.read()
    told = (503, "7") if own else (200, None)
    assert (response.status, response.headers["Retry-After"]) == told
    assert body[:9] == {"garbage": b"<!DOCTYPE", "empty": b"", "status": b"later"}[fault]
    assert len(cloud.asked) == carried_out
    assert proxy.log()[0].carried_out == carried_out
    assert ask(client) == (200, WHOLE)


def test_ec2_error(proxy: FaultProxy, ec2: Any) -> None:
    """An error in EC2's form is one to the SDK, with code, message and status."""
    proxy.add("status", answer=ec2_error("RequestLimitExceeded", 503, "<slow down>"))
    with pytest.raises(ClientError) as caught:
        stop(ec2)
    error = caught.value.response["Error"]
    assert error == {"Code": "RequestLimitExceeded", "Message": "<slow down>"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_rewrite(proxy: FaultProxy, ec2: Any) -> None:
    """An answer that lacks what the SDK promises reaches the caller as it is."""
    proxy.add("rewrite", rewrite=lambda body: body.replace(b"<instanceId>i-1</instanceId>", b""))
    assert stop(ec2)["StoppingInstances"] == [{}]


@pytest.mark.parametrize("carried_out", [False, True])
def test_hang(cloud: Any, proxy: FaultProxy, carried_out: bool) -> None:
    """No answer comes until the client gives up, and then the proxy's thread ends, too."""
    proxy.add("hang", carried_out=carried_out)
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=0.2)
    with pytest.raises(TimeoutError):
        ask(connection)
    connection.close()
    deadline = time.monotonic() + 10
    while "fault-proxy-client" in threads() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert "fault-proxy-client" not in threads()
    assert proxy.log()[0].carried_out == carried_out == bool(cloud.asked)


def test_delay(cloud: Any, proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    """A late answer is late, and whole; the cloud did its part at once."""
    proxy.add("delay", seconds=0.3)
    began = time.monotonic()
    client.request("POST", "/", b"")
    while not cloud.asked and time.monotonic() < began + 10:
        time.sleep(0.005)
    asked = time.monotonic() - began
    assert client.getresponse().read() == WHOLE
    assert asked < 0.3 <= time.monotonic() - began


@pytest.mark.parametrize("rule", [{"method": "GET"}, {"path": "^/b$"}, {"body": action("Bb")}])
def test_patterns(proxy: FaultProxy, client: http.client.HTTPConnection, rule: Any) -> None:
    """A rule is for the requests whose method, path and body match, and for no others."""
    proxy.add("status", answer=Answer(500), method="GE|OST")  # no method is called so
    fault = proxy.add("status", answer=Answer(418), times=FOREVER, **rule)
    assert ask(client, "Action=Bbb&x=Bb", path="/bb") == (200, WHOLE)
    assert ask(client, "X=1&Action=Bb", path="/b", method="GET")[0] == 418
    assert fault.met == 1


def test_counting(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    """After `skip` matches `times` of them meet the fault; the oldest rule goes first."""
    proxy.add("status", answer=Answer(418), skip=1, times=2)
    proxy.add("status", answer=Answer(503), times=FOREVER)
    assert [ask(client)[0] for _ in range(4)] == [503, 418, 418, 503]
    proxy.clear()
    assert ask(client)[0] == 200


def test_contradictions(proxy: FaultProxy) -> None:
    """A fault that cannot be what it is told to be is refused when it is added."""
    with pytest.raises(ValueError, match="needs an answer"):
        proxy.add("status")
    with pytest.raises(ValueError, match="own answer"):
        proxy.add("cut", carried_out=False)


def test_cloud_breaks_off(
    cloud: Any, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """When the cloud itself breaks off, the client sees a reset, and the log no answer."""
    with pytest.raises(ConnectionResetError):
        ask(client, "break off")
    assert (proxy.log()[0].carried_out, proxy.log()[0].status) == (False, None)


def test_close_ends_what_hangs(proxy: FaultProxy) -> None:
    """Closing takes no time, with clients that hang, are delayed, idle or in mid-request."""
    proxy.add("hang", path="hang")
    proxy.add("delay", path="delay", seconds=60)
    host, port = proxy.url.removeprefix("http://").split(":")
    address = (host, int(port))
    with contextlib.ExitStack() as stack:
        clients = []
        for begun in ("GET /hang HTTP/1.1\r\n\r\n", "GET /delay HTTP/1.1\r\n\r\n", "", "GET /ha"):
            clients.append(stack.enter_context(socket.create_connection(address, timeout=20)))
            clients[-1].sendall(begun.encode())
        while len(proxy.log()) < 2:
            time.sleep(0.005)
        began = time.monotonic()
        proxy.close()
        assert time.monotonic() - began < 5
        for client in clients:
            with contextlib.suppress(ConnectionResetError):  # where something was still unread
                assert client.recv(100) == b""
    assert not {"fault-proxy", "fault-proxy-client"} & threads()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_many_at_once(cloud: Any, proxy: FaultProxy, ec2: Any) -> None:
    """Threads that share the SDK's connections are all answered, a reset among them or not."""
    proxy.add("reset_before", skip=20, times=3)
    results: list[Any] = []

    def call() -> None:
        for _ in range(10):
            try:
                results.append(len(stop(ec2)["StoppingInstances"]))
            except ConnectionClosedError:
                results.append("reset")

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert (results.count(1), results.count("reset")) == (77, 3)
    connections = [t for t in threading.enumerate() if t.name == "fault-proxy-client"]
    assert len(connections) <= 10  # botocore's pool: 80 calls, and none on a connection of its own
    assert len(cloud.asked) == 77

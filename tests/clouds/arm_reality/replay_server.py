"""A server that knows one cassette by heart: what was recorded, in that order, and nothing else."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from arm_reality.cassette import ARM, Exchange, load
from arm_reality.scope import is_operation, operation_key

TOKEN = "/identity/token"
# What the machine's status says once a verb's operation has ended: recordings ask for it but once.
POWER = {
    "deallocate": "deallocated",
    "poweroff": "stopped",
    "redeploy": "running",
    "restart": "running",
    "start": "running",
}
_Answer = tuple[int, dict[str, str], Any]


class ReplayCloud:
    """The cassette over HTTP, for as long as the context lasts.

        with ReplayCloud(path) as cloud:
            compute = ComputeManagementClient(..., base_url=cloud.endpoint)

    Requests are matched by method and path; of the query only `$expand` and `monitor` count. The
    last answer to a request repeats. What nobody recorded is a 404, and is in `unknown()`.
    """

    def __init__(self, recording: Path) -> None:
        self._recorded = load(recording).exchanges
        self._memory = _Memory(self._recorded)
        self.endpoint = ""
        self._calls: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Returns when it answers."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def subscription(self) -> str:
        """The recorded one."""
        paths = [item.path.split("/") for item in self._recorded]
        found = (path[2] for path in paths if path[1] == "subscriptions")
        return next(found, str(UUID(int=0)))

    def environment(self) -> dict[str, str]:
        """The variables with which DefaultAzureCredential gets its token from here."""
        return {
            "AZURE_SUBSCRIPTION_ID": self.subscription,
            "IDENTITY_ENDPOINT": self.endpoint + TOKEN,
            "IDENTITY_HEADER": "testing",
        }

    def calls(self, method: str | None = None) -> list[dict[str, Any]]:
        """What was asked, in that order, tokens left out."""
        with self._lock:
            return [call for call in self._calls if method in {None, call["method"]}]

    def unknown(self) -> list[str]:
        """The requests that are not in the cassette."""
        return [f"{call['method']} {call['path']}" for call in self.calls() if not call["known"]]

    def answer(self, method: str, target: str, body: Any) -> _Answer:
        """Status, headers and JSON for one request."""
        parts = urlsplit(target)
        if parts.path == TOKEN:
            expires = str(int(time.time()) + 3600)
            return 200, {}, {"access_token": "t", "expires_on": expires, "token_type": "Bearer"}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        call = {"method": method, "path": parts.path, "query": query, "body": body}
        with self._lock:
            found = self._memory.answer(method, parts.path, query)
            status, headers, said = found or _not_recorded(method, parts.path)
            self._calls.append({**call, "status": status, "known": found is not None})
        here = {name: self._mine(value) for name, value in headers.items()}
        return status, here, json.loads(self._mine(json.dumps(said)))

    def _mine(self, text: str) -> str:
        return text.replace(f"https://{ARM}", self.endpoint)


class _Memory:
    """What comes next for each request, and what became of the machines meanwhile."""

    def __init__(self, recorded: tuple[Exchange, ...]) -> None:
        self._next: dict[tuple[str, str], list[Exchange]] = defaultdict(list)
        for item in recorded:
            self._next[item.method, _place(item.path, item.query)].append(item)
        self._power: dict[str, str] = {}
        self._gone: set[str] = set()

    def answer(self, method: str, path: str, query: dict[str, str]) -> _Answer | None:
        """None for what was not recorded."""
        item = self._take(method, _place(path, query))
        if item is not None:
            self._became(method, path, item.status)
            found = item.status, item.headers, item.answer
        else:
            found = self._derived(method, path, query)
        if method == "GET" and path.lower() in self._gone:
            return _not_found(path)
        return found and self._powered(path.lower(), found)

    def _take(self, method: str, place: str) -> Exchange | None:
        waiting = self._next.get((method, place), [])
        return waiting.pop(0) if len(waiting) > 1 else next(iter(waiting), None)

    def _derived(self, method: str, path: str, query: dict[str, str]) -> _Answer | None:
        """From something recorded that says the same: another `$expand`, or the other poll URL."""
        if method == "GET" and is_operation(path):
            poll = self._take(method, _place(path, {}))
            running = poll and isinstance(poll.answer, dict) and "endTime" not in poll.answer
            running = running and poll.answer.get("status") not in {"Succeeded", "Failed"}
            return (202 if running else 200, {}, None) if poll else None
        plain = self._take(method, path.lower()) if query.get("$expand") else None
        if method != "GET" or plain is None:
            return None
        body = copy.deepcopy(plain.answer)
        if view := self._take("GET", f"{path.lower()}/instanceview"):
            body["properties"]["instanceView"] = view.answer
        return plain.status, plain.headers, body

    def _became(self, method: str, path: str, status: int) -> None:
        machine, _, verb = path.lower().rpartition("/")
        if status >= 300:
            return
        if method == "POST" and verb in POWER:
            self._power[machine] = POWER[verb]
        elif method == "DELETE":
            self._gone.add(path.lower())
        elif method == "PUT":
            self._gone.discard(path.lower())

    def _powered(self, path: str, found: _Answer) -> _Answer:
        """With the power state that the last verb led to."""
        status, headers, body = found
        machine = path.removesuffix("/instanceview")
        view = body if machine != path else _within(body, "properties", "instanceView")
        if machine not in self._power or not _within(view, "statuses"):
            return found
        changed = copy.deepcopy(body)
        view = changed if machine != path else changed["properties"]["instanceView"]
        for item in view["statuses"]:
            if item["code"].startswith("PowerState/"):
                item["code"] = f"PowerState/{self._power[machine]}"
                item["displayStatus"] = f"VM {self._power[machine]}"
        return status, headers, changed


def _within(body: Any, *names: str) -> Any:
    for name in names:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _place(path: str, query: dict[str, str]) -> str:
    low = {name.lower(): value for name, value in query.items()}
    if is_operation(path):
        return operation_key(path + "?monitor=true" * (low.get("monitor") == "true"))
    expand = low.get("$expand", "")
    return path.lower() + f"?{expand.lower()}" * bool(expand)


def _not_found(path: str) -> _Answer:
    said = f"The Resource '{path.partition('/providers/')[2]}' was not found."
    return 404, {}, {"error": {"code": "ResourceNotFound", "message": said}}


def _not_recorded(method: str, path: str) -> _Answer:
    said = f"Nobody recorded {method} {path}."
    return 404, {}, {"error": {"code": "NotRecorded", "message": said}}


def _handler(cloud: ReplayCloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = json.loads(sent) if sent else None
            status, headers, said = cloud.answer(self.command, self.path, asked)
            data = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Says nothing: the log is `calls()`."""

    return Handler

"""The pytest plugin of vmops: loaded in every run, so it imports nothing but pytest at first.

Options: `--vmops-block-network` refuses every connection that leaves this machine (of this process;
a run in a network namespace refuses those of its children too), `--vmops-live` lets tests run that
reach a real cloud. At the end of a run: a table of conformance tests and backends.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("vmops.testing")

_PROPERTY = "vmops-conformance"
_MARKS = {"passed": "ok", "failed": "FAIL", "skipped": "skip", "xfailed": "known", "error": "ERR"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("vmops", "vmops: conformance of backends")
    group.addoption(
        "--vmops-block-network",
        action="store_true",
        help="refuse every connection but loopback ones",
    )
    group.addoption(
        "--vmops-live",
        action="store_true",
        help="run conformance tests that reach a real cloud, and cost money",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start what the options ask for."""
    config.pluginmanager.register(_Table(), "vmops-conformance-table")
    if config.getoption("--vmops-block-network"):
        config.pluginmanager.register(_NetworkBlock(), "vmops-network-block")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark known failures, and note what belongs in the table."""
    for item in items:
        cls = getattr(item, "cls", None)
        known = getattr(cls, "known_failures", None)
        if cls is None or known is None or not hasattr(cls, "vmops_kit_tests"):
            continue
        name = getattr(item, "originalname", item.name)
        item.user_properties.append((_PROPERTY, [cls.__name__.removeprefix("Test"), name]))
        if name in known:
            reason = f"{known[name].kind}: {known[name].reason}"
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


class NetworkBlockedError(OSError):
    """A test tried to leave this machine."""


class _NetworkBlock:
    """Refuses connections and look-ups that lead elsewhere."""

    def __init__(self) -> None:
        self._test = "collection"
        self._patch = pytest.MonkeyPatch()
        for name in ("connect", "connect_ex"):
            self._patch.setattr(socket.socket, name, self._guarded(getattr(socket.socket, name)))
        look_up = socket.getaddrinfo

        def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            self._check(host)
            return look_up(host, *args, **kwargs)

        self._patch.setattr(socket, "getaddrinfo", getaddrinfo)

    def _guarded(self, original: Any) -> Any:  # noqa: ANN401  (a method of socket.socket)
        def call(sock: socket.socket, address: Any) -> Any:  # noqa: ANN401
            if sock.family in {socket.AF_INET, socket.AF_INET6}:
                self._check(address[0])
            return original(sock, address)

        return call

    def _check(self, host: object) -> None:
        text = host.decode() if isinstance(host, bytes) else str(host or "localhost")
        try:
            allowed = ipaddress.ip_address(text.partition("%")[0]).is_loopback
        except ValueError:
            allowed = text == "localhost"
        if not allowed:
            message = f"{self._test} tried to reach {text!r}; tests may only reach loopback"
            raise NetworkBlockedError(message)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        self._test = item.nodeid
        yield

    def pytest_unconfigure(self) -> None:
        self._patch.undo()


class _Table:
    """Collects results of conformance tests and prints them as a table."""

    def __init__(self) -> None:
        self._results: dict[str, dict[str, str]] = {}
        self._reasons: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        place: Any = dict(report.user_properties).get(_PROPERTY)
        if place is None or (report.when != "call" and report.outcome == "passed"):
            return
        backend, test = map(str, place)
        result = self._result(report)
        row = self._results.setdefault(test, {})
        if row.get(backend) in {None, "ok"}:
            row[backend] = result
        reason = getattr(report, "wasxfail", "") or _skip_reason(report)
        if reason:
            self._reasons.append(f"{backend} {test}: {result}: {reason}")

    @staticmethod
    def _result(report: pytest.TestReport) -> str:
        if hasattr(report, "wasxfail"):
            return _MARKS["xfailed"] if report.skipped else _MARKS["failed"]
        if report.failed and report.when != "call":
            return _MARKS["error"]
        return _MARKS[report.outcome]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._results:
            return
        backends = sorted({backend for row in self._results.values() for backend in row})
        width = max(map(len, self._results))
        terminalreporter.section("vmops conformance")
        terminalreporter.line(" " * width + "".join(f"{backend:>12}" for backend in backends))
        for test in sorted(self._results):
            cells = "".join(f"{self._results[test].get(b, '-'):>12}" for b in backends)
            terminalreporter.line(f"{test:{width}}{cells}")
        for reason in dict.fromkeys(self._reasons):
            terminalreporter.line(reason)


def _skip_reason(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return ""

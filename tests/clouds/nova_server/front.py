"""What clients talk to: Keystone's tokens, lists of images and networks, controls; then Nova."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from typing import Any

from stand_in_server import control

from nova_server.hypervisor import Hypervisor

__all__ = ["Front"]

USER, PASSWORD, PROJECT, REGION = "vmops", "c0rrect-h0rse", "vmops-project", "R1"
IMAGES = ("debian-12", "ubuntu-24.04")
_LIFETIME = 3600.0
_STATUS = {
    200: "200 OK",
    201: "201 Created",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    404: "404 Not Found",
}
Start = Callable[..., Any]


class Front:
    """One WSGI application for all of OpenStack.

    Args:
        cloud: Nova's functional test, set up.
    """

    def __init__(self, cloud: Any) -> None:
        self._cloud = cloud
        self._nova = cloud.api_fixture.app()
        self._project = str(cloud.api_fixture.project_id)
        self._lock = threading.Lock()
        self._tokens: dict[str, float] = {}
        self._calls: list[dict[str, Any]] = []
        self._first: dict[str, Any] = {}
        self._settings: dict[str, Any] = {"instances": 1000, "token_lifetime": _LIFETIME}
        self._hypervisor = Hypervisor(cloud)
        self._seed()

    def change(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Change settings; returns all of them."""
        from nova import conf

        for name, value in changes.items():
            if name in self._hypervisor.settings:
                self._hypervisor.settings[name] = value
            elif name in self._settings:
                self._settings[name] = value
            else:
                raise KeyError(name)
        quotas = {"instances": self._settings["instances"], "cores": -1, "ram": -1}
        for name, most in quotas.items():
            conf.CONF.set_override(name, most, group="quota")
        for unlimited in ("cores", "ram"):  # so that only a host may lack room
            conf.CONF.set_override(unlimited, -1, group="quota")
        return {**self._settings, **self._hypervisor.settings}

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if path.startswith("/vmops/"):
            return self._control(environ, size, start)
        call = {"method": method, "path": path, "query": environ.get("QUERY_STRING", "")}
        call |= {"action": _action(method, path), "status": None}
        with self._lock:
            self._calls.append(call)

        def noted(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            call["status"] = int(status.split(maxsplit=1)[0])
            return start(status, [*headers, ("Date", formatdate(usegmt=True))], *rest)

        if path.rstrip("/") == "/v3/auth/tokens":
            return self._keystone(environ, size, noted)
        if self._tokens.get(environ.get("HTTP_X_AUTH_TOKEN", ""), 0.0) < time.time():
            return _answer(
                noted, 401, _fault(401, "The request you have made requires authentication.")
            )
        if path.startswith(("/v2/images", "/v2.0/networks")):
            return self._others(path, noted)
        return self._asked_nova(environ, noted)

    # -- Keystone ---------------------------------------------------------------------------------

    def _keystone(self, environ: dict[str, Any], size: int, start: Start) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            token = environ.get("HTTP_X_SUBJECT_TOKEN", "")
            if self._tokens.get(token, 0.0) < time.time():
                return _answer(start, 401, _fault(401, "no such token"))
            return self._token(start, 200, environ["HTTP_HOST"], token)
        auth = json.loads(environ["wsgi.input"].read(size))["auth"]
        asked, project = auth["identity"], auth.get("scope", {}).get("project")
        user = asked.get("password", {}).get("user", {})
        program = asked.get("application_credential", {})
        given = {
            (user.get("name"), user.get("password")),
            (program.get("id"), program.get("secret")),
        }
        named = {"domain": {"id": "default"}, "name": PROJECT}
        elsewhere = project not in (None, named, {"id": self._project})
        if elsewhere or not given & {(USER, PASSWORD), ("app-id", "app-secret")}:
            return _answer(
                start, 401, _fault(401, "The request you have made requires authentication.")
            )
        token = uuid.uuid4().hex
        self._tokens[token] = time.time() + self._settings["token_lifetime"]
        return self._token(start, 201, environ["HTTP_HOST"], token)

    def _token(self, start: Start, status: int, host: str, token: str) -> Iterable[bytes]:
        catalog = [
            {
                "type": kind,
                "name": name,
                "id": kind,
                "endpoints": [
                    {
                        "id": kind,
                        "interface": "public",
                        "region": REGION,
                        "region_id": REGION,
                        "url": f"http://{host}{path}",
                    }
                ],
            }
            for kind, name, path in (
                ("compute", "nova", "/v2.1"),
                ("image", "glance", ""),
                ("network", "neutron", ""),
                ("identity", "keystone", "/v3"),
            )
        ]
        body = {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "project": {
                "id": self._project,
                "name": PROJECT,
                "domain": {"id": "default", "name": "Default"},
            },
            "user": {"id": "fake", "name": USER, "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "m", "name": "member"}],
            "catalog": catalog,
        }
        return _answer(start, status, {"token": body}, ("X-Subject-Token", token))

    # -- Glance and Neutron -----------------------------------------------------------------------

    def _others(self, path: str, start: Start) -> Iterable[bytes]:
        if path.startswith("/v2.0/networks"):
            return _answer(start, 200, self._cloud.neutron.list_networks())
        id_ = path.removeprefix("/v2/images").strip("/")
        images = [_image(one) for one in self._cloud.glance.detail(None)]
        if not id_:
            return _answer(start, 200, {"images": images})
        found = [one for one in images if one["id"] == id_]
        if not found:
            return _answer(start, 404, _fault(404, f"No image found with ID {id_}"))
        return _answer(start, 200, found[0])

    # -- Nova -------------------------------------------------------------------------------------

    def _asked_nova(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        environ["HTTP_X_AUTH_USER"] = USER
        environ["HTTP_X_AUTH_PROJECT_ID"] = self._project
        environ["HTTP_X_ROLES"] = "reader,member"
        found: Iterable[bytes] = self._nova(environ, start)
        return found

    def _seed(self) -> None:
        """Images with names of their own, and a flavor that no host has room for."""
        named = zip(self._cloud.glance.images.values(), IMAGES, strict=False)
        for image, name in named:
            image["name"] = name
        huge = {"name": "m1.huge", "ram": 1024, "vcpus": 100_000, "disk": 1, "id": "99"}
        self._cloud.admin_api.post_flavor({"flavor": huge})

    # -- the tests' own calls ---------------------------------------------------------------------

    def _control(self, environ: dict[str, Any], size: int, start: Start) -> Iterable[bytes]:
        gets = {"calls": lambda: list(self._calls), "servers": self._servers}
        posts = {"settings": self.change, "expire": self._expire, "reset": self._reset}
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        return _answer(start, *control(gets, posts, method, path, environ["wsgi.input"].read(size)))

    def _servers(self) -> Any:
        return self._cloud.admin_api.get_servers(detail=True)

    def _expire(self, _: dict[str, Any]) -> int:
        self._tokens.clear()
        return 0

    def _reset(self, _: dict[str, Any]) -> int:
        """No server, no token, no call; settings as they were at the start."""
        from nova.tests.functional.api.client import OpenStackApiNotFoundException

        self._first = self._first or {**self._settings, **self._hypervisor.settings}
        self.change(self._first)
        self._tokens.clear()
        api = self._cloud.admin_api
        servers = api.get_servers(detail=False)
        for server in servers:
            with contextlib.suppress(OpenStackApiNotFoundException):  # it is on its way already
                api.delete_server(server["id"])
        give_up = time.monotonic() + 30
        while api.get_servers(detail=False) and time.monotonic() < give_up:
            time.sleep(0.02)
        self._calls.clear()
        return 0


def _action(method: str, path: str) -> str:
    """What a call is, without ids: `GET /servers/detail`."""
    parts = [part for part in path.removeprefix("/v2.1").split("/") if part]
    shown = ["{id}" if len(part) > 30 else part for part in parts]
    return f"{method} /{'/'.join(shown)}"


def _image(image: dict[str, Any]) -> dict[str, Any]:
    """An image as Glance's API 2 shows it."""
    kept = ("id", "name", "status", "min_ram", "min_disk", "visibility", "size")
    times = {
        key: image[key].isoformat() if hasattr(image[key], "isoformat") else str(image[key])
        for key in ("created_at", "updated_at")
    }
    return {**{key: image.get(key) for key in kept}, **times}


def _fault(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "title": _STATUS[status]}}


def _answer(start: Start, status: int, body: Any, *headers: tuple[str, str]) -> Iterator[bytes]:
    content = json.dumps(body, default=str).encode()
    own = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
    start(_STATUS[status], [*own, *headers])
    return iter([content])

"""What tests of the GCE emulator do over and over, and the fixtures that their modules take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from gce_cloud import GceCloud

SECONDS = 10.0
"""What every verb takes in these tests, on a clock that they move themselves."""
SLOW = dict.fromkeys(
    ("create", "start", "stop", "reset", "delete", "suspend", "labels", "others"), SECONDS
)
DEBIAN = "projects/debian-cloud/global/images/family/debian-12"


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def error(self) -> dict[str, Any]:
        """The first error; empty if it is none."""
        return dict(((self.body or {}).get("error") or {}).get("errors", [{}])[0])

    @property
    def reason(self) -> str:
        """The error's reason; empty if it is no error."""
        return str(self.error.get("reason", ""))


class Gce:
    """The emulator as new."""

    def __init__(self, cloud: GceCloud) -> None:
        self.cloud = cloud
        self.project = f"/compute/v1/projects/{cloud.project}"
        self.zone = f"{self.project}/zones/{cloud.zone}"

    def ask(
        self, method: str, path: str, body: Any = None, query: Any = None, **headers: str
    ) -> Answer:
        """The answer to a request, whose path begins in the zone unless it is a whole one."""
        if not path.startswith("/"):
            path = f"{self.zone}/{path}"
        if query:
            path += f"?{urlencode(query)}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(*self.cloud.call(method, path, body, **named))

    def get(self, path: str, **query: Any) -> Any:
        """What is there, which must be there."""
        answer = self.ask("GET", path, query=query)
        assert answer.status == 200, answer.body
        return answer.body

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        """The operation that is begun, which must begin."""
        answer = self.ask("POST", path, body, query)
        assert answer.status == 200, answer.body
        return answer.body

    def now(self, operation: dict[str, Any]) -> Any:
        """An operation as it is now."""
        return self.get(operation["selfLink"].removeprefix("https://www.googleapis.com"))

    def end(self, operation: dict[str, Any]) -> Any:
        """An operation, as much later as it takes."""
        self.cloud.advance(SECONDS)
        return self.now(operation)

    # -- VMs --------------------------------------------------------------------------------------

    def wanted(self, name: str = "vm", **fields: Any) -> dict[str, Any]:
        """The body of a VM."""
        zone = f"zones/{self.cloud.zone}"
        size = fields.pop("size", "e2-small")
        image = fields.pop("image", DEBIAN)
        return {
            "name": name,
            "machineType": f"{zone}/machineTypes/{size}",
            "disks": [
                {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}}
            ],
            "networkInterfaces": [
                {
                    "network": "global/networks/default",
                    "accessConfigs": [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}],
                }
            ],
            **fields,
        }

    def running(self, name: str = "vm", **fields: Any) -> Any:
        """A VM that runs."""
        done = self.end(self.post("instances", self.wanted(name, **fields)))
        assert "error" not in done, done
        return self.vm(name)

    def vm(self, name: str = "vm") -> Any:
        """A VM as it is shown."""
        return self.get(f"instances/{name}")

    def names(self, path: str = "instances", **query: Any) -> list[str]:
        """The names in a list."""
        return [one["name"] for one in self.get(path, **query).get("items", [])]


@pytest.fixture(scope="module")
def gce_server() -> Iterator[GceCloud]:
    """The emulator, started once for a module, with verbs that take long."""
    with GceCloud(**SLOW) as cloud:
        yield cloud
        assert not cloud.stderr(), "the emulator has found a mistake of its own"


@pytest.fixture
def gce(gce_server: GceCloud) -> Gce:
    """The emulator as new."""
    gce_server.reset()
    return Gce(gce_server)

"""The three providers whose answers libcloud has recorded.

Of their refusals there are few records: the words are those that others have met, as in
github.com/OpenRouterLabs/spawn/issues/2516 (DigitalOcean's limit), github.com/pulumi/templates/
issues/184 (Linode's), github.com/getlantern/lantern_aws/issues/186 (Vultr's) and github.com/linode/
linode_api4-python/issues/110 (a Linode that is busy).
"""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from recorded import Answer, Recorded


class DigitalOcean(Recorded):
    """DigitalOcean's API, version 2."""

    provider = "digitalocean"
    folder = "digitalocean_v2"
    lists: ClassVar = {
        "/v2/sizes": "list_sizes",
        "/v2/images": "list_images",
        "/v2/regions": "list_locations",
    }
    vms = "/v2/droplets"
    wrong = (
        ("vmSize", "521mb", "512mb"),
        ("image", "14.04 x46", "14.04 x64"),
        ("location", "nyc9", "New York 1"),
    )
    defaults: ClassVar = {"vmSize": "512mb", "image": "14.04 x64", "location": "nyc1"}
    refusals: ClassVar = {
        "credentials": (401, {"id": "unauthorized", "message": "Unable to authenticate you"}),
        "forbidden": (403, {"id": "forbidden", "message": "You are not authorized to do that"}),
        "conflict": (
            422,
            {"id": "unprocessable_entity", "message": "Droplet already has a pending event."},
        ),
        "quota": (
            422,
            {
                "id": "unprocessable_entity",
                "message": "creating this/these droplet(s) will exceed your droplet limit",
            },
        ),
        "invalid": (422, {"id": "unprocessable_entity", "message": "Size is not available"}),
        "throttled": (429, {"id": "too_many_requests", "message": "API Rate limit exceeded."}),
        "unavailable": (503, {"id": "service_unavailable", "message": "Try again"}),
    }
    account = ("/v2/account", {"account": {"uuid": "a1234567", "team": {"uuid": "t-1"}}})
    _ACTIONS: ClassVar = {
        "shutdown": ({"status": "active"}, {"status": "off"}),
        "power_on": ({"status": "off"}, {"status": "active"}),
        "reboot": ({"status": "active"}, {"status": "active"}),
    }

    def answer(self, method: str, path: str, body: Any) -> Answer | None:
        match [method, *path.split("/")[2:]]:
            case ["GET", "droplets"]:
                return 200, {"droplets": list(self.shown()), "links": {}, "meta": {}}
            case ["POST", "droplets"]:
                droplet = self.record("list_nodes")["droplets"][0]
                asked = {"name": body["name"], "tags": body["tags"], "size_slug": body["size"]}
                made = self.add(droplet, **asked, networks={"v4": [], "v6": []})
                networks = {"networks": droplet["networks"]}
                self.going(str(made["id"]), {"status": "new"}, {"status": "active", **networks})
                return 202, {"droplet": made}
            case ["POST", "droplets", id_, "actions"] if id_ in self.machines:
                self.going(id_, *self._ACTIONS[body["type"]])
                return 201, self.record("ex_power_on_node")
            case ["DELETE", "droplets", id_] if id_ in self.machines:
                del self.machines[id_]
                return 204, None
        return None

    def unknown(self, path: str) -> Answer:
        said = "The resource you were accessing could not be found."
        return 404, {"id": "not_found", "message": said}

    def recorded_vm(self) -> dict[str, Any]:
        return self.record("list_nodes")["droplets"][0]

    def said_in(self, body: Any) -> str:
        return str(body["message"])

    def size_and_place(self, body: Any) -> tuple[str, str]:
        return body["size"], body["region"]

    key_in = user_data_in = staticmethod(lambda body: body["user_data"])


class Linode(Recorded):
    """Linode's API, version 4."""

    provider = "linode"
    folder = "linode_v4"
    lists: ClassVar = {
        "/v4/linode/types": "list_types",
        "/v4/images": "list_images",
        "/v4/regions": "list_locations",
    }
    vms = "/v4/linode/instances"
    wrong = (
        ("vmSize", "Linode 33GB", "Linode 32GB"),
        ("image", "Debian 11", "Debian 10"),
        ("location", "mars", "one of 10"),
    )
    defaults: ClassVar = {
        "vmSize": "g6-nanode-1",
        "image": "linode/debian10",
        "location": "eu-west",
    }
    refusals: ClassVar = {
        "credentials": (401, {"errors": [{"reason": "Invalid Token"}]}),
        "forbidden": (403, {"errors": [{"reason": "Unauthorized"}]}),
        "conflict": (400, {"errors": [{"reason": "Linode busy."}]}),
        "quota": (
            400,
            {"errors": [{"reason": "Account Limit reached. Please open a support ticket."}]},
        ),
        "invalid": (400, {"errors": [{"field": "type", "reason": "A valid plan type is needed"}]}),
        "throttled": (429, {"errors": [{"reason": "Too many requests"}]}),
        "unavailable": (503, {"errors": [{"reason": "Our systems are down for maintenance"}]}),
    }
    account = ("/v4/account", {"euuid": "E1AF5EEC-526F-487D-B317EBEB34C87D71"})
    _ACTIONS: ClassVar = {
        "shutdown": ("shutting_down", "offline"),
        "boot": ("booting", "running"),
        "reboot": ("rebooting", "running"),
    }

    def answer(self, method: str, path: str, body: Any) -> Answer | None:
        match [method, *path.split("/")[2:]]:
            case ["GET", "linode", "instances"]:
                return 200, {"data": list(self.shown()), "page": 1, "pages": 1}
            case ["POST", "linode", "instances"]:
                if any(one["label"] == body["label"] for one in self.machines.values()):
                    reason = {"field": "label", "reason": "Label must be unique among your linodes"}
                    return 400, {"errors": [reason]}
                asked = {key: body[key] for key in ("label", "tags", "region", "type", "image")}
                made = self.add(self.record("create_node"), **asked)
                self.going(str(made["id"]), {"status": "provisioning"}, {"status": "running"})
                return 200, made
            case ["POST", "linode", "instances", id_, action] if id_ in self.machines:
                self.going(id_, *({"status": one} for one in self._ACTIONS[action]))
                return 200, {}
            case ["DELETE", "linode", "instances", id_] if id_ in self.machines:
                del self.machines[id_]
                return 200, {}
        return None

    def unknown(self, path: str) -> Answer:
        return 404, {"errors": [{"reason": "Not found"}]}

    def recorded_vm(self) -> dict[str, Any]:
        return self.record("list_nodes")["data"][0]

    def said_in(self, body: Any) -> str:
        return str(body["errors"][0]["reason"])

    def size_and_place(self, body: Any) -> tuple[str, str]:
        return body["type"], body["region"]

    def key_in(self, body: Any) -> str:
        return " ".join(body["authorized_keys"])

    def user_data_in(self, body: Any) -> str:
        return base64.b64decode(body["metadata"]["user_data"]).decode()


class Vultr(Recorded):
    """Vultr's API, version 2."""

    provider = "vultr"
    folder = "vultr_v2"
    lists: ClassVar = {
        "/v2/plans": "list_sizes",
        "/v2/os": "list_images",
        "/v2/regions": "list_locations",
        "/v2/plans-metal": "ex_list_bare_metal_sizes",
    }
    vms = "/v2/instances"
    wrong = (
        ("vmSize", "vc2-1c-3gb", "vc2-1c-1gb"),
        ("image", "Debian 12 x64", "Debian"),
        ("location", "Amsterdm", "Amsterdam"),
    )
    defaults: ClassVar = {
        "vmSize": "vc2-1c-1gb",
        "image": "Debian 11 x64 (bullseye)",
        "location": "ams",
    }
    refusals: ClassVar = {
        "credentials": (401, {"error": "Invalid API token.", "status": 401}),
        "forbidden": (403, {"error": "Unauthorized IP address", "status": 403}),
        "conflict": (409, {"error": "Server is currently locked", "status": 409}),
        "quota": (
            400,
            {
                "error": "Server add failed: You have reached the maximum number of active virtual"
                " machines for this account.",
                "status": 400,
            },
        ),
        "invalid": (400, {"error": "Invalid plan chosen.", "status": 400}),
        "throttled": (429, {"error": "Rate limit exceeded", "status": 429}),
        "unavailable": (503, {"error": "Service unavailable", "status": 503}),
    }
    account = ("/v2/account", {"account": {"name": "Example", "email": "me@example.com"}})
    _ON: ClassVar = {"status": "active", "power_status": "running"}
    _OFF: ClassVar = {"status": "active", "power_status": "stopped"}

    def answer(self, method: str, path: str, body: Any) -> Answer | None:
        match [method, *path.split("/")[2:]]:
            case ["GET", "instances"]:
                meta = {"total": len(self.machines), "links": {"next": "", "prev": ""}}
                return 200, {"instances": list(self.shown()), "meta": meta}
            case ["POST", "instances"]:
                asked = {"label": body["label"], "tag": body.get("tag", ""), "plan": body["plan"]}
                made = self.add(self.record("create_node")["instance"], **asked)
                self.going(
                    made["id"], {"status": "pending"}, {**self._ON, "main_ip": "45.76.83.44"}
                )
                return 202, {"instance": made}
            case ["POST", "instances", "halt"]:
                for id_ in body["instance_ids"]:
                    self.going(id_, self._ON, self._OFF)
                return 204, None
            case ["POST", "instances", id_, action] if id_ in self.machines:
                self.going(id_, self._ON if action == "reboot" else self._OFF, self._ON)
                return 204, None
            case ["DELETE", "instances", id_] if id_ in self.machines:
                del self.machines[id_]
                return 204, None
        return None

    def new_id(self) -> Any:
        return f"cb676a46-66fd-4dfb-b839-{super().new_id():012}"

    def unknown(self, path: str) -> Answer:
        return 404, {"error": "Invalid instance.", "status": 404}

    def recorded_vm(self) -> dict[str, Any]:
        return self.record("list_nodes")["instances"][0]

    def said_in(self, body: Any) -> str:
        return str(body["error"])

    def size_and_place(self, body: Any) -> tuple[str, str]:
        return body["plan"], body["region"]

    def user_data_in(self, body: Any) -> str:
        return base64.b64decode(body["user_data"]).decode()

    key_in = user_data_in


CLOUDS = {cloud.provider: cloud for cloud in (DigitalOcean, Linode, Vultr)}

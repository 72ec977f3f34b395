"""What cannot be read off a driver's class, by provider; others are taken as they are read.

Each entry was written with the code of libcloud 3.9.1 at hand, and `tests/test_profiles.py` holds
it against the code that is installed. What is said of services is dated, and has its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

__all__ = ["PROFILES", "Ownership", "Profile"]

Ownership = Literal["metadata", "tags", "tag", "name"]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of one provider's driver.

    Args:
        ownership: How a VM is marked as ours in the call that makes it: by pairs, by a list of
            tags, by one tag, or by nothing but its name.
        mark: create_node's argument for the marks; `x.y` is the key y of the dict x.
        shown: Where a listed node has the mark again: the key in `Node.extra`.
        token: create_node's argument for a token that the service makes no second VM for.
        ssh_key: create_node's argument for the text of a public key.
        user_data: create_node's argument for user data in plain text.
        password: create_node's argument for a root password that the driver insists on.
        options: Verb -> further arguments of its method, so that it waits for nothing, asks no more
            than it must, leaves the VM running, or deletes all that is the VM's own.
        missing: Verb -> why the method that the driver has for it is of no use.
        releases: Whether a stopped VM gives its compute back.
        budgets: "reads", "writes", "requests" (both) or "creates" -> how many the provider grants
            at once, and then in a second.
        unique: Whether the service refuses a second VM of the same name.
        parts: What remains of a create that was cut off, where it is more than one request.
        notes: What else whoever uses it should know, as sentences.
        retired: Since when the service is gone, and who says so.
    """

    ownership: Ownership = "name"
    mark: str = ""
    shown: str = ""
    token: str = ""
    ssh_key: str = ""
    user_data: str = ""
    password: str = ""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    releases: bool = False
    budgets: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unique: bool = False
    parts: str = ""
    notes: tuple[str, ...] = ()
    retired: str = ""


_CLOUDSTACK: Final = Profile(
    user_data="ex_userdata",
    options={"provision": {"ex_start_vm": True}},
    notes=("One look is four requests.",),
)
_EC2: Final = Profile(
    ownership="metadata",
    mark="ex_metadata",
    shown="tags",
    token="ex_clienttoken",  # noqa: S106  (an argument's name)
    ssh_key="auth",
    user_data="ex_userdata",
    releases=True,
    notes=("One look is two requests.",),
)
_LIKE_EC2: Final = (
    "It uses EC2's driver: whether the service, too, takes tags and a token in the create call was"
    " not tried."
)
_AS_EC2: Final = replace(_EC2, notes=(*_EC2.notes, _LIKE_EC2))
_OPENSTACK: Final = Profile(
    ownership="metadata",
    mark="ex_metadata",
    shown="metadata",
    user_data="ex_userdata",
    notes=("A create is a request that makes the VM, and one that reads it.",),
)
_NO_DELETE: Final = "destroy_node only switches the VM off; it stays defined"

PROFILES: Final[Mapping[str, Profile]] = {
    "abiquo": Profile(
        parts="a VM that is not deployed", notes=("One look is two requests and more for each VM.",)
    ),
    "aliyun_ecs": Profile(
        token="ex_client_token",  # noqa: S106  (an argument's name)
        notes=("ex_security_group_id must be given.",),
    ),
    "aurora_compute": replace(
        _CLOUDSTACK,
        retired="its domain was for sale in March 2025 (github.com/apache/libcloud/issues/2057)",
    ),
    "azure": Profile(
        retired="Microsoft ended classic VMs on 6 September 2023"
        " (learn.microsoft.com/previous-versions/azure/virtual-machines/classic-vm-deprecation)",
    ),
    "azure_arm": Profile(
        ownership="metadata",
        mark="ex_tags",
        shown="tags",
        ssh_key="auth",
        releases=True,
        unique=True,
        parts="a network interface",
        notes=(
            "One look is a request, and three more for each VM.",
            "The backend `azure` does more for it.",
        ),
    ),
    "brightbox": Profile(user_data="ex_userdata"),
    "cloudscale": Profile(
        ownership="metadata",
        mark="ex_create_attr.tags",
        shown="tags",
        ssh_key="ex_create_attr.ssh_keys",
        user_data="ex_create_attr.user_data",
    ),
    "cloudsigma": Profile(
        ownership="metadata",
        mark="ex_metadata",
        shown="meta",
        options={"deprovision": {"ex_delete_drives": True}},
        parts="a cloned drive",
        notes=("One look is a request, and one more for each VM.",),
    ),
    "cloudstack": _CLOUDSTACK,
    "digitalocean": Profile(
        ownership="tags",
        mark="ex_create_attr.tags",
        shown="tags",
        user_data="ex_user_data",
        # 5,000 an hour, 250 in a minute:
        # docs.digitalocean.com/notes/changelog/add-burst-rate-limits
        budgets={"requests": (250, 5000 / 3600)},
    ),
    "ec2": replace(_EC2, notes=(*_EC2.notes, "The backend `aws` does more for it.")),
    "equinixmetal": Profile(
        user_data="cloud_init",
        retired="Equinix ended Metal on 30 June 2026"
        " (datacenterdynamics.com/en/news/equinix-to-kill-off-metal-by-june-2026)",
    ),
    "eucalyptus": _AS_EC2,
    "exoscale": replace(
        _CLOUDSTACK,
        retired="Exoscale ended the API that it uses on 1 May 2024"
        " (changelog.exoscale.com/en/deprecation-api-v1-as-of-may-1st-2024-uVYHUVZ3)",
    ),
    "gce": Profile(
        ownership="metadata",
        mark="ex_labels",
        shown="labels",
        options={verb: {"ex_sync": False} for verb in ("start", "stop", "deprovision")},
        releases=True,
        unique=True,
        notes=("The backend `gcp` does more for it.",),
    ),
    "gig_g8": Profile(ssh_key="auth", notes=("One look is two requests for each network.",)),
    "gridscale": Profile(
        options={"deprovision": {"ex_destroy_associated_resources": True}},
        parts="a server, a volume and an address",
        notes=("A restart cuts the power.",),
    ),
    "ikoula": _CLOUDSTACK,
    "internetsolutions": Profile(
        retired="its site was down in March 2025 (github.com/apache/libcloud/issues/2057)"
    ),
    "kamatera": Profile(
        ssh_key="auth",
        options={verb: {"ex_wait": False} for verb in ("start", "stop", "restart", "deprovision")},
        notes=("The service tells a new VM's id and its final name when it is ready.",),
    ),
    "ktucloud": replace(_CLOUDSTACK, user_data="", options={}),
    "kubevirt": Profile(ssh_key="auth", unique=True),
    "libvirt": Profile(missing={"deprovision": _NO_DELETE}),
    "linode": Profile(
        unique=True,
        ownership="tags",
        mark="ex_tags",
        shown="tags",
        ssh_key="ex_authorized_keys",
        user_data="ex_userdata",
        password="root_pass",  # noqa: S106  (an argument's name)
        # techdocs.akamai.com/linode-api/reference/rate-limits, 15 September 2026
        budgets={
            "reads": (200, 200 / 60),
            "writes": (1600, 1600 / 60),
            "creates": (20, 20 / 15),
        },
    ),
    "maxihost": Profile(
        missing={
            "provision": "create_node gives the VM a hostname, and the list shows its description:"
            " what was made could not be found again"
        }
    ),
    "nimbus": replace(
        _AS_EC2,
        ownership="name",
        mark="",
        shown="",
        notes=(),
        missing={
            "provision": "Nimbus has no tags (the driver's ex_create_tags does nothing), and the"
            " driver writes the VM's name as a tag: what was made could not be found again"
        },
    ),
    "opennebula": Profile(
        missing={
            "provision": "create_node loses the VM's name (it sends an empty one): what was made"
            " could not be found again"
        }
    ),
    "openstack": replace(
        _OPENSTACK,
        notes=(
            *_OPENSTACK.notes,
            "A stop shelves the server, a restart is a soft reboot: Nova's own ways are used.",
        ),
    ),
    "outscale": Profile(
        token="ex_client_token",  # noqa: S106  (an argument's name)
        parts="a VM without a name, which is found again only by a create with the same token",
        notes=("What the service refuses, its driver returns as an answer.",),
    ),
    "outscale_inc": _AS_EC2,
    "outscale_sas": _AS_EC2,
    "rackspace": _OPENSTACK,
    "rackspace_first_gen": replace(
        _OPENSTACK,
        user_data="",
        notes=(),
        retired="Rackspace moved all of its servers to the next generation during 2015"
        " (docs.rackspace.com/servers/api/v1.0/cs-devguide/content/Overview-d1e70.html)",
    ),
    "rimuhosting": Profile(notes=("It shows every VM as running.",)),
    "scaleway": Profile(
        ownership="tags",
        mark="ex_tags",
        shown="tags",
        parts="a VM that is switched off",
        notes=(
            "It uses endpoints that Scaleway advises against since 2019 (cp-par1.scaleway.com).",
        ),
    ),
    "terremark": Profile(
        retired="jclouds gave up its drivers for it as broken in September 2013"
        " (github.com/jclouds/jclouds/pull/160)"
    ),
    "upcloud": Profile(ssh_key="auth", notes=("One look is a request, and one more for each VM.",)),
    "vcloud": Profile(parts="a vApp that is not deployed"),
    "vpsnet": Profile(notes=("It shows a VM that does not run as one that is being made.",)),
    "vultr": Profile(
        ownership="tag",
        mark="ex_tag",
        shown="tag",
        user_data="ex_userdata",
        options={"list": {"ex_list_bare_metals": False}},
        # 30 a second: pulumi.com/registry/packages/vultr/installation-configuration, 2025
        budgets={"requests": (30, 30.0)},
        notes=("A VM has one tag: all marks are written into it.",),
    ),
}

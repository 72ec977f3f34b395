"""EC2's query protocol and its XML, for `_ec2_thin.py`.

An instance's XML has the elements that DescribeInstances has of a real one, 3.2 kB and its tags: a
client pays for all of them, whether it reads them or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from itertools import count
from uuid import uuid4

ACCOUNT = "123456789012"
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
SUBNET = "<subnetId>subnet-0a1b2c3d4e5f60718</subnetId><vpcId>vpc-0f1e2d3c4b5a69788</vpcId>"
GROUPS = (
    "<groupSet><item><groupId>sg-0123456789abcdef0</groupId><groupName>default</groupName></item>"
    "</groupSet>"
)


class Refusal(Exception):  # noqa: N818 - what the cloud answers; nothing is in error here
    """What EC2 answers instead of a result."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message, status

    def xml(self) -> str:
        """The answer's body."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
            f"<Code>{self.code}</Code><Message>{escape(self.message)}</Message>"
            f"</Error></Errors><RequestID>{uuid4()}</RequestID></Response>"
        )


class Query(dict[str, str]):
    """A call's parameters, flat as EC2's query protocol sends them."""

    def listed(self, prefix: str) -> list[str]:
        """The values of `prefix.1`, `prefix.2` and so on."""
        return [self[f"{prefix}.{n}"] for n in self._numbers(prefix, "")]

    def filters(self) -> Iterator[tuple[str, list[str]]]:
        """Each filter's name with its values."""
        for n in self._numbers("Filter", ".Name"):
            yield self[f"Filter.{n}.Name"], self.listed(f"Filter.{n}.Value")

    def tags(self, within: str = "") -> dict[str, str]:
        """The tags `Tag.1` and so on."""
        prefixes = [f"{within}Tag.{n}" for n in self._numbers(f"{within}Tag", ".Key")]
        return {self[f"{prefix}.Key"]: self.get(f"{prefix}.Value", "") for prefix in prefixes}

    def tags_for(self, kind: str) -> dict[str, str]:
        """What TagSpecifications say about resources of a kind."""
        for n in self._numbers("TagSpecification", ".ResourceType"):
            if self[f"TagSpecification.{n}.ResourceType"] == kind:
                return self.tags(f"TagSpecification.{n}.")
        return {}

    def _numbers(self, prefix: str, suffix: str) -> Iterator[int]:
        for n in count(1):
            if f"{prefix}.{n}{suffix}" not in self:
                return
            yield n


@dataclass(slots=True, eq=False)
class Instance:
    """One instance, and its XML for as long as that holds."""

    number: int  # in order of launch
    id: str
    reservation: str
    index: int
    query: Query  # of the RunInstances that made it
    launched: float
    region: str
    tags: dict[str, str]
    state: str = "pending"
    was_up: bool = False
    operation: int = 0  # the newest; an older one's end no longer counts
    rendered: str = field(default="", repr=False)

    def xml(self) -> str:
        """Its item in `instancesSet`."""
        if not self.rendered:
            self.rendered = render(self)
        return self.rendered


def answer(action: str, inside: str) -> str:
    """An EC2 answer's body."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{NAMESPACE}">'
        f"<requestId>{uuid4()}</requestId>{inside}</{action}Response>"
    )


def state(name: str) -> str:
    """A state's inside."""
    return f"<code>{CODES[name]}</code><name>{name}</name>"


def stamp(seconds: float) -> str:
    """A time as EC2 writes it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.000Z}"


def tag_set(tags: Mapping[str, str]) -> str:
    """A tag set."""
    items = [
        f"<item><key>{escape(key, quote=False)}</key>"
        f"<value>{escape(value, quote=False)}</value></item>"
        for key, value in tags.items()
    ]
    return f"<tagSet>{''.join(items)}</tagSet>"


def reservation(instances: list[Instance]) -> str:
    """The inside of a reservation: RunInstances' answer, or an item of DescribeInstances'."""
    items = "".join([instance.xml() for instance in instances])
    return (
        f"<reservationId>{instances[0].reservation}</reservationId><ownerId>{ACCOUNT}</ownerId>"
        f"<groupSet/><instancesSet>{items}</instancesSet>"
    )


def render(it: Instance) -> str:
    """An instance's XML, part by part: what is there of it depends on its state."""
    gone, said = it.state == "terminated", it.query
    private = f"10.{it.number >> 16 & 255}.{it.number >> 8 & 255}.{it.number & 255}"
    parts = [
        _identity(it, "" if gone else f"ip-{private.replace('.', '-')}.{it.region}"),
        _placement(it),
        "" if gone else f"{SUBNET}<privateIpAddress>{private}</privateIpAddress>",
        f"<ipAddress>{_public(it)}</ipAddress>" if _public(it) else "",
        "" if gone else f"<sourceDestCheck>true</sourceDestCheck>{GROUPS}",
        _why(it),
        "<architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType>",
        f"<rootDeviceName>/dev/sda1</rootDeviceName>{_volumes(it)}",
        "<virtualizationType>hvm</virtualizationType>",
        f"<clientToken>{said.get('ClientToken', '')}</clientToken>",
        tag_set(it.tags),
        "<hypervisor>xen</hypervisor>",
        "<networkInterfaceSet/>" if gone else _interface(it, private),
        _lifecycle(it),
        _options(said),
    ]
    return f"<item>{''.join(parts)}</item>"


def _identity(it: Instance, host: str) -> str:
    public = _public(it).replace(".", "-")
    name = f"ec2-{public}.{it.region}.compute.amazonaws.com" if public else ""
    reason = f"User initiated ({stamp(it.launched)[:19].replace('T', ' ')} GMT)"
    return (
        f"<instanceId>{it.id}</instanceId><imageId>{it.query['ImageId']}</imageId>"
        f"<instanceState>{state(it.state)}</instanceState>"
        f"<privateDnsName>{host and host + '.compute.internal'}</privateDnsName>"
        f"<dnsName>{name}</dnsName>"
        f"<reason>{reason if CODES[it.state] > CODES['running'] else ''}</reason>"
        f"<amiLaunchIndex>{it.index}</amiLaunchIndex><productCodes/>"
        f"<instanceType>{it.query.get('InstanceType', 'm1.small')}</instanceType>"
        f"<launchTime>{stamp(it.launched)}</launchTime>"
    )


def _placement(it: Instance) -> str:
    zone = it.query.get("Placement.AvailabilityZone", f"{it.region}a")
    return (
        f"<placement><availabilityZone>{zone}</availabilityZone><groupName/>"
        "<tenancy>default</tenancy></placement><monitoring><state>disabled</state></monitoring>"
    )


def _public(it: Instance) -> str:
    # a new one at each start; 198.18.0.0/15 is set aside for benchmarks
    asked = it.query.get("NetworkInterface.1.AssociatePublicIpAddress", "true") == "true"
    n = it.operation
    return f"198.{18 + (n >> 16 & 1)}.{n >> 8 & 255}.{n & 255}" * (asked and it.state == "running")


def _why(it: Instance) -> str:
    if it.state == "running":
        return ""
    code, message = "Client.UserInitiatedShutdown", "User initiated shutdown"
    if it.state == "pending":
        code = message = "pending"
    else:
        message = f"{code}: {message}"
    return f"<stateReason><code>{code}</code><message>{message}</message></stateReason>"


def _volumes(it: Instance) -> str:
    # a real one's volume, too, is not there to see in its first seconds
    if not it.was_up or it.state == "terminated":
        return "<blockDeviceMapping/>"
    keep = it.query.get("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true")
    return (
        "<blockDeviceMapping><item><deviceName>/dev/sda1</deviceName><ebs>"
        f"<volumeId>vol-{it.id[2:]}</volumeId><status>attached</status>"
        f"<attachTime>{stamp(it.launched)}</attachTime>"
        f"<deleteOnTermination>{keep}</deleteOnTermination></ebs></item></blockDeviceMapping>"
    )


def _interface(it: Instance, private: str) -> str:
    public = ""
    if _public(it):
        public = (
            f"<association><publicIp>{_public(it)}</publicIp><publicDnsName/>"
            "<ipOwnerId>amazon</ipOwnerId></association>"
        )
    keep = it.query.get("NetworkInterface.1.DeleteOnTermination", "true")
    return (
        f"<networkInterfaceSet><item><networkInterfaceId>eni-{it.id[2:]}</networkInterfaceId>"
        f"{SUBNET}<description/><ownerId>{ACCOUNT}</ownerId><status>in-use</status>"
        f"<macAddress>02:{it.id[3:5]}:{it.id[5:7]}:{it.id[7:9]}:{it.id[9:11]}:{it.id[11:13]}"
        f"</macAddress><privateIpAddress>{private}</privateIpAddress>"
        f"<sourceDestCheck>true</sourceDestCheck>{GROUPS}"
        f"<attachment><attachmentId>eni-attach-{it.id[2:]}</attachmentId><deviceIndex>0"
        f"</deviceIndex><status>attached</status><attachTime>{stamp(it.launched)}</attachTime>"
        f"<deleteOnTermination>{keep}</deleteOnTermination><networkCardIndex>0</networkCardIndex>"
        f"</attachment>{public}<privateIpAddressesSet><item><privateIpAddress>{private}"
        f"</privateIpAddress><primary>true</primary>{public}</item></privateIpAddressesSet>"
        "<ipv6AddressesSet/><interfaceType>interface</interfaceType></item></networkInterfaceSet>"
    )


def _lifecycle(it: Instance) -> str:
    if it.query.get("InstanceMarketOptions.MarketType") != "spot":
        return ""
    request = f"sir-{it.id[3:11]}"
    return (
        "<instanceLifecycle>spot</instanceLifecycle>"
        f"<spotInstanceRequestId>{request}</spotInstanceRequestId>"
    )


def _options(said: Query) -> str:
    return (
        "<ebsOptimized>false</ebsOptimized><enaSupport>true</enaSupport>"
        "<cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>"
        "<capacityReservationSpecification><capacityReservationPreference>open"
        "</capacityReservationPreference></capacityReservationSpecification>"
        "<hibernationOptions><configured>false</configured></hibernationOptions>"
        "<metadataOptions><state>applied</state>"
        f"<httpTokens>{said.get('MetadataOptions.HttpTokens', 'optional')}</httpTokens>"
        "<httpPutResponseHopLimit>2</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint>"
        "<httpProtocolIpv6>disabled</httpProtocolIpv6><instanceMetadataTags>disabled"
        "</instanceMetadataTags></metadataOptions>"
        "<enclaveOptions><enabled>false</enabled></enclaveOptions>"
        "<platformDetails>Linux/UNIX</platformDetails><usageOperation>RunInstances"
        "</usageOperation><maintenanceOptions><autoRecovery>default</autoRecovery>"
        "</maintenanceOptions><currentInstanceBootMode>legacy-bios</currentInstanceBootMode>"
    )

"""Puts ours in the place of moto's."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import EC2Backend
from moto.ec2.models import instances as moto_instances
from moto.ec2.models.amis import AmiBackend
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.spot_instances import SpotInstances
from moto.ec2.responses.tags import TagResponse
from moto.ssm.exceptions import ParameterNotFound
from moto.ssm.responses import SimpleSystemManagerResponse

from ec2 import images, launching, listing, spot, verbs
from ec2.checks import tag_set
from ec2.errors import Refused
from ec2.machine import Machine
from ec2.wire import answer
from ec2.world import world

_moto_exists = EC2Backend.do_resources_exist
_moto_images = AmisResponse.describe_images
_moto_tags = TagResponse.create_tags
_moto_parameter = SimpleSystemManagerResponse.get_parameter


def _run(self: InstanceResponse) -> Any:
    self.error_on_dryrun()
    return answer("RunInstances", launching.run(self.ec2_backend, dict(self.params)))


def _describe(self: InstanceResponse) -> Any:
    self.error_on_dryrun()
    return answer("DescribeInstances", listing.describe(self.ec2_backend, dict(self.params)))


def _changing(verb: Any) -> Any:
    def change(self: InstanceResponse) -> ActionResult:
        ids = self._get_param("InstanceIds", [])
        self.error_on_dryrun()
        result = verb(world.home(self.ec2_backend), ids)
        return EmptyResult() if result is None else ActionResult(result)

    return change


def _describe_spots(self: SpotInstances) -> ActionResult:
    home, params = world.home(self.ec2_backend), self.params
    ids, filters = params.get("SpotInstanceRequestIds") or [], params.get("Filters") or []
    page = params.get("MaxResults"), params.get("NextToken")
    return ActionResult(spot.describe(home, ids, filters, page))


def _cancel_spots(self: SpotInstances) -> ActionResult:
    self.error_on_dryrun()
    home = world.home(self.ec2_backend)
    return ActionResult(spot.cancel(home, self._get_param("SpotInstanceRequestIds", [])))


def _tag(self: TagResponse) -> ActionResult:
    tag_set({tag["Key"]: tag.get("Value", "") for tag in self._get_param("Tags", [])})
    return _moto_tags(self)


def _exists(self: EC2Backend, resource_ids: list[str]) -> bool:
    # moto looks for these, and does not mind if it finds none
    home = world.home(self)
    verbs.known(home, [each for each in resource_ids if each.startswith("i-")])
    for each in resource_ids:
        if each.startswith("eni-") and each not in self.enis:
            raise Refused(
                "InvalidNetworkInterfaceID.NotFound",
                f"The networkInterface ID '{each}' does not exist",
            )
        if each.startswith("sir-") and each not in home.spots:
            raise Refused(
                "InvalidSpotInstanceRequestID.NotFound",
                f"The spot instance request ID '{each}' does not exist",
            )
    rest = [each for each in resource_ids if not each.startswith(("i-", "eni-", "sir-"))]
    return bool(_moto_exists(self, rest))


def _describe_images(self: AmisResponse) -> ActionResult:
    # moto is content if one of them exists
    images.known(self.ec2_backend, self._get_param("ImageIds", []))
    return _moto_images(self)


def _parameter(self: SimpleSystemManagerResponse) -> ActionResult:
    name = self._get_param("Name")
    if not name.startswith("/aws/service/"):
        return _moto_parameter(self)
    value = images.parameter(name, self.region)
    if value is None:
        raise ParameterNotFound(f"Parameter {name} not found.")
    found = {
        "Name": name,
        "Type": "String",
        "Value": value,
        "Version": 1,
        "LastModifiedDate": world.moment(),
        "ARN": f"arn:aws:ssm:{self.region}::parameter{name}",
        "DataType": "aws:ec2:image",
    }
    return ActionResult({"Parameter": found})


def _get_instance(self: InstanceBackend, instance_id: str) -> Machine:
    # found at once: moto looks through all instances of all reservations
    found: Machine | None = world.home(self).machines.get(instance_id)
    if found is None:
        words = f"The instance ID '{instance_id}' does not exist"
        raise Refused("InvalidInstanceID.NotFound", words)
    return found


def install() -> None:
    """After this, and before the first request, moto is the stand-in."""
    moto_instances.Instance = Machine
    InstanceBackend.get_instance = _get_instance
    EC2Backend.do_resources_exist = _exists
    AmiBackend._load_amis = images.load
    AmisResponse.describe_images = _describe_images
    InstanceResponse.run_instances = _run
    InstanceResponse.describe_instances = _describe
    InstanceResponse.start_instances = _changing(verbs.start)
    InstanceResponse.stop_instances = _changing(verbs.stop)
    InstanceResponse.terminate_instances = _changing(verbs.terminate)
    InstanceResponse.reboot_instances = _changing(verbs.reboot)
    SpotInstances.describe_spot_instance_requests = _describe_spots
    SpotInstances.cancel_spot_instance_requests = _cancel_spots
    TagResponse.create_tags = _tag
    SimpleSystemManagerResponse.get_parameter = _parameter

"""A thin EC2 in a process of its own: fast enough that a benchmark measures its client.

Usage: `_ec2_thin.py --delay 20 --jitter 20 --limits --rtt 0.03` prints its port on the first line
and ends with the process that started it. It answers the calls that vmops makes to EC2, STS and SSM
on one port, as moto does, but an operation takes `delay` plus up to `jitter` seconds, `ClientToken`
is honoured, and with `--limits` calls are refused as AWS publishes it. `GET /stats` tells as JSON
what was asked, what was refused and when each instance became running; `POST /reset` begins anew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from urllib.parse import parse_qsl
from uuid import uuid4

from _ec2_thin_cloud import VERBS, Cloud
from _ec2_thin_wire import ACCOUNT, Query, Refusal, answer

# Size and refill a second of the buckets in the EC2 developer guide, "Request throttling".
REQUESTS = {
    "RunInstances": (5, 2),
    "StartInstances": (5, 2),
    "StopInstances": (50, 5),
    "RebootInstances": (50, 5),
    "TerminateInstances": (100, 5),
    "CancelSpotInstanceRequests": (50, 5),
    "CreateTags": (100, 10),
    "DescribeImages": (100, 20),
    "DescribeInstances": (100, 20),
    "DescribeSpotInstanceRequests": (100, 20),
    "DescribeInstances, all": (50, 10),  # neither filtered nor in pages
}
INSTANCES = {
    "RunInstances": (1000, 2),
    "StartInstances": (1000, 2),
    "StopInstances": (1000, 20),
    "TerminateInstances": (1000, 20),
}
FORM, JSON = "text/xml;charset=UTF-8", "application/x-amz-json-1.1"


@dataclass(slots=True)
class Bucket:
    """A token bucket."""

    size: float
    refill: float
    at: float
    level: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.size

    def take(self, tokens: int, now: float) -> None:
        """The tokens, or the refusal that EC2 answers."""
        self.level = min(self.size, self.level + self.refill * (now - self.at))
        self.at = now
        if tokens > self.level:
            raise Refusal("RequestLimitExceeded", "Request limit exceeded.", 503)
        self.level -= tokens


class Service:
    """EC2, STS and SSM of one region, and the figures about them."""

    def __init__(self, options: argparse.Namespace, clock: Callable[[], float]) -> None:
        self._options, self._clock = options, clock
        self.reset()

    def reset(self) -> None:
        """Everything as at the start, the seed included."""
        options, now, chance = self._options, self._clock(), random.Random(self._options.seed)
        self._cloud = Cloud(
            options.region,
            self._clock,
            lambda: options.delay + chance.uniform(0, options.jitter),
            random.Random(options.seed),
        )
        self._requests = {name: Bucket(*sizes, now) for name, sizes in REQUESTS.items()}
        self._instances = {name: Bucket(*sizes, now) for name, sizes in INSTANCES.items()}
        self._calls: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._ec2: dict[str, Callable[[Query], str]] = {
            "RunInstances": self._cloud.run,
            "DescribeInstances": self._cloud.describe,
            "CreateTags": self._cloud.tag,
            "DescribeImages": _images,
            # whatever is asked for as spot becomes an instance at once: no request stays open
            "DescribeSpotInstanceRequests": lambda _: "<spotInstanceRequestSet/>",
            "CancelSpotInstanceRequests": lambda _: "<spotInstanceRequestSet/>",
            **dict.fromkeys(VERBS, self._cloud.change),
        }

    def answer(self, head: str, body: bytes) -> tuple[int, str, str]:
        """Status, content type and body for a request."""
        self._cloud.settle()
        if head.startswith("GET /stats "):
            return 200, JSON, json.dumps(self._stats())
        if head.startswith("POST /reset "):
            self.reset()
            return 200, JSON, "{}"
        if match := re.search(r"(?i)\r\nx-amz-target: *(\S+)", head):
            return self._json(match[1], json.loads(body))
        return self._form(Query(parse_qsl(body.decode(), keep_blank_values=True)))

    def _form(self, query: Query) -> tuple[int, str, str]:
        action = query["Action"]
        self._calls[action] += 1
        try:
            if action == "GetCallerIdentity":
                return 200, FORM, _identity()
            self._admit(query)
            return 200, FORM, answer(action, self._ec2[action](query))
        except Refusal as refusal:
            if refusal.status == 503:
                self._refused[action] += 1
            return refusal.status, FORM, refusal.xml()
        except KeyError as missing:
            return 400, FORM, Refusal("MissingParameter", f"It needs {missing}").xml()

    def _admit(self, query: Query) -> None:
        action = query["Action"]
        if action not in self._ec2:
            raise Refusal("InvalidAction", f"The action {action} is not valid for this endpoint.")
        if not self._options.limits:
            return
        alone = "MaxResults" not in query and "Filter.1.Name" not in query
        bucket = f"{action}, all" if action == "DescribeInstances" and alone else action
        self._requests[bucket].take(1, self._clock())
        if action in self._instances:
            self._instances[action].take(self._cloud.touches(query), self._clock())

    def _json(self, target: str, request: dict[str, str]) -> tuple[int, str, str]:
        action = target.partition(".")[2]
        self._calls[action] += 1
        name = request.get("Name", "")
        if action != "GetParameter" or not name.startswith("/aws/"):
            refusal = {"__type": "ParameterNotFound", "message": f"{target} {name}"}
            return 400, JSON, json.dumps(refusal)
        parameter = {
            "ARN": f"arn:aws:ssm:{self._options.region}::parameter{name}",
            "DataType": "aws:ec2:image",
            "LastModifiedDate": 1767225600.0,
            "Name": name,
            "Type": "String",
            "Value": f"ami-0{hashlib.sha256(name.encode()).hexdigest()[:16]}",
            "Version": 1,
        }
        return 200, JSON, json.dumps({"Parameter": parameter})

    def _stats(self) -> dict[str, object]:
        ready = self._cloud.ready
        return {
            "calls": self._calls,
            "refused": self._refused,
            "last_running": max(ready.values(), default=None),
            "ready": ready,  # seconds since 1970, as time.time() has them
            "cpu": time.process_time(),
        }


def _images(query: Query) -> str:
    items = [
        f"<item><imageId>{image}</imageId><imageLocation>amazon/{image}</imageLocation>"
        "<imageState>available</imageState><imageOwnerId>099720109477</imageOwnerId>"
        "<creationDate>2026-01-01T00:00:00.000Z</creationDate><isPublic>true</isPublic>"
        "<architecture>x86_64</architecture><imageType>machine</imageType>"
        f"<name>{image}</name><rootDeviceType>ebs</rootDeviceType>"
        "<rootDeviceName>/dev/sda1</rootDeviceName><blockDeviceMapping><item>"
        "<deviceName>/dev/sda1</deviceName><ebs><snapshotId>snap-0123456789abcdef0</snapshotId>"
        "<volumeSize>8</volumeSize><deleteOnTermination>true</deleteOnTermination>"
        "<volumeType>gp3</volumeType><encrypted>false</encrypted></ebs></item>"
        "</blockDeviceMapping><virtualizationType>hvm</virtualizationType>"
        "<hypervisor>xen</hypervisor><enaSupport>true</enaSupport></item>"
        for image in query.listed("ImageId")
    ]
    return f"<imagesSet>{''.join(items)}</imagesSet>"


def _identity() -> str:
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT}:user/bench</Arn>"
        f"<UserId>AIDAEXAMPLEEXAMPLE123</UserId><Account>{ACCOUNT}</Account>"
        f"</GetCallerIdentityResult><ResponseMetadata><RequestId>{uuid4()}</RequestId>"
        "</ResponseMetadata></GetCallerIdentityResponse>"
    )


class Connection(asyncio.Protocol):
    """One client's connection, kept alive for as long as the client likes."""

    def __init__(self, service: Service, rtt: float) -> None:
        self._service, self._rtt, self._received = service, rtt, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Each request that is complete is carried out, half a round trip after it was sent."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].decode("latin-1")
            length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < size:
                return
            body, self._received = self._received[end + 4 : size], self._received[size:]
            self._soon(partial(self._carry_out, head, body))

    def _carry_out(self, head: str, body: bytes) -> None:
        status, kind, text = self._service.answer(head, body)
        payload = text.encode()
        lines = (
            f"HTTP/1.1 {status} {'OK' if status == 200 else 'Refused'}\r\n"
            f"Date: {formatdate(usegmt=True)}\r\nServer: AmazonEC2\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        self._soon(partial(self._transport.write, lines.encode() + payload))

    def _soon(self, call: Callable[[], None]) -> None:
        if self._rtt:
            asyncio.get_running_loop().call_later(self._rtt / 2, call)
        else:
            call()


async def serve(options: argparse.Namespace) -> None:
    """Answers for as long as the process lives that started this one."""
    parent, service = os.getppid(), Service(options, time.time)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(service, options.rtt), "127.0.0.1", options.port, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    while os.getppid() == parent:  # noqa: ASYNC110 - a parent's death sets no event
        await asyncio.sleep(0.2)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--region", default="eu-west-1")
    parser.add_argument("--delay", type=float, default=0, help="seconds an operation takes")
    parser.add_argument("--jitter", type=float, default=0, help="and up to so many more")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rtt", type=float, default=0, help="seconds of a round trip")
    parser.add_argument("--limits", action="store_true", help="refuse as AWS publishes it")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

"""One boto3 session per connection and its clients: one attempt each, in bounded time.

There is one retry layer, the core's; botocore would retry a lack of capacity (an HTTP 500) and burn
the two RunInstances a second that EC2 allows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Final

from vmops_aws.errors import NotEc2Error
from vmops_aws.models import loader, timestamp
from vmops_aws.settings import AwsSettings

__all__ = ["Clients", "chunks"]

_CONNECT_TIMEOUT: Final = 5
_READ_TIMEOUT: Final = 20
_CONNECTIONS: Final = 25
_PAGE: Final = 1000
_VALUES: Final = 190
"""Values in a part of a long filter: EC2 takes 200 a call, those of its other filters included."""

Filters = Mapping[str, Sequence[str]]


class Clients:
    """EC2, STS and SSM for one connection.

    Args:
        settings: Which profile and region, and where the services are.
    """

    def __init__(self, settings: AwsSettings) -> None:
        """Import nothing yet."""
        self._settings = settings
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}

    def call(self, operation: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401  (SDK values)
        """The answer to one call to EC2, which carries EC2's request id.

        Raises:
            NotEc2Error: Something answered, but not EC2.
        """
        answer: dict[str, Any] = getattr(self.of("ec2"), operation)(**request)
        if not answer.get("ResponseMetadata", {}).get("RequestId"):
            raise NotEc2Error(
                f"aws: {operation}: the answer is not EC2's (a proxy's, or a cut one);"
                " whether EC2 was reached is unknown"
            )
        return answer

    def pages(self, operation: str, key: str, filters: Filters) -> Iterator[dict[str, Any]]:
        """All items of a description, page by page."""
        named = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
        more: dict[str, str] = {}
        while True:
            answer = self.call(operation, Filters=named, MaxResults=_PAGE, **more)
            if key not in answer:
                raise NotEc2Error(f"aws: {operation}: the answer is cut: it has no {key}")
            yield from answer[key]
            if not answer.get("NextToken"):
                return
            more = {"NextToken": answer["NextToken"]}

    def identity(self) -> tuple[str, float]:
        """The account of these credentials, and AWS's own clock in epoch seconds."""
        sts = self.of("sts")
        try:
            answer = sts.get_caller_identity()
            account, date = answer["Account"], answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        except KeyError as exc:  # botocore's own, too: its parser meets a proxy's page with one
            raise NotEc2Error("aws: get_caller_identity: the answer is not STS's") from exc
        return account, parsedate_to_datetime(date).timestamp()

    def of(self, service: str) -> Any:  # noqa: ANN401  (boto3 makes its classes at run time)
        """The client of a service, made once: threads may share clients, but not sessions."""
        client = self._made.get(service)
        if client is None:
            with self._lock:
                client = self._made.get(service) or self._make(service)
                self._made[service] = client
        return client

    def close(self) -> None:
        """Let go of all sockets."""
        with self._lock:
            for client in self._made.values():
                client.close()
            self._made.clear()

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401
        import botocore.session
        from boto3.session import Session

        session = botocore.session.Session(profile=self._settings.profile)
        session.register_component("data_loader", loader())
        parsers = session.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=timestamp)
        return Session(region_name=self._settings.region, botocore_session=session)

    def _make(self, service: str) -> Any:  # noqa: ANN401
        from botocore.config import Config

        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=_CONNECT_TIMEOUT,
            read_timeout=_READ_TIMEOUT,
            max_pool_connections=_CONNECTIONS,
            parameter_validation=False,  # what is sent was checked before; EC2 checks it again
            user_agent_extra="vmops",
        )
        return self._session.client(
            service, endpoint_url=self._settings.endpoint_url, config=config
        )


def chunks(values: Sequence[str], size: int = _VALUES) -> Iterator[Sequence[str]]:
    """The values in parts that one filter takes."""
    for start in range(0, len(values), size):
        yield values[start : start + size]

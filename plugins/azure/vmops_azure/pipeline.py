"""The SDK's client as vmops wants it: credentials, endpoint, and a pipeline that sends once.

The SDK's own pipeline retries, follows redirects, sleeps while it registers providers, and reads
`Retry-After` as a whole number after the request was accepted. This one does none of that.
"""

from __future__ import annotations

import time
from math import ceil
from typing import Any, Final, TypeVar

from vmops import retry_after
from vmops_azure.settings import AzureSettings

__all__ = ["endpoint", "made"]

T = TypeVar("T")

_CONNECTIONS: Final = 32
_ENDPOINTS: Final = {
    "public": "https://management.azure.com",
    "usgov": "https://management.usgovcloudapi.net",
    "china": "https://management.chinacloudapi.cn",
}


def endpoint(settings: AzureSettings) -> str:
    """Where requests go: scheme, host and port."""
    return settings.endpoint_url or _ENDPOINTS[settings.cloud]


def made(settings: AzureSettings) -> Any:  # noqa: ANN401  (the SDK is imported lazily)
    """A ComputeManagementClient, signed in by azure-identity's default chain."""
    from azure.core.pipeline import policies
    from azure.core.pipeline.transport import RequestsTransport
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
    from azure.mgmt.core.tools import get_arm_endpoints

    credential = _credential(settings)
    scopes = get_arm_endpoints(_cloud(settings))["credential_scopes"]
    return ComputeManagementClient(
        credential,
        settings.subscription,
        base_url=endpoint(settings),
        transport=RequestsTransport(session=_session()),
        policies=[
            policies.RequestIdPolicy(),
            policies.UserAgentPolicy("vmops"),
            policies.ProxyPolicy(),
            policies.ContentDecodePolicy(),
            ARMChallengeAuthenticationPolicy(credential, *scopes),
            policies.CustomHookPolicy(),
            _whole_retry_after(),
        ],
    )


def _credential(settings: AzureSettings) -> Any:  # noqa: ANN401
    from azure.identity import AzureAuthorityHosts, DefaultAzureCredential

    authority = {
        "public": AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
        "usgov": AzureAuthorityHosts.AZURE_GOVERNMENT,
        "china": AzureAuthorityHosts.AZURE_CHINA,
    }[settings.cloud]
    return DefaultAzureCredential(authority=authority)


def _cloud(settings: AzureSettings) -> Any:  # noqa: ANN401
    from azure.core import AzureClouds

    return {
        "public": AzureClouds.AZURE_PUBLIC_CLOUD,
        "usgov": AzureClouds.AZURE_US_GOVERNMENT,
        "china": AzureClouds.AZURE_CHINA_CLOUD,
    }[settings.cloud]


def _session() -> Any:  # noqa: ANN401
    from requests import Session
    from requests.adapters import HTTPAdapter

    session = Session()
    session.auth = _as_it_is  # else a ~/.netrc would take the place of the bearer token
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS))
    return session


def _as_it_is(request: T) -> T:
    return request


def _whole_retry_after() -> Any:  # noqa: ANN401
    """A policy: the SDK reads this header as an int, after the request was accepted."""
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class WholeRetryAfter(SansIOHTTPPolicy[Any, Any]):
        """Rounds up what is no whole number of seconds."""

        def on_response(self, request: Any, response: Any) -> None:  # noqa: ANN401, ARG002
            headers = response.http_response.headers
            after = headers.get("Retry-After")
            if after is not None and not after.isdigit():
                headers["Retry-After"] = str(ceil(retry_after(after, time.time()) or 0.0))

    return WholeRetryAfter()

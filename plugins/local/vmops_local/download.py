"""Fetching a large file over https while hashing it, with every redirect held to https.

`urllib.request` with only the handlers named here: its default opener would follow a redirect to
http or ftp and would open `file:` URLs.

A network that fails is no TransientError here: after one, a verb's outcome would count as unknown,
but an image is fetched before anything of a VM is made.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
from pathlib import Path
from typing import Any
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from vmops.errors import (
    AuthError,
    CloudError,
    InvalidRequest,
    QuotaExceeded,
)

__all__ = ["download"]

_BLOCK = 1 << 20
_SILENCE_SECONDS = 60.0
_SERVER_FAULT = 500
_STATUS_ERRORS: dict[int, type[CloudError]] = {
    401: AuthError,
    403: AuthError,
    429: CloudError,
}


def download(url: str, target: Path, *, max_bytes: int, ca_file: Path | None = None) -> str:
    """Write what the URL gives to `target` and return its sha256 in hexadecimal digits.

    Args:
        url: An https URL; only its host appears in errors, for the rest may hold a token.
        target: The file; replaced if it exists. The caller removes it after an error.
        max_bytes: The most that is accepted.
        ca_file: Certificates (PEM) to trust instead of the system's.

    Raises:
        AuthError: The server wants credentials, or its certificate is not trusted.
        InvalidRequest: There is no such file, it is larger than `max_bytes`, or a redirect leads
            away from https.
        QuotaExceeded: The disk is full.
        CloudError: The network or the server failed (code `Download` or `HTTP5..`).
    """
    host = urlsplit(url).hostname or ""
    try:
        with _opener(ca_file).open(url, timeout=_SILENCE_SECONDS) as response:
            return _save(response, target, host, max_bytes)
    except HTTPError as exc:
        with exc:
            raise _refused(host, exc.code) from exc
    except URLError as exc:
        if isinstance(exc.reason, ssl.SSLCertVerificationError):
            message = f"{host}: its certificate is not trusted ({exc.reason.verify_message})"
            hint = "if it is your own server, set caFile to its CA certificate"
            raise AuthError(message, provider_code="Certificate", hint=hint) from exc
        raise _no_answer(host, exc.reason) from exc
    except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as exc:
        raise _no_answer(host, exc) from exc


def _save(response: Any, target: Path, host: str, max_bytes: int) -> str:  # noqa: ANN401  (urllib's)
    announced = response.headers.get("Content-Length")
    expected = int(announced) if announced and announced.isdecimal() else None
    if expected is not None and expected > max_bytes:
        raise _too_large(host, max_bytes)
    digest = hashlib.sha256()
    received = 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while block := response.read(_BLOCK):
            received += len(block)
            if received > max_bytes:
                raise _too_large(host, max_bytes)
            digest.update(block)
            _write(file.write, block, target)
        file.flush()
        os.fsync(descriptor)
    if expected is not None and received != expected:
        raise _no_answer(host, f"{received} of {expected} bytes came")
    return digest.hexdigest()


def _write(write: Any, block: bytes, target: Path) -> None:  # noqa: ANN401  (a file's method)
    try:
        write(block)
    except OSError as exc:
        message = f"{target.parent}: the image cannot be written ({exc.strerror})"
        hint = "make room there, or set cacheDir to a larger disk"
        raise QuotaExceeded(message, provider_code="DiskFull", hint=hint) from exc


class _HttpsOnly(request.HTTPRedirectHandler):
    """Follows redirects to https URLs, and no other ones."""

    def redirect_request(  # noqa: PLR0913, PLR0917  (the base class's signature)
        self,
        req: request.Request,
        fp: Any,  # noqa: ANN401
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> request.Request | None:
        parts = urlsplit(newurl)
        if parts.scheme != "https" or parts.username is not None:
            host = urlsplit(req.full_url).hostname or ""
            message = f"{host}: it redirects to {parts.scheme[:20]!r} on {parts.hostname!r}"
            hint = "give the final https URL"
            raise InvalidRequest(message, provider_code="Redirect", hint=hint)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(ca_file: Path | None) -> request.OpenerDirector:
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPSHandler(context=_tls(ca_file)),
        _HttpsOnly(),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "vmops"), ("Accept-Encoding", "identity")]
    return opener


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as exc:
        message = f"caFile {str(ca_file)!r}: cannot be read as PEM certificates"
        raise InvalidRequest(message, hint="give the CA's certificate in PEM format") from exc


def _too_large(host: str, max_bytes: int) -> InvalidRequest:
    message = f"image from {host}: it is larger than {max_bytes} bytes"
    return InvalidRequest(message, provider_code="TooLarge", hint="give a smaller image")


def _refused(host: str, status: int) -> CloudError:
    kind = _STATUS_ERRORS.get(status, CloudError if status >= _SERVER_FAULT else InvalidRequest)
    message = f"image from {host}: the server answered {status}"
    return kind(message, provider_code=f"HTTP{status}", hint="check the image's URL")


def _no_answer(host: str, reason: object) -> CloudError:
    message = f"image from {host}: the download failed ({reason})"
    return CloudError(message, provider_code="Download", hint="check the network and repeat")

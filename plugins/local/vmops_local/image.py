"""`image=`: the user's own disk image, by path or https URL, checked before QEMU sees it.

A URL needs a sha256 and is fetched once into the cache; nothing is ever written to an image, every
VM gets an overlay of its own.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vmops.errors import InvalidParams, InvalidRequest, Problem
from vmops_local.disk_format import ImageFacts, inspect
from vmops_local.files import exclusive, private_folder

__all__ = ["MAX_IMAGE_BYTES", "LocalImage", "check_image_params", "obtain_image"]

MAX_IMAGE_BYTES = 64 << 30
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image on this machine that may be given to QEMU as the base of an overlay.

    Args:
        path: Its absolute path, without symbolic links.
        facts: Its format and size, by its own header.
    """

    path: Path
    facts: ImageFacts


def check_image_params(image: str, sha256: str) -> None:
    """Refuse what can be refused without a look at file or network.

    Raises:
        InvalidParams: With every problem of `image` and `imageSha256`.
    """
    problems: list[Problem] = []
    if sha256 and not _SHA256.match(sha256.lower()):
        problems.append(Problem("imageSha256", "give 64 hexadecimal digits, as sha256sum prints"))
    if "://" in image:
        problems.extend(_url_problems(image))
        if not sha256:
            problems.append(Problem("imageSha256", "an image from a URL needs its sha256"))
    elif not image.startswith("/") or "\0" in image:
        shown = image[:80]
        problems.append(Problem("image", f"{shown!r}: give an absolute path or an https:// URL"))
    if problems:
        raise InvalidParams(*problems)


def obtain_image(
    image: str,
    sha256: str,
    cache: Path,
    *,
    ca_file: Path | None = None,
    max_bytes: int = MAX_IMAGE_BYTES,
) -> LocalImage:
    """The image as a checked file on this machine; a URL is fetched unless the cache holds it.

    Args:
        image: An absolute path or an https URL.
        sha256: What the file must hash to; may be empty for a path.
        cache: The folder for fetched images; made with mode 0700 if missing.
        ca_file: Certificates (PEM) to trust instead of the system's.
        max_bytes: The largest download that is accepted.

    Raises:
        InvalidParams: The parameters contradict the rules of `check_image_params`.
        InvalidRequest: The image is not what its sha256 says, or is no image QEMU may be given.
        AuthError: The server wants credentials.
        CloudError: The server or the network failed (code `Download` or `HTTP5..`).
    """
    check_image_params(image, sha256)
    digest = sha256.lower()
    if "://" in image:
        path = _fetched(image, digest, cache, ca_file, max_bytes)
    else:
        path = Path(os.path.realpath(image))
    facts = inspect(path)
    if digest and "://" not in image:
        _require_digest(path, digest)
    return LocalImage(path, facts)


def _url_problems(url: str) -> list[Problem]:
    problem = ""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises for a port that is no number)
    except ValueError as exc:
        return [Problem("image", f"it is not a URL ({exc})")]
    if parts.scheme != "https":
        problem = f"{parts.scheme[:20]!r} URLs are not fetched; give an https URL or a path"
    elif not parts.hostname:
        problem = "the URL names no host"
    elif parts.username is not None or parts.password is not None:
        problem = "a URL must not hold a user name or password"
    elif not url.isascii() or not url.isprintable() or " " in url:
        problem = "the URL holds characters that must be percent-encoded"
    return [Problem("image", problem)] if problem else []


def _fetched(url: str, digest: str, cache: Path, ca_file: Path | None, max_bytes: int) -> Path:
    from vmops_local.download import download

    folder = private_folder(cache / "images")
    final, part = folder / f"{digest}.img", folder / f"{digest}.part"
    if final.exists():
        return final
    with exclusive(folder / f"{digest}.lock"):
        if final.exists():  # another process was faster
            return final
        try:
            found = download(url, part, max_bytes=max_bytes, ca_file=ca_file)
            _compare(urlsplit(url).hostname or "", found, digest)
            inspect(part)
            part.chmod(0o400)
            part.replace(final)
        finally:
            part.unlink(missing_ok=True)
    return final


def _require_digest(path: Path, digest: str) -> None:
    with path.open("rb") as file:
        found = hash_stream(file.read)
    _compare(str(path), found, digest)


def hash_stream(read: Callable[[int], bytes]) -> str:
    """The sha256, in hexadecimal digits, of all that `read` gives."""
    digest = hashlib.sha256()
    while block := read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _compare(where: str, found: str, wanted: str) -> None:
    if found != wanted:
        message = f"image from {where[:200]!r}: its sha256 is {found}, imageSha256 says {wanted}"
        hint = "check both: the file may be damaged, replaced, or a newer release"
        raise InvalidRequest(message, provider_code="Sha256Mismatch", hint=hint)

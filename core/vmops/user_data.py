"""What a cloud's guest is given at its first boot: an SSH key and cloud-init's user data.

The checks return the value and raise ValueError without naming a parameter, so they are validators
of a pydantic field as they are: `Annotated[str, AfterValidator(check_ssh_public_key)]`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

__all__ = ["check_ssh_public_key", "check_user_data", "merged_user_data"]

_KEY_TYPES = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")
_MIME_STARTS = ("Content-Type:", "MIME-Version:")
_STARTS = (
    "#cloud-config",
    "#!",
    "#include",
    "#part-handler",
    "#cloud-boothook",
    "## template: jinja",
    *_MIME_STARTS,
)
_MERGE_HOW = "list(append)+dict(no_replace,recurse_list)+str()"


def check_ssh_public_key(key: str) -> str:
    """The key without the white space around it, if a guest could understand it.

    Args:
        key: One line as in an `id_ed25519.pub`, or empty.

    Raises:
        ValueError: It is no such line.
    """
    key = key.strip()
    if key and (not key.isprintable() or " " not in key):  # a line break is not printable
        raise ValueError("it is not one line of the form `ssh-ed25519 AAAA... comment`")
    if key and not key.startswith(_KEY_TYPES):
        kind = key.split()[0][:30]
        raise ValueError(f"{kind!r} is no type of key; give the content of the .pub file")
    return key


def check_user_data(text: str, *, script_only: bool = False, most: int = 1 << 20) -> str:
    """The user data, if a guest could understand it.

    Args:
        text: What cloud-init takes, or empty.
        script_only: Whether the guest runs scripts only, not all that cloud-init takes.
        most: The most bytes of UTF-8 it may have. A cloud's limit is for what is sent to it, so
            check what `merged_user_data` returns, too.

    Raises:
        ValueError: With all that is wrong; the user data itself is never shown.
    """
    problems = []
    starts = ("#!",) if script_only else _STARTS
    if text and not text.startswith(starts):
        problems.append(f"it must begin with one of {', '.join(starts)}")
    # an error of encode() would hold the whole text
    if re.search("[\ud800-\udfff]", text):
        problems.append("it has a lone surrogate, which is no character; give text as in UTF-8")
    size = len(text.encode(errors="surrogatepass"))
    if size > most:
        problems.append(f"it has {size} bytes, and {most} are the most; have it fetch the rest")
    if problems:
        raise ValueError("; ".join(problems))
    return text


def merged_user_data(config: Mapping[str, Any], user_data: str = "") -> str:
    """One user data for cloud-init: the caller's own, and our cloud-config after it.

    The same arguments give the same bytes, in any process: a create that is sent again must be
    identical. Nothing in the arguments can end the part that it stands in. Our lists are appended
    to the caller's; where both give one scalar, the caller's stands.

    Args:
        config: Our cloud-config, of what JSON can hold; empty for none.
        user_data: Checked by `check_user_data`; empty for none.
    """
    if not config:
        return user_data
    ours = "#cloud-config\n" + _json({"merge_how": _MERGE_HOW, **config})
    if not user_data:
        return ours
    # of a text/plain part, cloud-init reads the kind from its first line
    is_mime = user_data.startswith(_MIME_STARTS)
    theirs = user_data if is_mime else _part("plain", user_data)
    return _multipart(theirs, _part("cloud-config", ours))


def _json(config: Mapping[str, Any]) -> str:
    """JSON that is YAML, too: nothing in a value can break out of its quotes.

    YAML reads JSON's pair of escapes for a character beyond U+FFFF as two broken ones, so those
    stand as they are. Of the others, some are line breaks to YAML, so they are escaped.
    """
    text = json.dumps(config, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return re.sub("[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _part(kind: str, text: str) -> str:
    """Text as a MIME part in base64, in which no line is a boundary."""
    body = base64.encodebytes(text.encode()).decode()
    head = f'Content-Type: text/{kind}; charset="utf-8"\nContent-Transfer-Encoding: base64'
    return f"{head}\nMIME-Version: 1.0\n\n{body}"


def _multipart(*parts: str) -> str:
    """The parts as one MIME message; written here, as Python's writer draws boundaries by chance.

    A caller's own message is one of the parts as it is, and may hold any line.
    """
    whole = "".join(parts)
    boundary = sha256(whole.encode()).hexdigest()
    while boundary in whole:
        boundary = sha256(boundary.encode()).hexdigest()
    head = f'Content-Type: multipart/mixed; boundary="{boundary}"\nMIME-Version: 1.0\n'
    body = "".join(f"\n--{boundary}\n{part}" for part in parts)
    return f"{head}{body}\n--{boundary}--\n"

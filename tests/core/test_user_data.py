"""User data: refused without being shown, merged so that nothing breaks out, always the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from email import message_from_bytes, message_from_string
from email.message import Message
from typing import Annotated, Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, SecretStr, field_validator, model_validator

from vmops import (
    Params,
    Settings,
    check_ssh_public_key,
    check_user_data,
    merged_user_data,
    user_data,
)
from vmops.binding import Binder
from vmops.errors import InvalidParams

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK me@host"
CONFIG = {"ssh_authorized_keys": [KEY], "runcmd": [["ours"]]}
THEIR_MIME = (
    'Content-Type: multipart/mixed; boundary="x"\nMIME-Version: 1.0\n\n'
    "--x\nContent-Type: text/x-shellscript\n\n#!/bin/sh\ntrue\n--x--\n"
)


def leaves(message: Message) -> list[tuple[str, str]]:
    """Content type and text of every part that holds no others, in order."""

    def content(part: Message) -> str:
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        return payload.decode()

    return [(p.get_content_type(), content(p)) for p in message.walk() if not p.is_multipart()]


def parts_of(text: str) -> list[tuple[str, str]]:
    """The parts of a MIME message, which are the same from text and from bytes."""
    found = leaves(message_from_string(text))
    assert leaves(message_from_bytes(text.encode())) == found
    return found


def config_of(text: str) -> dict[str, Any]:
    """The cloud-config that a part holds, without the rule for merging it."""
    first, _, rest = text.partition("\n")
    assert first == "#cloud-config"
    parsed: dict[str, Any] = json.loads(rest)
    assert parsed.pop("merge_how") == "list(append)+dict(no_replace,recurse_list)+str()"
    return parsed


class Machine(Params):
    """Params that use both checks as a plugin may: on one field, and on the whole."""

    ssh_public_key: Annotated[str, AfterValidator(check_ssh_public_key)] = ""
    user_data: SecretStr = SecretStr("")
    startup_script: SecretStr = SecretStr("")

    @field_validator("startup_script")
    @classmethod
    def _script(cls, value: SecretStr) -> SecretStr:
        check_user_data(value.get_secret_value(), script_only=True)
        return value

    @model_validator(mode="after")
    def _sent(self) -> Self:
        check_user_data(merged_user_data(CONFIG, self.user_data.get_secret_value()), most=2000)
        return self


@pytest.mark.parametrize(
    "key",
    [
        f"{KEY}\n{KEY}",
        f"{KEY}\r{KEY}",
        f"{KEY}\u2028{KEY}",
        "-----BEGIN OPENSSH PRIVATE KEY----- x",
        "ssh-ed25519",
        "ssh-ed25519 AAAA\x07 x",
        "ssh-ed25519 AAAA\x00",
        'command="rm" ssh-ed25519 AAAA',
    ],
)
def test_a_key_no_guest_understands_is_refused(key: str) -> None:
    """A key is one printable line that begins with a known type, so it can start no second line."""
    with pytest.raises(ValueError, match=r"\.pub file|one line"):
        check_ssh_public_key(key)


@pytest.mark.parametrize(
    "key", ["", KEY, "sk-ssh-ed25519@openssh.com A", "ecdsa-sha2-nistp256 A x"]
)
def test_a_good_key_is_returned_bare(key: str) -> None:
    """A .pub file's line is taken with its newline, and returned without it."""
    assert check_ssh_public_key(f" {key}\n") == key


@pytest.mark.parametrize(
    ("text", "script_only", "named"),
    [
        ("s3cret without a kind", False, "must begin with one of #cloud-config, #!,"),
        (" #!/bin/sh s3cret", False, "must begin with"),
        ("#cloud-config\n{}  s3cret", True, "must begin with one of #!"),
        ("#!s3cret" + 13 * "é", False, "it has 34 bytes, and 33 are the most"),
        ("#!s3cret\udc80", False, "lone surrogate"),
    ],
)
def test_user_data_no_guest_understands_is_refused(
    text: str, script_only: bool, named: str
) -> None:
    """The error says what is wrong, and neither it nor what led to it holds the user data."""
    with pytest.raises(ValueError, match=named) as caught:
        check_user_data(text, script_only=script_only, most=33)
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__context__ is None


def test_all_that_is_wrong_with_user_data_is_one_error() -> None:
    """Two problems are one ValueError that says both."""
    with pytest.raises(ValueError, match=r"must begin with .*; it has 2 bytes"):
        check_user_data("no", most=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#!/bin/sh\n",
        "#cloud-config\n",
        "#include\nhttps://x",
        "## template: jinja\n",
        THEIR_MIME,
    ],
)
def test_all_that_cloud_init_takes_is_returned_as_it_is(text: str) -> None:
    """Every kind of user data passes, and so does what it is merged to, up to the last byte."""
    assert check_user_data(text) == text
    merged = merged_user_data(CONFIG, text)
    assert check_user_data(merged, most=len(merged.encode())) == merged


def test_pydantic_takes_the_checks_as_validators() -> None:
    """In a plugin's Params the problems name their parameters, all at once, and tell no secret."""
    binder = Binder("cloud", Settings, Machine)
    bad = {"sshPublicKey": "x", "startupScript": "s3cret"}
    with pytest.raises(InvalidParams) as caught:
        binder.bind({"vmName": "a", **bad})
    assert {p.param for p in caught.value.problems} == {"sshPublicKey", "startupScript"}
    assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidParams, match="2000 are the most") as caught:
        binder.bind({"vmName": "a", "userData": "#!" + "s3cret" * 300})
    assert "s3cret" not in str(caught.value)
    assert Machine(ssh_public_key=f"{KEY}\n").ssh_public_key == KEY


def test_what_needs_no_merging_is_left_alone() -> None:
    """Nothing makes nothing, user data alone stays unchanged, and ours alone is no MIME."""
    assert merged_user_data({}) == ""
    assert merged_user_data({}, THEIR_MIME) == THEIR_MIME
    assert config_of(merged_user_data(CONFIG)) == CONFIG


@pytest.mark.parametrize("theirs", ["#!/bin/sh\r\necho 'wörd'", "#cloud-config\nruncmd: [ls]\n"])
def test_their_user_data_comes_first_and_unchanged(theirs: str) -> None:
    """Two parts: the caller's, whose first line tells its kind, and our cloud-config after it."""
    (their_type, their_text), (our_type, our_text) = parts_of(merged_user_data(CONFIG, theirs))
    assert (their_type, their_text) == ("text/plain", theirs)
    assert our_type == "text/cloud-config"
    assert config_of(our_text) == CONFIG


@pytest.mark.parametrize(
    "theirs",
    [
        THEIR_MIME,
        THEIR_MIME.replace("\n", "\r\n"),
        THEIR_MIME.removesuffix("--x--\n"),
        THEIR_MIME.replace('"x"', '""').replace("--x", "--"),
        merged_user_data({"runcmd": ["inner"]}, "#!/bin/sh\ntrue\n"),
    ],
    ids=["mime", "crlf", "unclosed", "empty boundary", "merged before"],
)
def test_user_data_that_is_mime_keeps_its_parts(theirs: str) -> None:
    """A caller's own multipart message is nested as it is, not taken for text."""
    whole = merged_user_data(CONFIG, theirs)
    assert theirs in whole
    *before, (our_type, our_text) = parts_of(whole)
    assert [text.rstrip() for _, text in before] == [t.rstrip() for _, t in parts_of(theirs)]
    assert our_type == "text/cloud-config"
    assert config_of(our_text) == CONFIG


def test_the_same_arguments_give_the_same_bytes() -> None:
    """Another process, which hashes text otherwise, and another order of keys change no byte."""
    program = (
        "import sys, json, vmops; print(vmops.merged_user_data(*json.load(sys.stdin)), end='')"
    )

    def elsewhere(theirs: str, hash_seed: str) -> str:
        given = json.dumps([dict(reversed(CONFIG.items())), theirs])
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", program]
        return subprocess.run(
            command, input=given, env=env, capture_output=True, text=True, check=True
        ).stdout

    for theirs in ("", "#!/bin/sh\n", THEIR_MIME.replace('"x"', '""')):
        expected = merged_user_data(CONFIG, theirs)
        assert [elsewhere(theirs, seed) for seed in "12"] == [expected, expected]


def test_other_arguments_give_another_boundary() -> None:
    """The boundary comes from all of the content: one message tells nothing of another's."""
    texts = [
        merged_user_data(config, theirs)
        for config in (CONFIG, {"runcmd": []})
        for theirs in ("#!a", "#!b", THEIR_MIME)
    ]
    assert len({message_from_string(text).get_boundary() for text in texts}) == len(texts)


def test_a_boundary_that_the_content_holds_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the hash is in the caller's message, the next one is taken, and no part is cut."""

    class Known:
        """A hash that an attacker could foresee, twice."""

        left = ["taken", "taken-too", "free"]

        def hexdigest(self) -> str:
            return self.left.pop(0)

    hostile = THEIR_MIME.replace("true", "--taken\n--taken-too\n\n#cloud-config\n--taken--")
    monkeypatch.setattr(user_data, "sha256", lambda _: Known())
    whole = merged_user_data(CONFIG, hostile)
    assert message_from_string(whole).get_boundary() == "free"
    (_, script), (_, ours) = parts_of(whole)
    assert script == "#!/bin/sh\n--taken\n--taken-too\n\n#cloud-config\n--taken--"
    assert config_of(ours) == CONFIG


def test_a_boundary_from_an_earlier_message_is_harmless() -> None:
    """User data that copies the delimiters it got the last time is text like any other."""
    first = merged_user_data(CONFIG, "#!/bin/sh\n")
    boundary = message_from_string(first).get_boundary()
    forged = f"#!/bin/sh\n--{boundary}\nContent-Type: text/cloud-config\n\n{{}}\n--{boundary}--\n"
    (_, theirs), (_, ours) = parts_of(merged_user_data(CONFIG, forged))
    assert (theirs, config_of(ours)) == (forged, CONFIG)
    nested = THEIR_MIME.replace("true", f"--{boundary}--\n{forged}")
    assert len(parts_of(merged_user_data(CONFIG, nested))) == 2


@given(key=st.text(), theirs=st.text())
def test_no_value_breaks_out(key: str, theirs: str) -> None:
    """Whatever a value in our config or the caller's script holds is read back as that value."""
    config = {"ssh_authorized_keys": [key], key: {"nested": key}}
    (_, script), (_, ours) = parts_of(merged_user_data(config, f"#!{theirs}"))
    assert script == f"#!{theirs}"
    assert config_of(ours) == config
    assert config_of(merged_user_data(config)) == config


def test_our_json_is_yaml() -> None:
    """YAML's line breaks and controls are escaped; what needs two escapes in JSON has none."""
    text = merged_user_data({"a": 'q" \\ # : \n\t \x7f \x85 \u2028 é \ufeff \U0001f600'})
    assert config_of(text)["a"] == 'q" \\ # : \n\t \x7f \x85 \u2028 é \ufeff \U0001f600'
    assert [c for c in text if c != "\n" and not c.isascii()] == ["\U0001f600"]
    assert "\x7f" not in text
    with pytest.raises(ValueError, match="JSON"):
        merged_user_data({"a": float("nan")})

"""The seeds that tell a guest who it is, read back by readers that are not ours."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pycdlib
import pytest

from vmops.errors import InvalidParams
from vmops_local.seed import (
    Identity,
    check_identity,
    cloud_user_data,
    write_cloud_seed,
    write_linux_seed,
)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK me@host"
SECRET = "#!/bin/sh\necho 'pa\"ss: wörd'\n"


def config_of(text: str) -> dict[str, object]:
    """The cloud-config that a part holds."""
    first, _, rest = text.partition("\n")
    assert first == "#cloud-config"
    parsed: dict[str, object] = json.loads(rest)
    return parsed


def parts_of(text: str) -> list[tuple[str, str]]:
    """Content type and text of every part of a MIME message, in order."""

    def content(part: Message) -> str:
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        return payload.decode()

    walked = message_from_string(text).walk()
    return [(p.get_content_type(), content(p)) for p in walked if not p.is_multipart()]


def test_a_cloud_seed_is_a_nocloud_volume(tmp_path: Path) -> None:
    """The volume is called cidata and holds user-data and meta-data under their real names."""
    seed = tmp_path / "seed.iso"
    write_cloud_seed(seed, Identity("web-1", "uuid-1", KEY))
    assert seed.stat().st_mode & 0o777 == 0o600
    iso = pycdlib.PyCdlib()
    iso.open(str(seed))
    found = {}
    for kind in ("rr_path", "joliet_path"):
        for name in ("user-data", "meta-data"):
            out = io.BytesIO()
            iso.get_file_from_iso_fp(out, **{kind: f"/{name}"})
            found[kind, name] = out.getvalue().decode()
    assert iso.pvd.volume_identifier.strip() == b"cidata"
    iso.close()
    for kind in ("rr_path", "joliet_path"):
        meta = json.loads(found[kind, "meta-data"])
        assert meta == {"instance-id": "uuid-1", "local-hostname": "web-1"}
        assert config_of(found[kind, "user-data"])["ssh_authorized_keys"] == [KEY]


def test_the_key_is_authorised_for_both_accounts() -> None:
    """The image's default account and ours, with sudo, take the key; without a key neither does."""
    config = config_of(cloud_user_data(Identity("a", "b", f"{KEY}\n")))
    default, ours = config["users"]  # type: ignore[misc]
    assert default == "default"
    assert ours["name"] == "vmops"
    assert ours["ssh_authorized_keys"] == config["ssh_authorized_keys"] == [KEY]
    assert "ssh_authorized_keys" not in json.dumps(config_of(cloud_user_data(Identity("a", "b"))))


@pytest.mark.parametrize("theirs", [SECRET, "#cloud-config\nruncmd: [ls]\n", "#include\nhttps://x"])
def test_user_data_is_passed_on_unchanged_and_first(theirs: str) -> None:
    """The caller's part comes first and unchanged; ours is appended to its lists."""
    whole = cloud_user_data(Identity("a", "b", KEY, theirs))
    (their_type, their_text), (our_type, our_text) = parts_of(whole)
    assert (their_type, their_text) == ("text/plain", theirs)
    assert our_type == "text/cloud-config"
    assert "list(append)" in str(config_of(our_text)["merge_how"])


def test_ready_is_printed_in_every_boot(tmp_path: Path) -> None:
    """The first boot's READY comes from runcmd, every later one from the per-boot script."""
    config = config_of(cloud_user_data(Identity("a", "b")))
    (script,) = config["write_files"]  # type: ignore[misc]
    assert "/scripts/per-boot/" in script["path"]
    assert config["runcmd"] == [[script["path"], "first"]]
    state, serial = tmp_path / "state", tmp_path / "serial"
    text = (
        script["content"].replace("/var/lib/vmops", str(state)).replace("/dev/ttyS0", str(serial))
    )
    text = text.replace(f">{serial}", f">>{serial}").replace("/etc/ssh/", str(tmp_path))
    for argument in ([], ["first"], [], []):  # per-boot comes before runcmd in the first boot
        subprocess.run(["/bin/sh", "-c", text, "vmops-ready", *argument], check=True)
    lines = serial.read_text().splitlines()
    assert lines == ["READY vmops boot=1", "READY vmops boot=2", "READY vmops boot=3"]


def test_the_linux_seed_is_a_tar_archive(tmp_path: Path) -> None:
    """Tarfile reads name, key and script back; the file is private and whole sectors long."""
    seed = tmp_path / "seed.tar"
    write_linux_seed(seed, Identity("web-1", "uuid-1", KEY, SECRET))
    with tarfile.open(seed) as tar:
        found = {m.name: tar.extractfile(m).read().decode() for m in tar}  # type: ignore[union-attr]
    assert found == {"hostname": "web-1\n", "authorized_keys": f"{KEY}\n", "user-data": SECRET}
    assert seed.stat().st_mode & 0o777 == 0o600
    assert seed.stat().st_size % 512 == 0


@pytest.mark.parametrize(
    ("key", "data", "script_only", "named"),
    [
        (f"{KEY}\n{KEY}", "", False, "sshPublicKey"),
        ("-----BEGIN OPENSSH PRIVATE KEY----- x", "", False, "sshPublicKey"),
        ("ssh-ed25519", "", False, "sshPublicKey"),
        ("ssh-ed25519 AAAA\x07 x", "", False, "sshPublicKey"),
        ("", "s3cret without a kind", False, "userData"),
        ("", "#cloud-config\n{}  s3cret", True, "userData"),
        ("", "#!" + "s3cret" * 200_000, False, "userData"),
    ],
)
def test_what_no_guest_understands_is_refused(
    key: str,
    data: str,
    script_only: bool,
    named: str,
) -> None:
    """A bad key or user data names the parameter; the user data itself is never shown."""
    with pytest.raises(InvalidParams, match=named) as caught:
        check_identity(key, data, script_only=script_only)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_all_problems_are_reported_at_once() -> None:
    """A bad key and bad user data make one error with two problems."""
    with pytest.raises(InvalidParams) as caught:
        check_identity("x", "y")
    assert [problem.param for problem in caught.value.problems] == ["sshPublicKey", "userData"]


def test_good_values_pass() -> None:
    """A .pub file's line with its newline, hardware keys and every kind of user data are taken."""
    for key in ("", f"{KEY}\n", "sk-ssh-ed25519@openssh.com AAAA", "ecdsa-sha2-nistp256 AAAA x"):
        for data in ("", SECRET, "#cloud-config\n", "Content-Type: multipart/mixed\n"):
            check_identity(key, data)
    check_identity(KEY, SECRET, script_only=True)

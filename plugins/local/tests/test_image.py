"""Images from paths and URLs: what is taken, what is refused, what is left behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vmops.errors import (
    AuthError,
    CloudError,
    InvalidParams,
    InvalidRequest,
    TransientError,
    VMOpsError,
)
from vmops_local.disk_format import DiskFormat, inspect
from vmops_local.image import check_image_params, obtain_image

RAW = bytes(510) + b"\x55\xaa" + b"disk" * 1024
SHA = hashlib.sha256(RAW).hexdigest()
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the CA")
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="makes hostile images")


def qcow2(
    *,
    version: int = 3,
    backing: int = 0,
    crypt: int = 0,
    features: int = 0,
    extension: int = 0,
    size: int = 1 << 20,
    cluster_bits: int = 16,
    end: bool = True,
) -> bytes:
    """The first cluster of a qcow2 image with these header fields."""
    head = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb",
        version,
        backing,
        9 if backing else 0,
        cluster_bits,
        size,
        crypt,
        1,
        3 << 16,
        1 << 16,
        1,
        0,
        0,
    )
    if version >= 3:
        head += struct.pack(">QQQII", features, 0, 0, 4, 104)
    if extension:
        head += struct.pack(">II", extension, 4) + b"/etc\0\0\0\0"
    filler = b"\0" if end else b"\1"
    return head.ljust(1 << 16, filler)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes an image to a file."""

    def write(data: bytes) -> Path:
        path = tmp_path / "image"
        path.write_bytes(data)
        return path

    return write


def test_raw_and_qcow2_are_told_apart_by_their_headers(save: Callable[[bytes], Path]) -> None:
    """The header decides, not the name; the size is the guest's."""
    assert inspect(save(RAW)).format is DiskFormat.RAW
    assert inspect(save(RAW)).size == len(RAW)
    for version in (2, 3):
        facts = inspect(save(qcow2(version=version, size=5 << 30)))
        assert (facts.format, facts.size) == (DiskFormat.QCOW2, 5 << 30)
    lazy_zstd_and_extended_l2 = 0b11001
    assert inspect(save(qcow2(features=lazy_zstd_and_extended_l2))).format is DiskFormat.QCOW2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (qcow2(backing=1024), "backing file"),
        (qcow2(version=2, backing=1024), "backing file"),
        (qcow2(features=0b100), "external file"),
        (qcow2(extension=0x44415441), "external data file"),
        (qcow2(crypt=1), "encrypted"),
        (qcow2(features=0b10), "corrupt"),
        (qcow2(features=1 << 40), "unknown qcow2 features"),
        (qcow2(version=1), "qcow version 1"),
        (qcow2(version=4), "qcow version 4"),
        (qcow2(cluster_bits=31), "damaged"),
        (qcow2(size=0), "0 bytes"),
        (qcow2(size=1 << 60), "bytes"),
        (qcow2(end=False), "no end"),
        (qcow2()[:40], "cut short"),
        (b"", "0 bytes"),
        (b"<!DOCTYPE html>" + bytes(497), "neither qcow2 nor a bootable raw disk"),
        (RAW + b"x", "neither qcow2 nor a bootable raw disk"),
        (b"KDMV" + RAW[4:], "VMDK"),
        (b'# Disk DescriptorFile\nRW 1 FLAT "/etc/shadow" 0\n'.ljust(512), "VMDK descriptor"),
        (RAW[:64] + b"\x7f\x10\xda\xbe" + RAW[68:], "VDI"),
        (b"vhdxfile" + RAW[8:], "VHDX"),
        (b"\x1f\x8b" + RAW[2:], "gzip"),
        (b"\xfd7zXZ\0" + RAW[6:], "xz"),
    ],
)
def test_hostile_and_foreign_images_are_refused(
    save: Callable[[bytes], Path], data: bytes, reason: str
) -> None:
    """Whatever names another file, is damaged, or is of another format never reaches QEMU."""
    with pytest.raises(InvalidRequest, match=reason) as caught:
        inspect(save(data))
    assert caught.value.hint


@needs_qemu_img
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2"], "backing file"),
        (["-f", "qcow2", "-o", "compat=0.10", "-b", "base.qcow2", "-F", "qcow2"], "backing file"),
        (["-f", "qcow2", "-o", "data_file=stolen"], "external file"),
        (["-f", "vmdk"], "VMDK"),
        (["-f", "vdi"], "VDI"),
        (["-f", "vhdx"], "VHDX"),
        (["-f", "vpc"], "VHD"),
        (["-f", "qed"], "QED"),
        (["-f", "qcow"], "qcow version 1"),
        (["-f", "parallels"], "Parallels"),
    ],
)
def test_what_qemu_img_makes_is_refused(tmp_path: Path, options: list[str], reason: str) -> None:
    """The real files of QEMU's own tool are refused for the same reasons."""
    for arguments in (["-f", "qcow2", "base.qcow2"], [*options, "image"]):
        command = ["qemu-img", "create", "-q", *arguments, "10M"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(InvalidRequest, match=reason):
        inspect(tmp_path / "image")
    assert inspect(tmp_path / "base.qcow2").size == 10 << 20


def test_only_regular_readable_files_are_opened(tmp_path: Path) -> None:
    """A folder, a pipe, a device and a missing path are refused at once."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(InvalidRequest, match="image"):
            inspect(path)


@pytest.mark.parametrize(
    ("image", "sha256", "named"),
    [
        ("disk.qcow2", "", "absolute path"),
        ("~/disk.qcow2", "", "absolute path"),
        ("/a\0b", "", "absolute path"),
        ("http://host/x", SHA, "not fetched"),
        ("file:///etc/shadow", SHA, "not fetched"),
        ("https:///x", SHA, "no host"),
        ("https://me:pw@host/x", SHA, "user name"),
        ("https://host:99999/x", SHA, "not a URL"),
        ("https://host/a b", SHA, "percent-encoded"),
        ("https://host/x", "", "needs its sha256"),
        ("https://host/x", "abc", "64 hexadecimal digits"),
        ("/x", "z" * 64, "64 hexadecimal digits"),
    ],
)
def test_bad_parameters_are_refused_before_any_look(image: str, sha256: str, named: str) -> None:
    """What cannot be right is InvalidParams, and the password in a URL is not shown."""
    with pytest.raises(InvalidParams, match=named) as caught:
        check_image_params(image, sha256)
    assert "pw" not in str(caught.value)


def test_a_path_is_used_in_place(save: Callable[[bytes], Path], tmp_path: Path) -> None:
    """A local image is checked, resolved through links, and not copied."""
    path = save(RAW)
    link = tmp_path / "link"
    link.symlink_to(path)
    found = obtain_image(str(link), SHA.upper(), tmp_path / "cache")
    assert found.path == path.resolve()
    assert not (tmp_path / "cache").exists()
    with pytest.raises(InvalidRequest, match="sha256") as caught:
        obtain_image(str(path), "0" * 64, tmp_path / "cache")
    assert caught.value.provider_code == "Sha256Mismatch"


@dataclass
class Site:
    """A TLS server's address, its CA, what it serves, and what it was asked."""

    url: str = ""
    ca: Path = Path()
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(site: Site, context: ssl.SSLContext | None) -> Iterator[str]:
    """A server on loopback; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            status, headers, body = site.pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key in the same file."""
    folder = tmp_path_factory.mktemp("ca")
    pem = folder / "site.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key", "-out", pem]
    subprocess.run(command, check=True, capture_output=True)
    with pem.open("a") as file:
        file.write((folder / "key").read_text())
    return pem


@pytest.fixture
def site(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A TLS server with one good image at /disk.img."""
    monkeypatch.setenv("no_proxy", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    site = Site(ca=certificate, pages={"/disk.img?token=s3cret": (200, {}, RAW)})
    with serving(site, context) as url:
        site.url = f"{url}/disk.img?token=s3cret"
        yield site


def left_in(cache: Path) -> list[str]:
    """The names of what a download left, locks aside."""
    return sorted(p.name for p in (cache / "images").glob("*") if p.suffix != ".lock")


@needs_openssl
def test_a_url_is_fetched_once_and_kept(site: Site, tmp_path: Path) -> None:
    """The file lands in the private cache under its hash, read-only; a second call asks nobody."""
    cache = tmp_path / "cache"
    first = obtain_image(site.url, SHA, cache, ca_file=site.ca)
    second = obtain_image(site.url, SHA, cache, ca_file=site.ca)
    assert first == second
    assert first.path.read_bytes() == RAW
    assert first.path.stat().st_mode & 0o777 == 0o400
    assert (cache / "images").stat().st_mode & 0o777 == 0o700
    assert len(site.asked) == 1
    assert left_in(cache) == [f"{SHA}.img"]


@needs_openssl
def test_threads_that_want_one_image_fetch_it_once(site: Site, tmp_path: Path) -> None:
    """Whoever comes second waits for the first, and finds its file."""
    found: list[Path] = []

    def fetch() -> None:
        found.append(obtain_image(site.url, SHA, tmp_path, ca_file=site.ca).path)

    threads = [threading.Thread(target=fetch) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 5
    assert len(set(found)) == 1
    assert len(site.asked) == 1


@needs_openssl
@pytest.mark.parametrize(
    ("page", "sha256", "error", "reason"),
    [
        ((200, {}, RAW), "0" * 64, InvalidRequest, "its sha256 is"),
        ((200, {}, qcow2(backing=99)), "", InvalidRequest, "backing file"),
        ((200, {}, RAW * 100), "", InvalidRequest, "larger than"),
        ((200, {"Content-Length": "9999"}, RAW), SHA, CloudError, "4608 of 9999 bytes"),
        ((404, {}, b""), SHA, InvalidRequest, "404"),
        ((403, {}, b""), SHA, AuthError, "403"),
        ((503, {}, b""), SHA, CloudError, "503"),
        ((418, {}, b""), SHA, InvalidRequest, "418"),
    ],
)
def test_a_failed_download_leaves_nothing(  # noqa: PLR0917  (fixtures and cases)
    site: Site,
    tmp_path: Path,
    page: tuple[int, dict[str, str], bytes],
    sha256: str,
    error: type[VMOpsError],
    reason: str,
) -> None:
    """A wrong hash, a hostile, large or short file or an HTTP error leaves no file, no secret."""
    site.pages["/disk.img?token=s3cret"] = page
    wanted = sha256 or hashlib.sha256(page[2]).hexdigest()
    with pytest.raises(error, match=reason) as caught:
        obtain_image(site.url, wanted, tmp_path, ca_file=site.ca, max_bytes=100_000)
    assert not isinstance(caught.value, TransientError)  # no VM was made: nothing is unknown
    assert "s3cret" not in str(caught.value)
    assert left_in(tmp_path) == []


@needs_openssl
def test_a_large_file_without_a_length_is_cut_off(site: Site, tmp_path: Path) -> None:
    """The bound holds for what comes, not only for what is announced."""
    site.pages["/disk.img?token=s3cret"] = (200, {"Content-Length": ""}, RAW * 100)
    with pytest.raises(InvalidRequest, match="larger than 100000 bytes"):
        obtain_image(site.url, SHA, tmp_path, ca_file=site.ca, max_bytes=100_000)
    assert left_in(tmp_path) == []


@needs_openssl
def test_redirects_are_followed_to_https_only(site: Site, tmp_path: Path) -> None:
    """A redirect to https is followed; another is refused, and its target never asked."""
    base = site.url.partition("/disk")[0]
    site.pages["/old"] = (302, {"Location": site.url}, b"")
    assert obtain_image(f"{base}/old", SHA, tmp_path, ca_file=site.ca).facts.size == len(RAW)
    plain = Site(pages={"/disk.img": (200, {}, RAW)})
    with serving(plain, None) as url:
        for location in (f"{url}/disk.img", "file:///etc/passwd", "ftp://localhost/x"):
            site.pages["/old"] = (302, {"Location": location}, b"")
            with pytest.raises(InvalidRequest, match=r"redirects to|answered 302"):
                obtain_image(f"{base}/old", "1" * 64, tmp_path, ca_file=site.ca)
    assert plain.asked == []


@needs_openssl
def test_a_server_of_another_ca_is_not_trusted(site: Site, tmp_path: Path) -> None:
    """Without our CA file the certificate is refused before anything is asked."""
    with pytest.raises(AuthError, match="certificate is not trusted"):
        obtain_image(site.url, SHA, tmp_path)
    assert site.asked == []
    assert left_in(tmp_path) == []


def test_no_server_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that nobody listens on is worth repeating, not a verdict on the image."""
    monkeypatch.setenv("no_proxy", "localhost")
    with pytest.raises(CloudError, match=r"localhost.*check the network") as caught:
        obtain_image("https://localhost:1/x", SHA, tmp_path)
    assert caught.value.provider_code == "Download"
    assert left_in(tmp_path) == []


def test_a_bad_ca_file_is_named(tmp_path: Path) -> None:
    """A CA file that is no PEM is an error with its path."""
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    with pytest.raises(InvalidRequest, match=r"caFile.*ca\.pem"):
        obtain_image("https://localhost:1/x", SHA, tmp_path, ca_file=bad)

"""Which kernel modules are loaded, and in which order."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess

import pytest

from vmops.errors import CloudError, MissingDependency
from vmops_local.modules import is_module, load_order, module_name


def module(depends: str = "", softdep: str = "") -> bytes:
    """The bytes of a module that names what it needs."""
    info = f"license=GPL\0depends={depends}\0" + (f"softdep=pre: {softdep}\0" if softdep else "")
    return b"\x7fELF\0text\0" + info.encode() + b"vermagic=6.1\0"


def test_what_a_module_needs_comes_before_it() -> None:
    """Dependencies come first and once; `-` and `_` in names are one; built-ins are skipped."""
    packed = {
        "virtio_net": ("a/virtio_net.ko", module("net_failover,virtio,core")),
        "net_failover": ("a/net_failover.ko", module("failover")),
        "failover": ("a/failover.ko", module()),
        "virtio": ("a/virtio.ko", module()),
        "virtio_rng": ("a/virtio-rng.ko", module("virtio")),
    }
    order = load_order(packed, {"core"}, required=["virtio_net"], optional=["virtio_rng", "absent"])
    assert list(order) == ["failover", "net_failover", "virtio", "virtio_net", "virtio_rng"]


def test_soft_dependencies_may_go_in_circles() -> None:
    """A softdep is loaded where it exists and never twice."""
    packed = {
        "a": ("a.ko", module(softdep="b missing")),
        "b": ("b.ko", module(softdep="a")),
    }
    assert list(load_order(packed, (), required=["a"])) == ["b", "a"]


def test_a_missing_module_is_named() -> None:
    """A kernel that lacks what the guest needs is an error, with the module that asked for it."""
    packed = {"virtio_net": ("virtio_net.ko", module("gone"))}
    with pytest.raises(CloudError, match=r"'gone'.*virtio_net needs") as caught:
        load_order(packed, (), required=["virtio_net"])
    assert caught.value.provider_code == "NoModule"


def test_packed_modules_are_unpacked() -> None:
    """Xz (Debian 13) and gzip come out plain, and their own needs are read."""
    packed = {
        "a": ("a.ko.xz", lzma.compress(module("b"))),
        "b": ("b.ko.gz", gzip.compress(module())),
    }
    assert load_order(packed, (), required=["a"]) == {"b": module(), "a": module("b")}


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd packs the module")
def test_zstd_modules_go_through_the_program() -> None:
    """Ubuntu's zstd modules come out plain."""
    data = subprocess.run(
        [str(shutil.which("zstd")), "-c"], input=module(), capture_output=True, check=True
    ).stdout
    assert load_order({"a": ("a.ko.zst", data)}, (), required=["a"]) == {"a": module()}


def test_a_missing_zstd_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the zstd program the error says how to get it."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependency, match="apt-get install -y zstd"):
        load_order({"a": ("a.ko.zst", b"x")}, (), required=["a"])


def test_paths_of_modules_are_told_from_others() -> None:
    """Only .ko files, packed or not, are modules; a module's name has no `-`."""
    assert is_module("lib/modules/6.1/kernel/virtio-rng.ko.xz")
    assert not is_module("lib/modules/6.1/modules.order")
    assert module_name("x/virtio-rng.ko.xz") == "virtio_rng"

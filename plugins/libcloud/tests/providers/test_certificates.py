"""An API behind a certificate that a private authority has signed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from recorded_clouds import DigitalOcean
from scene import Scene

from vmops.errors import AuthError, InvalidParams


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """An authority, and the file with its certificate."""
    ca = trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(file)
    return ca, file


@pytest.fixture
def scene(authority: tuple[trustme.CA, Path], tmp_path: Path) -> Iterator[Scene]:
    """DigitalOcean as recorded, over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1").configure_cert(context)
    with DigitalOcean(context) as cloud:
        config = {"backend": "libcloud", "provider": "digitalocean", "key": "k", "tick": 0.02}
        config["endpointUrl"] = cloud.endpoint
        with Scene(cloud, config, tmp_path, cloud.defaults) as one:
            yield one


def test_an_authority_of_ones_own(scene: Scene, authority: tuple[trustme.CA, Path]) -> None:
    """It is trusted where `caFile` names it: all calls go over TLS."""
    ops = scene.open(caFile=str(authority[1]))
    scene.up(ops)
    scene.wait(ops, ops.vm_deprovision({"vmName": "web-1"}))


def test_an_authority_that_is_not_known(scene: Scene) -> None:
    """Nothing is asked of whoever answers there, and the key stays here."""
    with pytest.raises(AuthError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        scene.open().list_vms()
    assert "caFile" in caught.value.hint
    assert scene.cloud.keys == set()


def test_a_file_that_is_not_there(scene: Scene, tmp_path: Path) -> None:
    """That is a mistake of the config, and not a cloud that does not answer."""
    with pytest.raises(InvalidParams, match="caFile: Path does not point to a file"):
        scene.open(caFile=str(tmp_path / "no.pem")).list_vms()


def test_what_a_constructor_sets(authority: tuple[trustme.CA, Path]) -> None:
    """The authority of a cluster, which KubeVirt's driver is made with, is not lost."""
    from vmops_libcloud.capabilities import capabilities
    from vmops_libcloud.dialects import dialect
    from vmops_libcloud.drivers import Drivers
    from vmops_libcloud.settings import LibcloudSettings

    file = str(authority[1])
    given = {"provider": "kubevirt", "endpoint_url": "https://127.0.0.1:6443"}
    given |= {"key": "me", "secret": "pw"}
    settings = LibcloudSettings.model_validate({**given, "driver": {"driver_ca_cert": file}})
    drivers = Drivers(settings, dialect(capabilities("kubevirt")))

    def trusted(driver: Any) -> str:
        driver.connection.connect()
        return str(driver.connection.connection.verification)

    assert drivers.call(trusted) == file
    drivers.close()

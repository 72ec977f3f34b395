"""What the page about other providers shows runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from guide import Guide
from recorded_clouds import Linode

PAGE = Guide("how-to/add-your-provider.md")


@pytest.mark.parametrize("name", PAGE.programs)
def test_python_on_the_page_runs(name: str, tmp_path: Path) -> None:
    """The program makes a VM with the token that Linode's own tools would take, and deletes it."""
    with Linode() as cloud:
        place = {"VMOPS_LIBCLOUD_ENDPOINT_URL": cloud.endpoint, "VMOPS_LIBCLOUD_TICK": "0.02"}
        PAGE.run(name, cloud, {**place, "LINODE_TOKEN": "from-the-environment"}, tmp_path)
        assert len(cloud.made("POST", f"{cloud.vms}$")) == 1
        assert cloud.machines == {}
        assert cloud.keys == {"Bearer from-the-environment"}

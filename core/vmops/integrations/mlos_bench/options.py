"""What a service config can say beyond a backend's settings and parameters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from vmops.errors import InvalidParams, Problem

__all__ = ["ServiceOptions"]

_log = logging.getLogger("vmops")

_File = Annotated[Path, AfterValidator(Path.expanduser)]


class ServiceOptions(BaseModel):
    """The service's own options, in camelCase or as mlos_bench's SSH services have them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    journal: str | None = Field(
        None,
        description="A file, the URL of a PostgreSQL database, or `none`; VMOPS_JOURNAL's, or one"
        " in the user's state folder, by default.",
    )
    on_change: Literal["replace", "fail", "keep"] = Field(
        "replace",
        description="What becomes of a VM that is asked for with other params than it was made"
        " with: it is deleted and made anew, the trial fails, or it is used as it is.",
    )
    ssh_username: str | None = Field(
        None,
        description="Who to log in as, and whom new VMs are made for where the backend has an"
        " adminUsername; by default the user that the backend names.",
    )
    ssh_priv_key_path: _File | None = Field(
        None,
        description="Private key to log in with; the user's own keys by default. New VMs let it in,"
        " unless they are given another sshPublicKey.",
    )
    ssh_known_hosts_file: _File | None = Field(
        None, description="Known host keys; by default one file for each VM, as `vmops ssh` has."
    )
    ssh_port: int | None = Field(
        None, ge=1, le=65535, description="Port of the SSH server; by default the backend's, or 22."
    )
    ssh_shell: str = Field("/bin/sh", description="What runs a script that has no `#!` line.")
    ssh_request_timeout: float | None = Field(
        None,
        gt=0,
        description="Seconds that a script may take, which is ended then; any time by default.",
    )

    @field_validator("ssh_priv_key_path")
    @classmethod
    def _check_key(cls, file: Path | None) -> Path | None:
        if file is not None and not file.is_file():
            raise ValueError(f"there is no file {file.absolute()}")
        return file and file.absolute()

    @cached_property
    def ssh_public_key(self) -> str | None:
        """The public half of the private key; None where it cannot be known.

        It is read from the file that ssh-keygen writes beside it, else from the key itself.
        """
        file = self.ssh_priv_key_path
        if file is None:
            return None
        beside = file.with_name(f"{file.name}.pub")
        if beside.is_file():
            return beside.read_text(errors="replace")
        import asyncssh

        try:
            return asyncssh.read_private_key(str(file)).export_public_key().decode()
        except (OSError, asyncssh.KeyImportError) as exc:
            _log.warning("%s: no new VM lets this key in: %s, and no %s", file, exc, beside.name)
            return None

    @classmethod
    def split(
        cls, config: Mapping[str, Any], find: Callable[[str], str] = str
    ) -> tuple[Self, dict[str, Any]]:
        """The options in a service config, and all the rest of it.

        Args:
            config: The `config` of a service config.
            find: Tells where a file is whose path is relative.

        Raises:
            InvalidParams: An option has no such value.
        """
        names = {*cls.model_fields, *map(to_camel, cls.model_fields)}
        own = {key: value for key, value in config.items() if key in names and value is not None}
        rest = {key: value for key, value in config.items() if key not in names}
        for name in own.keys() & {"sshPrivKeyPath", "ssh_priv_key_path"}:
            own[name] = find(str(Path(own[name]).expanduser()))
        try:
            return cls.model_validate(own), rest
        except ValidationError as exc:
            raise InvalidParams(
                *(
                    Problem(str(error["loc"][0]), error["msg"].removeprefix("Value error, "))
                    for error in exc.errors()
                )
            ) from None

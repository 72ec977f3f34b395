"""The `local` backend: `vmops_local.machine` as the core wants it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from vmops import (
    VM,
    Act,
    Backend,
    Check,
    Handle,
    LocalOnly,
    Params,
    Ref,
    Settings,
    State,
    StopMode,
    Tags,
    Target,
)
from vmops.errors import CloudError, InvalidParams, MissingDependency
from vmops_local.files import cache_folder
from vmops_local.host import find_qemu, kvm_present
from vmops_local.image import check_image_params, obtain_image
from vmops_local.linux import write_linux_guest
from vmops_local.linux_cache import ensure_build, existing_build
from vmops_local.machine import Machines, Plan, Snapshot
from vmops_local.nano import write_nano_guest
from vmops_local.parts import GuestParts
from vmops_local.seed import Identity, check_identity

__all__ = ["LocalBackend", "LocalParams", "LocalSettings"]


class LocalSettings(Settings):
    """Where local VMs are kept and what runs them. All of it concerns this machine only."""

    state_dir: Annotated[Path | None, LocalOnly] = Field(
        None, description="Folder that holds the VMs; by default in the user's state folder."
    )
    cache_dir: Annotated[Path | None, LocalOnly] = Field(
        None, description="Folder for fetched images and the built linux guest."
    )
    qemu: Annotated[str | None, LocalOnly] = Field(
        None, description="QEMU's program; by default qemu-system-x86_64 on PATH."
    )
    ca_file: Annotated[Path | None, LocalOnly] = Field(
        None, description="Certificates (PEM) to trust when an image is fetched."
    )


class LocalParams(Params):
    """What a local VM is made of."""

    guest: Literal["nano", "linux"] = Field(
        "nano", description="The guest: our own boot sector, or a small Debian with SSH."
    )
    image: str = Field(
        "", description="A disk image instead: an absolute path, or an https URL with imageSha256."
    )
    image_sha256: str = Field("", alias="imageSha256", description="The image's SHA-256, in hex.")
    memory_mib: int = Field(
        0, ge=0, le=1 << 20, description="Memory in MiB; 0 is the guest's own default."
    )
    cpus: int = Field(1, ge=1, le=64, description="Virtual processors.")
    disk_size_gb: int = Field(
        0, ge=0, le=4096, description="Size of the disk in GiB; 0 is the guest's own default."
    )
    ssh_public_key: str = Field(
        "", description="One line of an OpenSSH public key that may log in."
    )
    user_data: SecretStr = Field(
        SecretStr(""), description="A script (guest=linux), or what cloud-init takes (image)."
    )
    accel: Literal["auto", "tcg", "kvm"] = Field(
        "auto", description="Emulation or KVM; auto uses KVM only once it has booted such a guest."
    )
    grace_seconds: Annotated[float, Act] = Field(
        30.0, ge=0, description="Seconds a guest gets to shut down before it is forced off."
    )
    force: Annotated[bool, Act] = Field(
        default=False, description="Whether to force it off at once; the same as graceSeconds=0."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            if self.image or self.image_sha256:
                check_image_params(self.image, self.image_sha256)
            if self.ssh_public_key or self.user_data.get_secret_value():
                linux = self.guest == "linux" and not self.image
                user_data = self.user_data.get_secret_value()
                check_identity(self.ssh_public_key, user_data, script_only=linux)
        except InvalidParams as exc:
            raise ValueError("; ".join(map(str, exc.problems))) from None
        if self.image and self.guest != "nano":
            raise ValueError("guest and image exclude each other; give one of them")
        if (self.ssh_public_key or self.user_data.get_secret_value()) and self.kind == "nano":
            raise ValueError(
                'the nano guest takes no sshPublicKey or userData; give guest="linux" or image'
            )
        return self

    @property
    def grace(self) -> float:
        """Seconds a guest gets to shut down."""
        return 0.0 if self.force else self.grace_seconds

    @property
    def kind(self) -> str:
        """The kind of guest: `nano`, `linux` or `image`."""
        return "image" if self.image else self.guest


class LocalBackend(Backend[LocalSettings, LocalParams]):
    """Real VMs on this machine: one QEMU process each."""

    name = "local"
    horizon = 0.0  # files and processes are there at once, or not
    poll_interval = 0.05
    poll_timeout = 900.0

    def __init__(self, settings: LocalSettings) -> None:
        """Touch nothing yet."""
        super().__init__(settings)
        self._cache = (settings.cache_dir or cache_folder()).absolute()
        self._machines = Machines(_state_folder(settings), lambda: find_qemu(settings.qemu))

    @classmethod
    def doctor(cls, settings: LocalSettings) -> Iterable[Check]:
        """What this machine has: QEMU, KVM, a folder for VMs, the built linux guest."""
        try:
            qemu = find_qemu(settings.qemu)
        except MissingDependency as exc:
            yield Check("QEMU", ok=False, detail=exc.message, fix=exc.install)
        else:
            yield Check("QEMU", ok=True, detail=f"{qemu.version} ({qemu.program})")
        kvm = "may be tried" if kvm_present() else "not usable here: VMs are emulated, and slower"
        yield Check("KVM", ok=kvm_present(), detail=kvm, needed=False)
        yield Check("state folder", ok=True, detail=str(_state_folder(settings)))
        build = existing_build((settings.cache_dir or cache_folder()).absolute())
        detail = f"kernel {build.release}" if build else "not built yet"
        fix = "python -m vmops_local.prefetch (or wait: the first one builds it)"
        yield Check("guest=linux", ok=build is not None, detail=detail, fix=fix, needed=False)

    def account(self) -> str:
        """The id of the state folder: another folder's VMs are not to be seen here."""
        return self._machines.store_id()

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        """The VMs as they are, worked out from processes, records and serial logs."""
        names = self._machines.names() if refs is None else list(self._names(refs))
        for name in names:
            snapshot = self._machines.look(name)
            if snapshot is not None:
                yield _vm(snapshot)

    def provision(self, vm: Target[LocalParams], token: str) -> Handle:
        """Make the VM's files and start its QEMU; the guest boots meanwhile."""
        params = vm.params
        plan = Plan(
            name=vm.name,
            token=token,
            tags=vm.tags.to_dict() if vm.tags else {},
            kind=params.kind,
            memory_mib=params.memory_mib,
            cpus=params.cpus,
            accel=params.accel,
            write_parts=self._writer(vm.name, params),
        )
        return {"vmId": self._machines.create(plan)}

    def start(self, vm: Target[LocalParams], token: str) -> Handle:
        """Start a new QEMU on the same disk."""
        self._machines.start(vm.name, token)
        return {}

    def stop(self, vm: Target[LocalParams], token: str, mode: StopMode) -> Handle:  # noqa: ARG002
        """Press the power button. A stopped VM holds no memory, in either mode."""
        self._machines.press_power_button(vm.name, token, vm.params.grace)
        return {}

    def restart(self, vm: Target[LocalParams], token: str) -> Handle:
        """Press the power button; the core starts the VM again when it has stopped."""
        self._machines.press_power_button(vm.name, token, vm.params.grace)
        return {}

    def restart_phases(self, vm: Target[LocalParams]) -> int:  # noqa: ARG002
        """2: a reset would be neither graceful nor faster."""
        return 2

    def deprovision(self, vm: Target[LocalParams], token: str) -> Handle:  # noqa: ARG002
        """End the VM and remove its files."""
        self._machines.delete(vm.name, vm.id)
        return {}

    def retag(self, vm: VM, tags: Tags) -> None:
        """Write the tags into the VM's record."""
        self._machines.retag(vm.name, tags.to_dict())

    def _writer(self, name: str, params: LocalParams) -> Any:  # noqa: ANN401  (Plan's callable)
        """What writes the guest's files; all that can fail for lack of something is done now."""
        user_data = params.user_data.get_secret_value()

        def identity(uuid: str) -> Identity:
            return Identity(name, uuid, params.ssh_public_key, user_data)

        size = params.disk_size_gb
        if params.kind == "image":
            settings = self.settings
            image = obtain_image(
                params.image, params.image_sha256, self._cache, ca_file=settings.ca_file
            )
            from vmops_local.image_guest import write_image_guest

            return lambda folder, uuid: write_image_guest(
                folder, image, identity(uuid), disk_size_gb=size
            )
        if params.kind == "linux":
            build = ensure_build(self._cache)
            return lambda folder, uuid: write_linux_guest(
                folder, build, identity(uuid), disk_size_gb=size
            )
        return _write_nano

    def _names(self, refs: Sequence[Ref]) -> Iterator[str]:
        by_id: dict[str, str] | None = None
        for ref in refs:
            if ref.name:
                yield ref.name
            else:
                if by_id is None:
                    looked = map(self._machines.look, self._machines.names())
                    by_id = {s.record.uuid: s.record.name for s in looked if s is not None}
                if ref.id in by_id:
                    yield by_id[ref.id]


def _write_nano(folder: Path, uuid: str) -> GuestParts:  # noqa: ARG001  (it is told nothing)
    return write_nano_guest(folder)


def _state_folder(settings: LocalSettings) -> Path:
    if settings.state_dir is not None:
        return settings.state_dir.absolute()
    import platformdirs

    return platformdirs.user_state_path("vmops") / "local"


def _vm(snapshot: Snapshot) -> VM:
    record = snapshot.record
    running = snapshot.phase in {"running", "stopping", "starting"}
    info: dict[str, Any] = {"guest": record.kind, "accel": record.booted_with}
    info["serialLog"] = str(snapshot.serial)
    if snapshot.boot_count is not None:
        info["bootCount"] = snapshot.boot_count
    if snapshot.phase == "stopped":
        info["forced"] = record.forced
    if record.ssh_port is not None and snapshot.phase == "running":
        info |= {"sshHost": "127.0.0.1", "sshPort": record.ssh_port, "sshUser": record.parts.login}
        if snapshot.host_key:
            info["sshHostKey"] = snapshot.host_key
    error = None
    if snapshot.phase == "failed":
        error = CloudError(
            f"the guest of VM {record.name!r} says: {snapshot.problem}",
            provider_code="GuestFailed",
            hint=f"read {snapshot.serial}",
            remains=f"VM {record.name!r}",
        )
    return VM(
        record.name,
        State(snapshot.phase),
        id=record.uuid,
        started=record.started if running else None,
        operation=record.operation,
        tags=Tags.from_dict(record.tags),
        info=info,
        error=error,
    )

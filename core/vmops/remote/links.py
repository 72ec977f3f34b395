"""SSH connections, one per VM, kept open and opened again when lost (RFC 4251 to 4254)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from vmops.errors import AuthError, MissingDependency, Unavailable
from vmops.remote.programs import Order, Reply

if TYPE_CHECKING:
    from asyncssh import SSHClient, SSHClientConnection, SSHKey
    from asyncssh.known_hosts import SSHKnownHosts

__all__ = ["REFUSED", "Links", "Peer", "require_asyncssh"]

REFUSED: Final = "PermissionDenied"
"""The code of a login that was refused: it may be taken a few seconds later."""

_SSH_PORT: Final = 22
_KEEPALIVE: Final = 10.0
_KEEPALIVES_MISSED: Final = 3
# what OpenSSH prefers, without certificates: whose authority could be trusted at first sight?
_HOST_KEYS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


@dataclass(frozen=True, slots=True)
class Peer:
    """Which VM, where it answers, who logs in, and by what its host key is checked.

    Args:
        vm: The VM's name, for messages.
        key: Of the VMs with one name and place, one is connected to at a time.
        boot: What is another for each other VM of that name, and for each boot of one.
        host: Its address.
        port: Its port.
        user: Who logs in; empty for whom OpenSSH's configuration names, else the local user.
        key_file: The private key; None for the agent's and the usual files.
        known: A known-hosts file.
        alias: The name that stands in it; empty for the host's own.
    """

    vm: str
    key: str
    boot: str
    host: str
    port: int
    user: str
    key_file: Path | None
    known: Path
    alias: str

    @property
    def login(self) -> str:
        """Who logs in where with what, for messages."""
        key = f"key {self.key_file}" if self.key_file else "the agent's keys and the usual files"
        return f"user {self.user or 'by default'!r} at {self.host} port {self.port} with {key}"


class _Client(Protocol):
    """The end of a connection that is told when it is lost."""

    lost: bool


@dataclass(slots=True, eq=False)
class _Link:
    """One connection, and how many commands are on it."""

    connection: SSHClientConnection
    client: _Client
    peer: Peer
    users: int = 0
    retired: bool = False

    def retire(self) -> None:
        """Take no more commands, and end when the last one has."""
        self.retired = True
        if not self.users:
            self.connection.close()


@dataclass(slots=True, eq=False)
class _Slot:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    link: _Link | None = None


class Links:
    """All connections. Lives in one event loop."""

    def __init__(self) -> None:
        """Connect to nothing yet."""
        self._slots: dict[str, _Slot] = {}
        self._all: set[_Link] = set()

    async def run(self, peer: Peer, order: Order, reach: float, seconds: float) -> Reply:
        """What a command on the VM says, over the connection to it.

        Args:
            peer: The VM.
            order: The command.
            reach: Seconds for connecting.
            seconds: Seconds for the command.

        Raises:
            AuthError: The host's key or ours is refused.
            Unavailable: There is no connection, or it was lost; `unsent` says which.
        """
        import asyncssh

        link, status = await self._connected(peer, reach), None
        link.users += 1
        try:
            async with asyncio.timeout(seconds):
                stdin = {"input": order.data} if order.data else {"stdin": asyncssh.DEVNULL}
                done = await link.connection.run(order.command, encoding=None, **stdin)
            status = done.exit_status
        except asyncssh.ChannelOpenError as exc:  # closed, or a server has no room for another one
            raise _unavailable(peer, exc, unsent=True) from exc
        except (OSError, asyncssh.Error) as exc:
            raise _unavailable(peer, exc) from exc
        finally:
            link.users -= 1
            if link.retired or status is None:
                link.retire()
        return Reply(_bytes(done.stdout), _bytes(done.stderr), status)

    async def close(self) -> None:
        """End all connections."""
        for link in self._all:
            link.connection.close()
        await asyncio.gather(*(link.connection.wait_closed() for link in self._all))

    async def _connected(self, peer: Peer, reach: float) -> _Link:
        slot = self._slots.setdefault(peer.key, _Slot())
        async with slot.lock:
            link = slot.link
            if link is not None and (link.peer != peer or link.client.lost):
                link.retire()
            if link is None or link.retired:
                self._all = {one for one in self._all if not one.client.lost}
                link = slot.link = _Link(*await _connect(peer, reach), peer)
                self._all.add(link)
            return link


def _bytes(data: str | bytes | None) -> bytes:
    return data if isinstance(data, bytes) else b""  # nothing is asked to be decoded


def require_asyncssh() -> None:
    """Make sure that asyncssh is there, and says no more than warnings.

    Raises:
        MissingDependency: It is not installed.
    """
    try:
        import asyncssh  # noqa: F401
    except ImportError as exc:
        line = "pip install 'vmops[ssh]'"
        raise MissingDependency("scripts on VMs need asyncssh", install=line) from exc
    logger = logging.getLogger("asyncssh")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)


async def _connect(peer: Peer, seconds: float) -> tuple[SSHClientConnection, Any]:
    import asyncssh

    known, keys, authorities = _known(peer)
    options: dict[str, Any] = {"known_hosts": known, "host_key_alias": peer.alias or None}
    if peer.user:
        options["username"] = peer.user
    if peer.key_file is not None:
        options["client_keys"] = _keys(peer.key_file)
    if not authorities:  # the kinds that are known first, so that no other kind seems a change
        kinds = {kind.decode() for key in keys for kind in key.sig_algorithms}
        options["server_host_key_algs"] = sorted(_HOST_KEYS, key=lambda kind: kind not in kinds)
    try:
        async with asyncio.timeout(seconds):
            return await asyncssh.create_connection(
                _first_sight(peer),
                peer.host,
                peer.port,
                keepalive_interval=_KEEPALIVE,
                keepalive_count_max=_KEEPALIVES_MISSED,
                **options,
            )
    except asyncssh.HostKeyNotVerifiable as exc:
        raise AuthError(
            f"VM {peer.vm!r} at {peer.host} port {peer.port} has another host key than the one"
            f" remembered in {peer.known} ({exc.reason})",
            provider_code=type(exc).__name__,
            hint="find out why; if its key may have changed, delete that file",
        ) from exc
    except asyncssh.PermissionDenied as exc:
        raise AuthError(
            f"VM {peer.vm!r} refused {peer.login}",
            provider_code=REFUSED,
            hint="give the user and the private key that the VM was made for",
        ) from exc
    except (OSError, asyncssh.Error) as exc:
        raise _unavailable(peer, exc, unsent=True) from exc


def _known(peer: Peer) -> tuple[SSHKnownHosts, Sequence[SSHKey], Sequence[SSHKey]]:
    """What the known-hosts file says: all of it, this VM's keys, and whose certificates count."""
    import asyncssh

    port = None if peer.alias or peer.port == _SSH_PORT else peer.port
    try:
        peer.known.touch(mode=0o600)
        known = asyncssh.read_known_hosts(str(peer.known))
    except (OSError, ValueError) as exc:
        message = f"known-hosts file {peer.known}: {exc}"
        hint = "mend that file, or name another one"
        raise AuthError(message, provider_code="KnownHosts", hint=hint) from exc
    return known, *known.match(peer.alias or peer.host, "", port)[:2]


def _first_sight(peer: Peer) -> type[SSHClient]:
    """A client that takes the first host key it sees, and remembers it as OpenSSH does."""
    import asyncssh

    class FirstSight(asyncssh.SSHClient):
        lost = False

        def connection_lost(self, exc: Exception | None) -> None:
            del exc
            self.lost = True

        def validate_host_public_key(self, host: str, addr: str, port: int, key: SSHKey) -> bool:
            del addr
            _, keys, authorities = _known(peer)  # somebody else may have seen it just now
            if keys or authorities:
                return key in keys
            name = host if peer.alias or port == _SSH_PORT else f"[{host}]:{port}"
            kind, data = key.export_public_key("openssh").decode().split()[:2]
            torn = peer.known.read_bytes()[-1:] not in {b"", b"\n"}
            with peer.known.open("a") as file:
                file.write("\n" * torn + f"{name} {kind} {data}\n")
            return True

    return FirstSight


def _keys(file: Path) -> list[Any]:
    import asyncssh

    try:
        return list(asyncssh.load_keypairs(str(file)))
    except (OSError, asyncssh.KeyImportError) as exc:
        message = f"private key {file}: {exc}"
        hint = (
            "name another file; a key with a passphrase goes into ssh-agent, and no file is named"
        )
        raise AuthError(message, provider_code="KeyFile", hint=hint) from exc


def _unavailable(peer: Peer, exc: Exception, *, unsent: bool = False) -> Unavailable:
    error = Unavailable(
        f"VM {peer.vm!r}: no SSH connection of {peer.login}: {str(exc) or type(exc).__name__}",
        provider_code=type(exc).__name__,
        hint="see that port and firewall let SSH in from here, and that the VM has booted",
    )
    error.unsent = unsent
    return error

"""One command's VMOps: config, journal, an observer for progress, and what is usual."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from vmops.cli.options import parse_params, read_config

if TYPE_CHECKING:
    from vmops.cli.tasks import Screen, Tasks
    from vmops.facade import VMOps
    from vmops.history import History
    from vmops.operation import Operation
    from vmops.plugins import Event, Registry

__all__ = ["Place", "Session"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command works, as its options say.

    Args:
        backend: `--backend`.
        config: `--config`.
        journal: `--journal`, or `VMOPS_JOURNAL`; `none` for no journal.
        params: `-p`.
    """

    backend: str | None = None
    config: Path | None = None
    journal: str | None = None
    params: Sequence[str] | None = None

    @property
    def journal_place(self) -> str | None:
        """The journal's path or URL, None for no journal."""
        if self.journal == "none":
            return None
        if self.journal:
            return self.journal
        from vmops.store import default_journal

        return default_journal()

    def options(self) -> list[str]:
        """The options that lead another process to the same config and journal."""
        config = ["--config", str(self.config.absolute())] if self.config else []
        if self.journal is None or self.journal == os.environ.get("VMOPS_JOURNAL"):
            return config
        is_file = self.journal != "none" and "://" not in self.journal
        journal = os.path.abspath(self.journal) if is_file else self.journal  # noqa: PTH100
        return [*config, "--journal", journal]


class Session:
    """Everything a command needs, opened once and closed at the end.

    Args:
        place: Where the command works.
        one_backend: Whether all of it is about one backend; if not, no config file can be used.

    Raises:
        ConfigError: Options or config file are wrong.
    """

    def __init__(self, place: Place, *, one_backend: bool = True) -> None:
        """Open neither journal nor connection before they are needed."""
        from vmops.facade import VMOps
        from vmops.plugins import Registry

        self.place = place
        self.config = read_config(place.config, place.backend) if one_backend else {}
        self.backend = str(self.config.get("backend", ""))
        self.params = parse_params(place.params)
        self._history: History | None = None
        self.registry: Registry = Registry()
        self.registry.load_observers()
        self.ops: VMOps = VMOps(self.config, journal=place.journal_place, registry=self.registry)

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close connections and journal."""
        self.ops.close()
        if self._history is not None:
            self._history.close()

    def params_for(self, names: Sequence[str], **more: object) -> list[dict[str, Any]]:
        """One params dict per VM, each name once."""
        return [{**self.params, **more, "vmName": name} for name in dict.fromkeys(names)]

    def tasks(self, screen: Screen) -> Tasks:
        """Tasks of this session, observed: `screen` hears of all their progress."""
        from vmops.cli.tasks import Tasks
        from vmops.plugins import hookimpl

        tasks = Tasks(self.ops, screen, self.usual)

        class Watch:
            @hookimpl
            def vmops_event(self, event: Event) -> None:
                tasks.on_event(event)

        self.registry.register(Watch())
        return tasks

    def usual(self, operation: Operation) -> float | None:
        """The seconds that such an operation usually takes, as far as the journal knows."""
        from vmops.errors import VMOpsError

        with suppress(VMOpsError):
            return self.history().usual(operation)
        return None

    def history(self) -> History:
        """The journal, to read in; closed with the session.

        Raises:
            ConfigError: There is no journal.
        """
        from vmops.errors import ConfigError
        from vmops.history import History

        if self.place.journal_place is None:
            raise ConfigError("this reads the journal, and --journal is none; name one")
        if self._history is None:
            self._history = History(self.place.journal_place)
        return self._history

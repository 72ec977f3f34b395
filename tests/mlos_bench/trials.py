"""The real mlos_bench, as a process of its own in a folder of config files."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmops import VM, State, VMOps

CLASS = "vmops.integrations.mlos_bench.VMOpsService"
_PATIENCE = 120.0


class Trials:
    """An experiment of four trials, with two sizes of VMs, somewhere.

    Args:
        folder: Where the configs are, and all state.
        backend: The backend.
        place: That backend's settings, as all processes here have them.
        usual: What the service config has unless a test says otherwise.
    """

    def __init__(
        self, folder: Path, backend: str, place: Mapping[str, str], usual: Mapping[str, object]
    ) -> None:
        self.folder = folder
        self.program = Path(sys.executable).with_name("mlos_bench")
        self._backend, self._place, self._usual = backend, place, usual
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("VMOPS", "XDG", "MLOS"))},
            **{f"VMOPS_{backend}_{key}".upper(): value for key, value in place.items()},
            "XDG_STATE_HOME": str(folder / "state"),
            # mlos_bench notes down which commit of which repository its configs are of
            **{f"GIT_{who}_NAME": "me" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "me@example.com" for who in ("AUTHOR", "COMMITTER")},
        }
        for name, content in _CONFIGS.items():
            self.write(name, content)
        self.service()

    def write(self, name: str, content: object) -> None:
        """Write a config file."""
        text = content if isinstance(content, str) else json.dumps(content, indent=2)
        (self.folder / name).write_text(text)

    def service(self, **config: object) -> None:
        """Write the service config."""
        whole = {"backend": self._backend, **self._usual, **config}
        self.write("service.jsonc", {"class": CLASS, "config": whole})

    def commit(self) -> None:
        """Put the configs into a repository."""
        self.shell(
            "git init -q; git remote add origin https://example.com/configs.git;"
            " git add *.jsonc; git commit -qm Configs"
        )

    def shell(self, commands: str) -> str:
        """What a user's shell said in the folder; each command must end well."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-e", "-c", commands],
            cwd=self.folder,
            env={**self.environment, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """mlos_bench's own command, running."""
        if not (self.folder / ".git").exists():
            self.commit()
        return subprocess.Popen(
            [sys.executable, str(self.program), "--config", "experiment.jsonc", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """What mlos_bench said; it must end with this exit code."""
        with self.start(*arguments) as process:
            try:
                said = process.communicate(timeout=_PATIENCE)[0]
            finally:
                process.kill()
        assert process.returncode == code, said
        return said

    def kill_at(self, text: str) -> None:
        """Start mlos_bench, and kill it by SIGKILL as soon as it says this."""
        said: list[str] = []
        with self.start() as process:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                if text in line:
                    os.killpg(process.pid, signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL, "".join(said)

    def older(self, folder: Path) -> None:
        """Be the mlos_bench in a folder, and write configs in the words of 0.5 and before."""
        self.write("environment.jsonc", _environment(seed="seed", metrics="metrics"))
        config = {"optimization_target": "seconds", "max_iterations": 4, "seed": 1}
        optimizer = {"class": "mlos_bench.optimizers.MockOptimizer", "config": config}
        self.write("optimizer.jsonc", optimizer)
        self.environment["PYTHONPATH"] = str(folder)
        self.program = folder / "bin" / "mlos_bench"

    def statuses(self) -> list[str]:
        """How the trials ended, in order, as mlos_bench has stored it."""
        return [status for (status,) in self._rows("select status from trial order by trial_id")]

    def results(self) -> list[dict[str, str]]:
        """The tunables and metrics of each trial, in order."""
        tunables = "select trial_id, param_id, param_value from trial natural join config_param"
        metrics = "select trial_id, metric_id, metric_value from trial_result"
        found: dict[int, dict[str, str]] = {}
        for trial, name, value in self._rows(f"{tunables} union all {metrics}"):
            found.setdefault(trial, {})[name] = value
        return [found[trial] for trial in sorted(found)]

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        database = sqlite3.connect(self.folder / "results.db")
        try:
            return database.execute(sql).fetchall()
        finally:
            database.close()

    def vms(self) -> list[VM]:
        """The VMs that the backend tells of."""
        with VMOps({"backend": self._backend, **self._place}, journal=None) as ops:
            return ops.list_vms()

    def alive(self) -> list[str]:
        """The names of those that exist."""
        return [vm.name for vm in self.vms() if vm.state is not State.ABSENT]

    def clean_up(self) -> None:
        """What a user does after a crash: recover, and reap once the VMs' time is over."""
        self.shell(f"vmops recover --backend {self._backend}")
        expires = max((vm.tags.expires for vm in self.vms() if vm.tags), default=0)
        time.sleep(max(expires + 1 - time.time(), 0))  # by the clock of other processes
        self.shell(f"vmops reap --yes --backend {self._backend}")
        deadline = time.time() + _PATIENCE
        while State.DELETING in {vm.state for vm in self.vms()} and time.time() < deadline:
            time.sleep(0.05)


def _environment(*, seed: str, metrics: str) -> dict[str, Any]:
    """A VM that is provisioned and started, and a pretended benchmark on it."""
    machine = {
        "name": "VM",
        "class": "mlos_bench.environments.remote.VMEnv",
        "config": {"tunable_params": ["machine"], "required_args": ["vmName"]},
    }
    system = {
        "name": "OS",
        "class": "mlos_bench.environments.remote.OSEnv",
        "config": {"required_args": ["vmName"]},
    }
    database = {
        "name": "Database",
        "class": "mlos_bench.environments.MockEnv",
        "config": {"tunable_params": ["machine", "database"], seed: 3, metrics: ["seconds"]},
    }
    return {
        "name": "Four trials",
        "class": "mlos_bench.environments.CompositeEnv",
        "include_tunables": ["tunables.jsonc"],
        "config": {
            "const_args": {"vmName": "bench-1", "storageAccountName": "unrelated"},
            "children": [machine, system, database],
        },
    }


def _choice(*values: str) -> dict[str, Any]:
    return {"type": "categorical", "values": values, "default": values[0]}


_CONFIGS = {
    "experiment.jsonc": {
        "experiment_id": "four-trials",
        "services": ["service.jsonc"],
        "environment": "environment.jsonc",
        "optimizer": "optimizer.jsonc",
        "storage": "storage.jsonc",
    },
    "environment.jsonc": _environment(seed="mock_env_seed", metrics="mock_env_metrics"),
    "tunables.jsonc": {
        "machine": {"cost": 1, "params": {"vmSize": _choice("small", "big")}},
        "database": {"cost": 1, "params": {"cache": _choice("off", "on")}},
    },
    "optimizer.jsonc": {
        "class": "mlos_bench.optimizers.grid_search_optimizer.GridSearchOptimizer",
        "config": {"optimization_targets": {"seconds": "min"}, "max_suggestions": 4},
    },
    "storage.jsonc": {
        "class": "mlos_bench.storage.sql.storage.SqlStorage",
        "config": {"drivername": "sqlite", "database": "results.db"},
    },
}

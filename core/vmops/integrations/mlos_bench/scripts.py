"""mlos_bench's remote scripts as `vmops.remote` runs them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mlos_bench.environments.status import Status

from vmops.facade import VMOps
from vmops.integrations.mlos_bench.answers import Answer
from vmops.integrations.mlos_bench.options import ServiceOptions
from vmops.remote import Finished, Login, Remote, Run
from vmops.result import Result, timed

__all__ = ["Scripts"]

_log = logging.getLogger("vmops")

_LOGIN: Final = 300.0
_SHOWN: Final = 200


class Scripts:
    """Starts scripts and waits for them, with dicts and mlos_bench's Status.

    Args:
        ops: Knows the VMs.
        options: Who logs in how, and how long a script is waited for.
    """

    def __init__(self, ops: VMOps, options: ServiceOptions) -> None:
        """Connect to nothing yet."""
        login = Login(
            user=options.ssh_username,
            key_file=options.ssh_priv_key_path,
            port=options.ssh_port,
            known_hosts=options.ssh_known_hosts_file,
            shell=options.ssh_shell,
        )
        self.remote = Remote(ops, login)
        self._patience = options.ssh_request_timeout

    def start(
        self,
        script: Iterable[str],
        params: Mapping[str, Any],
        env: Mapping[str, Any],
        timeout: object,
    ) -> Answer:
        """PENDING with the URL of the script that runs now.

        Args:
            script: Its lines.
            params: They name the VM.
            env: The script's environment variables.
            timeout: Seconds to try to log in at most; five minutes by default.

        Raises:
            VMOpsError: It could not be started.
        """
        text = script if isinstance(script, str) else "\n".join(script)
        seconds = _LOGIN if timeout is None else float(str(timeout))
        url = self.remote.start(params, text, env, timeout=seconds)
        return Status.PENDING, Result({**params, "asyncResultsUrl": url})

    def wait(self, config: Mapping[str, Any], params: Mapping[str, Any]) -> Answer:
        """How a script ended, or TIMED_OUT; PENDING where no URL names one.

        Args:
            config: Has the `asyncResultsUrl`.
            params: What else says where the VM is.

        Raises:
            VMOpsError: It cannot be told how it ended.
        """
        url = config.get("asyncResultsUrl")
        if not url:
            return Status.PENDING, Result(config)
        place = {name: value for name, value in params.items() if name != "asyncResultsUrl"}
        finished = self.remote.wait(url, place, timeout=self._patience or float("inf"))
        if finished is None:
            self.remote.stop(url, place)  # beside the next trial's it would spoil both
            return Status.TIMED_OUT, Result()
        return _told(Run.from_url(url), finished)


def _told(run: Run, finished: Finished) -> Answer:
    status = Status.FAILED if finished.exit_code else Status.SUCCEEDED
    if status is Status.FAILED:
        last = (finished.stderr.strip().splitlines() or [""])[-1][:_SHOWN]
        _log.warning("a script on VM %r ended with %d: %s", run.vm, finished.exit_code, last)
    output = {
        "stdout": finished.stdout,
        "stderr": finished.stderr,
        "exitCode": finished.exit_code,
    }
    return status, Result(timed(finished.started, finished.ended, output))

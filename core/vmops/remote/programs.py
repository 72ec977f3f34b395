"""What is run on the VM: POSIX shell programs, what they are given and what they answer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from vmops.errors import CloudError, InvalidParams, NotFound, Problem, Unavailable
from vmops.remote.run import Finished, Run

__all__ = ["Order", "Reply", "finished", "start_order", "stop_order", "stopped", "wait_order"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_MOST_SECONDS: Final = 10_000_000.0
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Order:
    """One command for the VM, with its stdin: what may be secret is in `data` only."""

    command: str
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; `status` is None where the connection ended before the command did."""

    stdout: bytes
    stderr: bytes
    status: int | None


def start_order(run_id: str, script: str, env: Mapping[str, object], shell: str) -> Order:
    """The order that starts a script.

    Args:
        run_id: The run's.
        script: Begins with `#!`, or is one for `shell`.
        env: Environment variables; of the values, their `str()`.
        shell: Path on the VM.

    Raises:
        InvalidParams: With every name and value that no environment can hold.
    """
    exports, body = _exports(env), _encoded(script, "script")
    sizes = (str(len(exports) + len(body)), str(len(exports)))
    interpreter = "" if script.startswith("#!") else shell
    arguments = (run_id, *sizes, interpreter, _program("run"))
    return Order(_command(_program("start"), *arguments), exports + body)


def wait_order(run_id: str, seconds: float) -> Order:
    """The order that answers how a run ended, or after `seconds` that it has not."""
    centiseconds = round(min(seconds, _MOST_SECONDS) * 100)
    return Order(_command(_program("look", "wait"), run_id, str(centiseconds)))


def stop_order(run_id: str) -> Order:
    """The order that ends a run."""
    return Order(_command(_program("look", "stop"), run_id))


def stopped(run: Run, reply: Reply) -> None:
    """Whether a run was ended, or had ended.

    Raises:
        NotFound: The VM knows no such run.
        Unavailable: The connection ended before the answer did.
        CloudError: The VM did something else than was ordered.
    """
    if answer(run, reply) != ("stopped",):
        finished(run, reply)


def answer(run: Run, reply: Reply) -> tuple[str, ...]:
    """The words of the programs' own line in a reply.

    Raises:
        Unavailable: The connection ended before the answer did.
        CloudError: The VM did something else than was ordered.
    """
    line, found = _after(reply.stdout, f"vmops {run.id} ".encode())
    if found:
        return tuple(line.split(b"\n", 1)[0].decode(errors="replace").split())
    if reply.status is None:
        raise Unavailable(f"VM {run.vm!r}: the connection ended before an answer came")
    said = b" ".join((reply.stdout + reply.stderr).split()).decode(errors="replace")
    raise CloudError(
        f"VM {run.vm!r} did not do as its shell was told (exit code {reply.status}); it said:"
        f" {said[-_SHOWN:]!r}",
        provider_code="UnknownAnswer",
        hint="see that this user may run commands, and that its home can be written to",
    )


def finished(run: Run, reply: Reply) -> Finished | None:
    """How a run ended, or None while it runs.

    Raises:
        NotFound: The VM knows no such run.
        Unavailable: The connection ended before the answer did.
        CloudError: The run's process is gone, and it left no exit code.
    """
    words = answer(run, reply)
    match words:
        case ("running",):
            return None
        case ("missing",):
            raise NotFound(
                f"VM {run.vm!r} knows no run {run.id}",
                hint="start the script again; runs are kept for a week, in the user's home folder",
            )
        case ("killed" | "rebooted",):
            why = "the VM rebooted" if words[0] == "rebooted" else "it was killed"
            raise CloudError(
                f"run {run.id} on VM {run.vm!r} ended without an exit code: {why}",
                provider_code=f"Run{words[0].title()}",
                hint="start the script again",
            )
        case ("finished", code, date, began, ended, out, err):
            stdout = _output(run, reply.stdout, f"vmops {run.id} ", int(out))
            stderr = _output(run, reply.stderr, f"vmops {run.id}\n", int(err))
            started = _seconds(date)
            took = float(ended) - float(began)
            return Finished(int(code), stdout, stderr, started, started + took)
    msg = f"VM {run.vm!r}: the answer {' '.join(words)[:_SHOWN]!r} has no meaning"
    raise CloudError(msg, provider_code="UnknownAnswer")


def _command(program: str, *arguments: str) -> str:
    return shlex.join(["exec", "/bin/sh", "-c", program, "vmops", *arguments])


@cache
def _program(*names: str) -> str:
    files = resources.files(__package__)
    return "".join(files.joinpath(f"{name}.sh").read_text() for name in names)


def _exports(env: Mapping[str, object]) -> bytes:
    problems: list[Problem] = []
    lines: list[bytes] = []
    for name, value in env.items():
        if not _NAME.match(str(name)):
            rule = "is no name of a variable; give letters, digits and _"
            problems.append(Problem("env", f"{str(name)[:80]!r} {rule}"))
            continue
        try:
            lines.append(f"export {name}=".encode() + _quoted(_encoded(str(value), name)))
        except InvalidParams as exc:
            problems += exc.problems
    if problems:
        raise InvalidParams(*problems)
    return b"".join(line + b"\n" for line in lines)


def _quoted(value: bytes) -> bytes:
    return b"'" + value.replace(b"'", b"'\\''") + b"'"


def _encoded(text: str, what: str) -> bytes:
    if "\0" in text:
        raise InvalidParams(Problem(what, "it holds a NUL, which no shell can take"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # its own message would show the text
        raise InvalidParams(Problem(what, "it holds lone surrogates; give valid text")) from None


def _after(data: bytes, marker: bytes) -> tuple[bytes, bool]:
    """What follows the marker: what a login shell said on its own is before it."""
    _, found, rest = data.partition(marker)
    return rest, bool(found)


def _output(run: Run, data: bytes, marker: str, size: int) -> str:
    rest, _ = _after(data, marker.encode())
    output = rest if marker.endswith("\n") else rest.partition(b"\n")[2]
    if len(output) < size:
        raise Unavailable(f"VM {run.vm!r}: the connection ended before all output was read")
    return output[:size].decode(errors="replace")


def _seconds(text: str) -> float:
    # a date without nanoseconds leaves %N, or what it makes of it, behind the point
    found = re.match(r"\d+(\.\d+)?", text, re.ASCII)
    return float(found[0]) if found else 0.0

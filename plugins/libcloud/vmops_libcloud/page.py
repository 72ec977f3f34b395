"""The table of all providers, as a page of Markdown for whoever chooses one."""

from __future__ import annotations

from typing import Final

from pydantic.alias_generators import to_camel

from vmops_libcloud.capabilities import Capabilities, capabilities, providers
from vmops_libcloud.constructors import Constructor, constructor

__all__ = ["providers_page"]

_COLUMNS: Final = {
    "list": "look",
    "provision": "make",
    "start": "start",
    "stop": "stop",
    "restart": "restart",
    "deprovision": "delete",
    "retag": "renew",
}
_MARKS: Final = {"metadata": "pairs", "tags": "tags", "tag": "one tag", "name": "its name"}
_OURS: Final = {"name", "size", "image", "auth"}
"""Arguments of create_node that vmops always has something for."""
_INTRODUCTION: Final = """\
# Providers of libcloud

What the backend [`libcloud`](backend-libcloud.md) can do with each of the {count} providers that
libcloud {version} has a driver for. The page is read off the drivers' code. That code was run for
OpenStack (a real Nova), DigitalOcean, Linode and Vultr (libcloud's own recorded answers), and for
no other: that a driver has a method is no proof that the service behind it still answers.
[How it works](../explanation/libcloud.md), and
[how a row is improved](../how-to/add-your-provider.md).

## Verbs

- *yes*: a method of libcloud's base API. Otherwise the driver's own method is named.
- *no*: `NotSupported`, before anything is called. Where a driver could make VMs, but not delete or
  find them again, it makes none.
- *waits*: the method returns when the operation is over, and so gets a thread of its own.
- *renew*: the marks of a VM that exists can be changed (`vmops renew`).
- A stopped VM is taken to hold its compute, so that only `stopMode=keep` is taken, but on
  {releasing}.
"""
_MADE_WITH: Final = """
## Credentials

*key*, *secret*: what these settings are to the driver, where it calls them something else; *no*
where it has none, and refuses one. *Must be given*: settings without which nothing is called; all
that are missing are told at once. All of them are [local only](../reference/environment.md), and go
to the provider that config or environment name, to no other. `driver_x` is the constructor's `x`.
"""
_MAKING: Final = """
## Making VMs, and finding them again

*Marked by*: what tells whose a VM is, and with which token it was made; written in the call that
makes it. A name has room for install and token only: there `ttl` is refused. *Repeated*: what a
create does that is repeated, after its caller died or its answer was lost.

- *once*: it carries the same token, and the service makes no second VM for that.
- *refused*: the service refuses a second VM of the same name.
- *looks*: the token is looked for first, and a repeat waits until what was sent had time to show.
  A request that was under way for longer makes a second VM: `vm_deprovision` deletes both, and
  `vmops reap` finds one that arrives later still.

*Key*: how a public key reaches the VM: as one, by cloud-init where only user data can be given and
the image has cloud-init, or not at all.
"""
_REASONS: Final = """
## What is missing, and why

Where there is more to say than that the driver has no method for it:
"""


def providers_page() -> str:
    """The page: what each provider can do, what is missing and why, and what is unsafe."""
    import libcloud

    version = ".".join(libcloud.__version__.split(".")[:2])
    rows = [capabilities(name) for name in providers()]
    releasing = ", ".join(f"`{one.provider}`" for one in rows if _releases(one))
    text = _INTRODUCTION.format(count=len(rows), version=version, releasing=releasing)
    lines = text.splitlines()
    lines += ["", *_head("provider", "driver", *_COLUMNS.values())]
    for one in rows:
        cells = [_cell(one, verb) for verb in _COLUMNS]
        lines.append(_row(f"`{one.provider}`", f"`{one.driver}`", *cells))
    lines += [*_MADE_WITH.splitlines(), ""]
    lines += _head("provider", "key", "secret", "must be given", "besides")
    lines += [_row(*_made_with(constructor(one.provider))) for one in rows if one.methods]
    lines += [*_MAKING.splitlines(), ""]
    lines += _head("provider", "marked by", "repeated", "key", "must be given", "besides")
    lines += [_row(*_making(one)) for one in rows if "provision" in one.methods]
    lines += [*_REASONS.splitlines(), ""]
    lines += [f"- `{one.provider}`: {' '.join(said)}" for one in rows if (said := _reasons(one))]
    return "\n".join(lines) + "\n"


def _releases(one: Capabilities) -> bool:
    """Whether a stop can give the compute back; for Nova's, libcloud has no method."""
    return "stop" in one.methods and (one.releases or one.provider == "openstack")


def _head(*cells: str) -> tuple[str, str]:
    return _row(*cells), "|---" * len(cells) + "|"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(one: Capabilities, verb: str) -> str:
    """Whether there is a verb, by which method where it is not libcloud's, and whether it waits."""
    if verb not in one.methods:
        return "no"
    name = one.methods[verb]
    said = f"`{name}`" if name.startswith("ex_") else "yes"
    return f"{said}, waits" if verb in one.blocking else said


def _made_with(how: Constructor) -> tuple[str, ...]:
    """What there is to know before a driver is made."""
    names = (how.key, how.secret)
    cells = [_ours(n, s) if n else "no" for n, s in zip(names, ("key", "secret"), strict=True)]
    needs = [f"`{to_camel(n) if n == 'endpoint_url' else n}`" for n in how.needs]
    special, besides = how.special, []
    if special.package[0]:
        besides.append(f"Needs `pip install {special.package[1]}`.")
    if special.asks:
        besides.append(f"When it is made it asks for {special.asks}.")
    if special.endpoint:
        besides.append(
            f"`endpointUrl` would have no effect, and is refused: {special.endpoint} has."
        )
    for argument, settings in special.instead.items():
        made_up = " and ".join(f"`{name}`" for name in settings)
        besides.append(f"With `driver_{argument}` {made_up} may be missing.")
    if not how.region:
        besides.append("It takes no `region`.")
    return f"`{how.provider}`", *cells, ", ".join(needs), " ".join(besides)


def _ours(name: str, setting: str) -> str:
    return "" if name == setting else f"`{name}`"


def _making(one: Capabilities) -> tuple[str, ...]:
    """What there is to know before a VM is made."""
    marks = _MARKS[one.ownership] + (f", `{one.mark}`" if one.mark else "")
    repeated = "once" if one.token else "refused" if one.unique else "looks"
    key = "yes" if one.ssh_key else "by user data" if one.user_data else "no"
    given = ", ".join(f"`{name}`" for name in sorted(one.required - _OURS))
    besides = [
        *one.notes,
        *([f"A create that was cut off may leave {one.parts}."] if one.parts else []),
    ]
    return f"`{one.provider}`", marks, repeated, key, given, " ".join(besides)


def _reasons(one: Capabilities) -> list[str]:
    """Why verbs are missing, each reason once; without a create, what else there is to know."""
    plain = f"libcloud's {one.driver} has no method"
    told = {
        why: verb for verb, why in reversed(list(one.missing.items())) if not why.startswith(plain)
    }
    said = [f"*{_COLUMNS[verb]}*: {why}." for why, verb in told.items()]
    return said if "provision" in one.methods else [*said, *one.notes]

"""Sizes, images, locations and networks: named by id or by name, looked up once in a while."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

from vmops.errors import InvalidRequest, TransientError
from vmops_libcloud import capabilities
from vmops_libcloud.dialects import Dialect
from vmops_libcloud.drivers import Drivers
from vmops_libcloud.errors import CallError, as_error
from vmops_libcloud.params import LibcloudParams

__all__ = ["Choices"]

_KEPT: Final = 300.0
"""Seconds for which a choice is remembered: tomorrow the name may be another image's."""
_LISTS: Final = {
    "vmSize": "list_sizes",
    "image": "list_images",
    "location": "list_locations",
    "network": "ex_list_networks",
}
_ARGUMENTS: Final = {
    "vmSize": "size",
    "image": "image",
    "location": "location",
    "network": "networks",
}


class Choices:
    """What a provider offers, as one connection sees it.

    Args:
        drivers: Who asks.
        dialect: What is special there.
        now: Tells epoch seconds.
    """

    def __init__(self, drivers: Drivers, dialect: Dialect, now: Callable[[], float]) -> None:
        """Ask nothing yet."""
        self._drivers = drivers
        self._dialect = dialect
        self._can = dialect.can
        self._now = now
        self._known: dict[tuple[str, str], tuple[float, Any]] = {}

    def resolved(self, params: LibcloudParams) -> LibcloudParams:
        """The params with ids in the place of names.

        Raises:
            InvalidRequest: There is no such thing, or what the driver needs was not given.
        """
        self._check(params)
        location = params.location
        if location and self._dialect.placed(location) is None:
            location = self._id("location", location)
        return params.model_copy(
            update={
                "vm_size": self._id("vmSize", params.vm_size),
                "image": self._id("image", params.image),
                "location": location,
                "network": tuple(self._id("network", one) for one in params.network),
            }
        )

    def arguments(self, params: LibcloudParams) -> dict[str, Any]:
        """create_node's arguments for params that were resolved."""
        found: dict[str, Any] = {}
        if params.vm_size:
            found["size"] = self._chosen("vmSize", params.vm_size)
        if params.image:
            found["image"] = self._chosen("image", params.image)
        if params.location:
            placed = self._dialect.placed(params.location)
            found |= placed or {"location": self._chosen("location", params.location)}
        if params.network:
            found["networks"] = [SimpleNamespace(id=one) for one in params.network]
        return found

    def _check(self, params: LibcloudParams) -> None:
        """The driver takes what was given, and was given what it must have."""
        given: dict[str, Any] = {
            "vmSize": params.vm_size,
            "image": params.image,
            "location": params.location,
            "network": params.network,
        }
        for what, argument in _ARGUMENTS.items():
            if argument in self._can.required and not given[what]:
                hint = f"give {self._some(what)}"
                raise InvalidRequest(f"{self._can.provider}: {what} is missing", hint=hint)
            placed = what == "location" and self._dialect.placed("x") is not None
            if given[what] and argument not in self._can.arguments and not placed:
                others = sorted(name for name in self._can.arguments if name.startswith("ex_"))
                raise InvalidRequest(
                    f"{self._can.provider}: libcloud's driver takes no {what}",
                    hint=f"it takes {', '.join(others)}",
                )

    def _id(self, what: str, value: str) -> str:
        return str(self._chosen(what, value).id) if value else value

    def _chosen(self, what: str, value: str) -> Any:  # noqa: ANN401  (a NodeSize and the like)
        at, found = self._known.get((what, value), (0.0, None))
        if found is None or self._now() - at >= _KEPT:
            at = self._now()
            found = self._alone(value) if what == "image" else None
            found = found or self._named(what, value)
            self._known[what, value] = self._known[what, str(found.id)] = at, found
        return found

    def _alone(self, value: str) -> Any:  # noqa: ANN401
        """The image with this id, read by itself; None where it is refused, as it may be a name."""
        if not self._reads_images:
            return None
        try:
            return self._drivers.call(lambda driver: driver.get_image(value))
        except CallError as exc:
            error = as_error(exc, self._can.provider)
            if error is None or isinstance(error, TransientError):
                raise
            return None

    @property
    def _reads_images(self) -> bool:
        """Whether the driver has more for an image than a list of all of them."""
        from libcloud.compute.base import NodeDriver

        cls, _ = capabilities.driver(self._can.provider)
        return cls.get_image is not NodeDriver.get_image

    def _named(self, what: str, value: str) -> Any:  # noqa: ANN401
        """The one in the list with this id, or else with this name."""
        offered = self._list(what)
        found = [one for one in offered if str(one.id) == value]
        found = found or [one for one in offered if value in (str(one.name), _slug(one))]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(str(one.id) for one in found)
            raise InvalidRequest(
                f"{self._can.provider}: {len(found)} of {what} have the name {value!r}",
                hint=f"give an id: {ids}",
            )
        near = difflib.get_close_matches(value, [str(one.name) for one in offered], 3)
        raise InvalidRequest(
            f"{self._can.provider}: there is no {what} {value!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else f"give {self._some(what)}",
        )

    def _list(self, what: str) -> Sequence[Any]:
        return list(self._drivers.call(lambda driver: getattr(driver, _LISTS[what])()))

    def _some(self, what: str) -> str:
        names = [str(one.name) for one in self._list(what)]
        return f"one of {len(names)}, such as {', '.join(names[:5])}" if names else "its id"


def _slug(offered: Any) -> str:  # noqa: ANN401
    """The short name that providers such as DigitalOcean have for an image; empty for none."""
    more = getattr(offered, "extra", None)
    return str(more.get("slug") or "") if isinstance(more, Mapping) else ""

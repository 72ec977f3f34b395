"""What all kinds of resources have in common: made, read, changed, deleted and listed alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from arm import regions
from arm.errors import Refused, missing, no_group
from arm.operations import Operation, begin, headers
from arm.paths import Request
from arm.world import Resource, copied, world

Answer = tuple[int, Any, dict[str, str]]
KINDS: dict[str, Kind] = {}
_OWN = {"id", "name", "type"}


class Kind:
    """A kind of resource; a subclass says in what it differs.

    Each way to write has its `(status, headers, provisioningState)`, as `operations.headers` has
    the letters; without letters it is done at once.
    """

    type = ""
    seconds = "network"
    create: tuple[int, str, str] = (201, "A", "Updating")
    update: tuple[int, str, str] = (200, "A", "Updating")
    patch: tuple[int, str, str] = (200, "N", "Succeeded")
    delete: tuple[int, str] = (202, "ALN")
    etags = True
    in_group = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Every kind with a type of its own is known by it."""
        super().__init_subclass__(**kwargs)
        if cls.type:
            KINDS[cls.type.lower()] = cls()

    @property
    def key(self) -> str:
        """Its type in lower case."""
        return self.type.lower()

    # -- what a subclass says ---------------------------------------------------------------------

    def check(self, request: Request, old: Resource | None) -> None:
        """Refuses what cannot be made or changed so."""

    def may_change(self, resource: Resource, request: Request) -> None:
        """Refuses a change."""

    def shape(self, resource: Resource, request: Request) -> None:
        """Adds to a body that was sent what ARM adds to it."""

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """A resource as it is shown."""
        shown = {"name": resource.name, "id": resource.id, "type": self.type}
        if self.etags:
            shown["etag"] = f'W/"{resource.etag}"'
        return {**shown, **copied(resource.body)}

    def made(self, resource: Resource, error: dict[str, Any] | None) -> None:
        """A create or change has ended."""
        if resource.state:
            resource.state = "Failed" if error else "Succeeded"

    def output(self, resource: Resource, request: Request) -> Any:
        """What the operation of a create or change tells at its end."""
        return None

    def gone(self, resource: Resource) -> None:
        """A resource is no more."""

    def may_delete(self, resource: Resource) -> None:
        """Refuses to delete what is in use."""

    def act(self, resource: Resource, request: Request) -> Answer:
        """What POST of a verb, or GET of a collection, answers."""
        raise Refused(
            404, "InvalidResourceType", f"The resource type '{request.verb}' could not be found."
        )

    def failure(self, resource: Resource) -> dict[str, Any] | None:
        """The error with which a create ends by itself."""
        return None

    def answer(self, request: Request) -> Answer:
        """What is asked of one resource."""
        verbs: dict[str, Callable[[Request], Answer]] = {
            "DELETE": self.remove,
            "GET": self.get,
            "HEAD": self.exists,
            "PATCH": self.change,
            "POST": lambda asked: self.act(self.need(asked), asked),
            "PUT": self.put,
        }
        if request.method not in verbs:
            raise Refused(405, "MethodNotAllowed", f"{request.method} is not allowed here.")
        return verbs[request.method](request)

    # -- the verbs --------------------------------------------------------------------------------

    def put(self, request: Request) -> Answer:
        """Makes a resource, or gives it another body."""
        old = world.find(self.key, request.id)
        self._may_write(request, old)
        self.check(request, old)
        body = {k: v for k, v in copied(request.body or {}).items() if k not in _OWN}
        if isinstance(body.get("location"), str):
            body["location"] = regions.plain(body["location"])
        resource = old or Resource(self, self.id_of(request), {}, world.now())
        resource.hidden["before"], resource.body = resource.properties, body
        resource.hidden["location"] = body.get("location") or self._location(request)
        self.shape(resource, request)
        world.add(resource)
        return self._written(resource, request, self.create if old is None else self.update)

    def _may_write(self, request: Request, old: Resource | None) -> None:
        """What holds for every PUT: where it goes, and on what condition."""
        self.need_group(request)
        group = world.find("groups", request.scope)
        if group is not None and group.state == "Deleting":
            raise Refused(
                409,
                "ResourceGroupBeingDeleted",
                f"The resource group '{group.name}' is in deprovisioning state and cannot perform"
                " this operation.",
            )
        if old is not None and request.headers.get("if-none-match") == "*":
            raise Refused(412, "PreconditionFailed", f"The resource {request.id} exists already.")
        wanted = request.headers.get("if-match", "*")
        if wanted != "*" and (old is None or wanted != f'W/"{old.etag}"'):
            raise Refused(412, "PreconditionFailed", f"The resource {request.id} has changed.")
        if location := (request.body or {}).get("location"):
            regions.checked(location, self.type)

    def change(self, request: Request) -> Answer:
        """PATCH: tags and properties that are given."""
        resource = self.need(request)
        self.may_change(resource, request)
        given = copied(request.body or {})
        _merge(resource.body, {k: v for k, v in given.items() if k not in _OWN})
        return self._written(resource, request, self.patch)

    def _written(self, resource: Resource, request: Request, how: tuple[int, str, str]) -> Answer:
        status, letters, state = how
        if state:
            resource.state = state
        if not set(letters) & set("AL"):
            return status, self.view(resource, request), self._notified(letters)
        operation = Operation(
            self.seconds,
            request,
            resource,
            lambda error: self.made(resource, error),
            self.output(resource, request),
        )
        begin(operation, fails=self.failure(resource))
        resource.hidden["operation"] = operation
        return status, self.view(resource, request), headers(operation, letters)

    @staticmethod
    def _notified(letters: str) -> dict[str, str]:
        return {"azure-asyncnotification": "Enabled"} if "N" in letters else {}

    def get(self, request: Request) -> Answer:
        """A resource, what it has below a verb, or all of a collection."""
        if request.verb:
            return self.act(self.need(request).seen(), request)
        resource = self.need(request).seen()
        tag = {"ETag": f'W/"{resource.etag}"'} if self.etags else {}
        return 200, self.view(resource, request), tag

    def exists(self, request: Request) -> Answer:
        """HEAD: only whether there is such a resource."""
        self.need(request)
        return 204, None, {}

    def remove(self, request: Request) -> Answer:
        """Deletes a resource; that there is none is no error."""
        self.need_group(request)
        resource = world.find(self.key, request.id)
        if resource is None:
            return 204, None, {}
        self.may_delete(resource)
        status, letters = self.delete
        if not letters:
            self._dropped(resource)
            return status, None, {}
        resource.state = "Deleting"

        def done(error: dict[str, Any] | None) -> None:
            if error:
                resource.state = "Failed"
            else:
                self._dropped(resource)

        return status, None, headers(self.deleting(request, resource, done), letters)

    def deleting(
        self,
        request: Request,
        resource: Resource,
        done: Callable[[dict[str, Any] | None], None],
    ) -> Operation:
        """The operation of a deletion."""
        return begin(Operation(self.seconds, request, resource, done))

    def _dropped(self, resource: Resource) -> None:
        if world.remove(resource):
            self.gone(resource)

    def listed(self, request: Request, scope: str) -> Answer:
        """A page of those below a scope."""
        found = [one for one in world.below(self.key, scope) if self.visible(one)]
        return page(request, found, lambda one: self.in_list(one.seen(), request))

    def in_list(self, resource: Resource, request: Request) -> dict[str, Any]:
        """A resource as a list shows it."""
        return self.view(resource, request)

    def visible(self, resource: Resource) -> bool:
        """Whether a resource is shown yet."""
        return True

    def need(self, request: Request) -> Resource:
        """The resource that a request names."""
        self.need_group(request)
        found = world.find(self.key, request.id)
        if found is None or not self.visible(found):
            raise missing(self.type, "/".join(request.names), request.group)
        return found

    def id_of(self, request: Request) -> str:
        """A new resource's id: as it is properly spelt, below what it is in as that is spelt."""
        above, _, last = self.type.rpartition("/")
        if above.lower() in KINDS:
            parent = world.find(above.lower(), request.id.rsplit("/", 2)[0])
            return f"{parent.id if parent else ''}/{last}/{request.names[-1]}"
        group = world.find("groups", request.scope)
        return f"{group.id if group else ''}/providers/{self.type}/{request.names[-1]}"

    def need_group(self, request: Request) -> None:
        """The resource group must exist."""
        if self.in_group and world.find("groups", request.scope) is None:
            raise no_group(request.group)

    @staticmethod
    def _location(request: Request) -> str:
        group = world.find("groups", request.scope)
        return str(group.body.get("location", "")) if group else ""


def page(request: Request, found: Sequence[Any], show: Callable[[Any], Any]) -> Answer:
    """The part of a list that was asked for, with the link to the next one."""
    first, size = int(request.query.get("$skiptoken", 0)), world.settings.page
    answer: dict[str, Any] = {"value": [show(one) for one in found[first : first + size]]}
    if first + size < len(found):
        query = request.raw_query.partition("&%24skiptoken=")[0]
        following = f"{query}&%24skiptoken={first + size}"
        answer["nextLink"] = f"{request.base}{request.path}?{following}"
    return 200, answer, {}


def _merge(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Members that are given replace the old ones; objects are merged, but tags are replaced."""
    for name, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(name), dict) and name != "tags":
            _merge(old[name], value)
        else:
            old[name] = value

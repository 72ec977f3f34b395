"""The instances behind `_ec2_thin.py`: what EC2's calls do to them.

A benchmark must measure its client. So each instance keeps its XML until something about it
changes, and each value that a filter may ask for has its set of instances, so that no filter walks
over all of them.
"""

from __future__ import annotations

import base64
import heapq
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

from _ec2_thin_wire import Instance, Query, Refusal, reservation, state

FILTER_VALUES = 200  # in one call: the documentation says per filter, EC2's own message per call
LONGEST_VALUE = 255
PAGE = range(5, 1001)


@dataclass(frozen=True, slots=True)
class Verb:
    """From which states a verb moves an instance, and to what, at once and in the end."""

    moves: frozenset[str]
    leaves: frozenset[str]  # these it accepts and does nothing to
    now: str = ""
    then: str = ""


VERBS = {
    "StartInstances": Verb(
        frozenset({"stopped"}), frozenset({"pending", "running"}), "pending", "running"
    ),
    "StopInstances": Verb(
        frozenset({"running"}), frozenset({"stopping", "stopped"}), "stopping", "stopped"
    ),
    "TerminateInstances": Verb(
        frozenset({"pending", "running", "stopping", "stopped"}),
        frozenset({"shutting-down", "terminated"}),
        "shutting-down",
        "terminated",
    ),
    "RebootInstances": Verb(frozenset(), frozenset({"running"})),
}


class Cloud:
    """All instances of an account in one region; `seconds` says how long an operation takes."""

    def __init__(
        self,
        region: str,
        clock: Callable[[], float],
        seconds: Callable[[], float],
        randomness: random.Random,
    ) -> None:
        self.region, self._clock, self._seconds, self._random = region, clock, seconds, randomness
        self._instances: dict[str, Instance] = {}
        self._runs: dict[str, list[Instance]] = {}  # by client token
        self._index: dict[str, dict[str, set[Instance]]] = defaultdict(lambda: defaultdict(set))
        self._due: list[tuple[float, int, Instance, str]] = []
        self._operations = count(1)
        self.ready: dict[str, float] = {}  # when each became running, the last time it did

    # --- calls ----------------------------------------------------------------------------------

    def run(self, query: Query) -> str:
        """RunInstances."""
        token = query.get("ClientToken", "")
        if token not in self._runs:
            return reservation(self._launch(query, token))
        made = self._runs[token]
        if made[0].query != query:
            raise Refusal(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in"
                " previous request(s).",
            )
        return reservation(made)

    def change(self, query: Query) -> str:
        """Start-, Stop-, Reboot- and TerminateInstances: of all the instances, or of none."""
        action = query["Action"]
        verb, changes = VERBS[action], []
        instances = [self._named(id_) for id_ in query.listed("InstanceId")]
        for instance in instances:
            if instance.state not in verb.moves | verb.leaves:
                raise Refusal(
                    "IncorrectInstanceState",
                    f"The instance '{instance.id}' is {instance.state}: no state for {action}.",
                )
        for instance in instances:
            before = instance.state
            if before in verb.moves:
                self._begin(instance, verb.now, verb.then)
            changes.append(
                f"<item><instanceId>{instance.id}</instanceId>"
                f"<currentState>{state(instance.state)}</currentState>"
                f"<previousState>{state(before)}</previousState></item>"
            )
        if action == "RebootInstances":
            return "<return>true</return>"
        return f"<instancesSet>{''.join(changes)}</instancesSet>"

    def describe(self, query: Query) -> str:
        """DescribeInstances: a page of what filters or ids select."""
        ids, size = query.listed("InstanceId"), int(query.get("MaxResults", 0))
        if ids and size:
            raise Refusal(
                "InvalidParameterCombination",
                "The parameter instancesSet cannot be used with the parameter maxResults",
            )
        if size and size not in PAGE:
            raise Refusal("InvalidParameterValue", f"Value ( {size} ) for maxResults is invalid.")
        found = self._selected(query, {self._named(id_) for id_ in ids})
        page, more = found, ""
        if size and len(found) > size:
            page = found[:size]
            token = base64.urlsafe_b64encode(b"%024d" % page[-1].number).decode()
            more = f"<nextToken>{token}</nextToken>"
        groups: dict[str, list[Instance]] = {}
        for instance in page:
            groups.setdefault(instance.reservation, []).append(instance)
        items = [f"<item>{reservation(group)}</item>" for group in groups.values()]
        return f"<reservationSet>{''.join(items)}</reservationSet>{more}"

    def tag(self, query: Query) -> str:
        """CreateTags: those of volumes and interfaces are accepted, and nobody can read them."""
        resources = [(id_, self._owner(id_)) for id_ in query.listed("ResourceId")]
        for id_, instance in resources:
            if id_ == instance.id:
                self._index_by_facts(instance, set.discard)
                instance.tags |= query.tags()
                self._index_by_facts(instance, set.add)
        return "<return>true</return>"

    def touches(self, query: Query) -> int:
        """How many instances a call launches or changes: what EC2's second bucket counts."""
        if query["Action"] == "RunInstances":
            return 0 if query.get("ClientToken") in self._runs else int(query["MaxCount"])
        return len(query.listed("InstanceId"))

    def settle(self) -> None:
        """Operations whose time has come end."""
        while self._due and self._due[0][0] <= self._clock():
            at, operation, instance, then = heapq.heappop(self._due)
            if instance.operation == operation:
                self._move(instance, then)
                if then == "running":
                    instance.was_up, self.ready[instance.id] = True, at

    # --- within ---------------------------------------------------------------------------------

    def _launch(self, query: Query, token: str) -> list[Instance]:
        if not re.fullmatch("ami-([0-9a-f]{8}|[0-9a-f]{17})", query["ImageId"]):
            raise Refusal("InvalidAMIID.Malformed", f'Invalid id: "{query["ImageId"]}"')
        together, tags, made = self._hex("r"), query.tags_for("instance"), []
        for index in range(int(query["MaxCount"])):
            instance = Instance(
                number=len(self._instances),
                id=self._hex("i"),
                reservation=together,
                index=index,
                query=query,
                launched=0,
                region=self.region,
                tags=dict(tags),
            )
            made.append(instance)
            self._instances[instance.id] = instance
            self._index_by_facts(instance, set.add)
            self._begin(instance, "pending", "running")
        if token:
            self._runs[token] = made
        return made

    def _hex(self, prefix: str) -> str:
        return f"{prefix}-0{self._random.getrandbits(64):016x}"

    def _begin(self, instance: Instance, now: str, then: str) -> None:
        instance.operation = next(self._operations)
        began = self._clock()
        if now == "pending":
            instance.launched = began
        self._move(instance, now)
        heapq.heappush(self._due, (began + self._seconds(), instance.operation, instance, then))

    def _move(self, instance: Instance, name: str) -> None:
        states = self._index["instance-state-name"]
        states[instance.state].discard(instance)
        states[name].add(instance)
        instance.state, instance.rendered = name, ""

    def _named(self, id_: str) -> Instance:
        if not re.fullmatch("i-([0-9a-f]{8}|[0-9a-f]{17})", id_):
            raise Refusal("InvalidInstanceID.Malformed", f'Invalid id: "{id_}"')
        if id_ not in self._instances:
            raise Refusal("InvalidInstanceID.NotFound", f"The instance ID '{id_}' does not exist")
        return self._instances[id_]

    def _owner(self, resource: str) -> Instance:
        kind, _, digits = resource.partition("-")
        if kind in {"vol", "eni"} and f"i-{digits}" not in self._instances:
            raise Refusal("InvalidID", f"The ID '{resource}' is not valid")
        return self._named(f"i-{digits}" if kind in {"vol", "eni"} else resource)

    def _index_by_facts(
        self, instance: Instance, put: Callable[[set[Instance], Instance], None]
    ) -> None:
        instance.rendered = ""
        facts = [
            ("instance-id", instance.id),
            ("client-token", instance.query.get("ClientToken", "")),
            *(("tag-key", key) for key in instance.tags),
            *((f"tag:{key}", value) for key, value in instance.tags.items()),
        ]
        for name, value in facts:
            put(self._index[name][value], instance)

    def _selected(self, query: Query, named: set[Instance]) -> list[Instance]:
        filters = list(query.filters())
        _check_size([value for _, values in filters for value in values])
        sets = [self._matching(name, values) for name, values in filters]
        if named:
            sets.append(named)
        if not sets:
            sets = [set(self._instances.values())]
        found = set.intersection(*sorted(sets, key=len))
        after = int(base64.urlsafe_b64decode(query.get("NextToken", "")) or -1)
        return sorted((it for it in found if it.number > after), key=lambda it: it.number)

    def _matching(self, name: str, values: list[str]) -> set[Instance]:
        if not re.fullmatch("instance-id|client-token|instance-state-name|tag-key|tag:.*", name):
            raise Refusal("InvalidParameterValue", f"The filter '{name}' is invalid")
        known = self._index[name]
        found: set[Instance] = set()
        for value in values:
            if not re.search(r"[*?\\]", value):
                found |= known.get(value, set())
                continue
            pattern = re.compile(_regex(value), re.DOTALL)
            found = found.union(*(known[other] for other in known if pattern.fullmatch(other)))
        return found


def _check_size(values: list[str]) -> None:
    excess = ""
    if len(values) > FILTER_VALUES:
        excess = f"number of filter values specified on a single call is {FILTER_VALUES}"
    elif any(len(value) > LONGEST_VALUE for value in values):
        excess = f"length for a filter value is {LONGEST_VALUE} characters"
    if excess:
        raise Refusal("FilterLimitExceeded", f"The maximum {excess}")


def _regex(wildcards: str) -> str:
    # EC2's own: ? is one character or none, a backslash makes the next one plain
    tokens: Iterator[str] = iter(re.findall(r"\\.|.", wildcards, re.DOTALL))
    special = {"*": ".*", "?": ".?"}
    return "".join(special.get(token) or re.escape(token[-1]) for token in tokens)

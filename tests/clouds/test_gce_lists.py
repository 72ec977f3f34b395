"""The GCE emulator's lists: both grammars of filters, their pages, and their order."""

from __future__ import annotations

import json
import operator
import time
from collections.abc import Callable
from typing import Any

import gce_calls
import pytest
from gce.filters import Unreadable, compiled
from gce_calls import SECONDS, Gce
from hypothesis import given, settings
from hypothesis import strategies as st

gce, gce_server = gce_calls.gce, gce_calls.gce_server

VM: dict[str, Any] = {
    "name": "web-1",
    "id": "123",
    "status": "RUNNING",
    "creationTimestamp": "2026-05-04T03:02:01.000-07:00",
    "labels": {"owner": "me", "empty": "", "vmops-run": "r_1"},
    "scheduling": {"automaticRestart": False, "minNodeCpus": 12},
    "zone": "https://www.googleapis.com/compute/v1/projects/p/zones/z",
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name = web-1", True),
        ("name=web-1", True),
        ('name="web-1"', True),
        ("name='web-1'", True),
        ("name != web-1", False),
        ("name = web", False),
        ("name = web-*", True),
        ('name = "*-1"', True),
        ("name:eb", True),
        ("name:EB", True),
        ("labels.owner:*", True),
        ("labels.other:*", False),
        ("labels.owner=me", True),
        ("labels.vmops-run=r_1", True),
        ('labels.empty=""', True),
        ("labels.other=me", False),
        ("labels.other!=me", True),
        ("NOT labels.other:*", True),
        ("scheduling.automaticRestart = false", True),
        ("scheduling.automaticRestart = true", False),
        ("scheduling.minNodeCpus > 9", True),
        ("scheduling.minNodeCpus <= 9", False),
        ('creationTimestamp >= "2026-05-04"', True),
        ("creationTimestamp < 2026-05-04T03:02:00.000-07:00", False),
        ('zone = "https://www.googleapis.com/compute/v1/projects/p/zones/z"', True),
        ("(name = web-1) (status = RUNNING)", True),
        ("(name = web-1) (status = TERMINATED)", False),
        ("(name = web-1)(status = RUNNING)", True),
        ("name = web-1 AND status = RUNNING", True),
        ("name = x OR name = web-1", True),
        ("(name = x) OR (name = web-1) AND (status = TERMINATED)", False),
        ("name = web-1 OR name = x AND status = TERMINATED", False),  # OR binds more tightly
        ("((name = x) OR ((name = web-1) AND (status != TERMINATED)))", True),
        ("NOT (name = x OR name = y)", True),
        ("name eq web-1", True),
        ("name eq web", False),
        ("name eq web.*", True),
        ("name ne .*-1", False),
        ("name eq '(web|db)-[0-9]'", True),
        ("(name eq web-.*) (status ne TERMINATED)", True),
        ('(name eq "web-.*") (status ne "RUNNING")', False),
        ("scheduling.automaticRestart eq false", True),
    ],
)
def test_filters(text: str, found: bool) -> None:
    """What they say of one VM."""
    assert compiled(text)(VM) is found


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name =",
        "= web-1",
        "name = web-1 status = RUNNING",
        "name = web-1 AND",
        "AND name = x",
        "(name = web-1",
        "name = web-1)",
        "()",
        "name == x",
        'name = "x',
        "name eq *x",
        "name eq x AND status eq RUNNING",
        "name eq x y",
        "(name eq x) (status = RUNNING)",
        "(name eq x) OR (name eq y)",
        "colour = red",
        "scheduling.colour = red",
        "networkInterfaces.network = x",
        "networkInterfaces[0].network = x",
        "tags = x",
        "tags.items = x",
        "labels = x",
    ],
)
def test_what_is_no_filter(gce: Gce, text: str) -> None:
    """It is refused; so is one of a field that there is not, or that lies in a list."""
    refused = gce.ask("GET", "instances", query={"filter": text})
    assert (refused.status, refused.reason) == (400, "invalid")
    said = f"Invalid value for field 'filter': '{text}'. Invalid list filter expression."
    assert refused.error["message"] == said


# -- against a plain evaluation -------------------------------------------------------------------

FIELDS = ["a", "b", "c.d"]
VALUES = ["x", "y", "1", "10", "true", "x y"]


def less(one: str, other: str) -> bool:
    """Numbers by their size, texts by their letters."""
    both = one.isdigit() and other.isdigit()
    return int(one) < int(other) if both else one < other


SIGNS: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": less,
    ">": lambda has, wants: less(wants, has),
    "<=": lambda has, wants: has == wants or less(has, wants),
    ">=": lambda has, wants: has == wants or less(wants, has),
}


restrictions = st.tuples(
    st.just("is"), st.sampled_from(FIELDS), st.sampled_from(list(SIGNS)), st.sampled_from(VALUES)
)
expressions = st.recursive(
    restrictions,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=8,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from(VALUES),
        "b": st.sampled_from(["x", 1, 10, True]),
        "c": st.fixed_dictionaries({}, optional={"d": st.sampled_from(VALUES)}),
    },
)


def written(tree: Any, draw: Any) -> str:
    """A tree as a filter, in one of the ways to write it."""
    kind = tree[0]
    if kind == "is":
        _, field, sign, value = tree
        quote = draw(st.sampled_from(["'", '"'] if " " in value else ["", "'", '"']))
        space = draw(st.sampled_from(["", " "]))
        return f"{field}{space}{sign}{space}{quote}{value}{quote}"
    if kind == "not":
        return f"NOT ({written(tree[1], draw)})"
    parts = [f"({written(one, draw)})" for one in tree[1]]
    between = st.sampled_from([" AND ", " "]) if kind == "and" else st.just(" OR ")
    return str(draw(between).join(parts))


def holds(tree: Any, body: dict[str, Any]) -> bool:
    """What a tree says of a body."""
    if tree[0] == "not":
        return not holds(tree[1], body)
    if tree[0] == "and":
        return all(holds(one, body) for one in tree[1])
    if tree[0] == "or":
        return any(holds(one, body) for one in tree[1])
    _, field, sign, value = tree
    has: Any = body
    for part in field.split("."):
        has = has.get(part) if isinstance(has, dict) else None
    if has is None:
        return bool(sign == "!=")
    return bool(SIGNS[sign](has if isinstance(has, str) else json.dumps(has), value))


@settings(max_examples=200, deadline=None)
@given(tree=expressions, body=bodies, data=st.data())
def test_filters_mean_what_they_say(tree: Any, body: dict[str, Any], data: Any) -> None:
    """However they are written."""
    text = written(tree, data.draw)
    assert compiled(text)(body) is holds(tree, body), text


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab.=!<>:\"'()ANDORT eqn1*\\", max_size=25))
def test_filters_never_break(text: str) -> None:
    """Any text is a filter or is unreadable."""
    try:
        assert compiled(text)(VM) in {True, False}
    except Unreadable:
        return


# -- pages ----------------------------------------------------------------------------------------


def paged(gce: Gce, **query: Any) -> list[list[str]]:
    """The names on each page."""
    pages = []
    while True:
        answer = gce.get("instances", **query)
        pages.append([one["name"] for one in answer.get("items", [])])
        if "nextPageToken" not in answer:
            return pages
        query["pageToken"] = answer["nextPageToken"]


def test_pages(gce: Gce) -> None:
    """By names or the newest first; what comes between two pages moves nothing."""
    for name in ("d", "a", "c", "e", "b"):
        gce.running(name)
    assert paged(gce) == [["a", "b", "c", "d", "e"]]
    assert paged(gce, maxResults=2) == [["a", "b"], ["c", "d"], ["e"]]
    newest = {"orderBy": "creationTimestamp desc"}
    assert paged(gce, maxResults=3, **newest) == [["b", "e", "c"], ["a", "d"]]
    assert paged(gce, maxResults=2, filter="name != c") == [["a", "b"], ["d", "e"]]
    token = gce.get("instances", maxResults=2)["nextPageToken"]
    gce.end(gce.ask("DELETE", "instances/a").body)
    gce.running("bb")
    assert gce.names(pageToken=token) == ["bb", "c", "d", "e"]
    assert gce.ask("GET", "instances", query={"pageToken": token, **newest}).reason == "invalid"
    assert gce.ask("GET", "instances", query={"pageToken": "x"}).reason == "invalid"
    gce.cloud.settings(page=2)
    assert [len(page) for page in paged(gce)] == [2, 2, 1]


@pytest.mark.parametrize(
    "query",
    [
        {"maxResults": 501},
        {"maxResults": -1},
        {"maxResults": "x"},
        {"orderBy": "name desc"},
        {"orderBy": "creationTimestamp"},
        {"colour": "red"},
        {"returnPartialSuccess": "yes"},
    ],
)
def test_queries_that_are_refused(gce: Gce, query: dict[str, Any]) -> None:
    """What the document does not know, or does not allow."""
    assert gce.ask("GET", "instances", query=query).status == 400


@pytest.mark.parametrize("value", ["true", "True", "false", "False"])
def test_a_boolean_in_a_query(gce: Gce, value: str) -> None:
    """As the document writes it, or as gcloud does."""
    gce.get(f"{gce.project}/aggregated/instances", includeAllScopes=value)


def test_a_list(gce: Gce) -> None:
    """What it says of itself; an empty one has no items."""
    path = "projects/vmops-test/zones/europe-west1-b/instances"
    link = f"https://www.googleapis.com/compute/v1/{path}"
    empty = {"kind": "compute#instanceList", "id": path, "selfLink": link}
    assert gce.get("instances", returnPartialSuccess="true") == empty
    vm = gce.running()
    assert gce.get("instances") == {**empty, "items": [vm]}


def test_aggregated_lists(gce: Gce) -> None:
    """Each zone has its VMs, or a warning that it has none."""
    gce.running("a")
    there = f"{gce.project}/zones/us-east1-c"
    body = gce.wanted("b")
    body["machineType"] = "zones/us-east1-c/machineTypes/e2-small"
    gce.end(gce.post(f"{there}/instances", body))
    items = gce.get(f"{gce.project}/aggregated/instances")["items"]
    assert items["zones/us-east1-c"]["instances"][0]["name"] == "b"
    assert items["zones/us-east1-d"]["warning"]["code"] == "NO_RESULTS_ON_PAGE"
    some = gce.get(f"{gce.project}/aggregated/instances", filter="name=a")["items"]
    assert [key for key, value in some.items() if "instances" in value] == ["zones/europe-west1-b"]
    operations = gce.get(f"{gce.project}/aggregated/operations")["items"]
    assert len(operations["zones/us-east1-c"]["operations"]) == 1


def test_many(gce: Gce) -> None:
    """Two pages for 501 VMs; a list of them does not take long."""
    for number in range(501):
        gce.post("instances", gce.wanted(f"vm-{number}", labels={"a": "b"}))
    gce.cloud.advance(SECONDS)
    gce.get("instances")
    began = time.monotonic()
    pages = paged(gce, filter="labels.a:*")
    assert time.monotonic() - began < 0.5
    assert [len(page) for page in pages] == [500, 1]
    assert len({name for page in pages for name in page}) == 501

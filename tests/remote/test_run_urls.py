"""Runs as URLs: the grammar of operations, another kind, and nothing that could redirect."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmops import Action, Operation
from vmops.errors import InvalidURL
from vmops.remote import Run

TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=40).filter(
    str.isprintable
)
RUNS = st.builds(
    Run,
    backend=st.sampled_from(["aws", "local", "my-cloud"]),
    vm=st.text(string.ascii_letters + string.digits + "._-/ é", min_size=1, max_size=40),
    id=st.text("0123456789abcdef", min_size=16, max_size=32),
    at=st.integers(0, 2**33).map(lambda ms: ms / 1000),
    account=TEXT,
    scope=st.dictionaries(st.sampled_from(["region", "zone", "stateDir"]), TEXT, max_size=3),
    vm_id=TEXT,
)
RUN = Run("aws", "web-1", "0b9f" * 4, 1700000000.5, "123456789012", {"region": "eu-west-1"}, "i-0")
START = Operation("aws", "web-1", Action.START, "0b9f" * 4, 1.0)


@given(RUNS)
def test_round_trip(run: Run) -> None:
    """A run and its URL are the same thing."""
    assert Run.from_url(run.to_url()) == run


def test_form() -> None:
    """The URL has the documented form."""
    assert RUN.to_url() == (
        "vmops+aws://web-1/run?account=123456789012&at=1700000000.500&id=0b9f0b9f0b9f0b9f"
        "&region=eu-west-1#vmId=i-0&sum=a46be395"
    )


@given(RUNS, st.data())
def test_truncation_is_noticed(run: Run, data: st.DataObject) -> None:
    """No proper prefix of a URL is a URL."""
    url = run.to_url()
    with pytest.raises(InvalidURL):
        Run.from_url(url[: data.draw(st.integers(0, len(url) - 1))])


@given(st.text() | st.binary() | st.none() | st.integers())
def test_anything_else_is_refused_politely(value: object) -> None:
    """Whatever comes in, the answer is InvalidURL and no other exception."""
    with pytest.raises(InvalidURL):
        Run.from_url(value)


def test_the_two_kinds_are_not_mixed_up() -> None:
    """A run is no operation, nor the other way round; each error has the next step."""
    with pytest.raises(InvalidURL, match=r"wait for it with vmops\.remote\.Remote\.wait"):
        Operation.from_url(RUN.to_url())
    with pytest.raises(InvalidURL, match="vmops wait"):
        Run.from_url(START.to_url())
    assert "run" not in list(Action)
    assert len(Action) == 5


@pytest.mark.parametrize(
    "id_", ["", "1", "../../../../etc/x", "0b9f0b9f0b9f0b9f;reboot", "0b9f0b9f0b9f0b9f0B9F"]
)
def test_an_id_that_is_no_id_reaches_no_vm(id_: str) -> None:
    """What becomes a folder's name and part of a command is hexadecimal, or refused."""
    with pytest.raises(InvalidURL, match="id="):
        Run.from_url(Run("aws", "a", id_, 1.0).to_url())


@pytest.mark.parametrize("key", ["sshHost", "sshPort", "sshUser", "host"])
def test_the_fragment_holds_no_more_than_the_vms_id(key: str) -> None:
    """A URL with anything else in it was not written by vmops: hosts and users least of all."""
    from vmops.urls import write_url

    query = {"account": "", "at": "1.000", "id": "0b9f" * 4}
    with pytest.raises(InvalidURL):
        Run.from_url(write_url("aws", "a", "run", query, {"vmId": "i-0", key: "evil"}))


def test_a_run_without_an_operations_hint() -> None:
    """What is wrong with a run's URL is told in a run's words."""
    with pytest.raises(InvalidURL, match=r"Remote\.start"):
        Run.from_url(RUN.to_url()[:-1])
    with pytest.raises(InvalidURL, match=r"vm_\*"):
        Operation.from_url(START.to_url()[:-1])

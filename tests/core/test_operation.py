"""Operations as URLs: what is written is read back, what was not written by us is refused."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmops import Action, Operation
from vmops.errors import InvalidURL

TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=40).filter(
    str.isprintable
)
KEYS = st.text(string.ascii_letters, min_size=1, max_size=10).filter(
    lambda key: key not in {"account", "at", "id", "mode", "phase", "sum"}
)
OPERATIONS = st.builds(
    Operation,
    backend=st.sampled_from(["aws", "local", "my-cloud"]),
    vm=st.text(string.ascii_letters + string.digits + "._-/ é", min_size=1, max_size=40),
    action=st.sampled_from(Action),
    id=st.text("0123456789abcdef", min_size=1, max_size=32),
    at=st.integers(0, 2**33).map(lambda ms: ms / 1000),
    account=TEXT,
    scope=st.dictionaries(KEYS, TEXT, max_size=3),
    handle=st.dictionaries(KEYS, TEXT, max_size=3),
    mode=st.sampled_from(["", "keep", "release", "power-cycle"]),
    phase=st.sampled_from([1, 2]),
)
ARM = (
    "/subscriptions/x/providers/Microsoft.Compute/locations/eu/operations/1?p=a%2Fb&t=1&c=M%3D&s=_-"
)


@given(OPERATIONS)
def test_round_trip(operation: Operation) -> None:
    """An operation and its URL are the same thing."""
    assert Operation.from_url(operation.to_url()) == operation


def test_a_signed_path_survives_byte_for_byte() -> None:
    """An operation path with its query, as ARM signs it, comes back unchanged."""
    operation = Operation("azure", "web-1", Action.START, "1f", 1.0, handle={"path": ARM})
    assert Operation.from_url(operation.to_url()).handle["path"] == ARM


def test_form() -> None:
    """The URL has the documented form."""
    operation = Operation(
        "aws",
        "web-1",
        Action.STOP,
        "0b9f",
        1700000000.5,
        account="123456789012",
        scope={"region": "eu-west-1"},
        handle={"vmId": "i-0abc"},
        mode="release",
    )
    assert operation.to_url() == (
        "vmops+aws://web-1/stop?account=123456789012&at=1700000000.500&id=0b9f&mode=release"
        "&region=eu-west-1#vmId=i-0abc&sum=80bd975a"
    )
    assert operation.vm_id == "i-0abc"


@given(OPERATIONS, st.data())
def test_truncation_is_noticed(operation: Operation, data: st.DataObject) -> None:
    """No proper prefix of a URL is a URL."""
    url = operation.to_url()
    cut = data.draw(st.integers(0, len(url) - 1))
    with pytest.raises(InvalidURL):
        Operation.from_url(url[:cut])


@given(st.text() | st.binary() | st.none() | st.integers())
def test_anything_else_is_refused_politely(value: object) -> None:
    """Whatever comes in, the answer is InvalidURL and no other exception."""
    with pytest.raises(InvalidURL):
        Operation.from_url(value)


GOOD = Operation("sim", "a", Action.START, "1", 1.0).to_url()


@pytest.mark.parametrize(
    "url",
    [
        "https://management.azure.com/subscriptions/x",
        "vmops+sim://[::1/start?id=1#sum=0",
        "vmops+SIM://a/start?account=&at=1.000&id=1#sum=0",
        GOOD.replace("start", "explode"),
        GOOD.replace("id=1", "id=1&id=2"),
        GOOD.replace("at=1.000", "at=soon"),
        GOOD + "\n",
        GOOD.replace("a/start", "a%0a/start"),
        GOOD.replace("vmops", "vm\u043e\u0440s"),  # Cyrillic letters
        "vmops+sim://" + "a" * 2**20 + "/start?id=1#sum=0",
    ],
)
def test_hostile_urls(url: str) -> None:
    """Foreign, malformed, doubled, look-alike and huge URLs are refused."""
    with pytest.raises(InvalidURL) as caught:
        Operation.from_url(url)
    assert len(str(caught.value)) < 400


def test_errors_show_no_query() -> None:
    """What may be signed is not repeated in an error."""
    url = Operation("azure", "a", Action.START, "1", 1.0, handle={"path": "s3cret"}).to_url()
    with pytest.raises(InvalidURL) as caught:
        Operation.from_url(url[:-1])
    assert "s3cret" not in str(caught.value)

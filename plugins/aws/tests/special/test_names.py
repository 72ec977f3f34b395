"""The names of a batch in one tag value: nothing is lost, nothing is too long, anything is read."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmops_aws import names
from vmops_aws.instances import ownership

LONGEST = 256  # characters of a tag's value, and one more than EC2 takes in a filter's
NAME = st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
NUMBERED = st.builds(
    lambda stem, width, number: f"{stem}{number:0{width}d}",
    st.sampled_from(["web-", "a-b-", "vm", "kit-3fa", "x0", "n-0a"]),
    st.integers(1, 4),
    st.integers(0, 30),
)
NAMES = st.lists(NAME | NUMBERED, unique=True, min_size=1, max_size=60)


@given(NAMES, st.integers(1, 20))
def test_every_name_is_in_one_part(given_: list[str], most: int) -> None:
    """Parts hold all names, each once and in order among those of its stem, `most` at most."""
    parts = list(names.parts(given_, most))
    assert sorted(name for part in parts for name in part) == sorted(given_)
    for stem in {names.stem(name) for name in given_}:
        own = [name for part in parts for name in part if names.stem(name) == stem]
        assert own == [name for name in given_ if names.stem(name) == stem]
    assert all(0 < len(part) <= most for part in parts)
    assert all(len({names.stem(name) for name in part}) == 1 for part in parts)


@given(NAMES, st.integers(1, 60))
def test_a_tag_is_read_as_it_was_written(given_: list[str], most: int) -> None:
    """What a part's tag says is the part, in its order, and one wildcard finds it by any name."""
    for part in names.parts(given_, most):
        text = names.encoded(part)
        assert len(text) <= LONGEST
        assert names.decoded(text) == tuple(part)
        if len(part) > 1:
            assert all(fnmatchcase(text, names.pattern(name)) for name in part)
        else:
            assert text == part[0]


@given(NAMES)
def test_a_part_ends_only_where_it_must(given_: list[str]) -> None:
    """The first name of a part would not have fitted into the one before it."""
    parts = list(names.parts(given_, 1000))
    for one, other in pairwise(parts):
        if names.stem(one[0]) == names.stem(other[0]):
            assert len(names.encoded([*one, other[0]])) > LONGEST


@given(NAME)
def test_a_wildcard_fits_into_a_filter(name: str) -> None:
    """The longest name's wildcard is one that EC2 takes, and begins with its stem."""
    assert name.startswith(names.stem(name))
    assert len(names.pattern(name)) <= LONGEST - 1
    assert not set(names.stem(name)) & set("*?\\{}")


@pytest.mark.parametrize(
    ("given_", "tag"),
    [
        (["web-1"], "web-1"),
        ([f"web-{i}" for i in range(200)], "web-{0..199}"),
        ([f"web-{i:03d}" for i in range(200)], "web-{000..199}"),
        (["web-9", "web-10", "web-010", "web-11"], "web-{9..10,010,11}"),
        (["kit-3fa9", "kit-b2c1"], "kit-{3fa9,b2c1}"),
        (["web-a1", "web-a2", "web-a4"], "web-a{1..2,4}"),
        (["web-1a2", "web-1a3", "web-7"], "web-{1a2..1a3,7}"),
        (["node-1-db", "node-2-db"], "node-{1..2}-db"),
        (["user7-dev", "user8-dev"], "user{7..8}-dev"),
        (["vm1", "vm2", "vm4"], "vm{1..2,4}"),
        (["db", "web"], "{db,web}"),
        (["web-2", "web-1"], "web-{2,1}"),
    ],
)
def test_examples(given_: list[str], tag: str) -> None:
    """Numbers that follow each other are a range, as wide as they are; the rest is listed."""
    assert names.encoded(given_) == tag
    assert names.decoded(tag) == tuple(given_)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("web-17", "web-"),
        ("a-b-c", "a-b-"),
        ("vm12", "vm"),
        ("web", ""),
        ("a1b2", ""),
        ("kit-3fa9c0d1", "kit-"),
        ("user3-dev", "user"),
        ("exp-3-vm-17-db", "exp-3-vm-"),
        ("x-1-0", "x-1-"),
    ],
)
def test_stems(name: str, stem: str) -> None:
    """A name shares all up to its last dash with its batch; without one, all but its number."""
    assert names.stem(name) == stem
    assert names.pattern(name) == f"{stem}{{*"


HOSTILE = {
    "a huge range": "web-{0..99999999999999999999}",
    "a wide one": f"web-{{{'0' * 120}..{'9' * 120}}}",
    "many huge ranges": f"web-{{{','.join(['0..9999'] * 30)}}}",
    "a range that ends before it begins": "web-{9..3}",
    "one of nothing": "web-{}",
    "an empty item": "web-{,}",
    "unbalanced": "web-{1,2",
    "closed only": "web-1}",
    "nested": "web-{1,{2,3}}",
    "text behind": "web-{1,2}x",
    "other heads": "web-{a1..b2}",
    "nothing": "",
    "braces alone": "{}",
    "dots": "web-{..}",
    "signs": "web-{-5..5}",
    "other digits": "web-{\u0661..\u0669}",
    "line break": "web-{1,2}\n",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_tags_are_read_in_no_time(text: str) -> None:
    """Whatever stands in a tag, reading it raises nothing, takes no time and makes few names."""
    names.decoded.cache_clear()
    began = time.process_time()
    assert len(names.decoded(text)) <= 1000
    assert time.process_time() - began < 0.1


@given(st.text("web-{},.0123456789*?\\", max_size=LONGEST) | st.text(max_size=LONGEST))
def test_any_tag_is_read(text: str) -> None:
    """Somebody else's tag may hold anything: it names something, or nothing."""
    assert len(names.decoded(text)) <= 1000


@pytest.mark.parametrize(
    ("label", "index", "name", "sequence"),
    [
        ("web-1", 0, "web-1", 7),
        ("web-1", 3, "web-1", 10),  # named by itself since
        ("web-{0..4}", 3, "web-3", 10),
        ("kit-{3fa9,b2c1}", 1, "kit-b2c1", 8),
    ],
)
def test_which_of_a_batch(label: str, index: int, name: str, sequence: int) -> None:
    """A launch index tells which name of the tag is an instance's, and its own number."""
    owner = ownership(_tags(label), index)
    assert owner is not None
    assert (owner.vm, owner.sequence, owner.owner) == (name, sequence, "me")


@pytest.mark.parametrize(
    ("tags", "index"),
    [
        ({}, 0),
        ({"vmops-vm": "web-1"}, 0),
        ({"vmops-vm": "web-{0..4}"}, 5),
        ({"vmops-vm": "web-{0..999999999}"}, 1),
        ({"vmops-vm": "web-1", "vmops-sequence": "soon"}, 0),
        ({"vmops-vm": "web-1", "vmops-expires": "x"}, 0),
    ],
    ids=["none", "incomplete", "beyond", "huge", "no number", "no time"],
)
def test_tags_that_vmops_did_not_write(tags: dict[str, str], index: int) -> None:
    """An instance whose tags make no sense is nobody's: it is never taken for one of ours."""
    complete = {} if tags in ({}, {"vmops-vm": "web-1"}) else _tags("web-1")
    assert ownership({**complete, **tags}, index) is None


def _tags(label: str) -> dict[str, str]:
    own = {"vmops-owner": "me", "vmops-token": "t", "vmops-expires": "0", "vmops-journal": "j"}
    return {**own, "vmops-vm": label, "vmops-sequence": "7"}


@pytest.mark.parametrize(
    ("names_", "calls"),
    [
        ([f"user{i}-dev" for i in range(200)], 1),
        ([f"node-{i}-a" for i in range(200)], 1),
        ([f"kit-{i * 7919:08x}" for i in range(200)], 8),
        (["web-1", "db-1", "web-2", "db-2"], 2),
    ],
)
def test_few_calls_name_many(names_: list[str], calls: int) -> None:
    """Names that are alike but for one part share a call, wherever in the name that part is."""
    assert len(list(names.parts(names_, 200))) <= calls


@pytest.mark.parametrize(
    "mixed", [["web-1", "db-1"], [f"{'x' * 50}-{i:012x}" for i in (1, 3, 5)] * 9]
)
def test_what_one_tag_cannot_hold_is_no_tag(mixed: list[str]) -> None:
    """Names of which one tag would tell only some are refused, never cut."""
    with pytest.raises(ValueError, match="cannot name"):
        names.encoded(mixed)
